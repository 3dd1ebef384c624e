"""Folders below a root, one at a time, in sorted order: safe against loops, devices and odd names."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.model import ArtifactFile, Problem
from modelshelf.source import Folder, Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".locks", ".no_exist"}
)


class Walker:
    """Walks plain folders; asks the system only about files whose names somebody wants.

    A link to a folder is followed where it stays within the root, once; a link out of it is named, not
    followed. Links to files are followed: only a header is ever read from what they lead to.
    """

    def __init__(self, wants: Callable[[str], bool]) -> None:
        self._wants = wants

    def __call__(self, root: str) -> Iterator[Listing]:
        """Every folder below `root`, itself first, and a problem for all that was left out.

        Yields a problem of code ``absent`` where the root is not there. A root that is a file gives
        the folder that holds it, with that file alone.
        """
        try:
            told = os.stat(root)
        except (OSError, ValueError) as error:
            yield Problem(
                code="absent", path=root, message=f"{root}: {_why(error)}; nothing there was changed"
            )
            return
        if not stat.S_ISDIR(told.st_mode):
            yield from self._around(root)
            return
        real_root = os.path.realpath(root)
        seen = {(told.st_dev, told.st_ino)}
        waiting = [root]
        while waiting:
            path = waiting.pop()
            below: list[str] = []
            yield from self._list_folder(path, real_root, seen, below)
            waiting.extend(reversed(below))

    def _around(self, file: str) -> Iterator[Listing]:
        """The folder of one file: its shards and companions lie beside it."""
        folder, name = os.path.split(file)
        alone = Walker(lambda entry: entry == name or self._wants(entry))
        for listed in alone._list_folder(folder or ".", "", set(), []):
            if isinstance(listed, Folder):
                yield evolve(listed, subfolders=(), named=name)
            elif isinstance(listed, Problem) and listed.path in {file, folder}:
                yield listed

    def _list_folder(
        self, path: str, real_root: str, seen: set[tuple[int, int]], below: list[str]
    ) -> Iterator[Listing]:
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Problem(code="unreadable-folder", path=path, message=f"{path}: {_why(error)}")
            return
        files: list[ArtifactFile] = []
        subfolders: list[str] = []
        for entry in entries:
            try:
                if _is_folder(entry):
                    problem = _link_problem(entry, real_root, seen) if entry.is_symlink() else None
                    if problem is not None:
                        yield problem
                    elif entry.name not in _SKIPPED_FOLDERS:
                        subfolders.append(entry.name)
                        below.append(entry.path)
                elif self._wants(entry.name):
                    one = described(entry.name, entry.stat())
                    if one is None:
                        yield _special(entry.path)
                    else:
                        files.append(one)
            except OSError as error:
                if self._wants(entry.name):
                    yield Problem(code="unreadable", path=entry.path, message=f"{entry.path}: {_why(error)}")
        yield Folder(path=path, files=tuple(files), subfolders=tuple(subfolders))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # Without a link the entry itself tells, at no cost; only a link has to be followed.
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and entry.is_dir())


def described(name: str, told: os.stat_result) -> ArtifactFile | None:
    """The file that a stat tells of, or None where it is no regular file."""
    if not stat.S_ISREG(told.st_mode):
        return None
    return ArtifactFile(name=name, size=told.st_size, mtime_ns=told.st_mtime_ns, inode=told.st_ino)


def _link_problem(entry: os.DirEntry[str], real_root: str, seen: set[tuple[int, int]]) -> Problem | None:
    """Why a link to a folder is not followed, or None where it is; it is followed once."""
    target = os.path.realpath(entry.path)
    if os.path.commonpath((real_root, target)) == real_root:
        told = entry.stat()
        # What lies below the root is walked in its own place; a loop comes back to what was seen.
        if (told.st_dev, told.st_ino) in seen or not _hidden_from_walk(target, real_root):
            return Problem(
                code="linked-folder",
                path=entry.path,
                message=f"{entry.path}: links to a folder that is scanned in its own place",
            )
        seen.add((told.st_dev, told.st_ino))
        return None
    return Problem(
        code="link-leaves-root",
        path=entry.path,
        message=f"{entry.path}: links out of the scanned folder, so not followed; scan {target} itself",
    )


def _hidden_from_walk(target: str, real_root: str) -> bool:
    return any(part in _SKIPPED_FOLDERS for part in os.path.relpath(target, real_root).split(os.sep))


def _special(path: str) -> Problem:
    return Problem(
        code="not-a-regular-file",
        path=path,
        message=f"{path}: a pipe, socket or device, so it was not opened",
    )


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
