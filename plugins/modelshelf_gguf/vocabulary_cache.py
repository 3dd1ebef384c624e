"""A cache of vocabularies, so that one that was walked before is skipped: it is most of many models' headers.

Where a string array ends depends on the bytes that a walk looks at, on how they are counted (width and order
of lengths, number of strings), and on nothing else. Those bytes are cached for each array that was walked. An
array that is counted alike and begins with the same `HEAD_BYTES` bytes is compared with them, and where it is
the same the cursor moves to its end:

- What lies in the page cache costs no disk and is compared in full. Such a hit gives what a walk gives,
  whatever the file was made to look like.
- Of what would have to be fetched, a fifteenth is compared: a page or two of each chunk, at places drawn
  anew each time, and the array's end. Such a hit is a guess. It counts only if the rest of the header then
  parses without a fault and the file ends exactly where the last tensor's data does; else the header is read
  again with every string walked (`parse.parse_header`). A file whose lengths were altered between the places
  that were compared, and that is sound in all else, reads as its sound twin: no scheme that leaves those
  bytes on the disk can tell the two apart. So the depth ``full`` walks every string of every file, and
  reports where the two differ.

Readers of files on other machines answer that nothing is in memory, so those files are sampled; on systems
that do not say what is in memory, files are read and compared in full (`FileReader.holds`).

Only headers that are sound, and end where their file does, fill the cache. Arrays without a hit are kept
within `MAX_NEW_BYTES`, those with hits within `MAX_HIT_BYTES`; the least recently used go first.
`functools.lru_cache` and the like count entries; these differ in size a thousandfold.
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

HEAD_BYTES = 4096
"""Bytes at an array's beginning that must be equal before the rest is compared."""

MIN_STRINGS = 4096
"""Strings in an array from which on it is cached; fewer are walked as fast as they are looked up."""

MAX_NEW_BYTES = 16 * 1024 * 1024
"""Bytes kept of arrays without a hit, and of the arrays of one header."""

MAX_HIT_BYTES = 48 * 1024 * 1024
"""Bytes kept of arrays with hits: some seven vocabularies of the largest kind."""

_SAMPLED_SHARE = 15  # one byte in so many is sampled
_PAGE = 4096  # what a disk reads at least
_MAX_REVISIONS = 4  # arrays of one beginning: vocabularies that differ in their last tokens

_Key = tuple[str, int, bytes]


@define(kw_only=True)
class CacheCounters:
    """How often the cache helped, in this process.

    Attributes:
        headers: Sound headers with an array that is large enough.
        hits: Those of which no such array was walked.
        sampled_hits: Those of them of which an array was not compared in full.
        wrong_guesses: Headers that were read again, because what follows a guess did not fit.
    """

    headers: int = 0
    hits: int = 0
    sampled_hits: int = 0
    wrong_guesses: int = 0


class _StringArray:
    """A string array that was walked.

    Args:
        key: How it is counted, and its first `HEAD_BYTES` bytes.
        length: Bytes from its begin to its end.
        chunks: What the walk looked at, with offsets in the array; strings that are longer than a window
            leave gaps.

    Attributes:
        size: Bytes of all chunks.
    """

    __slots__ = ("chunks", "key", "length", "size")

    def __init__(self, key: _Key, length: int, chunks: tuple[tuple[int, bytes], ...]) -> None:
        self.key = key
        self.length = length
        self.chunks = chunks
        self.size = sum(len(chunk) for _, chunk in chunks)

    def matches(self, file: FileReader, start: int) -> bool | None:
        """Compare with the file's bytes at `start`: True and False are certain, None is equal as far as seen.

        The end comes first: there revisions of a vocabulary differ.

        Raises:
            ReadError: The file cannot be read.
        """
        if start + self.length > file.size:
            return False
        offset, last = self.chunks[-1]
        if file.matches_cached(*_sample(start + offset, last)) is not None:
            for offset, chunk in reversed(self.chunks):
                same = file.matches_cached(start + offset, chunk)
                if same is None:
                    break
                if not same:
                    return False
            else:
                return True
        return None if self._samples_match(file, start) else False

    def _samples_match(self, file: FileReader, start: int) -> bool:
        """Compare samples: of the end, and of each chunk.

        All are asked for before the first is waited for; backwards, so that what is read next, behind the
        array, looks like no continuation and is not read ahead of.
        """
        offset, last = self.chunks[-1]
        samples = [(start + offset + max(len(last) - _PAGE, 0), last[-_PAGE:])]
        samples += (_sample(start + offset, chunk) for offset, chunk in reversed(self.chunks))
        in_memory = [file.matches_cached(*sample) for sample in samples]
        if False in in_memory:
            return False
        unknown = [sample for sample, same in zip(samples, in_memory, strict=True) if same is None]
        fetched = file.read_each([(offset, len(expected)) for offset, expected in unknown])
        return fetched == [expected for _, expected in unknown]


def _sample(offset: int, chunk: bytes) -> tuple[int, bytes]:
    """Draw a part of a chunk at `offset` of the file, of whole pages if it is as large as one."""
    length = max(len(chunk) // _SAMPLED_SHARE, 1)
    draw = int.from_bytes(os.urandom(8))
    if length < _PAGE:
        at = draw % (len(chunk) - length + 1)
    else:
        length -= length % _PAGE
        before = -offset % _PAGE
        at = before + draw % ((len(chunk) - before - length) // _PAGE + 1) * _PAGE
    return offset + at, chunk[at : at + length]


class _RecentArrays:
    """Arrays of `max_bytes` bytes or less, the least recently used first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._arrays: OrderedDict[_StringArray, None] = OrderedDict()
        self._size = 0

    def __iter__(self) -> Iterator[_StringArray]:
        return iter(self._arrays)

    def add(self, array: _StringArray) -> list[_StringArray]:
        """Add an array, or mark it as used just now; return those that had to go for it."""
        if array in self._arrays:
            self._arrays.move_to_end(array)
            return []
        self._arrays[array] = None
        self._size += array.size
        removed = []
        while self._size > self._max_bytes:
            removed.append(self._arrays.popitem(last=False)[0])
            self._size -= removed[-1].size
        return removed

    def discard(self, array: _StringArray) -> None:
        """Remove an array, if it is here."""
        if array in self._arrays:
            del self._arrays[array]
            self._size -= array.size


class VocabularyCache:
    """The vocabularies that one process walked; threads may share it.

    Attributes:
        counters: How often it helped.
    """

    def __init__(self) -> None:
        self.counters = CacheCounters()
        self._changing = Lock()
        self._by_key: dict[_Key, tuple[_StringArray, ...]] = {}
        self._new = _RecentArrays(MAX_NEW_BYTES)
        self._hit = _RecentArrays(MAX_HIT_BYTES)

    def session(self) -> CacheSession:
        """Begin the parsing of one header."""
        return CacheSession(self)

    def session_after_wrong_guess(self) -> CacheSession:
        """Begin to parse a header again, every string walked, because a guess did not fit."""
        self.counters.wrong_guesses += 1
        return CacheSession(self, lookup=False)

    def find(self, key: _Key, file: FileReader, start: int) -> tuple[int, bool] | None:
        """Find the array that begins at byte `start`: its length, and whether that is certain.

        Returns:
            None where it must be walked.

        Raises:
            ReadError: The file cannot be read.
        """
        for array in self._by_key.get(key, ()):
            same = array.matches(file, start)
            if same is not False:
                with self._changing:
                    if array in self._by_key.get(key, ()):  # another thread may have removed it meanwhile
                        self._new.discard(array)
                        self._remove(self._hit.add(array))
                return array.length, same is True
        return None

    def add(self, array: _StringArray) -> None:
        """Cache an array that was walked."""
        with self._changing:
            arrays = (array, *self._by_key.get(array.key, ()))
            self._by_key[array.key] = arrays
            self._remove([*arrays[_MAX_REVISIONS:], *self._new.add(array)])

    def _remove(self, arrays: list[_StringArray]) -> None:
        for array in arrays:
            self._new.discard(array)
            self._hit.discard(array)
            left = tuple(other for other in self._by_key.get(array.key, ()) if other is not array)
            if left:
                self._by_key[array.key] = left
            else:
                self._by_key.pop(array.key, None)


PROCESS_CACHE = VocabularyCache()
"""This process's cache."""


class _Recorder:
    """Records the windows of an array that is being walked, as long as they are few enough to be cached.

    Args:
        key: As in `_StringArray`.
        start: Byte offset of the array in the file.
        room: Bytes that may be cached.
    """

    def __init__(self, key: _Key, start: int, room: int) -> None:
        self._key = key
        self._start = start
        self._room = room
        self._windows: list[tuple[int, bytes]] = []

    def add(self, offset: int, window: bytes) -> None:
        """Keep a window at byte `offset` of the file."""
        self._room -= len(window)
        if self._room >= 0:
            self._windows.append((offset, window))
        else:
            self._windows.clear()

    def finish(self, end: int) -> _StringArray | None:
        """Make the array that ended at byte offset `end`; None where it was too large."""
        if self._room < 0:
            return None
        chunks = []
        for offset, window in self._windows:
            begin = max(offset, self._start)
            chunks.append((begin - self._start, window[begin - offset : end - offset]))
        return _StringArray(self._key, end - self._start, tuple(chunks))


class CacheSession:
    """The use of the cache by one header's parsing.

    Args:
        cache: The cache.
        lookup: Whether cached arrays are skipped; False walks all of them.

    Attributes:
        hits: Arrays that were skipped.
        guesses: Those of them that were not compared in full.
    """

    def __init__(self, cache: VocabularyCache, *, lookup: bool = True) -> None:
        self._cache = cache
        self._lookup = lookup
        self.hits = 0
        self.guesses = 0
        self._walked: list[_StringArray | None] = []
        self._room = MAX_NEW_BYTES

    def skip_strings(self, cursor: Cursor, count: int, prefix: Struct) -> None:
        """Move `cursor` behind `count` strings, as `string_arrays.skip_strings` does.

        Raises:
            ReadError: The strings lead past the end of the file, or it cannot be read.
        """
        if count < MIN_STRINGS or cursor.remaining < HEAD_BYTES:
            skip_strings(cursor, count, prefix)
            return
        window, at = cursor.peek(HEAD_BYTES)
        key, start = (prefix.format, count, window[at : at + HEAD_BYTES]), cursor.position
        found = self._cache.find(key, cursor.file, start) if self._lookup else None
        if found is not None:
            length, certain = found
            self.hits += 1
            self.guesses += not certain
            cursor.skip(length)
            return
        recorder = _Recorder(key, start, self._room)
        skip_strings(cursor, count, prefix, recorder.add)
        array = recorder.finish(cursor.position)
        self._walked.append(array)
        self._room -= array.size if array is not None else 0

    def commit(self) -> None:
        """Cache what was walked, now that all of the header turned out sound, and count the hits."""
        counters = self._cache.counters
        counters.headers += bool(self.hits or self._walked)
        counters.hits += bool(self.hits and not self._walked)
        counters.sampled_hits += bool(self.guesses and not self._walked)
        for array in self._walked:
            if array is not None:
                self._cache.add(array)
