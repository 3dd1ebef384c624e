"""What a model card says: the YAML between the two ``---`` lines that ``README.md`` begins with.

Source of the keys: the Hugging Face Hub's model card metadata specification.
"""

from __future__ import annotations

import re
from typing import Any

from modelshelf.model import ModelMetadata, Origin
from modelshelf_companions.json_text import text, texts

MOST_BYTES = 256 * 1024
"""Bytes of a card that are looked at; the largest front matter in use is below 100 kB."""

_DEEPEST = 16
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n")
_CLOSING = re.compile(rb"^---[ \t]*\r?$", re.MULTILINE)
_NO_VALUE = frozenset({"null", "~", "none", "unknown"})


def parse_card(head: bytes) -> dict[str, Any]:
    """Read the front matter of a card from its first `MOST_BYTES` bytes; empty where the card has none.

    Every scalar comes as text: ``no`` is Norwegian here and no boolean, ``1.0`` keeps its zero.

    Raises:
        ValueError: It does not end, is no YAML mapping, holds aliases (a few bytes of which can stand for
            gigabytes) or nests too deep.
    """
    opening = _OPENING.match(head)
    if opening is None:
        return {}
    closing = _CLOSING.search(head, opening.end())
    if closing is None:
        raise ValueError(f"its front matter does not end within {MOST_BYTES} bytes")
    try:
        front = head[opening.end() : closing.start()].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"its front matter is not UTF-8 at byte {opening.end() + error.start}") from None
    return _mapping(front)


def _mapping(front: str) -> dict[str, Any]:
    import yaml

    # Builds text, lists and mappings only: less than the safe loader, whose constructors of dates and numbers
    # raise what they please on hostile scalars.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _check_events(yaml.parse(front, Loader=loader))
        told = yaml.load(front, Loader=loader)  # noqa: S506 - the base loader, see above
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"its front matter is no YAML: {' '.join(str(error).split())}") from None
    if told is None or told in ("", *_NO_VALUE):
        return {}
    if not isinstance(told, dict):
        raise ValueError("its front matter is no mapping")  # noqa: TRY004 - the card's fault, no caller's
    return told


def _check_events(events: Any) -> None:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("its front matter uses YAML aliases")  # noqa: TRY004 - the card's fault again
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise ValueError("its front matter nests too deep")


def from_card(told: dict[str, Any], name: str) -> ModelMetadata:
    """What a card's front matter tells; values of another type than the Hub's are left out."""
    library = _word(told.get("library_name"))
    return ModelMetadata.partial(
        Origin.CARD,
        name,
        license=_license(told),
        tags=texts(told.get("tags")),
        base_model=texts(told.get("base_model")),
        languages=texts(told.get("language")),
        pipeline_tag=_word(told.get("pipeline_tag")),
        title=_word(told.get("model_name")) or _name_of_results(told.get("model-index")),
        details={} if library is None else {"library_name": library},
    )


def _word(value: object) -> str | None:
    word = text(value)
    return None if word is None or word.lower() in _NO_VALUE else word


def _license(told: dict[str, Any]) -> str | None:
    licence = _word(", ".join(texts(told.get("license")) or ()))
    named = _word(told.get("license_name"))
    return named if named is not None and licence in {None, "other"} else licence


def _name_of_results(index: object) -> str | None:
    first = index[0] if isinstance(index, list) and index else None
    return _word(first.get("name")) if isinstance(first, dict) else None
