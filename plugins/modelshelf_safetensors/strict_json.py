"""JSON as the reference loader reads it (serde_json), which is stricter than Python's own.

Python's `json` takes NaN and infinities, lone surrogates, integers of any length up to 4,300 digits and
repeated keys, and its depth limit is the interpreter's. Here each of these is a `ValueError`, but for
repeated keys, which the caller sees: an object comes as its `Members`, in order.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST_NESTED = 127
"""Arrays and objects within each other; serde_json stops at its recursion limit of 128."""

_LONGEST_U64 = 20  # decimal digits

# One well-formed escape: a surrogate pair, any other \uXXXX, or a single letter.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|[^u])"
)


class Members(list[tuple[str, Any]]):
    """The members of one JSON object in the order of the text, repeated keys included."""


def parse(text: str) -> Any:
    """Read one JSON value; objects come as `Members`.

    Depth is the caller's to check with `depth_of` where a value's shape is not otherwise fixed.

    Raises:
        ValueError: The text is not JSON as serde_json takes it; a `json.JSONDecodeError` tells where.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("arrays or objects are nested too deep") from None
    check_surrogates(text)
    return value


def parse_object_at(text: str, begin: int) -> tuple[Members, int]:
    """Read the object that begins at this character; give it and the position after it.

    Raises:
        ValueError: As `parse`.
    """
    try:
        value, end = _DECODER.raw_decode(text, begin)
    except RecursionError:
        raise ValueError("arrays or objects are nested too deep") from None
    check_surrogates(text[begin:end])
    if not isinstance(value, Members):
        raise ValueError("expected an object")  # noqa: TRY004 - every fault of the text is a ValueError here
    return value, end


def check_surrogates(text: str) -> None:
    """Check that every surrogate in the escapes of valid JSON has its other half.

    Raises:
        ValueError: One stands alone.
    """
    if "\\u" in text and "\\" in _ESCAPE.sub("", text):
        raise ValueError("an escape holds half of a surrogate pair")


def depth_of(value: Any) -> int:
    """How many arrays and objects stand within each other in a parsed value; a scalar has depth 0."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list)]:
        depth += 1
        level = [
            inner for one in level for inner in ([v for _, v in one] if isinstance(one, Members) else one)
        ]
    return depth


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of range")
    return value


def _integer(text: str) -> int | float:
    # serde_json reads -0 and what passes 64 bits as floating point.
    return _finite(text) if text == "-0" or len(text) > _LONGEST_U64 else int(text)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Members, parse_int=_integer, parse_float=_finite, parse_constant=_refuse_constant
)
