"""What pairs and tensors have in common: entries under names, read one after another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from modelshelf.errors import TruncatedFileError

if TYPE_CHECKING:
    from modelshelf_gguf.values import Reading

T = TypeVar("T")


class EntryTable(ABC, Generic[T]):
    """Entries being read.

    Args:
        reading: The header that they stand in.
        count: How many it claims.

    Attributes:
        entries: Those that were read, by key or name, in the file's order.
    """

    def __init__(self, reading: Reading, count: int) -> None:
        self._reading = reading
        self._count = count
        self.entries: dict[str, T] = {}

    def read(self) -> None:
        """Read all entries. What stands before a fault is kept.

        Raises:
            ReadError: An entry breaks the format's rules or reaches past the end of the file.
        """
        while len(self.entries) < self._count:
            self.read_ordinary()
            if len(self.entries) < self._count:
                self.read_one()

    @abstractmethod
    def read_one(self) -> None:
        """Read the entry at the cursor, whatever it is.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """

    @abstractmethod
    def read_ordinary(self) -> None:
        """Read what `read_one` would read, as long as it lies within the window and is sound and usual.

        The first entry that breaks a rule, is odd, or may reach past the window's end is left to the other.
        """


def within(error: TruncatedFileError, what: str) -> TruncatedFileError:
    """The same fault, with what was being read."""
    return TruncatedFileError(f"{error} (while reading {what})", file=error.file, offset=error.offset)
