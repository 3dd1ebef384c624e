"""The only way a plugin reads bytes: ranged, counted against a budget, the same for local and remote files.

Files are read with ``pread``, never mapped: a mapped file that shrinks during the scan kills the process.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import add
from typing import Any, Self, TypeVar, cast

from attrs import frozen

from modelshelf.errors import (
    BudgetExceededError,
    FileChangedError,
    ReadError,
    TruncatedFileError,
    UnreadableFileError,
)
from modelshelf.model.artifact import Artifact, ArtifactFile

T = TypeVar("T")

HEAD_BLOCK = 16 * 1024
"""Bytes read at a file's first touch and kept, so that detection and small headers cost one read together."""

DEFAULT_BUDGET = 512 * 1024 * 1024
"""Bytes that reading one artifact may cost at depths below ``full``."""

# A FIFO must not hang the open, a child process must not inherit the descriptor, Windows must not translate.
_OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_NO_WAIT: int = getattr(os, "RWF_NOWAIT", 0)  # Linux: what lies in the page cache, and no more


class Budget:
    """Bytes that may still be read for one artifact.

    Attributes:
        limit: The most that may be read.
        spent: What was read so far.
        opened: Number of files that were opened.
    """

    __slots__ = ("limit", "opened", "spent")

    def __init__(self, limit: int = DEFAULT_BUDGET) -> None:
        self.limit = limit
        self.spent = 0
        self.opened = 0

    def spend(self, length: int, name: str, offset: int) -> None:
        """Count `length` bytes.

        Raises:
            BudgetExceededError: They would pass the limit.
        """
        if self.spent + length > self.limit:
            raise BudgetExceededError(
                f"{name}: {length} bytes at {offset} would pass the budget of {self.limit} bytes a model",
                file=name,
                offset=offset,
            )
        self.spent += length


class FileReader(ABC):
    """One file of an artifact, read by ranges.

    Attributes:
        name: The name relative to the artifact's folder.
        size: Bytes, by the stat data of the open file.
    """

    def __init__(self, name: str, budget: Budget) -> None:
        self.name = name
        self.size = 0
        self._budget = budget
        self._head: bytes | None = None

    @abstractmethod
    def _fetch(self, offset: int, length: int) -> bytes:
        """Read up to `length` bytes at `offset`; fewer only at the end of the file."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; twice is fine."""

    def read(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes at `offset`.

        Raises:
            TruncatedFileError: The file ends before that.
            BudgetExceededError: The artifact's budget is spent.
            UnreadableFileError: The system refused.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise TruncatedFileError(
                f"{self.name}: {length} bytes at {offset} reach past the end of the file ({self.size} bytes)",
                file=self.name,
                offset=min(max(offset, 0), self.size),
            )
        data = self._ranged(offset, length)
        if len(data) != length:
            raise FileChangedError(
                f"{self.name}: the file shrank while it was read", file=self.name, offset=offset
            )
        return data

    def read_each(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """What `read` gives for each (offset, length), in one call for many small ranges.

        Raises:
            ReadError: What `read` raises of the first range that it cannot give.
        """
        return [self.read(offset, length) for offset, length in spans]

    def matches_cached(self, offset: int, expected: bytes) -> bool | None:  # noqa: ARG002 - nothing is at hand here
        """Whether `expected` lies at `offset`, where that can be found out without fetching a byte.

        Returns:
            None where bytes would have to be fetched, from a disk or over a network: then `read` and
            compare. A reader that does not know what is at hand gives None for every place.

        Raises:
            BudgetExceededError: The artifact's budget is spent.
            UnreadableFileError: The system refused.
        """
        return None

    def read_up_to(self, offset: int, length: int) -> bytes:
        """Read `length` bytes at `offset`, or what is left before the end of the file.

        Raises:
            BudgetExceededError: The artifact's budget is spent.
            UnreadableFileError: The system refused.
        """
        length = min(length, self.size - offset)
        return self.read(offset, length) if length > 0 and offset >= 0 else b""

    def _ranged(self, offset: int, length: int) -> bytes:
        if offset + length <= HEAD_BLOCK:
            if self._head is None:
                self._head = self._counted(0, min(HEAD_BLOCK, self.size))
            return self._head[offset : offset + length]
        return self._counted(offset, length)

    def _counted(self, offset: int, length: int) -> bytes:
        self._budget.spend(length, self.name, offset)
        return self._fetch(offset, length)


class LocalFile(FileReader):
    """A regular file on this machine.

    Raises:
        UnreadableFileError: It is no regular file, or the system refuses to open it.
        FileChangedError: Its size or time is not that of `expected`.
    """

    def __init__(self, path: str, name: str, budget: Budget, expected: ArtifactFile | None = None) -> None:
        super().__init__(name, budget)
        self._path = path
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, _OPEN_FLAGS)
            status = os.fstat(self._descriptor)
        except (OSError, ValueError) as error:
            self.close()
            raise UnreadableFileError(f"{name}: cannot be opened: {_reason(error)}", file=name) from error
        budget.opened += 1
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise UnreadableFileError(f"{name}: is not a regular file", file=name, code="not-a-regular-file")
        if expected is not None and not _is_same(status, expected):
            self.close()
            raise FileChangedError(
                f"{name}: the file is still changing; scan again when it is whole", file=name
            )
        self.size = status.st_size
        self._identity = _identity(status)
        self._compared = bytearray()
        self._asks_cache = _NO_WAIT != 0
        self._scattered = False

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            if self._scattered:
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_NORMAL)
                self._scattered = False
            data = os.pread(self._descriptor, length, offset)
            while len(data) < length:
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise UnreadableFileError(
                f"{self.name}: cannot be read at {offset}: {_reason(error)}", file=self.name, offset=offset
            ) from error
        return data

    def read_each(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """What `read` gives for each (offset, length), their bytes counted once and together.

        Raises:
            ReadError: What `read` raises of the first range that it cannot give.
        """
        if not spans:
            return []
        offsets, lengths = zip(*spans, strict=True)
        total = sum(lengths)
        within = min(offsets) >= 0 <= min(lengths) and max(map(add, offsets, lengths)) <= self.size
        if not within or total > min(self.size, self._budget.limit - self._budget.spent):
            return super().read_each(spans)  # which names the range that is at fault
        try:
            data = list(map(os.pread, repeat(self._descriptor), lengths, offsets))
        except OSError:
            return super().read_each(spans)
        if sum(map(len, data)) != total:
            return super().read_each(spans)
        self._budget.spend(total, self.name, offsets[0])
        return data

    def matches_cached(self, offset: int, expected: bytes) -> bool | None:
        """Whether `expected` lies at `offset`, by the page cache alone.

        Asking makes Linux fetch what is not there, and no more than that, until the next `read`: several
        places that are asked for one after another and then read with `read_each` are fetched side by side.
        Where the system cannot be asked, the bytes are read and compared.

        Raises:
            BudgetExceededError: The artifact's budget is spent.
            UnreadableFileError: The system refused.
        """
        length = len(expected)
        if offset < 0 or offset + length > self.size:
            return False
        if not self._asks_cache:
            return self.read(offset, length) == expected
        if len(self._compared) != length:
            self._compared = bytearray(length)
        try:
            if not self._scattered:
                # Else places that are neighbours by chance would make the system read far ahead of them.
                os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
                self._scattered = True
            length_read = os.preadv(self._descriptor, (self._compared,), offset, _NO_WAIT)
        except BlockingIOError:
            return None
        except OSError:  # a file system that knows no such question, or a fault that the reading names
            self._asks_cache = False
            return self.read(offset, length) == expected
        self._budget.spend(length_read, self.name, offset)
        return self._compared == expected if length_read == length else None

    def changed(self) -> bool:
        """Whether another file lies at the path by now, or none, or this one with another size or time."""
        try:
            return _identity(os.stat(self._path)) != self._identity
        except OSError:
            return True

    def close(self) -> None:
        """Close the descriptor; twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def _is_same(status: os.stat_result, expected: ArtifactFile) -> bool:
    inode = expected.inode or status.st_ino  # a listing without inodes
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (expected.size, expected.mtime_ns, inode)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return str(error)


Opener = Callable[[Artifact, ArtifactFile, Budget], FileReader]


def open_local(artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
    """Open one file of an artifact on this machine."""
    return LocalFile(artifact.path_of(one.name), one.name, budget, one)


class ArtifactReader:
    """The files of one artifact, opened when first asked for, all against one budget.

    A plugin can open the artifact's own files and no others, whatever an index inside them says. A reader
    belongs to the thread that it is given to.

    Attributes:
        artifact: The artifact.
        budget: The bytes that may still be read.
    """

    def __init__(self, artifact: Artifact, opener: Opener = open_local, budget: int = DEFAULT_BUDGET) -> None:
        self.artifact = artifact
        self.budget = Budget(budget)
        self._opener = opener
        self._by_name = {one.name: one for one in artifact.files}
        self._open: dict[str, FileReader] = {}
        self._built: dict[str, tuple[bool, Any]] = {}

    @property
    def bytes_read(self) -> int:
        """Bytes read so far."""
        return self.budget.spent

    def file(self, name: str | None = None) -> FileReader:
        """The reader of the file of that name, or of the first weight file.

        Raises:
            UnreadableFileError: The artifact has no such file, or the system refuses to open it.
            FileChangedError: The file is not as it was listed.
        """
        if name is None:
            name = self.artifact.weights[0].name if self.artifact.weights else self.artifact.primary
        reader = self._open.get(name)
        if reader is None:
            if name not in self._by_name:
                raise UnreadableFileError(
                    f"{name}: is not a file of this model, so it is not opened",
                    code="outside-artifact",
                    file=name,
                )
            reader = self._open[name] = self._opener(self.artifact, self._by_name[name], self.budget)
        return reader

    def once(self, key: str, build: Callable[[], T]) -> T:
        """Build a value once for all hooks that this artifact passes through: a parsed header, say.

        A `ReadError` that `build` raises is kept too, and raised again at each call.
        """
        if key not in self._built:
            try:
                self._built[key] = (True, build())
            except ReadError as error:
                self._built[key] = (False, error)
        good, value = self._built[key]
        if not good:
            raise value
        return cast("T", value)

    def changed_files(self) -> tuple[str, ...]:
        """Names of the open local files that changed since they were opened."""
        return tuple(
            name for name, reader in self._open.items() if isinstance(reader, LocalFile) and reader.changed()
        )

    def close(self) -> None:
        """Close every file."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@frozen(kw_only=True)
class Candidate:
    """One artifact as it is shown to every plugin's `detect_format`.

    Attributes:
        artifact: The files.
        suffix: The primary weight file's ending, lower case with its dot; empty where it has none.
        size: Bytes of that file.
        head: Its first bytes, at most 512, already read: look here first.
        reader: That file, for a format that its first bytes do not identify.
    """

    artifact: Artifact
    suffix: str
    size: int
    head: bytes
    reader: FileReader
