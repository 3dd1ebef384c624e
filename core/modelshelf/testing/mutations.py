"""Files that are cut short or lie, made out of a sound one: the same ones each time."""

from __future__ import annotations

import random
import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_EACH_TO = 48  # bytes from the beginning: the file is cut after each of them
_SPREAD = 40  # further cuts, evenly spread
_LIES = 250
_RANGES, _EACH_RANGE, _PLACES, _VALUES = 64, 200, 300, 40  # at most so many of what is read
_VALUE = re.compile(rb'\d+|"[^"\\]{1,60}"')
_ARRAY = re.compile(rb"\[[^\[\]]{1,60}\]")
_OTHER_VALUES = (b"0", b"9", b"-1", b"[]", b"{}", b"null", b"1e99", b'"x"', b"9" * 19, b"-" + b"9" * 9)
_FIRST, _NEAR = 64, 1024  # bytes: where most lies are told
_WORDS = (b"\xff", b"\0", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f")


def cuts(content: bytes, may_lack: int = 0) -> Iterator[tuple[str, bytes]]:
    """The content cut short in many places, each with words that say where.

    Args:
        content: The whole file.
        may_lack: Bytes at its end that are not cut into.
    """
    size = len(content) - may_lack
    ends = {*range(1, min(_EACH_TO, size)), *range(1, size, max(size // _SPREAD, 1)), size - 1}
    for end in sorted(one for one in ends if 0 < one < size):
        yield f"cut after {end} of {len(content)} bytes", content[:end]


def lies(content: bytes, ranges: Sequence[tuple[int, int]] = ()) -> Iterator[tuple[str, bytes]]:
    """The content with bytes overwritten, left out or put in: near its ends, and where it is read.

    Args:
        content: The whole file.
        ranges: The (offset, length) of what the plugin reads of the sound file.
    """
    yield from _lies_near_ends(content)
    yield from _lies_where_read(content, ranges)
    yield from _values_exchanged(content, ranges)


def _lies_near_ends(content: bytes) -> Iterator[tuple[str, bytes]]:
    if not content:
        return
    chosen = random.Random(len(content))  # noqa: S311 - the same lies each time
    for _ in range(_LIES):
        first, near = min(_FIRST, len(content)), min(_NEAR, len(content))
        at = chosen.choice(
            (chosen.randrange(first), chosen.randrange(near), len(content) - 1 - chosen.randrange(near))
        )
        word = chosen.choice((*_WORDS, chosen.randbytes(1), chosen.randbytes(4)))
        kind = chosen.choice(("overwritten", "overwritten", "left out", "put in"))
        rest = {"overwritten": at + len(word), "left out": at + len(word), "put in": at}[kind]
        kept = b"" if kind == "left out" else word
        yield f"{word.hex()} {kind} at {at}", content[:at] + kept + content[rest:]


def _lies_where_read(content: bytes, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bytes]]:
    """One byte after another of what is read, overwritten; evenly spread where that is much."""
    chosen = random.Random(len(content))  # noqa: S311 - the same lies each time
    places: set[int] = set()
    for offset, length in sorted(set(ranges))[:_RANGES]:
        places.update(range(offset, min(offset + length, len(content)), max(length // _EACH_RANGE, 1)))
        places.update(range(offset, min(offset + length, offset + _EACH_TO, len(content))))
    spread = sorted(places)[:: max(len(places) // _PLACES, 1)]
    for at in spread:
        flipped = bytes([content[at] ^ (1 << chosen.randrange(8))])
        for word in (flipped, chosen.choice((*_WORDS, b"\x01", b"\x63"))):
            wrong = content[:at] + word + content[at + len(word) :]
            yield f"{word.hex()} overwritten at {at}, which is read", wrong


def _values_exchanged(content: bytes, ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bytes]]:
    """Numbers, quoted strings and arrays of what is read, each with another kind of value in its place."""
    read = sorted(set(ranges))
    values = [
        one
        for pattern in (_ARRAY, _VALUE)
        for offset, length in read[:_RANGES]
        for one in islice(pattern.finditer(content, offset, offset + length), _VALUES)
    ]
    exchanged = {one.span(): one.group() for one in values}
    for (start, end), value in list(exchanged.items())[: 2 * _VALUES]:
        for other in (*_OTHER_VALUES, b"9" * len(value)):
            if len(other) <= len(value):
                wrong = content[:start] + other.ljust(len(value)) + content[end:]
                yield f"{value[:20]!r} at {start} is {other!r}", wrong
