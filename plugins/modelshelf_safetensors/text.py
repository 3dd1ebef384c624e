"""A long header's bytes, fetched piece by piece and let go as soon as they are read."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError
from modelshelf_safetensors.layout import LENGTH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    Fetch = Callable[[int, int], bytes]

PIECE = 1 << 22
"""Bytes that are fetched at a time."""

_WHITE = b" \t\n\r"


class HeaderText:
    """The JSON text of a header from the place on where reading stands.

    Args:
        fetch: Gives so many bytes of the header from an offset on.
        length: Bytes of the header.
        file: The file's name for messages.

    Attributes:
        held: What was fetched and not yet read.
        base: Where in the header `held` begins.
    """

    def __init__(self, fetch: Fetch, length: int, file: str) -> None:
        self.held = bytearray()
        self.base = 0
        self.length = length
        self._fetch = fetch
        self._file = file
        self._fetched = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    @property
    def ended(self) -> bool:
        """Whether all that is left is held."""
        return self._fetched == self.length

    @property
    def next(self) -> bytes:
        """The byte that stands here; none at the end."""
        if not self.held:
            self.fill(1)
        return bytes(self.held[:1])

    def fill(self, least: int) -> None:
        """Hold at least so many bytes, or all that are left.

        Raises:
            FormatError: They are not UTF-8.
        """
        while len(self.held) < least and not self.ended:
            self.held += self._next(max(PIECE, least - len(self.held)))

    def check_rest(self) -> None:
        """Fetch what is left, only to see that it is UTF-8.

        Raises:
            FormatError: It is not.
        """
        while not self.ended:
            self._next(PIECE)

    def _next(self, length: int) -> bytes:
        length = min(length, self.length - self._fetched)
        piece = self._fetch(self._fetched, length)
        waiting = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(piece, self._fetched + length == self.length)
        except UnicodeDecodeError as error:
            at = LENGTH_BYTES + self._fetched - waiting + error.start
            raise not_utf8(self._file, at) from None
        self._fetched += length
        return piece

    def drop(self, count: int) -> None:
        """Go on so many bytes."""
        del self.held[:count]
        self.base += count

    def skip_white(self) -> None:
        """Go on to what is no white space, or to the end."""
        while self.next and self.next in _WHITE:
            head = bytes(self.held[:64])
            if rest := head.lstrip(_WHITE):
                self.drop(len(head) - len(rest))
                return
            self.drop(len(self.held) - len(self.held.lstrip(_WHITE)))

    def decoded(self, count: int) -> str:
        """The next `count` bytes as text, less a character that they cut."""
        return codecs.utf_8_decode(bytes(self.held[:count]), "strict", False)[0]  # noqa: FBT003 - positional only


def not_utf8(file: str, offset: int) -> FormatError:
    """What is said of a header that is not UTF-8 at this byte of the file."""
    return FormatError(
        f"{file}: the header is not UTF-8 at byte {offset}; fetch the file again",
        code="malformed-header",
        file=file,
        offset=offset,
    )
