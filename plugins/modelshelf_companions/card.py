"""The YAML front matter of a model card (``README.md``).

Source of the keys: the Hugging Face Hub's model card metadata specification.
"""

from __future__ import annotations

import re
from typing import Any

from modelshelf.model import ModelMetadata, Origin

_FRONT_MATTER = re.compile(rb"\A(?:\xef\xbb\xbf)?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
MOST_BYTES = 256 * 1024
"""Bytes of a card that are looked at; the largest front matter in use is below 100 kB."""

_MOST_WORDS = 500
_LONGEST_WORD = 200


def parse_card(content: bytes) -> dict[Any, Any]:
    """The front matter at the beginning of a card; empty where it has none.

    Raises:
        ValueError: The front matter is not UTF-8, not YAML, uses aliases, does not end, or is no mapping.
    """
    import yaml

    match = _FRONT_MATTER.match(content)
    if match is None:
        return {}
    try:
        decoded = match[1].decode("utf-8")
        # A few lines of aliases unfold to billions of values; no card needs one.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(decoded, Loader=yaml.SafeLoader)):
            raise ValueError("its front matter uses YAML aliases")
        told = yaml.safe_load(decoded)
    except (yaml.YAMLError, RecursionError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"its front matter is no YAML: {' '.join(str(error).split())}") from None
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise ValueError("its front matter is no mapping")  # noqa: TRY004 - the card's fault, no caller's
    return told


def from_card(told: dict[Any, Any], name: str) -> ModelMetadata:
    """What a card's front matter tells; values of another type than the Hub's are left out."""
    licence = _word(told.get("license"))
    if licence == "other":
        licence = _word(told.get("license_name")) or licence
    library = _word(told.get("library_name"))
    return ModelMetadata.told(
        Origin.CARD,
        name,
        license=licence,
        tags=_words(told.get("tags")),
        base_model=_words(told.get("base_model")),
        languages=_words(told.get("language")),
        pipeline_tag=_word(told.get("pipeline_tag")),
        title=_word(told.get("model_name")),
        details={"library_name": library} if library else {},
    )


def _word(value: object) -> str | None:
    # YAML 1.1 reads the language code `no` as a boolean, and a version as a number.
    if value is False:
        return "no"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    return text if 0 < len(text) <= _LONGEST_WORD else None


def _words(value: object) -> tuple[str, ...] | None:
    values = value if isinstance(value, list) else [value]
    words = tuple(
        word for one in values[:_MOST_WORDS] if (word := _word(one)) is not None and one is not None
    )
    return words or None
