"""What LMDB and the system say, in words that tell what to do."""

from __future__ import annotations

import errno
import os

import lmdb
from modelshelf.errors import DamagedStoreError, StoreError, StoreFullError, StoreUnavailableError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)
REPAIR = "`modelshelf doctor` tells what is left, `modelshelf doctor --repair` saves it"


def damaged(location: str, reason: object) -> DamagedStoreError:
    """The error for a store whose file is not whole."""
    return DamagedStoreError(f"{location}: the store is damaged: {reason}; {REPAIR}")


def translated(error: Exception, location: str, doing: str) -> StoreError:
    """The `StoreError` for what LMDB or the system raised while `doing` something to the store."""
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "code", None) or getattr(error, "errno", None)
    if code in _FULL:
        return StoreFullError(
            f"{location}: no room left for {doing} ({_system(code)}); what was saved before stands: "
            "free some space and try again"
        )
    if isinstance(error, _DAMAGED):
        return damaged(location, error)
    if code in _REFUSED:
        return StoreUnavailableError(f"{location}: {doing} is not allowed ({_system(code)}); check the permissions")
    if isinstance(error, lmdb.LockError):
        return StoreUnavailableError(
            f"{location}: {doing} failed: the lock is held by a process of the same number, as two containers on "
            "one volume have it; let one of them use the store at a time"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return StoreUnavailableError(f"{location}: too many processes and threads read the store at once; try again")
    if code == errno.ENOMEM or isinstance(error, lmdb.MemoryError):
        return StoreUnavailableError(f"{location}: {doing} failed: not enough memory or address space for its map")
    if code is not None and code > 0:
        return StoreUnavailableError(
            f"{location}: {doing} failed ({_system(code)}); what was saved before stands"
        )
    return StoreUnavailableError(f"{location}: {doing} failed: {error}")


def _system(code: int) -> str:
    return f"{os.strerror(code)}, {errno.errorcode.get(code, code)}"
