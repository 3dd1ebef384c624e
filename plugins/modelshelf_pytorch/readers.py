"""Readers over bytes in memory and over parts of other files, so that both are read as any file is."""

from __future__ import annotations

import zlib

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED
from modelshelf.reader import Budget, FileReader
from modelshelf_pytorch.allowance import Allowance

_UNLIMITED = 1 << 62  # bytes; what is read of the file below counts in that one's budget
_AHEAD_BYTES = 1024 * 1024
_LEAST_CHUNK, _INFLATED_CHUNK, _COMPRESSED_CHUNK = 4096, 1024 * 1024, 64 * 1024  # bytes


class PartReader(FileReader):
    """Reads a part of another file.

    Attributes:
        allowance: What reading that file may cost.
    """

    def __init__(self, name: str, allowance: Allowance | None = None) -> None:
        super().__init__(name, Budget(limit=_UNLIMITED))
        self.allowance = allowance or Allowance()


def allowance_of(reader: FileReader) -> Allowance:
    """Return what reading a file may cost: that of the file which it lies in, or one of its own."""
    return reader.allowance if isinstance(reader, PartReader) else Allowance(reader.size)


class BytesReader(PartReader):
    """Reads bytes in memory: inflated data, a string of a pickle.

    Args:
        data: The bytes.
        name: What messages call them.
        allowance: What reading the file that they are of may cost.
    """

    def __init__(self, data: bytes, name: str = "bytes", allowance: Allowance | None = None) -> None:
        super().__init__(name, allowance or Allowance(len(data)))
        self._data = data
        self.size = len(data)

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Do nothing: no file is open."""


class _OverFile(PartReader):
    """Reads another file in its own way; closing it leaves the file open for whoever opened it."""

    def __init__(self, reader: FileReader, size: int) -> None:
        super().__init__(reader.name, allowance_of(reader))
        self._reader = reader
        self.size = size

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""


class SliceReader(_OverFile):
    """Reads a slice of another file as a file of its own.

    Args:
        reader: The file.
        start: Offset of the slice.
        length: Its bytes.
        allowance: What reading the whole file may cost.
    """

    def __init__(
        self, reader: FileReader, start: int, length: int, allowance: Allowance | None = None
    ) -> None:
        super().__init__(reader, length)
        self._start = start
        self.allowance = allowance or self.allowance

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._reader.read(self._start + offset, length)


class DeflatedReader(_OverFile):
    """Reads a deflated slice of another file, inflating it as far as somebody reads.

    Args:
        reader: The file.
        start: Offset of the deflated data.
        compressed_size: Its bytes.
        size: The bytes that it is said to inflate to.
        most: The bytes that it is inflated to at most.
        allowance: What reading the whole file may cost.

    Raises:
        FormatError: On reading, where the data does not inflate or goes on beyond the most.
    """

    def __init__(  # a member's place and sizes, in the order of a directory
        self,
        reader: FileReader,
        start: int,
        compressed_size: int,
        size: int,
        most: int,
        allowance: Allowance | None = None,
    ) -> None:
        super().__init__(SliceReader(reader, start, compressed_size), size)
        self.allowance = allowance or self.allowance
        self._position = 0
        self._most = most
        self._inflater = zlib.decompressobj(-15)
        self._data = bytearray()

    def _fetch(self, offset: int, length: int) -> bytes:
        if offset + length > self._most:
            message = f"{self.name}: inflates to {self.size} bytes; unpack it to have it judged"
            raise FormatError(message, code=NOT_JUDGED, file=self.name)
        try:
            while len(self._data) < offset + length and not self._inflater.eof:
                self._inflate(offset + length - len(self._data))
        except zlib.error as error:
            message = f"{self.name}: does not inflate: {error}"
            raise FormatError(message, code="zip-malformed", file=self.name) from None
        return bytes(self._data[offset : offset + length])

    def _inflate(self, missing: int) -> None:
        chunk = self._inflater.unconsumed_tail
        if not chunk:
            chunk = self._reader.read_up_to(self._position, _COMPRESSED_CHUNK)
            self._position += len(chunk)
        if not chunk:
            raise zlib.error("it breaks off")
        inflated = self._inflater.decompress(chunk, min(max(missing, _LEAST_CHUNK), _INFLATED_CHUNK))
        self.allowance.inflate(len(inflated), self.name)
        self._data += inflated


class ReadAhead(_OverFile):
    """Reads another file a long chunk at a time, for many short reads that follow each other.

    Args:
        reader: The file.
    """

    def __init__(self, reader: FileReader) -> None:
        super().__init__(reader, reader.size)
        self._base = 0
        self._data = b""

    def _ranged(self, offset: int, length: int) -> bytes:
        return self._fetch(offset, length)

    def _fetch(self, offset: int, length: int) -> bytes:
        start = offset - self._base
        if start < 0 or start + length > len(self._data):
            self._data = self._reader.read_up_to(offset, max(length, _AHEAD_BYTES))
            self._base, start = offset, 0
        return self._data[start : start + length]
