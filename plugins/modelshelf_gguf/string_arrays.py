"""Skipping string arrays, which are nearly all of a header's bytes, without building a string.

A string array is a chain of (length, bytes) (specification, `gguf_string_t`). `walk_strings` follows it one
string at a time. `walk_strings_with_numpy` verifies long runs of the chain at once: nearly every length is
below 256, so its little-endian 64-bit prefix is one byte and seven zero bytes, and covers one aligned zero
32-bit word. Each such word yields one possible prefix; a prefix counts only when a verified predecessor leads
exactly to it. Other strings (long ones, empty ones, text with NULs) are followed one at a time.
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

NUMPY_FROM = 2048
"""Strings in an array from which on numpy beats the walk of one string at a time."""

NUMPY_AFTER = 1_000_000
"""Strings that a process walks before it imports numpy: the import takes about as long as walking these."""

_MAX_STEPS = 64  # single strings in a window before the rest of it is walked without numpy
_MAX_ZERO_SHARE = 2  # one word in so many; strings of one byte make two in five, more come of NULs in them

_PREFIX = struct.Struct("<Q")


class _Process:
    """Strings that this process has walked without numpy."""

    walked = 0


def skip_strings(
    cursor: Cursor, count: int, prefix: Struct, on_window: Callable[[int, bytes], None] | None = None
) -> None:
    """Move `cursor` from the first of `count` strings to behind the last.

    Args:
        cursor: At the first string's length.
        count: Number of strings.
        prefix: Layout of a length: 64 bits, 32 in version 1; in the file's byte order.
        on_window: Called with each window that is looked at and its byte offset in the file: where the
            strings end depends on these bytes alone.

    Raises:
        TruncatedFileError: The chain leads past the end of the file.
    """
    with_numpy = prefix.format == _PREFIX.format and count >= NUMPY_FROM and _numpy_is_worth_it(count)
    reported = None
    while count:
        window, start = cursor.peek(prefix.size)
        if on_window is not None and window is not reported:
            on_window(cursor.position - start, window)
            reported = window
        if with_numpy:
            passed, end = walk_strings_with_numpy(window, start, count)
        else:
            passed, end = walk_strings(window, start, count, prefix)
        if end - start > cursor.remaining:
            raise _truncated(cursor, window, start, prefix)
        cursor.skip(end - start)
        count -= passed


def _truncated(cursor: Cursor, window: bytes, start: int, prefix: Struct) -> TruncatedFileError:
    """Make the error for a chain that leads past the end of the file, at the string that does."""
    remaining, position = cursor.remaining, start
    while True:
        length = prefix.size + prefix.unpack_from(window, position)[0]
        if position + length - start > remaining:
            cursor.skip(position - start)
            return cursor.truncated(length)
        position += length


def walk_strings(window: bytes, start: int, count: int, prefix: Struct) -> tuple[int, int]:
    """Follow the chain from index `start` while a whole length lies within the window.

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


def walk_strings_with_numpy(window: bytes, start: int, count: int) -> tuple[int, int]:
    """Do what `walk_strings` does for little-endian 64-bit lengths, by whole runs of the chain."""
    import numpy as np

    octets = np.frombuffer(window, np.uint8, (len(window) - start) & ~3, start)
    words = octets.view("<u4")
    before = np.flatnonzero(words[1:-1] == 0)
    if _MAX_ZERO_SHARE * len(before) > len(words):
        return walk_strings(window, start, count, _PREFIX)
    starts, breaks = _possible_prefixes(octets, words, before)
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
        if steps == _MAX_STEPS and passed < count:
            more, position = walk_strings(window, position, count - passed, _PREFIX)
            return passed + more, position
    return passed, position


def _possible_prefixes(
    octets: NDArray[np.uint8], words: NDArray[np.uint32], before: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the possible prefixes, and where their chain breaks.

    Args:
        octets: The bytes.
        words: The same as 32-bit words.
        before: Ascending indexes of the words before a zero word.

    Returns:
        Ascending positions in `octets`; and ascending indexes into them of those that do not lead to
        their neighbour, the last one always among them.
    """
    import numpy as np

    head, tail = words.take(before), words.take(before + 2)
    # The last byte before the zero word that is not zero is the length; the word behind ends the prefix.
    low = (head > 0xFF).view(np.int8) + (head > 0xFFFF) + (head > 0xFFFFFF)  # noqa: PLR2004 - byte borders
    starts = (before << 2) + low
    rest = tail & _byte_masks().take(low)
    leads = (starts[1:] - starts[:-1] - 8 == octets.take(starts[:-1])) & (rest[:-1] == 0)
    return starts, np.append(np.flatnonzero(~leads), len(starts) - 1)


@cache
def _byte_masks() -> NDArray[np.uint32]:
    """Make the masks of a little-endian word's first 0, 1, 2 and 3 bytes."""
    import numpy as np

    return np.array((0, 0xFF, 0xFFFF, 0xFFFFFF), np.uint32)


def _numpy_is_worth_it(count: int) -> bool:
    if "numpy" not in sys.modules:
        _Process.walked += count
        if _Process.walked <= NUMPY_AFTER:
            return False
    try:
        import numpy as np  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        return False
    return True
