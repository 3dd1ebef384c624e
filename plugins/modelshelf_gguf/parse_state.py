"""What the parsers of one header share: a cursor in the file, the header's limits, its findings, its tables.

The limits are such that no header takes a second or 200 MB, and every honest one passes: a vocabulary of a
million tokens with its merges has about three million strings, and the largest mixtures of experts have some
ten thousand tensors in a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import define, field

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model import Finding, Severity
from modelshelf.reader import HEAD_BLOCK
from modelshelf_gguf.layout import Layout

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

MAX_FIELDS = 8_192
MAX_TENSORS = 32_768

MAX_KEPT_ITEMS = 512
"""Elements of an array that is kept: one value per layer fits, a vocabulary does not."""

MAX_KEPT_TEXT_BYTES = 64 * 1024
"""Bytes of a text that is kept; a longer one is passed over."""

WINDOW = 120 * 1024
"""Most bytes read at once: below the size at which the allocator asks the system for fresh pages anew."""

T = TypeVar("T")


class Cursor:
    """A position in a file that moves forwards, with a small window of bytes read around it.

    Memory stays constant however long the file is, and skipping costs no reading; a buffered reader of `io`
    would fill its buffer anew after each skip, past the reader's budget.

    Attributes:
        file: The file that is read.
    """

    __slots__ = ("_at", "_read_ahead", "_start", "_window", "file")

    def __init__(self, file: FileReader) -> None:
        self.file = file
        self._window = b""
        self._start = 0
        self._at = 0
        self._read_ahead = HEAD_BLOCK

    @property
    def position(self) -> int:
        """Byte offset of the next byte to be read."""
        return self._start + self._at

    @property
    def remaining(self) -> int:
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

    def read(self, length: int) -> bytes:
        """Read `length` bytes, a number that the caller has bounded.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        if self._at + length > len(self._window):
            self._fill(length)
        at = self._at
        self._at = at + length
        return self._window[at : at + length]

    def skip(self, length: int) -> None:
        """Move forwards by `length` bytes without reading them.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        self._check(length)
        self._at += length

    def peek(self, least: int) -> tuple[bytes, int]:
        """Return the window and the index of the position in it, with `least` or more bytes from there on.

        Raises:
            TruncatedFileError: The file ends before that.
        """
        if self._at + least > len(self._window):
            self._fill(least)
        return self._window, self._at

    def truncated(self, length: int) -> TruncatedFileError:
        """Make the error for a file that ends before `length` more bytes."""
        return TruncatedFileError(
            f"{self.file.name}: {length} bytes are announced at offset {self.position}, and {self.remaining} "
            "are left: the file is cut short, or its header was altered; download it again",
            file=self.file.name,
            offset=self.position,
        )

    def _check(self, length: int) -> None:
        if length > self.remaining:
            raise self.truncated(length)

    def _fill(self, length: int) -> None:
        self._check(length)
        position = self.position
        if position + length <= HEAD_BLOCK:
            # Detection has read this block, and it is kept: small headers cost no read of their own.
            wanted = HEAD_BLOCK - position
        else:
            # Little is read after a skip, for the next skip is often near; more while there is none.
            skipped = position - self._start - len(self._window) > HEAD_BLOCK
            self._read_ahead = HEAD_BLOCK if skipped else min(2 * self._read_ahead, WINDOW)
            wanted = max(length, self._read_ahead)
        self._window = self.file.read_up_to(position, wanted)
        self._start = position
        self._at = 0


@define
class HeaderBudget:
    """How much more one header may ask for.

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

    def reserve_items(self, count: int) -> bool:
        """Reserve room for an array of `count` elements; False where it is too large to be kept."""
        if count > min(MAX_KEPT_ITEMS, self.items):
            return False
        self.items -= count
        return True

    def spend(self, what: str, amount: int, offset: int) -> None:
        """Take `amount` of the attribute `what` for a value at byte `offset`.

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


@define(kw_only=True)
class ParseState:
    """The state of one header's parsing.

    Attributes:
        cursor: The position in the file.
        layout: The structures of the file's version and byte order.
        skip_strings: Moves a cursor behind so many strings whose lengths have that structure; see
            `string_arrays.skip_strings`.
        budget: What the header may still ask for.
        findings: The first of each kind of breach that did not end the parsing, by code.
    """

    cursor: Cursor
    layout: Layout
    skip_strings: Callable[[Cursor, int, Struct], None]
    budget: HeaderBudget = field(factory=HeaderBudget)
    findings: dict[str, Finding] = field(factory=dict)

    def add_finding(
        self, code: str, message: str, offset: int, severity: Severity = Severity.WARNING
    ) -> None:
        """Keep a finding unless there is one of that code: a hostile file may cause thousands."""
        if code not in self.findings:
            self.findings[code] = Finding(
                code=code, severity=severity, message=message, file=self.cursor.file.name, offset=offset
            )


class EntryTable(ABC, Generic[T]):
    """A table of a header being read: entries under unique names, one after another.

    Args:
        state: The state of the header's parsing.
        count: How many entries the header claims.

    Attributes:
        entries: Those that were read, by key or name, in the order of the file.
    """

    def __init__(self, state: ParseState, count: int) -> None:
        self._state = state
        self._count = count
        self.entries: dict[str, T] = {}

    def read(self) -> None:
        """Read all entries. Those before an error are kept.

        Raises:
            ReadError: An entry breaks the format's rules or reaches past the end of the file.
        """
        while len(self.entries) < self._count:
            self.read_fast()
            if len(self.entries) < self._count:
                self.read_strict()

    @abstractmethod
    def read_strict(self) -> None:
        """Read the entry at the cursor with every check.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """

    @abstractmethod
    def read_fast(self) -> None:
        """Read what `read_strict` would read, as long as it lies within the window and is sound and usual.

        The first entry that breaks a rule, is odd, or may reach past the window's end is left to
        `read_strict`.
        """


def decode_utf8(raw: bytes, what: str, code: str, offset: int) -> str:
    """Decode a key or a name at byte `offset`.

    Raises:
        FormatError: It is not UTF-8; `what` names it, and `code` is the finding's.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise FormatError(f"the {what} is not UTF-8", code=code, offset=offset) from None


def while_reading(error: TruncatedFileError, what: str) -> TruncatedFileError:
    """Make the same error with what was being read."""
    return TruncatedFileError(f"{error} (while reading {what})", file=error.file, offset=error.offset)
