"""The store in an LMDB file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

import lmdb

from modelshelf.errors import DamagedStoreError, StoreError, StoreUnavailableError
from modelshelf_lmdb.environment import Environment, open_environment
from modelshelf_lmdb.errors import REPAIR, translated
from modelshelf_lmdb.transaction import LmdbSnapshot, LmdbTransaction

if TYPE_CHECKING:
    from modelshelf.model.health import Finding
    from modelshelf.store import Snapshot, Transaction

T = TypeVar("T")

_SCHEME = "lmdb:"


class LmdbStore:
    """A store in a folder, after the contract of `modelshelf.store.Store`.

    It may be used from several threads, and any number may be open on one folder in one process. A view
    inside a view or an update of the same thread is fine, and sees what is committed; an update inside a view
    or an update of the same thread is refused, because it would wait for itself when the store has to grow.
    """

    def __init__(self, environment: Environment, *, readonly: bool) -> None:
        self._environment: Environment | None = environment
        self._readonly = readonly
        self._folder = environment.folder
        self._revision = environment.revision

    @classmethod
    def open(cls, path: str, *, readonly: bool = False) -> Self:
        """Open the store in a folder, given as a path or as ``lmdb:///path``.

        Creates the folder (mode 0700) and the files (0600) unless `readonly`, which creates nothing.

        Raises:
            StoreUnavailableError: It cannot be opened or created.
            StoreFullError: There is no room to create it.
            DamagedStoreError: Its file is damaged.
        """
        folder = folder_of(path)
        return cls(open_environment(folder, readonly=readonly), readonly=readonly)

    @property
    def location(self) -> str:
        """The folder."""
        return self._folder

    def revision(self) -> int:
        """LMDB's last transaction id.

        Raises:
            StoreUnavailableError: The store was closed.
        """
        if self._environment is None:
            self._usable()
        return self._revision()

    def watch(self, revision: int) -> tuple[Sequence[int], int] | None:
        """Memory that tells of the next commit, see `modelshelf.store.Watched`; None where there is none.

        Raises:
            StoreUnavailableError: The store was closed.
        """
        return self._usable().watch(revision)

    def view(self, work: Callable[[Snapshot], T]) -> T:
        """Run `work` on the newest committed state.

        Raises:
            DamagedStoreError: A page that it needs is damaged.
            StoreUnavailableError: The store was closed, or cannot be read.
        """
        environment = self._usable()
        snapshot = _begin_view(environment)
        try:
            result = work(snapshot)
        finally:
            snapshot.end()
            environment.leave(snapshot)
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
        environment = self._usable()
        if self._readonly:
            raise StoreUnavailableError(f"{self._folder}: the store was opened for reading only")
        if environment.gate.depth:
            raise StoreError(
                f"{self._folder}: an update cannot begin inside a view or update of the same thread; "
                "collect what it needs, end that, then update"
            )
        with environment.writer:
            while True:
                done, result = _attempt(environment, work)
                if done:
                    return result  # type: ignore[return-value]  # it is work's own result then
                environment.grow()

    def check(self) -> Iterator[Finding]:
        """Look over every page with `lmdb.verify`, while no other process writes, and around the file."""
        from modelshelf.model.health import Finding, Severity
        from modelshelf_lmdb.check import look_around

        environment = self._usable()
        try:
            environment.file.ensure_in_place()
            yield from look_around(environment)
            problems = _verify(environment)
        except (StoreError, OSError) as told:
            error = translated(told, self._folder, "looking at it")
            code = "store-damaged" if isinstance(error, DamagedStoreError) else "store-unavailable"
            yield Finding(code=code, severity=Severity.ERROR, message=str(error))
            return
        for problem in problems:
            yield Finding(
                code="store-damaged", severity=Severity.ERROR, message=f"{self._folder}: {problem}; {REPAIR}"
            )

    def close(self) -> None:
        """Let go of the store; twice is fine."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.release()

    def _usable(self) -> Environment:
        if self._environment is None:
            raise StoreUnavailableError(f"{self._folder}: the store was closed")
        return self._environment


def folder_of(path: str) -> str:
    """The folder that a path or an ``lmdb:`` URL names, absolute.

    Raises:
        StoreUnavailableError: It names none.
    """
    if path[: len(_SCHEME)].lower() == _SCHEME:
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(path)
        if parts.netloc not in {"", "localhost"}:
            raise StoreUnavailableError(f"{path}: write three slashes, as in lmdb:///srv/models/registry")
        path = unquote(parts.path, errors="surrogateescape")
    if not path:
        raise StoreUnavailableError("the store's path is empty")
    if "\0" in path:
        raise StoreUnavailableError(f"{path!r}: a path cannot hold a NUL")
    return os.path.abspath(os.path.expanduser(path))


def _begin(environment: Environment, *, write: bool) -> lmdb.Transaction[bytes]:
    """Come in and begin; `environment.leave` must follow."""
    dead_readers_cleared = False
    while True:
        opened = environment.enter()
        try:
            environment.file.ensure_metas()
            return opened.begin(write=write, buffers=False)
        except lmdb.MapResizedError:
            environment.leave()
            environment.adopt_size()
        except lmdb.ReadersFullError as error:
            environment.leave()
            if dead_readers_cleared:
                raise translated(error, environment.folder, "reading") from error
            opened.reader_check()
            dead_readers_cleared = True
        except (lmdb.Error, StoreError) as error:
            environment.leave()
            raise translated(error, environment.folder, "writing" if write else "reading") from error


def _begin_view(environment: Environment) -> LmdbSnapshot:
    while True:
        txn = _begin(environment, write=False)
        try:
            meta = environment.file.meta_of(txn.id())
            if meta is not None:
                environment.file.ensure_whole(meta)
                snapshot = LmdbSnapshot(environment, txn, meta)
                environment.admit(snapshot)
                return snapshot
        except BaseException:
            txn.abort()
            environment.leave()
            raise
        # Two commits fell between the transaction's begin and the look at its meta page.
        txn.abort()
        environment.leave()


def _begin_update(environment: Environment) -> LmdbTransaction:
    file = environment.file
    file.ensure_in_place()
    txn = _begin(environment, write=True)
    try:
        file.ensure_in_place()  # while this waited for its turn, a repair may have ended
        meta = file.newest()
        file.ensure_whole(meta)
        file.check_for_writing(meta)
    except BaseException:
        txn.abort()
        environment.leave()
        raise
    transaction = LmdbTransaction(environment, txn, meta)
    environment.admit(transaction)
    return transaction


def _attempt(environment: Environment, work: Callable[[Transaction], T]) -> tuple[bool, T | None]:
    """Run `work` and commit; whether that was done (else the map has to grow first), and work's result."""
    transaction = _begin_update(environment)
    failed: Exception | None = None
    result = None
    try:
        result = work(transaction)
        if not transaction.outgrown:
            transaction.commit()
    except lmdb.MapFullError:
        transaction.outgrown = True
    except lmdb.Error as error:
        failed = error
    except Exception:
        if not transaction.outgrown:
            raise
    finally:
        transaction.end()
        environment.leave(transaction)
    if failed is not None:
        environment.discard()
        raise translated(failed, environment.folder, "saving") from failed
    environment.count(transaction.changes)
    return not transaction.outgrown, result


def _verify(environment: Environment) -> list[str]:
    from lmdb.verify import VerifyError, verify

    # A writer must not change the file under the look; a reader of a read-only folder has to hope.
    lock = environment.writable and not environment.gate.depth
    txn = _begin(environment, write=True) if lock else None
    try:
        return [str(problem) for problem in verify(environment.folder)]
    except VerifyError as error:
        return [str(error)]
    except OSError as error:
        raise translated(error, environment.folder, "reading") from error
    finally:
        if txn is not None:
            txn.abort()
            environment.leave()
