"""Turn what LMDB and the system raise into `StoreError`s that say what to do."""

from __future__ import annotations

import errno
import os

import lmdb

from modelshelf.errors import DamagedStoreError, StoreError, StoreFullError, StoreUnavailableError
from modelshelf_lmdb.pages import DATA_NAME

REPAIR = "`modelshelf doctor --repair` salvages what can be read"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_DAMAGED = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
)
_LITTLE_ROOM = 64 * 1024  # bytes


def damaged(location: str, reason: object) -> DamagedStoreError:
    """Make the error for a store whose file is not whole."""
    return DamagedStoreError(f"{location}: the store is damaged: {reason}; {REPAIR}")


def foreign(location: str, what: str) -> StoreUnavailableError:
    """Make the error for a data file that is not a store's; `what` says what it is."""
    return StoreUnavailableError(
        f"{location}/{DATA_NAME}: {what}, and was left as it is; name another folder for the store"
    )


def translated(error: Exception, location: str, doing: str) -> StoreError:
    """Make the `StoreError` for what LMDB or the system raised while `doing` something to the store."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, _DAMAGED):
        return damaged(location, error)
    code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
    if code in _FULL or (code == errno.EIO and _is_out_of_room(location)):
        return StoreFullError(
            f"{location}: no room left for {doing} ({_describe(code)}); what was saved before stands: "
            "free some space and try again"
        )
    return StoreUnavailableError(f"{location}: {doing} failed: {_reason(error, code)}")


def _reason(error: Exception, code: int) -> str:
    if isinstance(error, lmdb.LockError):
        return (
            "a process of the same number holds the lock, as two containers on one volume may; "
            "let one of them use the store at a time"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return "too many processes and threads read the store at once; try again"
    if code in _REFUSED:
        return f"{_describe(code)}; check the permissions of the folder and its files"
    if code == errno.ENOMEM:
        return "not enough memory or address space for the store's map"
    return f"{_describe(code)}; what was saved before stands" if code > 0 else str(error)


def _is_out_of_room(folder: str) -> bool:
    """Whether the disk is full, or the file as large as this process may make one.

    LMDB reports a write that was cut short as an input/output error, whatever the cause.
    """
    try:
        disk = os.statvfs(folder)
        size = os.stat(os.path.join(folder, DATA_NAME)).st_size
    except (AttributeError, OSError):
        return False
    if disk.f_bavail * disk.f_frsize < _LITTLE_ROOM:
        return True
    import resource  # Windows has none

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return limit != resource.RLIM_INFINITY and size + _LITTLE_ROOM > limit


def _describe(code: int) -> str:
    return f"{os.strerror(code)}, {errno.errorcode.get(code, code)}"
