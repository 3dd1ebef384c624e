"""Passing over string arrays, which make up nearly all of a header's bytes, without building a string.

A string array is a chain of (length, bytes) (specification, `gguf_string_t`). `walk_strings` follows it one
string at a time. `leap_strings` verifies long stretches of the chain at once with numpy: nearly every length
is below 256, so its little-endian 64-bit prefix is one byte and seven zero bytes, and covers one aligned zero
32-bit word. Each such word yields one possible prefix; a prefix counts only when a verified predecessor leads
exactly to it. What does not fit that picture (long strings, empty ones, text with NULs) is stepped singly.
"""

from __future__ import annotations

import struct
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from struct import Struct

    import numpy as np
    from numpy.typing import NDArray

    from modelshelf.errors import TruncatedFileError
    from modelshelf_gguf.parse_state import Cursor


LEAP_FROM = 2048
"""Strings in an array from which on numpy beats the plain walk."""

NUMPY_AFTER = 1_000_000
"""Strings that a process walks before it imports numpy: the import costs about as much as walking these."""

_STEPS_PER_WINDOW = 64

_MOST_ZEROS = 2  # one word in so many; strings of one byte make two in five, more come of NULs in them

_PREFIX = struct.Struct("<Q")


class _Pace:
    """How many strings this process has walked without numpy."""

    walked = 0


def skip_strings(
    cursor: Cursor, count: int, prefix: Struct, seen: Callable[[int, bytes], None] | None = None
) -> None:
    """Move `cursor` from the first of `count` strings to behind the last.

    Args:
        cursor: Stands on the first string's length.
        count: Number of strings.
        prefix: Layout of a length: 64 bits, 32 in version 1; in the file's byte order.
        seen: Called with each window that is looked at, and its byte offset in the file: where the strings
            end depends on these bytes alone.

    Raises:
        TruncatedFileError: The chain leads past the end of the file.
    """
    leaping = prefix.format == _PREFIX.format and count >= LEAP_FROM and _numpy_is_worth_it(count)
    shown = None
    while count:
        window, start = cursor.ahead(prefix.size)
        if seen is not None and window is not shown:
            seen(cursor.position - start, window)
            shown = window
        if leaping:
            passed, stop = leap_strings(window, start, count)
        else:
            passed, stop = walk_strings(window, start, count, prefix)
        if stop - start > cursor.left:
            raise _cut_short(cursor, window, start, prefix)
        cursor.skip(stop - start)
        count -= passed


def _cut_short(cursor: Cursor, window: bytes, start: int, prefix: Struct) -> TruncatedFileError:
    """The fault of a chain that leads past the end of the file, told of the string that does."""
    left, position = cursor.left, start
    while True:
        length = prefix.size + prefix.unpack_from(window, position)[0]
        if position + length - start > left:
            cursor.skip(position - start)
            return cursor.cut_short(length)
        position += length


def walk_strings(window: bytes, start: int, count: int, prefix: Struct) -> tuple[int, int]:
    """Follow the chain while a whole length lies within the window.

    Returns:
        How many strings were passed, and the index behind the last, which may lie past the window's end.
    """
    position, size, unpack, passed = start, prefix.size, prefix.unpack_from, 0
    try:
        for passed in range(count):  # noqa: B007 - how far it came is the result
            position += size + unpack(window, position)[0]
    except (struct.error, OverflowError):
        return passed, position
    return count, position


def leap_strings(window: bytes, start: int, count: int) -> tuple[int, int]:
    """What `walk_strings` does for little-endian 64-bit lengths, by whole stretches of the chain."""
    import numpy as np

    octets = np.frombuffer(window, np.uint8, (len(window) - start) & ~3, start)
    words = octets.view("<u4")
    before = np.flatnonzero(words[1:-1] == 0)
    if _MOST_ZEROS * len(before) > len(words):
        return walk_strings(window, start, count, _PREFIX)
    starts, breaks = _chain(octets, words, before)
    passed, position, steps = 0, start, 0
    unpack, last = _PREFIX.unpack_from, len(window) - _PREFIX.size
    while passed < count and position <= last:
        at = int(starts.searchsorted(position - start))
        if at < len(starts) and starts[at] == position - start:
            run = min(int(breaks[breaks.searchsorted(at)]) - at, count - passed)
            passed, position = passed + run, start + int(starts[at + run])
            if passed == count:
                break
        position += 8 + unpack(window, position)[0]
        passed, steps = passed + 1, steps + 1
        if steps == _STEPS_PER_WINDOW and passed < count:
            more, position = walk_strings(window, position, count - passed, _PREFIX)
            return passed + more, position
    return passed, position


def _chain(
    octets: NDArray[np.uint8], words: NDArray[np.uint32], before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Possible prefixes, and where their chain breaks.

    Args:
        octets: The bytes.
        words: The same as 32-bit words.
        before: Ascending indexes of the words that stand before a zero word.

    Returns:
        Ascending positions in `octets`; and ascending indexes into them of those that do not lead to
        their neighbour, the last one always among them.
    """
    import numpy as np

    head, tail = words.take(before), words.take(before + 2)
    # The last byte before the zero word that is not zero is the length; the word behind ends the prefix.
    low = (head > 0xFF).view(np.int8) + (head > 0xFFFF) + (head > 0xFFFFFF)  # noqa: PLR2004 - byte borders
    starts = (before << 2) + low
    rest = tail & _bytes_below().take(low)
    leads = (starts[1:] - starts[:-1] - 8 == octets.take(starts[:-1])) & (rest[:-1] == 0)
    return starts, np.append(np.flatnonzero(~leads), len(starts) - 1)


@cache
def _bytes_below() -> NDArray[np.uint32]:
    """The bits of a little-endian word's first 0, 1, 2 and 3 bytes."""
    import numpy as np

    return np.array((0, 0xFF, 0xFFFF, 0xFFFFFF), np.uint32)


def _numpy_is_worth_it(count: int) -> bool:
    if "numpy" not in sys.modules:
        _Pace.walked += count
        if _Pace.walked <= NUMPY_AFTER:
            return False
    try:
        import numpy as np  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        return False
    return True
