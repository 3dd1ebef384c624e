"""Write records as JSON, JSON Lines, OpenAI's listing and YAML.

All four are written in ASCII: every other character is escaped, so that no control, C1 or bidirectional
character and no byte of a file name that is not UTF-8 reaches a terminal or a page, and each comes back as it
was when the document is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from modelshelf.records.json import json_record, openai_entry

if TYPE_CHECKING:
    from modelshelf.model.config import ModelConfig

_WIDTH = 1 << 30  # columns; a long line is easier to search and compare than a folded one


def dump_openai(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    """Write OpenAI's list object, with the registry's own fields in each entry."""
    return _sequence((openai_entry(model) for model in models), b'{"object": "list", "data": [', b"]}\n")


def dump_json(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    """Write one JSON array (RFC 8259), a record on each line."""
    return _sequence((json_record(model) for model in models), b"[", b"]\n")


def dump_jsonl(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    """Write one JSON object on each line; no records give no line."""
    for model in models:
        yield _json(json_record(model)) + b"\n"


def dump_yaml(models: Iterable[ModelConfig]) -> Iterator[bytes]:
    """Write one YAML sequence, as a safe loader reads it."""
    import yaml  # slow to import, and the other three do without

    class Dumper(yaml.SafeDumper):
        """Writes equal values each time: an alias is hard to read, and no record needs one."""

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
            return True

    empty = True
    for model in models:
        empty = False
        text = yaml.dump(
            [json_record(model)], Dumper=Dumper, sort_keys=False, allow_unicode=False, width=_WIDTH
        )
        yield text.encode("ascii")
    if empty:
        yield b"[]\n"


def _sequence(entries: Iterable[dict[str, Any]], opening: bytes, closing: bytes) -> Iterator[bytes]:
    yield opening
    between = b"\n"
    for entry in entries:
        yield between + _json(entry)
        between = b",\n"
    yield (b"\n" if between != b"\n" else b"") + closing


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f").encode("ascii")
