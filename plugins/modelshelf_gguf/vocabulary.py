"""Jumping over a vocabulary that was walked before: many models share one, and it is most of their headers.

What is remembered of a string array is how it is counted (width and order of its lengths, number of
strings), its first `HEAD` bytes, how far it reaches, and some stretches of its other bytes at places that
are drawn when it is first walked. An array that begins the same way and holds the same bytes at those places
is taken to reach as far, and the cursor jumps there. The jump stands only if the rest of the header then
parses without a fault and the file ends exactly where the last tensor's data does; else the header is read
again with every string walked (`parse.parse_header`). Only headers of that kind are learnt from.

What a jump gives is thus what a walk gives of a file whose strings between are sound and end where they end
in the file that was learnt: nothing that is reported depends on the bytes that were jumped over, but for that
one point. A file whose lengths were altered between the places that are looked at, and that is sound in all
else, reads as its sound twin. No scheme that leaves those bytes unread can tell the two apart, so the depth
``full`` walks every string of every file, and says where the two differ.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from modelshelf.errors import ReadError
from modelshelf_gguf.strings import skip_strings

if TYPE_CHECKING:
    from struct import Struct

    from modelshelf.reader import FileReader
    from modelshelf_gguf.cursor import Cursor

HEAD = 4096
"""Bytes at an array's beginning that must be equal."""

FEWEST = 4096
"""Strings in an array from which on it is remembered; fewer are walked as fast as they are looked up."""

_SAMPLE = 512  # bytes looked at in one place
_STRETCHES = 8  # equal parts of an array, one place in each; and one at its end
_MOST_KEYS = 64  # vocabularies that are remembered, some 10 kB each
_MOST_REACHES = 4  # of one beginning: revisions of a vocabulary that differ in their last tokens
_MOST_LEARNT = 8  # arrays of one file, so that none can push everything else out

_Key = tuple[str, int, bytes]


@define(kw_only=True)
class Tally:
    """How often the memo served, in this process.

    Attributes:
        headers: Sound headers with an array that is large enough.
        jumped: Those of which no such array was walked.
        refuted: Those that were read again, because what stands behind a jump did not fit.
    """

    headers: int = 0
    jumped: int = 0
    refuted: int = 0


@frozen(kw_only=True)
class _Reach:
    """How far an array of some beginning reached: its bytes, and what they are at some places in it."""

    length: int
    samples: tuple[tuple[int, bytes], ...]

    def fits(self, file: FileReader, start: int) -> bool:
        """Whether the file holds the same samples in an array that begins at `start`."""
        return start + self.length <= file.size and all(
            file.read(start + offset, len(sample)) == sample for offset, sample in reversed(self.samples)
        )


@define
class VocabularyMemo:
    """What one process remembers of the vocabularies that it walked; bounded, the least used goes first.

    Attributes:
        tally: How often it served.
    """

    tally: Tally = field(factory=Tally)
    _reaches: OrderedDict[_Key, tuple[_Reach, ...]] = field(factory=OrderedDict, init=False)

    def recall(self) -> Recall:
        """What one header's reading takes along."""
        return Recall(self)

    def recall_after_refuted(self) -> Recall:
        """The same for a header that is read again, every string walked, because a jump did not fit."""
        self.tally.refuted += 1
        return Recall(self, jumping=False)

    def reach(self, key: _Key, file: FileReader, start: int) -> int | None:
        """Bytes of the array that begins at `start`, or None where none like it is remembered.

        Raises:
            ReadError: The file cannot be read.
        """
        known = self._reaches.get(key, ())
        if known:
            self._reaches.move_to_end(key)
        return next((one.length for one in known if one.fits(file, start)), None)

    def learn(self, key: _Key, file: FileReader, start: int, length: int) -> None:
        """Remember an array that was walked from `start` on and reached `length` bytes far.

        Raises:
            ReadError: The file cannot be read.
        """
        offsets = [*_places(length), length - _SAMPLE]
        samples = tuple((offset, file.read(start + offset, _SAMPLE)) for offset in offsets)
        known = self._reaches.pop(key, ())
        self._reaches[key] = (_Reach(length=length, samples=samples), *known)[:_MOST_REACHES]
        if len(self._reaches) > _MOST_KEYS:
            self._reaches.popitem(last=False)


def _places(length: int) -> list[int]:
    """One place in each of equal parts, drawn anew for each array: no file can be made to avoid them."""
    part = (length - _SAMPLE) // _STRETCHES
    return [number * part + int.from_bytes(os.urandom(8)) % part for number in range(_STRETCHES)]


MEMO = VocabularyMemo()
"""This process's memo."""


@define
class Recall:
    """One header's dealings with the memo.

    Attributes:
        memo: The memo.
        jumping: Whether remembered arrays are jumped over; False walks all of them.
        jumps: Arrays that were jumped over.
    """

    memo: VocabularyMemo
    jumping: bool = True
    jumps: int = 0
    _walked: list[tuple[_Key, int, int]] = field(factory=list, init=False)

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
        length = self.memo.reach(key, cursor.file, start) if self.jumping else None
        if length is not None:
            self.jumps += 1
            cursor.skip(length)
            return
        skip_strings(cursor, count, prefix)
        self._walked.append((key, start, cursor.position - start))

    def confirm(self, file: FileReader) -> None:
        """Learn what was walked, now that all of the header turned out sound, and count the jumps."""
        tally = self.memo.tally
        tally.headers += bool(self.jumps or self._walked)
        tally.jumped += bool(self.jumps and not self._walked)
        try:
            for key, start, length in self._walked[:_MOST_LEARNT]:
                self.memo.learn(key, file, start, length)
        except ReadError:
            # The header is read; what could not be learnt is walked again next time.
            return
