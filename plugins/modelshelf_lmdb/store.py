"""The store in an LMDB file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

import lmdb

from modelshelf.errors import StoreError, StoreUnavailableError
from modelshelf_lmdb.environment import Environment, open_environment
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.folder import has_store, is_writable
from modelshelf_lmdb.identity import Origin
from modelshelf_lmdb.transaction import LmdbSnapshot, LmdbTransaction

if TYPE_CHECKING:
    from modelshelf.model.health import Finding
    from modelshelf.store import Snapshot, Transaction

T = TypeVar("T")

_SCHEME = "lmdb:"
_FOR_READING = "the store was opened for reading only"
_UNWRITABLE = (
    "the store can only be read: its volume is mounted read-only, or this account may not write it; check "
    "the permissions of the folder and its files, then open it again"
)


class LmdbStore:
    """A store in a folder, after the contract of `modelshelf.store.Store`.

    It may be used from several threads, and any number may be open on one folder in one process. A view
    inside a view or an update of the same thread is fine, and reads what is committed; an update inside a
    view or an update of the same thread is refused, because it would wait for itself when the store has to
    grow. One key, `identity.KEY`, is the store's own: nobody can set or remove it.
    """

    def __init__(self, environment: Environment, *, refusal: str | None) -> None:
        self._environment: Environment | None = environment
        self._refusal = refusal  # why it does not update
        self._folder = environment.folder
        self._revision = environment.revision

    @classmethod
    def open(cls, path: str, *, readonly: bool = False) -> Self:
        """Open the store in a folder, given as a path or as ``lmdb:///path``.

        Creates the folder (mode 0700) and the files (0600) unless `readonly`, which creates nothing. A store
        that the system lets nobody write is opened for reading only.

        Raises:
            StoreAbsentError: There is none, and it is to be opened for reading only.
            StoreUnavailableError: It cannot be opened or created.
            StoreFullError: There is no room to create it.
            DamagedStoreError: Its file is damaged.
        """
        folder = folder_of(path)
        refusal = _FOR_READING if readonly else None
        if not readonly and has_store(folder) and not is_writable(folder):
            refusal = _UNWRITABLE
        return cls(open_environment(folder, readonly=refusal is not None), refusal=refusal)

    @property
    def location(self) -> str:
        """The folder."""
        return self._folder

    def revision(self) -> int:
        """Return LMDB's last transaction id.

        Raises:
            StoreUnavailableError: The store was closed.
        """
        if self._environment is None:
            self._open_environment()
        return self._revision()

    def watch(self, revision: int) -> tuple[Sequence[int], int] | None:
        """Return memory that shows the next commit, see `modelshelf.store.Store.watch`; None without any.

        Raises:
            StoreUnavailableError: The store was closed.
        """
        return self._open_environment().watch(revision)

    def view(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on the newest committed state.

        Raises:
            DamagedStoreError: A page that it needs is damaged.
            StoreUnavailableError: The store was closed, or cannot be read.
        """
        environment = self._open_environment()
        snapshot = _begin_view(environment)
        try:
            result = work(snapshot)
        finally:
            snapshot.end()
            environment.end(snapshot)
        if not environment.locked and environment.revision() > snapshot.meta.revision + 1:
            raise StoreUnavailableError(
                f"{self._folder}: the store was changed while it was read without its lock file; try again"
            )
        return result

    def update(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction and commit it durably; waits for other writers.

        Raises:
            StoreFullError: The disk is full; nothing of this update was kept.
            DamagedStoreError: A page that it needs is damaged.
            StoreUnavailableError: The store is closed, read-only, removed, or cannot be written.
            StoreError: The thread is inside a view or an update of this store already.
        """
        environment = self._open_environment()
        if self._refusal is not None:
            raise StoreUnavailableError(f"{self._folder}: {self._refusal}")
        if environment.gate.depth:
            raise StoreError(
                f"{self._folder}: an update cannot begin inside a view or update of the same thread; "
                "collect what it needs, end that, then update"
            )
        with environment.writer:
            while True:
                done, result = _try_update(environment, work)
                if done:
                    return result  # type: ignore[return-value]  # it is work's own result then
                environment.grow()

    def check(self) -> Iterator[Finding]:
        """Check every page, while no other process writes, and the folder around the file."""
        from modelshelf_lmdb.check import check  # no quick command needs findings

        yield from check(self._open_environment())

    def close(self) -> None:
        """Close the store; twice is fine."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.remove_store()

    def _open_environment(self) -> Environment:
        if self._environment is None:
            raise StoreUnavailableError(f"{self._folder}: the store was closed")
        return self._environment


def folder_of(path: str) -> str:
    """Return the absolute path of the folder that a path or an ``lmdb:`` URL names.

    Raises:
        StoreUnavailableError: It names none.
    """
    if path[: len(_SCHEME)].lower() == _SCHEME:
        from urllib.parse import unquote, urlsplit  # slow to import, and most stores are plain paths

        parts = urlsplit(path)
        if parts.netloc not in {"", "localhost"}:
            raise StoreUnavailableError(f"{path}: write three slashes, as in lmdb:///srv/models/registry")
        path = unquote(parts.path, errors="surrogateescape")
    if not path:
        raise StoreUnavailableError("the store's path is empty")
    if "\0" in path:
        raise StoreUnavailableError(f"{path!r}: a path cannot hold a NUL")
    return os.path.abspath(os.path.expanduser(path))


def _begin_view(environment: Environment) -> LmdbSnapshot:
    """Begin a view of a state whose file is long enough; `environment.end` must follow."""
    while True:
        txn = environment.begin(write=False)
        try:
            meta = environment.file.meta_of(txn.id())
            if meta is not None:
                environment.file.check_length(meta)
                snapshot = LmdbSnapshot(environment.file, txn, meta)
                environment.register(snapshot)
                return snapshot
        except BaseException:
            txn.abort()
            environment.end()
            raise
        # Two commits fell between the transaction's begin and the read of its meta page.
        txn.abort()
        environment.end()


def _begin_update(environment: Environment) -> LmdbTransaction:
    """Begin an update of a file that was checked for writing; `environment.end` must follow."""
    file = environment.file
    file.check_origin()
    file.check_in_place()
    txn = environment.begin(write=True)
    try:
        file.check_in_place()  # while this waited for its turn, a repair may have ended
        meta = file.newest()
        file.check_length(meta)
        file.check_for_writing(meta)
    except BaseException:
        txn.abort()
        environment.end()
        raise
    transaction = LmdbTransaction(file, txn, meta)
    environment.register(transaction)
    return transaction


def _try_update(environment: Environment, work: Callable[[Transaction], T]) -> tuple[bool, T | None]:
    """Run `work` and commit; whether that was done (else the map has to grow first), and work's result."""
    transaction = _begin_update(environment)
    failed: Exception | None = None
    result = None
    try:
        result = work(transaction)
        marks = bool(transaction.changes) and environment.file.origin is not Origin.MARKED
        if marks and not transaction.outgrown:
            transaction.mark()
        if not transaction.outgrown:
            transaction.commit()
            if marks:
                environment.file.origin = Origin.MARKED
    except lmdb.MapFullError:
        transaction.outgrown = True
    except lmdb.Error as error:
        failed = error
    except Exception:
        if not transaction.outgrown:
            raise
    finally:
        transaction.end()
        environment.end(transaction)
    if failed is not None:
        environment.reopen()
        raise translated(failed, environment.folder, "saving") from failed
    environment.count_changes(transaction.changes)
    return not transaction.outgrown, result
