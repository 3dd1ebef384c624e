"""JSON as the reference loader reads it (serde_json), which is stricter than Python's own.

Python's `json` takes NaN and infinities, lone surrogates, integers of any length up to 4,300 digits and
repeated keys, and its depth limit is the interpreter's. Here each of these is a `ValueError`, but for
repeated keys, which the caller sees: an object is read as a tuple of its (key, value) pairs in the order of
the text, an array as a list.
"""

from __future__ import annotations

import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # its stub has it not
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    TextScanner = Callable[[str, int, bool], tuple[str, int]]
    Scanner = Callable[[str, int], tuple[Any, int]]

MOST_NESTED = 127
"""Arrays and objects within each other; serde_json stops at its recursion limit of 128."""

_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = rf'\\(?:["\\/bfnrt]|{_PAIR}|u(?![dD][89a-fA-F])[0-9a-fA-F]{{4}})'

TEXT = rf'(?:[^"\\\x00-\x1f]++|{_ESCAPE})*+'
"""A pattern of what may stand between the quotes of a text: all of it, or up to its first fault."""

_ESCAPES = re.compile(_ESCAPE)
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*+"')
_ONE_KIND = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(range(256)).translate(None, b"[]{}")
_FLAT = 4  # levels that are quicker taken away than counted
_LONGEST_U64 = 20  # decimal digits


def parse(text: str) -> Any:
    """Read one JSON value.

    Depth is the caller's to check with `depth_of` where a value's shape is not otherwise fixed.

    Raises:
        ValueError: The text is not JSON as serde_json takes it; a `json.JSONDecodeError` says where.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("arrays or objects are nested too deep") from None
    check_surrogates(text)
    return value


def parse_at(text: str, at: int) -> tuple[Any, int]:
    """Read the JSON value that begins at this character; give it and the position after it.

    Raises:
        ValueError: As `parse`.
    """
    try:
        value, end = _scan_strictly(text, at)
    except StopIteration as stopped:
        raise json.JSONDecodeError("Expecting value", text, stopped.value) from None
    except RecursionError:
        raise ValueError("arrays or objects are nested too deep") from None
    if text.find("\\u", at, end) >= 0:
        check_surrogates(text[at:end])
    return value, end


def unescape(inside: str) -> str:
    """What a text says of which this, that `TEXT` matches, stands between its quotes."""
    return inside if "\\" not in inside else scan_text(inside + '"', 0, True)[0]  # noqa: FBT003 - positional only


def check_surrogates(text: str) -> None:
    """Check that every surrogate in the escapes of valid JSON has its other half.

    Raises:
        ValueError: One stands alone.
    """
    if "\\u" in text and "\\" in _ESCAPES.sub("", text):
        raise ValueError("an escape holds half of a surrogate pair")


def depth_of(text: str) -> int:
    """How many arrays and objects stand within each other in valid JSON; a scalar has depth 0."""
    brackets = _TEXTS.sub("", text).encode().translate(_ONE_KIND, _NO_BRACKETS)
    flat = 0
    while brackets and flat < _FLAT:
        brackets = brackets.replace(b"()", b"")  # the innermost all at once
        flat += 1
    depth = deepest = 0
    # In each piece brackets only open, then close. What is cut out in between closes one and opens one.
    for piece in brackets.split(b")("):
        opened = piece.count(b"(")
        deepest = max(deepest, depth + opened)
        depth += 2 * opened - len(piece)
    return flat + deepest


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
    object_pairs_hook=tuple, parse_int=_integer, parse_float=_finite, parse_constant=_refuse_constant
)

# What a decoder scans with: taken directly, it costs two calls less for each value. Its stub is wrong.
_scan_strictly: Scanner = make_scanner(_DECODER)  # type: ignore[arg-type]

scan_text: TextScanner = scanstring
"""Read the text of which the first character within its quotes is at a place, by the rules of `json`."""

scan: Scanner = make_scanner(
    json.JSONDecoder(  # type: ignore[arg-type]
        object_pairs_hook=tuple, parse_float=_finite, parse_constant=_refuse_constant
    )
)
"""Read the value at a place several times as fast as `parse_at`, but -0 as 0, integers as they are however
long, and surrogates unpaired. It raises StopIteration where no value begins, or RecursionError."""
