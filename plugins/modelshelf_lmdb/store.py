"""Records in LMDB: several processes read and write at once, and readers take no lock."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import lmdb

from modelshelf.errors import DamagedStoreError, StoreError, StoreFullError, StoreUnavailableError
from modelshelf.model import Finding, Severity
from modelshelf.store import LONGEST_KEY, Snapshot, Transaction
from modelshelf_lmdb.layout import check_size

T = TypeVar("T")

FIRST_MAP = 256 * 1024 * 1024
"""Bytes of address space at first, doubled when they are used up. The file itself grows only as it is written."""

DATA = "data.mdb"
_RETRIES = 24  # doublings of the map; more than any address space allows
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")


class _Handle:
    """One LMDB environment per folder and process, shared by every store object on it.

    LMDB forbids a second environment on one folder in one process. The map may only be resized while no
    transaction is open, so transactions are counted.
    """

    def __init__(self, folder: str, *, readonly: bool) -> None:
        self.folder = folder
        self.readonly = readonly
        self.references = 0
        self._environment: lmdb.Environment | None = None
        self._inode = 0
        self._reset_threading()

    def _reset_threading(self) -> None:
        self._idle = threading.Condition()
        self._active = 0
        self._local = threading.local()

    def environment(self) -> lmdb.Environment:
        """The open environment; opened afresh in a forked child."""
        if self._environment is None:
            self._environment = self._open()
        return self._environment

    def abandon(self) -> None:
        """Let go of the parent's environment in a forked child, without closing it: that would take the
        parent's place among the readers away.
        """
        if self._environment is not None:
            _inherited.append(self._environment)
            self._environment = None
        self._reset_threading()

    def close(self) -> None:
        """Close the environment."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _open(self) -> lmdb.Environment:
        path = os.path.join(self.folder, DATA)
        exists = os.path.exists(path) and os.path.getsize(path) > 0
        if exists:
            check_size(path)
        elif self.readonly:
            raise StoreUnavailableError(f"there is no store at {self.folder}; `modelshelf scan` makes one")
        writable = not exists or (os.access(path, os.W_OK) and os.access(self.folder, os.W_OK))
        if not writable and not self.readonly:
            raise StoreUnavailableError(f"the store at {self.folder} cannot be written: check its permissions")
        try:
            if not self.readonly:
                os.makedirs(self.folder, mode=0o700, exist_ok=True)
            made = lmdb.open(
                self.folder,
                map_size=max(FIRST_MAP, _size(path)),
                mode=0o600,
                readonly=self.readonly,
                lock=writable,
                create=not self.readonly,
                max_readers=512,
                lib_version=0,
            )
            if writable:
                made.reader_check()
            self._inode = os.stat(path).st_ino
        except (lmdb.Error, OSError) as error:
            raise _explained(error, self.folder) from error
        return made

    @contextlib.contextmanager
    def transaction(self, *, write: bool) -> Iterator[Any]:
        """An open transaction; committed at the end when it writes.

        Raises:
            StoreError: A write transaction is asked for within another transaction of this thread.
        """
        depth = getattr(self._local, "depth", 0)
        if write and depth:
            raise StoreError("a change of the store cannot begin within another look at it; finish that first")
        with self._idle:
            self._active += 1
        self._local.depth = depth + 1
        try:
            if write:
                self._check_in_place()
            with self.environment().begin(write=write, buffers=False) as opened:
                yield opened
        finally:
            self._local.depth = depth
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def resize(self, *, grow: bool) -> None:
        """Double the map, or take over the size that another process gave it, once no transaction is open."""
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0)
            environment = self.environment()
            environment.set_mapsize(2 * environment.info()["map_size"] if grow else 0)

    def _check_in_place(self) -> None:
        path = os.path.join(self.folder, DATA)
        self.environment()
        try:
            same = os.stat(path).st_ino == self._inode
        except OSError:
            same = False
        if not same:
            raise StoreUnavailableError(
                f"the store at {self.folder} was removed or replaced while it was open; open it again"
            )


_handles: dict[tuple[str, bool], _Handle] = {}
_handles_lock = threading.Lock()
_inherited: list[lmdb.Environment] = []  # a forked child keeps these from being closed


def _abandon_all() -> None:
    global _handles_lock  # noqa: PLW0603 - a lock that another thread held at the fork would never open
    _handles_lock = threading.Lock()
    for handle in _handles.values():
        handle.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


class LmdbStore:
    """A store in a folder; see `modelshelf.store.Store` for the contract.

    Raises:
        StoreUnavailableError: The folder cannot be opened, made or locked.
        DamagedStoreError: The file is not whole, or no LMDB file.
    """

    def __init__(self, folder: str, *, readonly: bool = False) -> None:
        path = os.path.realpath(os.path.expanduser(folder))
        self.location = path
        self._readonly = readonly
        with _handles_lock:
            # A process that already writes to the folder reads through the same environment.
            key = next((one for one in ((path, readonly), (path, False)) if one in _handles), (path, readonly))
            if not readonly and (path, True) in _handles:
                raise StoreUnavailableError(f"the store at {path} is open for reading only in this process")
            handle = _handles.get(key) or _Handle(path, readonly=readonly)
            handle.environment()
            handle.references += 1
            _handles[key] = handle
        self._key = key
        self._handle: _Handle | None = handle

    def revision(self) -> int:
        """LMDB's id of the last committed transaction."""
        return int(self._opened().environment().info()["last_txnid"])

    def view(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on one committed state."""
        return self._run(work, write=False)

    def update(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction and commit it durably."""
        if self._readonly:
            raise StoreUnavailableError(f"the store at {self.location} is open for reading only")
        return self._run(work, write=True)

    def _run(self, work: Callable[[Any], T], *, write: bool) -> T:
        handle = self._opened()
        for _ in range(_RETRIES):
            try:
                with handle.transaction(write=write) as opened:
                    return work(_State(opened, self.location))
            except lmdb.MapFullError:
                handle.resize(grow=True)
            except lmdb.MapResizedError:
                handle.resize(grow=False)
            except lmdb.Error as error:
                raise _explained(error, self.location) from error
        raise StoreFullError(f"the store at {self.location} cannot grow any more: the address space is used up")

    def check(self) -> Iterator[Finding]:
        """Walk LMDB's own pages, without LMDB; each damage is an error."""
        import lmdb.verify

        for damage in lmdb.verify.verify(self.location):
            yield Finding(code="damaged-store", severity=Severity.ERROR, message=str(damage), file=DATA)

    def close(self) -> None:
        """Let go of the store; the last one closes the environment."""
        with _handles_lock:
            handle, self._handle = self._handle, None
            if handle is None:
                return
            handle.references -= 1
            if not handle.references:
                _handles.pop(self._key, None)
                handle.close()

    def _opened(self) -> _Handle:
        if self._handle is None:
            raise StoreUnavailableError(f"the store at {self.location} is closed")
        return self._handle


class _State:
    """A transaction as the store's contract shows it."""

    def __init__(self, opened: Any, location: str) -> None:
        self._opened = opened
        self._location = location

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._opened.get(_checked(key))
        return value

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        cursor = self._opened.cursor()
        if not (cursor.set_range(prefix) if prefix else cursor.first()):
            return
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value

    def put(self, key: bytes, value: bytes) -> None:
        self._opened.put(_checked(key), value)

    def delete(self, key: bytes) -> bool:
        return bool(self._opened.delete(_checked(key)))


def _checked(key: bytes) -> bytes:
    if not 0 < len(key) <= LONGEST_KEY:
        raise StoreError(f"a key has 1 to {LONGEST_KEY} bytes, not {len(key)}")
    return key


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _explained(error: lmdb.Error | OSError, folder: str) -> StoreError:
    text = str(error)
    if any(sign in text for sign in _FULL):
        return StoreFullError(f"no room to write to the store at {folder}: free some space; what was saved before stands")
    if isinstance(error, lmdb.CorruptedError | lmdb.InvalidError | lmdb.VersionMismatchError | lmdb.PageNotFoundError):
        return DamagedStoreError(f"the store at {folder} is damaged or no store: {text}; move it away and scan again")
    return StoreUnavailableError(f"the store at {folder} cannot be used: {text}")
