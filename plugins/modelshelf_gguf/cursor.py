"""Reading a file forwards through one small window: memory stays constant, jumps cost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.errors import TruncatedFileError
from modelshelf.reader import HEAD_BLOCK

if TYPE_CHECKING:
    from struct import Struct

    from modelshelf.reader import FileReader

WINDOW = 120 * 1024
"""Most bytes read at once: below the size at which the allocator asks the system for fresh pages anew."""


class Cursor:
    """A position in a file, with a window of bytes that begins at or before it.

    Attributes:
        file: The file that is read.
    """

    __slots__ = ("_at", "_reach", "_start", "_window", "file")

    def __init__(self, file: FileReader) -> None:
        self.file = file
        self._window = b""
        self._start = 0
        self._at = 0
        self._reach = HEAD_BLOCK

    @property
    def position(self) -> int:
        """Byte offset of the next byte to be read."""
        return self._start + self._at

    @property
    def left(self) -> int:
        """Bytes from the position to the end of the file."""
        return self.file.size - self._start - self._at

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """Read the values of `layout`.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        if self._at + layout.size > len(self._window):
            self._fill(layout.size)
        at = self._at
        self._at = at + layout.size
        return layout.unpack_from(self._window, at)

    def take(self, length: int) -> bytes:
        """Read `length` bytes; the caller has bounded them.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        if self._at + length > len(self._window):
            self._fill(length)
        at = self._at
        self._at = at + length
        return self._window[at : at + length]

    def skip(self, length: int) -> None:
        """Go on by `length` bytes without reading them.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        self._check(length)
        self._at += length

    def ahead(self, least: int) -> tuple[bytes, int]:
        """The window and the index of the position in it, with `least` bytes or more behind that index.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        if self._at + least > len(self._window):
            self._fill(least)
        return self._window, self._at

    def cut_short(self, length: int) -> TruncatedFileError:
        """The fault of a file that ends before `length` more bytes."""
        return TruncatedFileError(
            f"{self.file.name}: {length} bytes are announced at offset {self.position}, and {self.left} "
            "are left: the file is cut short, or its header was altered; download it again",
            file=self.file.name,
            offset=self.position,
        )

    def _check(self, length: int) -> None:
        if length > self.left:
            raise self.cut_short(length)

    def _fill(self, length: int) -> None:
        self._check(length)
        position = self.position
        if position + length <= HEAD_BLOCK:
            # This block is read by detection already and kept: small headers cost no read of their own.
            wanted = HEAD_BLOCK - position
        else:
            # Little is read where a jump leads, for the next jump is often near; more while there is none.
            jumped = position - self._start - len(self._window) > HEAD_BLOCK
            self._reach = HEAD_BLOCK if jumped else min(2 * self._reach, WINDOW)
            wanted = max(length, self._reach)
        self._window = self.file.read_up_to(position, wanted)
        self._start = position
        self._at = 0
