"""The model card: the YAML between the two ``---`` lines that ``README.md`` begins with.

Source of the keys: the Hugging Face Hub's model card metadata specification. Its library's reader is not
used: it follows aliases, and reads ``no``, the language, as a boolean.
"""

from __future__ import annotations

import re
from typing import Any

from modelshelf.model import ModelMetadata, Origin
from modelshelf_companions.documents import parse_yaml, text_of, texts_of
from modelshelf_companions.kinds import kind_of_task

MAX_BYTES = 256 * 1024
"""Bytes of a card that are read; the largest front matter in use is below 100 kB."""

_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?---[ \t]*\r?\n")
_CLOSING = re.compile(rb"^---[ \t]*\r?$", re.MULTILINE)
_NO_VALUE = frozenset({"null", "~", "none", "unknown"})


def parse_card(head: bytes) -> dict[str, Any]:
    """Parse the front matter of a card out of its first `MAX_BYTES` bytes; empty where the card has none.

    Every scalar comes as text: ``no`` is Norwegian here and no boolean, ``1.0`` keeps its zero.

    Raises:
        ValueError: It does not end, or is no YAML mapping as `parse_yaml` reads one.
    """
    opening = _OPENING.match(head)
    if opening is None:
        return {}
    closing = _CLOSING.search(head, opening.end())
    if closing is None:
        raise ValueError(f"its front matter does not end within {MAX_BYTES} bytes")
    try:
        front = head[opening.end() : closing.start()].decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"its front matter is not UTF-8 at byte {opening.end() + error.start}") from None
    try:
        value = parse_yaml(front)
    except ValueError as error:
        raise ValueError(f"its front matter {error}") from None
    if value is None or value in ("", *_NO_VALUE):
        return {}
    if not isinstance(value, dict):
        raise ValueError("its front matter is no mapping")  # noqa: TRY004 - the card's fault, no caller's
    return value


def from_card(front: dict[str, Any], name: str, *, is_part: bool = False) -> ModelMetadata:
    """Make metadata of a card's front matter; values of another type than the Hub's are left out.

    Args:
        front: The front matter.
        name: The card's file name.
        is_part: Whether it is put on a small part of its model, whose kind the model's task does not tell.
    """
    library = _word(front.get("library_name"))
    task = _word(front.get("pipeline_tag"))
    return ModelMetadata.partial(
        Origin.CARD,
        name,
        license=_license(front),
        tags=texts_of(front.get("tags")),
        base_model=texts_of(front.get("base_model")),
        languages=texts_of(front.get("language")),
        pipeline_tag=task,
        **kind_of_task(None if is_part else task),
        title=_word(front.get("model_name")) or _name_of_results(front.get("model-index")),
        details={} if library is None else {"library_name": library},
    )


def _word(value: object) -> str | None:
    text = text_of(value)
    return None if text is None or text.lower() in _NO_VALUE else text


def _license(front: dict[str, Any]) -> str | None:
    license_id = _word(", ".join(texts_of(front.get("license")) or ()))
    name = _word(front.get("license_name"))
    return name if name is not None and license_id in {None, "other"} else license_id


def _name_of_results(index: object) -> str | None:
    first = index[0] if isinstance(index, list) and index else None
    return _word(first.get("name")) if isinstance(first, dict) else None
