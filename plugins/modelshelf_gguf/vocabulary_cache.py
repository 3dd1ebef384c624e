"""Jumping over a vocabulary that was walked before: many models share one, and it is most of their headers.

Where a string array ends depends on the bytes that a walk looks at, on how they are counted (width and order
of lengths, number of strings), and on nothing else. Of an array that was walked those bytes are kept. An
array that is counted alike and begins with the same `HEAD` bytes is compared with them, and where it is the
same the cursor jumps to its end:

- What lies in the page cache costs no disk and is compared in full. Such a jump gives what a walk gives,
  whatever the file was made to look like.
- Of what would have to be fetched, a fifteenth is compared: a page or two of each stretch, at places drawn
  anew each time, and the array's end. Such a jump is a guess. It stands only if the rest of the header then
  parses without a fault and the file ends exactly where the last tensor's data does; else the header is read
  again with every string walked (`parse.parse_header`). A file whose lengths were altered between the places
  that were looked at, and that is sound in all else, reads as its sound twin: no scheme that leaves those
  bytes on the disk can tell the two apart. So the depth ``full`` walks every string of every file, and says
  where the two differ.

Readers that are not of this machine's files say that nothing is at hand, and are sampled; files on systems
that do not tell what is at hand are read and compared in full (`FileReader.holds`).

Only headers that are sound, and end where their file does, are learnt from. What was never met again is kept
within `MOST_NEW` bytes, what proved useful within `MOST_PROVEN`; in each the least used goes first.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

from attrs import define

from modelshelf_gguf.string_arrays import skip_strings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from struct import Struct

    from modelshelf.reader import FileReader
    from modelshelf_gguf.parse_state import Cursor


HEAD = 4096
"""Bytes at an array's beginning that must be equal before the rest is compared."""

FEWEST = 4096
"""Strings in an array from which on it is remembered; fewer are walked as fast as they are looked up."""

MOST_NEW = 16 * 1024 * 1024
"""Bytes kept of arrays that were met once, and of the arrays of one header."""

MOST_PROVEN = 48 * 1024 * 1024
"""Bytes kept of arrays that were met again: some seven vocabularies of the largest kind."""

_SHARE = 15  # one byte in so many is sampled

_PAGE = 4096  # what a disk reads at least

_MOST_REVISIONS = 4  # of one beginning: vocabularies that differ in their last tokens

_Key = tuple[str, int, bytes]


@define(kw_only=True)
class Tally:
    """How often the memo served, in this process.

    Attributes:
        headers: Sound headers with an array that is large enough.
        jumped: Those of which no such array was walked.
        sampled: Those of them of which an array was not compared in full.
        refuted: Those that were read again, because what stands behind a guess did not fit.
    """

    headers: int = 0
    jumped: int = 0
    sampled: int = 0
    refuted: int = 0


class _Array:
    """A string array that was walked.

    Args:
        key: How it is counted, and its first `HEAD` bytes.
        length: Bytes that it reaches.
        stretches: What the walk looked at, with its offsets in the array; strings that are longer than a
            window leave gaps.
    """

    __slots__ = ("key", "length", "size", "stretches")

    def __init__(self, key: _Key, length: int, stretches: tuple[tuple[int, bytes], ...]) -> None:
        self.key = key
        self.length = length
        self.stretches = stretches
        self.size = sum(len(stretch) for _, stretch in stretches)

    def likeness(self, file: FileReader, start: int) -> bool | None:
        """Whether the file holds the same array at `start`: True and False are certain, None is a guess.

        The end comes first: there revisions of a vocabulary differ.

        Raises:
            ReadError: The file cannot be read.
        """
        if start + self.length > file.size:
            return False
        offset, last = self.stretches[-1]
        if file.holds(*_sampled(start + offset, last)) is not None:
            for offset, stretch in reversed(self.stretches):
                same = file.holds(start + offset, stretch)
                if same is None:
                    break
                if not same:
                    return False
            else:
                return True
        return None if self._alike(file, start) else False

    def _alike(self, file: FileReader, start: int) -> bool:
        """Whether samples are equal: of the end, and of each stretch.

        All are asked for before the first is waited for; backwards, so that what is read next, behind the
        array, looks like no continuation and is not read ahead of.
        """
        offset, last = self.stretches[-1]
        samples = [(start + offset + max(len(last) - _PAGE, 0), last[-_PAGE:])]
        samples += (_sampled(start + offset, stretch) for offset, stretch in reversed(self.stretches))
        told = [file.holds(*sample) for sample in samples]
        if False in told:
            return False
        left = [sample for sample, same in zip(samples, told, strict=True) if same is None]
        held = file.read_each([(offset, len(expected)) for offset, expected in left])
        return held == [expected for _, expected in left]


def _sampled(offset: int, stretch: bytes) -> tuple[int, bytes]:
    """A part of a stretch that stands at `offset` of the file, of whole pages if it is as large as one."""
    length = max(len(stretch) // _SHARE, 1)
    draw = int.from_bytes(os.urandom(8))
    if length < _PAGE:
        at = draw % (len(stretch) - length + 1)
    else:
        length -= length % _PAGE
        before = -offset % _PAGE
        at = before + draw % ((len(stretch) - before - length) // _PAGE + 1) * _PAGE
    return offset + at, stretch[at : at + length]


class _Shelf:
    """Arrays within a number of bytes, the least used first.

    Args:
        most: The bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._arrays: OrderedDict[_Array, None] = OrderedDict()
        self._size = 0

    def __iter__(self) -> Iterator[_Array]:
        return iter(self._arrays)

    def put(self, array: _Array) -> list[_Array]:
        """Add an array, or tell that it was used; what is pushed out for it."""
        if array in self._arrays:
            self._arrays.move_to_end(array)
            return []
        self._arrays[array] = None
        self._size += array.size
        pushed = []
        while self._size > self._most:
            pushed.append(self._arrays.popitem(last=False)[0])
            self._size -= pushed[-1].size
        return pushed

    def take(self, array: _Array) -> None:
        """Remove an array, if it is here."""
        if array in self._arrays:
            del self._arrays[array]
            self._size -= array.size


class VocabularyMemo:
    """What one process remembers of the vocabularies that it walked; threads may share it.

    Attributes:
        tally: How often it served.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._changing = Lock()
        self._by_key: dict[_Key, tuple[_Array, ...]] = {}
        self._new = _Shelf(MOST_NEW)
        self._proven = _Shelf(MOST_PROVEN)

    def recall(self) -> Recall:
        """What one header's reading takes along."""
        return Recall(self)

    def recall_after_refuted(self) -> Recall:
        """The same for a header that is read again, every string walked, because a guess did not fit."""
        self.tally.refuted += 1
        return Recall(self, jumping=False)

    def find(self, key: _Key, file: FileReader, start: int) -> tuple[int, bool] | None:
        """Bytes of the array that begins at `start`, and whether that is certain; None if it must be walked.

        Raises:
            ReadError: The file cannot be read.
        """
        for array in self._by_key.get(key, ()):
            same = array.likeness(file, start)
            if same is not False:
                with self._changing:
                    if array in self._by_key.get(key, ()):  # another thread may have pushed it out meanwhile
                        self._new.take(array)
                        self._forget(self._proven.put(array))
                return array.length, same is True
        return None

    def learn(self, array: _Array) -> None:
        """Keep an array that was walked."""
        with self._changing:
            known = (array, *self._by_key.get(array.key, ()))
            self._by_key[array.key] = known
            self._forget([*known[_MOST_REVISIONS:], *self._new.put(array)])

    def _forget(self, arrays: list[_Array]) -> None:
        for array in arrays:
            self._new.take(array)
            self._proven.take(array)
            left = tuple(one for one in self._by_key.get(array.key, ()) if one is not array)
            if left:
                self._by_key[array.key] = left
            else:
                self._by_key.pop(array.key, None)


MEMO = VocabularyMemo()
"""This process's memo."""


class _Walk:
    """One array being walked: the windows that were looked at, as long as they are few enough to be kept.

    Args:
        key: As in `_Array`.
        start: Byte offset of the array in the file.
        room: Bytes that may be kept.
    """

    def __init__(self, key: _Key, start: int, room: int) -> None:
        self._key = key
        self._start = start
        self._room = room
        self._windows: list[tuple[int, bytes]] = []

    def see(self, offset: int, window: bytes) -> None:
        """Keep a window that stands at `offset` of the file."""
        self._room -= len(window)
        if self._room >= 0:
            self._windows.append((offset, window))
        else:
            self._windows.clear()

    def walked(self, end: int) -> _Array | None:
        """The array that ended at byte offset `end`; None where it was too large."""
        if self._room < 0:
            return None
        stretches = []
        for offset, window in self._windows:
            begin = max(offset, self._start)
            stretches.append((begin - self._start, window[begin - offset : end - offset]))
        return _Array(self._key, end - self._start, tuple(stretches))


class Recall:
    """One header's dealings with the memo.

    Args:
        memo: The memo.
        jumping: Whether remembered arrays are jumped over; False walks all of them.

    Attributes:
        jumps: Arrays that were jumped over.
        guesses: Those of them that were not compared in full.
    """

    def __init__(self, memo: VocabularyMemo, *, jumping: bool = True) -> None:
        self._memo = memo
        self._jumping = jumping
        self.jumps = 0
        self.guesses = 0
        self._walked: list[_Array | None] = []
        self._room = MOST_NEW

    def skip(self, cursor: Cursor, count: int, prefix: Struct) -> None:
        """Move `cursor` behind `count` strings, as `skip_strings` does.

        Raises:
            ReadError: The strings lead past the end of the file, or it cannot be read.
        """
        if count < FEWEST or cursor.left < HEAD:
            skip_strings(cursor, count, prefix)
            return
        window, at = cursor.ahead(HEAD)
        key, start = (prefix.format, count, window[at : at + HEAD]), cursor.position
        found = self._memo.find(key, cursor.file, start) if self._jumping else None
        if found is not None:
            length, certain = found
            self.jumps += 1
            self.guesses += not certain
            cursor.skip(length)
            return
        walk = _Walk(key, start, self._room)
        skip_strings(cursor, count, prefix, walk.see)
        array = walk.walked(cursor.position)
        self._walked.append(array)
        self._room -= array.size if array is not None else 0

    def confirm(self) -> None:
        """Learn what was walked, now that all of the header turned out sound, and count the jumps."""
        tally = self._memo.tally
        tally.headers += bool(self.jumps or self._walked)
        tally.jumped += bool(self.jumps and not self._walked)
        tally.sampled += bool(self.guesses and not self._walked)
        for array in self._walked:
            if array is not None:
                self._memo.learn(array)
