"""JSON and YAML companions, parsed with limits, and their values as a record can keep them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from yaml.events import Event

_MAX_TEXT = 256  # characters of a value that goes into a record
_MAX_ITEMS = 64
_MAX_COUNT = 2**63 - 1
_MAX_YAML_DEPTH = 16


@frozen
class JsonObject:
    """A JSON object.

    Attributes:
        members: Its members; of equal keys the last.
        strict: Whether it is JSON and not Python's dialect with NaN and Infinity, which some writers use.
    """

    members: dict[str, Any]
    strict: bool = True


def parse_json(raw: bytes) -> JsonObject:
    """Parse a JSON object.

    Raises:
        ValueError: It is none: no UTF-8, no JSON, nested too deep, a number of thousands of digits.
    """
    constants: list[str] = []
    value = _parse(raw, constants)
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - every fault of the text is a ValueError here
    return JsonObject(value, strict=not constants)


def parse_list(raw: bytes) -> list[Any]:
    """Parse a JSON array.

    Raises:
        ValueError: It is none.
    """
    value = _parse(raw, [])
    if not isinstance(value, list):
        raise ValueError("is no JSON array")  # noqa: TRY004 - as above
    return value


def _parse(raw: bytes, constants: list[str]) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=constants.append)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nests arrays or objects too deep") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


def parse_yaml(text: str) -> Any:
    """Parse a YAML document; every scalar comes as text.

    Raises:
        ValueError: It is no YAML, uses aliases (a few bytes of which can stand for gigabytes), or nests deep.
    """
    import yaml  # slow to import, and few models have a card

    # Builds text, lists and mappings only: less than the safe loader, whose constructors of dates and numbers
    # raise what they please on hostile scalars.
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        _refuse_aliases_and_depth(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader)  # noqa: S506 - the base loader, see above
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"is no YAML{_place_of(error)}") from None


def _place_of(error: Exception) -> str:
    """What is wrong and where. What the parser found there is not shown: the file may be anything."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or ""
    what = "" if "'" in problem or '"' in problem else f": {problem}".rstrip(": ")
    return what if mark is None else f"{what}, at line {mark.line + 1}, column {mark.column + 1}"


def _refuse_aliases_and_depth(events: Iterable[Event]) -> None:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("uses YAML aliases")  # noqa: TRY004 - the text's fault again
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_YAML_DEPTH:
            raise ValueError("nests too deep")


def text_of(value: object) -> str | None:
    """Return a text that a record can keep, without white space around it; None for all else."""
    if not isinstance(value, str) or not (text := value.strip()) or len(text) > _MAX_TEXT:
        return None
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    return text


def texts_of(value: object) -> tuple[str, ...] | None:
    """Return the texts of a list, or one text, that a record can keep, each once; else None."""
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for item in values[:_MAX_ITEMS] if (text := text_of(item)))) or None


def count_of(value: object) -> int | None:
    """Return a whole number of 1 or more that a record can keep; None for all else."""
    return value if type(value) is int and 0 < value <= _MAX_COUNT else None
