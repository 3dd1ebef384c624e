"""Bytes in memory, and stretches of files, read as any file is: inflated members, embedded strings."""

from __future__ import annotations

from modelshelf.reader import Budget, FileReader

_STRETCH = 1024 * 1024


class BytesFile(FileReader):
    """Bytes under a name.

    Args:
        data: The bytes.
        name: What messages call them.
    """

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        super().__init__(name, Budget(limit=1 << 62))
        self._data = data
        self.size = len(data)

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing is held open."""


class Part(FileReader):
    """A stretch of another file, read as a file of its own.

    Args:
        reader: The file.
        start: Where the stretch begins.
        length: Its bytes.
        name: What messages call it.
    """

    def __init__(self, reader: FileReader, start: int, length: int, name: str) -> None:
        super().__init__(name, Budget(limit=1 << 62))
        self._reader = reader
        self._start = start
        self.size = length

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._reader.read(self._start + offset, length)

    def close(self) -> None:
        """The file stays open for whoever opened it."""


class Ahead(FileReader):
    """Another file, read a long stretch at a time, for many short looks that follow each other.

    Args:
        reader: The file.
    """

    def __init__(self, reader: FileReader) -> None:
        super().__init__(reader.name, Budget(limit=1 << 62))
        self._reader = reader
        self.size = reader.size
        self._base = 0
        self._data = b""

    def _ranged(self, offset: int, length: int) -> bytes:
        return self._fetch(offset, length)

    def _fetch(self, offset: int, length: int) -> bytes:
        start = offset - self._base
        if start < 0 or start + length > len(self._data):
            self._data = self._reader.read_up_to(offset, max(length, _STRETCH))
            self._base, start = offset, 0
        return self._data[start : start + length]

    def close(self) -> None:
        """The file stays open for whoever opened it."""
