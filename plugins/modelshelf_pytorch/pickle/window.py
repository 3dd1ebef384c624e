"""The part of a file that a pickle's opcodes are read from: a bounded window that slides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, TruncatedFileError

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

CHUNK = 256 * 1024
"""Bytes that a window holds at a time."""

LONGEST_LINE = 1024 * 1024
"""Bytes that a newline-terminated argument may take."""


class Window:
    """The part of a file that an opcode stream is read from.

    Attributes:
        data: The bytes held.
        base: The file offset of the first of them.
        limit: The file offset that no read passes.
        skipped: Bytes of long strings that were passed over without being read.
    """

    __slots__ = ("_reader", "base", "data", "limit", "name", "skipped")

    def __init__(self, reader: FileReader, start: int, limit: int) -> None:
        self._reader = reader
        self.name = reader.name
        self.limit = limit
        self.base = start
        self.skipped = 0
        self.data = reader.read_up_to(start, min(CHUNK, limit - start))

    def at(self, position: int, length: int) -> bytes:
        """Exactly `length` bytes at a file offset.

        Raises:
            TruncatedFileError: They reach past the limit.
        """
        if position + length > self.limit:
            raise TruncatedFileError(
                f"{self.name}: the pickle stream ends inside an opcode's argument of {length} bytes",
                code="pickle-truncated",
                file=self.name,
                offset=position,
            )
        index = position - self.base
        if index < 0 or index + length > len(self.data):
            self.slide(position, length)
            index = 0
        return self.data[index : index + length]

    def slide(self, position: int, length: int = CHUNK) -> None:
        """Hold the bytes from a file offset on: `length` of them or more, up to the limit."""
        self.data = self._reader.read_up_to(position, min(max(length, CHUNK), self.limit - position))
        self.base = position

    def line(self, position: int) -> tuple[bytes, int]:
        """The bytes up to the next newline, and the offset after it.

        Raises:
            TruncatedFileError: There is no newline before the limit.
            FormatError: The line is longer than `LONGEST_LINE`.
        """
        index = position - self.base
        end = self.data.find(b"\n", index) if 0 <= index < len(self.data) else -1
        if end < 0:
            self.slide(position, LONGEST_LINE)
            index = 0
            end = self.data.find(b"\n")
        if end < 0 and len(self.data) >= LONGEST_LINE:
            raise FormatError(
                f"{self.name}: a line of more than {LONGEST_LINE} bytes in a pickle stream",
                code="pickle-malformed",
                file=self.name,
                offset=position,
            )
        if end < 0:
            raise TruncatedFileError(
                f"{self.name}: the pickle stream ends inside a line",
                code="pickle-truncated",
                file=self.name,
                offset=position,
            )
        return self.data[index:end], self.base + end + 1
