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

from modelshelf.errors import StoreAbsentError, StoreError, StoreUnavailableError
from modelshelf_lmdb.datafile import DataFile, Identity
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.folder import FILES_MODE, FIRST_MAP, MAX_READERS, LockFile, create, has_store
from modelshelf_lmdb.gate import Gate
from modelshelf_lmdb.pages import DATA_NAME, LOCK_NAME

if TYPE_CHECKING:
    from modelshelf_lmdb.transaction import LmdbSnapshot

_FORK_PATIENCE = 1.0  # seconds that a fork waits for other threads' transactions
_MANY_CHANGES = 1024  # keys

_ENVIRONMENTS: dict[Identity, Environment] = {}
_ENVIRONMENTS_LOCK = threading.RLock()  # taken before any gate's own lock


class Environment:
    """An LMDB environment, the stores that use it, and the transactions that run in it.

    Attributes:
        folder: The folder of its files.
        file: Its data file.
        gate: Counts running transactions.
        writer: Locked by the thread that has, or waits for, this process's write transaction.
        writable: Whether it can be written.
        locked: Whether readers are entered into the lock file. In a folder that cannot be written they are
            not, and nothing keeps a writer elsewhere from reusing the pages that a view still reads.
        dead_readers: Number of readers whose processes had ended, as they were cleared on opening.
    """

    def __init__(self, file: DataFile, *, writable: bool) -> None:
        self.folder = file.folder
        self.file = file
        self.writable = writable
        self.locked = True
        self.dead_readers = 0
        self._stores = 0
        self._changes = 0
        self._lmdb: lmdb.Environment | None = None
        self._lock_file: LockFile | None = None
        self._word: Sequence[int] | None = None
        self._running: set[LmdbSnapshot] = set()
        self._orphaned = False
        self._renew_locks()

    def _renew_locks(self) -> None:
        self.gate = Gate()
        self.writer = threading.Lock()
        self._opening = threading.Lock()

    def begin(self, *, write: bool) -> lmdb.Transaction[bytes]:
        """Begin a transaction of LMDB's; `end` must follow.

        Raises:
            StoreUnavailableError: The environment cannot be opened, or was inherited in the middle of a use.
            DamagedStoreError: Its file was truncated.
        """
        dead_readers_cleared = False
        while True:
            opened = self._enter()
            try:
                self.file.check_metas_present()
                return opened.begin(write=write, buffers=False)
            except lmdb.MapResizedError:
                self.end()
                self._adopt_size()
            except lmdb.ReadersFullError as error:
                self.end()
                if dead_readers_cleared:
                    raise translated(error, self.folder, "reading") from error
                opened.reader_check()
                dead_readers_cleared = True
            except (lmdb.Error, StoreError) as error:
                self.end()
                raise translated(error, self.folder, "writing" if write else "reading") from error

    def _enter(self) -> lmdb.Environment:
        if self._orphaned:
            raise StoreUnavailableError(
                f"{self.folder}: this process was forked in the middle of a view or update; "
                "fork outside of them, or start processes by spawning"
            )
        self.gate.enter()
        try:
            return self._opened()
        except BaseException:
            self.end()
            raise

    def register(self, snapshot: LmdbSnapshot) -> None:
        """Register a running transaction, to be expired in a forked child."""
        self._running.add(snapshot)

    def end(self, snapshot: LmdbSnapshot | None = None) -> None:
        """Count a transaction as ended; the last one of an environment that no store uses closes it."""
        if snapshot is not None:
            self._running.discard(snapshot)
        self.gate.leave()
        if not self._stores:
            with _ENVIRONMENTS_LOCK:
                self._close_when_unused()

    def grow(self) -> None:
        """Double the map, after the pages of dead readers were given back.

        Raises:
            StoreUnavailableError: The address space has no room for it.
        """
        with self.gate.closed():
            try:
                opened = self._opened()
                opened.reader_check()
                opened.set_mapsize(opened.info()["map_size"] * 2)
            except (lmdb.Error, OverflowError) as error:
                self._close_lmdb()  # its map is gone; the next use opens it afresh
                raise translated(error, self.folder, "growing") from error

    def _adopt_size(self) -> None:
        """Take over the map size that another process gave the store.

        Raises:
            StoreUnavailableError: The address space has no room for it.
        """
        with self.gate.closed():
            try:
                self._opened().set_mapsize(0)
            except lmdb.Error as error:
                self._close_lmdb()
                raise translated(error, self.folder, "growing") from error

    def count_changes(self, changes: int) -> None:
        """Count a committed update's changes, and give the map's pages in memory back after many of them.

        The system counts every page of the map that was touched as this process's memory, for as long as it
        is mapped: a scan of many models would seem to need the whole store in memory.
        """
        self._changes += changes
        if self._changes < _MANY_CHANGES:
            return
        try:
            if self.gate.acquire(0) and self._lmdb is not None:
                self._changes = 0
                self._lmdb.set_mapsize(0)
        except lmdb.Error:
            self._close_lmdb()
        finally:
            self.gate.release()

    def reopen(self) -> None:
        """Close LMDB's side, so that the next use opens it afresh: a failed write may have locked it up."""
        with self.gate.closed():
            self._close_lmdb()

    def revision(self) -> int:
        """Return the id of the last committed transaction.

        Raises:
            DamagedStoreError: The file was truncated while it was open.
        """
        try:
            return self._word[0]  # type: ignore[index]  # asked for on every look-up
        except (TypeError, ValueError):  # there is none; or it was released just now
            self.file.check_metas_present()
            return self.file.revision()

    def watch(self, revision: int) -> tuple[Sequence[int], int] | None:
        """Return memory, and the number that its first item is until a commit follows `revision`; or None."""
        word = self._word
        return None if word is None else (word, revision)

    def readers(self) -> list[tuple[int, int]]:
        """List the process id, and the revision of the state that it reads, of every running reader."""
        listing = self._opened().readers() if self.locked else ""
        # A heading, then a line each: process, thread, revision or a hyphen for one that does not read now.
        rows = [line.split() for line in listing.splitlines()]
        return [(int(row[0]), int(row[-1])) for row in rows if row[0].isdigit() and row[-1].isdigit()]

    def add_store(self, *, writable: bool) -> None:
        """Count a store more; an environment that was only read becomes writable when it has to."""
        if writable and not self.writable:
            with self.gate.closed():
                self._close_lmdb()
                self.writable = True
        self._opened()
        self._stores += 1

    def remove_store(self) -> None:
        """Count a store less."""
        with _ENVIRONMENTS_LOCK:
            self._stores -= 1
            self._close_when_unused()

    def before_fork(self) -> None:
        """Close LMDB's side where nobody uses it: a child must not inherit it, and the parent reopens it."""
        if self.gate.acquire(_FORK_PATIENCE):
            self._close_lmdb()

    def after_fork_in_child(self) -> None:
        """Start afresh; what was in use in the parent is left alone and never touched again."""
        self._orphaned = self._lmdb is not None
        for snapshot in self._running:
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
                max_readers=MAX_READERS,
                lock=self.locked,
            )
            if self.locked:
                self.dead_readers = opened.reader_check()
        except (lmdb.Error, OSError) as error:
            raise translated(error, self.folder, "opening") from error
        try:
            # Opening waits while a repair puts another file in place; the pages of that were not checked.
            self.file.check_in_place()
        except StoreUnavailableError:
            opened.close()
            raise
        if self.locked:
            self._map_lock_file()
        return opened

    def _map_lock_file(self) -> None:
        """Read the last commit from the lock file from now on, where that agrees with the data file."""
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

    def _close_when_unused(self) -> None:
        if not self._stores and self.gate.idle and _ENVIRONMENTS.get(self.file.identity) is self:
            del _ENVIRONMENTS[self.file.identity]
            if not self._orphaned:
                self._close_lmdb()
            self.file.close()


def open_environment(folder: str, *, readonly: bool) -> Environment:
    """Open the environment of the store in `folder`, or share the one that this process has open.

    Raises:
        StoreUnavailableError: There is none to read, or it cannot be opened or created.
        StoreFullError: There is no room to create it.
        DamagedStoreError: Its file is damaged.
    """
    with _ENVIRONMENTS_LOCK:
        if not readonly:
            create(folder)
        elif not has_store(folder):
            raise StoreAbsentError(f"{folder}: there is no store yet; `modelshelf scan` makes one")
        file = DataFile(folder)
        environment = _ENVIRONMENTS.get(file.identity)
        if environment is None:
            environment = Environment(file, writable=not readonly)
        else:
            file.close()
        try:
            environment.add_store(writable=not readonly)
        except BaseException:
            if environment.file is file:
                file.close()
            raise
        _ENVIRONMENTS[environment.file.identity] = environment
        return environment


@contextmanager
def exclusive_access(folder: str) -> Iterator[None]:
    """Keep every process out of the store in a folder: whoever opens it meanwhile waits.

    LMDB has a shared lock on the lock file's first byte for as long as it has the file open; this takes the
    exclusive one. Where the system has no such locks, it does not let a file in use be replaced either.

    Raises:
        StoreUnavailableError: A process, this one included, has it open.
    """
    busy = StoreUnavailableError(f"{folder}: a program has the store open; end it, then try again")
    with _ENVIRONMENTS_LOCK:
        status = os.stat(os.path.join(folder, DATA_NAME))
        if (status.st_dev, status.st_ino) in _ENVIRONMENTS or any(
            environment.folder == folder for environment in _ENVIRONMENTS.values()
        ):
            raise busy
        try:
            import fcntl  # Windows has none
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
    _ENVIRONMENTS_LOCK.acquire()
    for environment in _ENVIRONMENTS.values():
        environment.before_fork()


def _after_fork_in_parent() -> None:
    for environment in _ENVIRONMENTS.values():
        environment.gate.release()
    _ENVIRONMENTS_LOCK.release()


def _after_fork_in_child() -> None:
    for environment in _ENVIRONMENTS.values():
        environment.after_fork_in_child()
    _ENVIRONMENTS_LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
