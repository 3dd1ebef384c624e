"""One LMDB environment of this process, shared by every store that is open on the same file.

LMDB forbids opening a file twice in one process, resizing its map under a running transaction, and carrying
an open environment over a fork. All three are kept here, so that a store need not know.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import lmdb

from modelshelf.errors import StoreUnavailableError
from modelshelf_lmdb.datafile import DataFile, Identity
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.folder import FILES_MODE, FIRST_MAP, MOST_READERS, LockFile, create, present
from modelshelf_lmdb.gate import Gate
from modelshelf_lmdb.pages import DATA_NAME, LOCK_NAME

if TYPE_CHECKING:
    from modelshelf_lmdb.transaction import LmdbSnapshot

_FORK_PATIENCE = 1.0  # seconds that a fork waits for other threads' transactions
_MANY_CHANGES = 1024  # keys

_OPEN: dict[Identity, Environment] = {}
_REGISTRY = threading.RLock()  # guards _OPEN; taken before any gate's own lock


class Environment:
    """An LMDB environment and who uses it.

    Attributes:
        folder: The folder of its files.
        file: Its data file.
        gate: Who is inside.
        writer: Held by the thread that has, or waits for, this process's write transaction.
        writable: Whether it can be written.
        locked: Whether readers stand in the lock file. In a folder that cannot be written they do not, and
            nothing keeps a writer elsewhere from reusing the pages that a view still reads.
        dead_readers: Number of readers that had ended without leaving, as they were cleared on opening.
    """

    def __init__(self, file: DataFile, *, writable: bool) -> None:
        self.folder = file.folder
        self.file = file
        self.writable = writable
        self.locked = True
        self.dead_readers = 0
        self._users = 0
        self._changes = 0
        self._lmdb: lmdb.Environment | None = None
        self._lock_file: LockFile | None = None
        self._word: Sequence[int] | None = None
        self._inside: set[LmdbSnapshot] = set()
        self._orphaned = False
        self._renew_locks()

    def _renew_locks(self) -> None:
        self.gate = Gate()
        self.writer = threading.Lock()
        self._opening = threading.Lock()

    def enter(self) -> lmdb.Environment:
        """Come in for one transaction; `leave` must follow.

        Raises:
            StoreUnavailableError: The environment cannot be opened, or was inherited in the middle of a use.
        """
        if self._orphaned:
            raise StoreUnavailableError(
                f"{self.folder}: this process was forked in the middle of a view or update; "
                "fork outside of them, or start processes by spawning"
            )
        self.gate.enter()
        try:
            return self._opened()
        except BaseException:
            self.leave()
            raise

    def admit(self, snapshot: LmdbSnapshot) -> None:
        """Remember a transaction that began, for the case of a fork."""
        self._inside.add(snapshot)

    def leave(self, snapshot: LmdbSnapshot | None = None) -> None:
        """Go out; the last one out of an environment that no store uses closes it."""
        if snapshot is not None:
            self._inside.discard(snapshot)
        self.gate.leave()
        if not self._users:
            with _REGISTRY:
                self._shut_when_unused()

    def grow(self) -> None:
        """Double the map, after the pages of dead readers were given back.

        Raises:
            StoreUnavailableError: The address space has no room for it.
        """
        with self.gate.alone():
            try:
                opened = self._opened()
                opened.reader_check()
                opened.set_mapsize(opened.info()["map_size"] * 2)
            except (lmdb.Error, OverflowError) as error:
                self._close_lmdb()  # it went with its map; the next use opens it afresh
                raise translated(error, self.folder, "growing") from error

    def adopt_size(self) -> None:
        """Take over the map size that another process gave the store.

        Raises:
            StoreUnavailableError: The address space has no room for it.
        """
        with self.gate.alone():
            try:
                self._opened().set_mapsize(0)
            except lmdb.Error as error:
                self._close_lmdb()
                raise translated(error, self.folder, "growing") from error

    def count(self, changes: int) -> None:
        """Count a committed update's changes, and let go of the pages in memory after many of them.

        The system counts every page of the map that was touched as this process's memory, for as long as it
        is mapped: a scan of many models would seem to hold the whole store.
        """
        self._changes += changes
        if self._changes < _MANY_CHANGES:
            return
        try:
            if self.gate.hold(0) and self._lmdb is not None:
                self._changes = 0
                self._lmdb.set_mapsize(0)
        except lmdb.Error:
            self._close_lmdb()
        finally:
            self.gate.release()

    def discard(self) -> None:
        """Close LMDB's side, so that the next use opens it afresh: a failed write may have locked it up."""
        with self.gate.alone():
            self._close_lmdb()

    def revision(self) -> int:
        """The id of the last committed transaction.

        Raises:
            DamagedStoreError: The file was truncated while it was open.
        """
        try:
            return self._word[0]  # type: ignore[index]  # asked for on every look-up
        except (TypeError, ValueError):  # there is none; or it was let go just now
            self.file.ensure_metas()
            return self.file.revision()

    def watch(self, revision: int) -> tuple[Sequence[int], int] | None:
        """Memory whose first item is the number as long as no commit follows that revision, or None."""
        word = self._word
        return None if word is None else (word, revision)

    def readers(self) -> list[tuple[int, int]]:
        """Process id, and revision of the state that it reads, of every reader that is inside just now."""
        told = self._opened().readers() if self.locked else ""
        # A heading, then a line each: process, thread, revision or a hyphen for one that is outside.
        rows = [line.split() for line in told.splitlines()]
        return [(int(row[0]), int(row[-1])) for row in rows if row[0].isdigit() and row[-1].isdigit()]

    def share(self, *, writable: bool) -> None:
        """Count one more store; an environment that was only read becomes writable when it has to."""
        if writable and not self.writable:
            with self.gate.alone():
                self._close_lmdb()
                self.writable = True
        self._opened()
        self._users += 1

    def release(self) -> None:
        """Count one store less."""
        with _REGISTRY:
            self._users -= 1
            self._shut_when_unused()

    def before_fork(self) -> None:
        """Close LMDB's side where nobody uses it: a child must not inherit it, and the parent reopens it."""
        if self.gate.hold(_FORK_PATIENCE):
            self._close_lmdb()

    def after_fork_in_child(self) -> None:
        """Start afresh; what was in use in the parent is left alone and never touched again."""
        self._orphaned = self._lmdb is not None
        for snapshot in self._inside:
            snapshot.expire()
        self._renew_locks()

    def _opened(self) -> lmdb.Environment:
        if self._lmdb is None:
            with self._opening:
                if self._lmdb is None:
                    self._lmdb = self._open()
        return self._lmdb

    def _open(self) -> lmdb.Environment:
        # LMDB writes the lock file even to read; a reader of a folder that it cannot write does without.
        lock = os.path.join(self.folder, LOCK_NAME)
        self.locked = self.writable or os.access(lock, os.R_OK | os.W_OK)
        try:
            opened = lmdb.open(
                os.fsencode(self.folder),  # as text it would refuse a name that is not UTF-8
                map_size=max(FIRST_MAP, self.file.newest().map_size),
                readonly=not self.writable,
                create=False,
                mode=FILES_MODE,
                max_readers=MOST_READERS,
                lock=self.locked,
            )
            if self.locked:
                self.dead_readers = opened.reader_check()
        except (lmdb.Error, OSError) as error:
            raise translated(error, self.folder, "opening") from error
        try:
            # Opening waits while a repair puts another file in place; the pages of that were not looked over.
            self.file.ensure_in_place()
        except StoreUnavailableError:
            opened.close()
            raise
        if self.locked:
            self._read_lock_file()
        return opened

    def _read_lock_file(self) -> None:
        """Take the last commit from the lock file, where that tells what the data file does."""
        before = self.file.newest().revision
        try:
            self._lock_file = LockFile(self.folder)
        except (OSError, ValueError):
            return
        word = self._lock_file.word
        if word is not None and before <= word[0] <= self.file.newest().revision:
            self._word = word

    def _close_lmdb(self) -> None:
        if self._lmdb is not None:
            self._lmdb.close()
            self._lmdb = None
        self._word = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _shut_when_unused(self) -> None:
        if not self._users and self.gate.idle and _OPEN.get(self.file.identity) is self:
            del _OPEN[self.file.identity]
            if not self._orphaned:
                self._close_lmdb()
            self.file.close()


def open_environment(folder: str, *, readonly: bool) -> Environment:
    """The environment of the store in `folder`, shared with every other store on it in this process.

    Raises:
        StoreUnavailableError: There is none to read, or it cannot be opened or created.
        StoreFullError: There is no room to create it.
        DamagedStoreError: Its file is damaged.
    """
    with _REGISTRY:
        if not readonly:
            create(folder)
        elif not present(folder):
            raise StoreUnavailableError(f"{folder}: there is no store yet; `modelshelf scan` makes one")
        file = DataFile(folder)
        environment = _OPEN.get(file.identity)
        if environment is None:
            environment = Environment(file, writable=not readonly)
        else:
            file.close()
        try:
            environment.share(writable=not readonly)
        except BaseException:
            if environment.file is file:
                file.close()
            raise
        _OPEN[environment.file.identity] = environment
        return environment


@contextmanager
def shut_off(folder: str) -> Iterator[None]:
    """Keep every process out of the store in a folder: whoever opens it meanwhile waits.

    LMDB holds a shared lock on the lock file's first byte for as long as it has the file open; this takes
    the exclusive one. Where the system has no such locks, it does not let go of a file in use either.

    Raises:
        StoreUnavailableError: A process, this one included, has it open.
    """
    busy = StoreUnavailableError(f"{folder}: a program has the store open; end it, then try again")
    with _REGISTRY:
        told = os.stat(os.path.join(folder, DATA_NAME))
        if (told.st_dev, told.st_ino) in _OPEN or any(one.folder == folder for one in _OPEN.values()):
            raise busy
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            lock = os.open(os.path.join(folder, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise translated(error, folder, "locking") from error
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        except OSError:
            os.close(lock)
            raise busy from None
        try:
            yield
        finally:
            os.close(lock)


def _before_fork() -> None:
    _REGISTRY.acquire()
    for environment in _OPEN.values():
        environment.before_fork()


def _after_fork_in_parent() -> None:
    for environment in _OPEN.values():
        environment.gate.release()
    _REGISTRY.release()


def _after_fork_in_child() -> None:
    for environment in _OPEN.values():
        environment.after_fork_in_child()
    _REGISTRY.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
