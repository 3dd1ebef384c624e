"""Check a whole store: every page, who may read the folder, room on the disk, long readers, leftovers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf.model.health import Finding, Severity
from modelshelf_lmdb.errors import REPAIR, translated
from modelshelf_lmdb.pages import DATA_NAME, LOCK_NAME

if TYPE_CHECKING:
    from modelshelf_lmdb.environment import Environment

_MIN_ROOM = 32 * 1024 * 1024  # bytes
_BLOCK = 512  # bytes; that of st_blocks, whatever the file system's own is
_MANY_COMMITS = 1000
_LEFTOVERS = ("repair-", f"{DATA_NAME}.damaged-")


def check(environment: Environment) -> Iterator[Finding]:
    """Check every page with `lmdb.verify`, while no other process writes, and the folder around the file."""
    folder = environment.folder
    try:
        environment.file.check_in_place()
        yield from _check_folder(environment)
        problems = _verify(environment)
    except (StoreError, OSError) as raised:
        error = translated(raised, folder, "looking at it")
        code = "store-damaged" if isinstance(error, DamagedStoreError) else "store-unavailable"
        yield Finding(code=code, severity=Severity.ERROR, message=str(error))
        return
    for problem in problems:
        yield Finding(code="store-damaged", severity=Severity.ERROR, message=f"{folder}: {problem}; {REPAIR}")


def _verify(environment: Environment) -> list[str]:
    from lmdb.verify import VerifyError, verify

    environment.file.check_extent()  # that goes over every page that there should be
    # A writer must not change the file meanwhile; a reader of a read-only folder has to hope.
    lock = environment.writable and not environment.gate.depth
    txn = environment.begin(write=True) if lock else None
    try:
        return [str(problem) for problem in verify(environment.folder)]
    except VerifyError as error:
        return [str(error)]
    except OSError as error:
        raise translated(error, environment.folder, "reading") from error
    finally:
        if txn is not None:
            txn.abort()
            environment.end()


def _check_folder(environment: Environment) -> Iterator[Finding]:
    """Check the modes of the folder and its files, the disk's room, the readers, and what repairs left.

    Raises:
        OSError: The folder cannot be read.
    """
    folder = environment.folder
    yield from _check_modes(folder)
    yield from _check_room(folder)
    yield from _check_readers(environment)
    for name in sorted(os.listdir(folder)):
        if name.startswith(_LEFTOVERS):
            what = (
                "was left by a repair that was ended" if name.startswith("repair-") else "is a damaged store"
            )
            yield Finding(
                code="store-leftover",
                severity=Severity.INFO,
                message=f"{folder}/{name}: {what}; delete it when nothing of it is wanted",
            )


def _check_modes(folder: str) -> Iterator[Finding]:
    for path, mode in ((folder, "700"), (f"{folder}/{DATA_NAME}", "600"), (f"{folder}/{LOCK_NAME}", "600")):
        if os.path.exists(path) and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            yield Finding(
                code="store-open-to-others",
                severity=Severity.WARNING,
                message=f"{path}: other accounts can read or change it; `chmod {mode}` it",
            )


def _check_room(folder: str) -> Iterator[Finding]:
    if not hasattr(os, "statvfs"):
        return
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    status = Path(folder, DATA_NAME).stat()
    wanted = max(_MIN_ROOM, min(status.st_size, status.st_blocks * _BLOCK))
    if free < wanted:
        yield Finding(
            code="little-room",
            severity=Severity.WARNING,
            message=f"{folder}: the disk has {free} bytes left, and a change or a repair may want {wanted}; "
            "free some space",
        )


def _check_readers(environment: Environment) -> Iterator[Finding]:
    if environment.dead_readers:
        yield Finding(
            code="stale-readers",
            severity=Severity.INFO,
            message=f"{environment.folder}: {environment.dead_readers} readers ended without leaving, as "
            "killed programs do; their places were cleared",
        )
    newest = environment.revision()
    for process, revision in environment.readers():
        if newest - revision > _MANY_COMMITS:
            yield Finding(
                code="long-reader",
                severity=Severity.WARNING,
                message=f"{environment.folder}: process {process} still reads a state {newest - revision} "
                "commits old, so that the file cannot use old pages again; end that program",
            )
