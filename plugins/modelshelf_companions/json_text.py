"""JSON companions, read as far as they can be trusted."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

_LONGEST_TEXT = 256  # characters of a value that goes into a record
_MOST_ITEMS = 64
_LARGEST = 2**63  # what a record can keep


@frozen
class Document:
    """The object that a JSON file holds.

    Attributes:
        members: Its members; of equal keys the last.
        strict: Whether it is JSON and not Python's dialect with NaN and Infinity, which some writers use.
    """

    members: dict[str, Any]
    strict: bool = True


def parse_document(raw: bytes) -> Document:
    """Read a JSON object.

    Raises:
        ValueError: It is none: no UTF-8, no JSON, nested too deep, a number of thousands of digits.
    """
    constants: list[str] = []
    try:
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=constants.append)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nests arrays or objects too deep") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - every fault of the text is a ValueError here
    return Document(value, strict=not constants)


def text(value: object) -> str | None:
    """The value where it is text that a record can keep, without white space around it, else None."""
    if not isinstance(value, str) or not (stripped := value.strip()) or len(stripped) > _LONGEST_TEXT:
        return None
    try:
        stripped.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    return stripped


def texts(value: object) -> tuple[str, ...] | None:
    """The texts of a list, or of one text, that a record can keep; None where there is none."""
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(one for item in values[:_MOST_ITEMS] if (one := text(item)))) or None


def count(value: object) -> int | None:
    """The value where it is a whole number of 1 or more, else None."""
    return value if type(value) is int and 0 < value < _LARGEST else None
