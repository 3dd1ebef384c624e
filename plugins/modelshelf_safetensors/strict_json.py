"""JSON as the reference loader reads it (serde_json), which is stricter than Python's own.

Python's `json` takes NaN and infinities, lone surrogates, integers of any length up to 4,300 digits and
repeated keys, and its depth limit is the interpreter's. Here each of these is a `ValueError`, but for
repeated keys, which the caller sees: an object comes as its `Members`, in order.
"""

from __future__ import annotations

import json
import math
import re
from json.decoder import scanstring  # type: ignore[attr-defined] # its stub has it not
from json.scanner import make_scanner
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    TextScanner = Callable[[str, int, bool], tuple[str, int]]
    Scanner = Callable[[str, int], tuple[Any, int]]

MOST_NESTED = 127
"""Arrays and objects within each other; serde_json stops at its recursion limit of 128."""

_LONGEST_U64 = 20  # decimal digits

# One well-formed escape: a surrogate pair, any other \uXXXX, or a single letter.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|[^u])"
)
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_WHITE = re.compile(r"[ \t\n\r]*")
_PLAIN_KEY = re.compile(r'[ \t\n\r]*"([^"\\\x00-\x1f]*)"[ \t\n\r]*:[ \t\n\r]*')


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


def members_of(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """The members of the one object that a text is, read one after another.

    Yields:
        The key; the value as Python's `json` reads it, but an object as a tuple of pairs: for a quick look,
        that takes what is beyond doubt and leaves the rest to `value_at`; where the value begins and ends.

    Raises:
        ValueError: As `parse`; or the text is no object.
    """
    at = skip_white(text, 0)
    if not text.startswith("{", at):
        parse(text)
        raise ValueError("expected an object")
    at = skip_white(text, at + 1)
    if not text.startswith("}", at):
        paired = _HALF_PAIR.search(text) is None
        while True:
            key = _PLAIN_KEY.match(text, at)
            name, begin = (key[1], key.end()) if key else _key_at(text, at)
            value, end = _scan(_QUICK, text, begin)
            if not paired:
                check_surrogates(text[at:end])
            yield name, value, begin, end
            at = end if text.startswith(",", end) else skip_white(text, end)
            if not text.startswith(",", at):
                break
            at += 1
        if not text.startswith("}", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
    at = skip_white(text, at + 1)
    if at < len(text):
        raise json.JSONDecodeError("Extra data", text, at)


def member_at(text: str, at: int) -> tuple[str, Any, int, int]:
    """The member whose key begins at this character, as `members_of` yields it.

    Raises:
        ValueError: As `parse`.
    """
    key = _PLAIN_KEY.match(text, at)
    name, begin = (key[1], key.end()) if key else _key_at(text, at)
    value, end = _scan(_QUICK, text, begin)
    if "\\" in text[at:end]:
        check_surrogates(text[at:end])
    return name, value, begin, end


def due_here(text: str, at: int, letters: str) -> None:
    """Check that one of the letters stands at this place; the message names the first.

    Raises:
        json.JSONDecodeError: Another does, or none.
    """
    if text[at : at + 1] not in tuple(letters):
        raise json.JSONDecodeError(f"Expecting '{letters[0]}' delimiter", text, at)


def fault_in(text: str) -> tuple[str, int] | None:
    """What stands at the first character that cannot stand there, and where; None where all can."""
    try:
        _scan(_QUICK, text, 0)
    except json.JSONDecodeError as error:
        return error.msg, error.pos
    except ValueError:
        return None
    return None


def value_at(text: str, begin: int) -> Any:
    """The value that begins at this character, as `parse` gives it; surrogates are not checked.

    Raises:
        ValueError: As `parse`.
    """
    return _scan(_STRICT, text, begin)[0]


def _key_at(text: str, at: int) -> tuple[str, int]:
    """A member's key, whatever is in it, and where its value begins."""
    at = skip_white(text, at)
    if not text.startswith('"', at):
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    name, at = _scan(_QUICK, text, at)
    at = skip_white(text, at)
    if not text.startswith(":", at):
        raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
    return name, skip_white(text, at + 1)


def _scan(scanner: Scanner, text: str, at: int) -> tuple[Any, int]:
    try:
        return scanner(text, at)
    except StopIteration as stopped:
        raise json.JSONDecodeError("Expecting value", text, stopped.value) from None
    except RecursionError:
        raise ValueError("arrays or objects are nested too deep") from None


def skip_white(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    match = _WHITE.match(text, at)
    return match.end() if match else at


def parse_object_at(text: str, begin: int) -> tuple[Members, int]:
    """Read the object that begins at this character; give it and the position after it.

    Raises:
        ValueError: As `parse`.
    """
    value, end = _scan(_STRICT, text, begin)
    check_surrogates(text[begin:end])
    if not isinstance(value, Members):
        raise ValueError("expected an object")  # noqa: TRY004 - every fault of the text is a ValueError here
    return value, end


def unescaped(inside: str) -> str:
    """What a text says of which this stands between its quotes; raw control characters are not minded.

    Raises:
        ValueError: An escape is unknown.
    """
    text, _ = _scan_text(inside + '"', 0, False)  # noqa: FBT003 - positional only
    return text


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

# What a decoder scans with: taken directly, it costs two calls less for each value. Its stub is wrong.
_STRICT: Scanner = make_scanner(_DECODER)  # type: ignore[arg-type]

_scan_text: TextScanner = scanstring

# Objects as tuples, everything else by the defaults: no call of Python's for each number or object.
_QUICK: Scanner = make_scanner(json.JSONDecoder(object_pairs_hook=tuple))  # type: ignore[arg-type]
