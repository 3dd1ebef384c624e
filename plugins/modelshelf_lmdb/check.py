"""What is around the file of a store: who may read it, room on the disk, readers that stay."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelshelf.model.health import Finding, Severity

if TYPE_CHECKING:
    from modelshelf_lmdb.environment import Environment


_LEAST_ROOM = 32 * 1024 * 1024  # bytes

_MANY_COMMITS = 1000

_LEFTOVERS = ("repair-", "data.mdb.damaged-")


def look_around(environment: Environment) -> Iterator[Finding]:
    """Check the modes of the folder and its files, the disk's room, the readers, and what repairs left.

    Raises:
        OSError: The folder cannot be looked at.
    """
    folder = environment.folder
    yield from _modes(folder)
    yield from _room(folder)
    yield from _readers(environment)
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


def _modes(folder: str) -> Iterator[Finding]:
    for path, mode in ((folder, "700"), (f"{folder}/data.mdb", "600"), (f"{folder}/lock.mdb", "600")):
        if os.path.exists(path) and stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            yield Finding(
                code="store-open-to-others",
                severity=Severity.WARNING,
                message=f"{path}: other accounts can read or change it; `chmod {mode}` it",
            )


def _room(folder: str) -> Iterator[Finding]:
    if not hasattr(os, "statvfs"):
        return
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    wanted = max(_LEAST_ROOM, Path(folder, "data.mdb").stat().st_size)
    if free < wanted:
        yield Finding(
            code="little-room",
            severity=Severity.WARNING,
            message=f"{folder}: the disk has {free} bytes left, and a change or a repair may want {wanted}; "
            "free some space",
        )


def _readers(environment: Environment) -> Iterator[Finding]:
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
