"""Which licence a text is: the titles that licence texts begin with."""

from __future__ import annotations

import re

_LOOKED_AT = 2000  # characters
# The first that matches stands: a community licence quotes others further down.
_TITLES = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        (r"llama\s+(\d(?:\.\d)?)\s+community\s+license", r"llama\1"),
        (r"apache\s+license\s*,?\s*version\s+2\.0", "apache-2.0"),
        (r"gemma\s+terms\s+of\s+use", "gemma"),
        (r"tongyi\s+qianwen|qwen\s+license|qwen\s+research\s+license", "qwen"),
        (r"deepseek\s+license\s+agreement", "deepseek"),
        (r"\bmit\s+license\b|permission is hereby granted, free of charge, to any person", "mit"),
        (r"gnu\s+affero\s+general\s+public\s+license", "agpl-3.0"),
        (r"gnu\s+lesser\s+general\s+public\s+license", "lgpl-3.0"),
        (r"gnu\s+general\s+public\s+license", "gpl-3.0"),
        (r"attribution-noncommercial\s+4\.0|cc[- ]by[- ]nc[- ]4\.0", "cc-by-nc-4.0"),
        (r"attribution\s+4\.0|cc[- ]by[- ]4\.0", "cc-by-4.0"),
        (r"redistribution and use in source and binary forms", "bsd"),
    )
)


def licence_name(text: str) -> str | None:
    """The licence that a text is, as the Hub names it; None where its title is not known."""
    head = " ".join(text[:_LOOKED_AT].split())
    found = [(match.start(), match.expand(name)) for title, name in _TITLES if (match := title.search(head))]
    return min(found)[1] if found else None
