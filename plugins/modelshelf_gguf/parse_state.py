"""What is shared by all that parses one header: a cursor in the file, a budget, the findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from struct import Struct
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model import Finding, Severity
from modelshelf.reader import HEAD_BLOCK
from modelshelf_gguf.layout import Layout
from modelshelf_gguf.vocabulary_cache import Recall

if TYPE_CHECKING:
    from modelshelf.reader import FileReader


MOST_FIELDS = 8_192

MOST_TENSORS = 32_768

KEPT_ITEMS = 512
"""Elements of an array that is kept: one value per layer fits, a vocabulary does not."""

KEPT_TEXT_BYTES = 64 * 1024
"""Bytes of a text that is kept; a longer one is passed over."""


@define
class Allowance:
    """What is left of one header's share.

    Attributes:
        strings: Strings in arrays.
        arrays: Arrays within arrays.
        items: Elements of arrays that are kept.
        text_bytes: Bytes of keys and texts that are kept.
    """

    strings: int = 4_000_000
    arrays: int = 10_000
    items: int = 65_536
    text_bytes: int = 16 * 1024 * 1024

    def keeps(self, count: int) -> bool:
        """Whether an array of `count` elements is small enough to be kept, with all that were kept before."""
        if count > min(KEPT_ITEMS, self.items):
            return False
        self.items -= count
        return True

    def spend(self, what: str, amount: int, offset: int) -> None:
        """Take `amount` of the attribute `what`.

        Raises:
            FormatError: Not that much is left.
        """
        left = getattr(self, what)
        if amount > left:
            raise FormatError(
                f"the header asks for {amount} more {what.replace('_', ' ')} at offset {offset}, beyond what "
                "any model needs; the file was made to waste time or memory",
                code="header-too-large",
                offset=offset,
            )
        setattr(self, what, left - amount)


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


@define
class Reading:
    """One header being read: where it stands, how its numbers look, what is left of its allowance.

    Attributes:
        cursor: The position in the file.
        layout: The structures of the file's version and byte order.
        allowance: What the header may still ask for.
        recall: What is remembered of vocabularies; None walks all of them.
        findings: The first of each kind of breach that did not hinder the reading, by code.
    """

    cursor: Cursor
    layout: Layout
    recall: Recall | None = None
    allowance: Allowance = field(factory=Allowance)
    findings: dict[str, Finding] = field(factory=dict)

    def note(self, code: str, message: str, offset: int, severity: Severity = Severity.WARNING) -> None:
        """Keep a finding, unless there is one of that code: a hostile file may hold thousands."""
        if code not in self.findings:
            self.findings[code] = Finding(
                code=code, severity=severity, message=message, file=self.cursor.file.name, offset=offset
            )


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
