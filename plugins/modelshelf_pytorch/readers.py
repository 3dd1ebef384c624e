"""Bytes in memory, and stretches of files, read as any file is: inflated members, embedded strings."""

from __future__ import annotations

import zlib

from modelshelf.errors import FormatError
from modelshelf.reader import Budget, FileReader

_STRETCH = 1024 * 1024
_PIECE = 64 * 1024


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


class Packed(FileReader):
    """A deflated stretch of another file, inflated as far as somebody reads.

    Args:
        reader: The file.
        start: Where the deflated data begins.
        packed: Its bytes.
        size: The bytes that it is said to inflate to.
        most: The bytes that it is inflated to at most.

    Raises:
        FormatError: On reading, where the data does not inflate or goes on beyond the most.
    """

    def __init__(self, reader: FileReader, start: int, packed: int, size: int, most: int) -> None:
        super().__init__(reader.name, Budget(limit=1 << 62))
        self.size = size
        self._source = Part(reader, start, packed, reader.name)
        self._position = 0
        self._most = most
        self._inflater = zlib.decompressobj(-15)
        self._data = bytearray()

    def _fetch(self, offset: int, length: int) -> bytes:
        if offset + length > self._most:
            message = f"{self.name}: inflates to {self.size} bytes; unpack it to have it judged"
            raise FormatError(message, code="compressed-too-large", file=self.name)
        try:
            while len(self._data) < offset + length and not self._inflater.eof:
                self._inflate()
        except zlib.error as error:
            message = f"{self.name}: does not inflate: {error}"
            raise FormatError(message, code="zip-malformed", file=self.name) from None
        return bytes(self._data[offset : offset + length])

    def _inflate(self) -> None:
        piece = self._inflater.unconsumed_tail
        if not piece:
            piece = self._source.read_up_to(self._position, _PIECE)
            self._position += len(piece)
        if not piece:
            raise zlib.error("it breaks off")
        self._data += self._inflater.decompress(piece, _STRETCH)

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
