"""What lies in the folders of a tree, looked into one by one: safe against loops, devices and odd names."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Container

from attrs import evolve, field, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf.source import Folder

_SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".locks", ".no_exist"}
)


@frozen(kw_only=True)
class Listed:
    """What one look into a folder gave.

    Attributes:
        path: The folder.
        folder: Its files that somebody wants, or None where it cannot be listed.
        problems: What was left out of it, and why.
        below: Paths of the folders in it that are walked too.
        told: Its own stat data, from before it was listed; None where there was no need.
        listed_at: Unix time in nanoseconds, from before it was listed.
        links: Links to files that nobody wants, with the stat data of what they lead to.
        steady: Whether everything in it is a wanted file, of no interest, or a folder of its own, so that
            another look gives the same as long as the folder's and the files' stat data are the same.
    """

    path: str
    folder: Folder | None = None
    problems: list[Problem] = field(factory=list)
    below: list[str] = field(factory=list)
    told: os.stat_result | None = None
    listed_at: int = 0
    links: list[tuple[str, os.stat_result]] = field(factory=list)
    steady: bool = False


class Tree:
    """One walk through the folders below a root.

    Args:
        root: The root.
        wants: Whether a file of that name matters.
        left_out: Folders that are not walked.
        kept: Paths of files that matter whatever their names.

    Raises:
        OSError: The root is not there.
    """

    def __init__(
        self,
        root: str,
        wants: Callable[[str], bool],
        left_out: frozenset[str] = frozenset(),
        kept: Container[str] = (),
    ) -> None:
        self._wants_name = wants
        self._left_out = left_out
        self._kept = kept
        told = os.stat(root)
        self._real_root = os.path.realpath(root)
        self._seen = {(told.st_dev, told.st_ino)}

    def look(self, path: str) -> Listed:
        """List one folder: the root, or one that an earlier look gave as `below`."""
        listed = Listed(path=path, listed_at=time.time_ns())
        try:
            told = os.stat(path)
            with os.scandir(path) as listing:
                entries = sorted(listing, key=_name_of)
        except OSError as error:
            listed.problems.append(
                Problem(code="unreadable-folder", path=path, message=f"{path}: {reason_of(error)}")
            )
            return listed
        files: list[ArtifactFile] = []
        subfolders: list[str] = []
        steady = True
        for entry in entries:
            name = entry.name
            try:
                if entry.is_symlink():
                    steady = self._follow(entry, listed, files, subfolders) and steady
                elif entry.is_dir(follow_symlinks=False):
                    if name not in _SKIPPED_FOLDERS and entry.path not in self._left_out:
                        subfolders.append(name)
                        listed.below.append(entry.path)
                elif self._wants(entry):
                    steady = _keep(entry, listed, files) and steady
            except OSError as error:
                steady = False
                if self._wants(entry):
                    listed.problems.append(_unreadable(entry, error))
        folder = Folder(path=path, files=tuple(files), subfolders=tuple(subfolders))
        return evolve(listed, folder=folder, told=told, steady=steady)

    def _wants(self, entry: os.DirEntry[str]) -> bool:
        return self._wants_name(entry.name) or (bool(self._kept) and entry.path in self._kept)

    def _follow(
        self, entry: os.DirEntry[str], listed: Listed, files: list[ArtifactFile], subfolders: list[str]
    ) -> bool:
        """Take in what a link leads to; whether the link's stat data will tell of any change."""
        if entry.is_dir():
            problem = _link_problem(entry, self._real_root, self._seen)
            if problem is not None:
                listed.problems.append(problem)
            elif entry.name not in _SKIPPED_FOLDERS:
                subfolders.append(entry.name)
                listed.below.append(entry.path)
            return False
        if self._wants(entry):
            return _keep(entry, listed, files)
        # It may lead to a folder by the next scan, and nothing of this folder would tell.
        try:
            listed.links.append((entry.name, entry.stat()))
        except FileNotFoundError:
            return False
        return True


def _keep(entry: os.DirEntry[str], listed: Listed, files: list[ArtifactFile]) -> bool:
    """Take in a file that somebody wants; whether it is a regular one."""
    one = described(entry.name, entry.stat())
    if one is None:
        listed.problems.append(_special(entry.path))
        return False
    files.append(one)
    return True


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


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


def _unreadable(entry: os.DirEntry[str], error: OSError) -> Problem:
    reason = reason_of(error)
    if isinstance(error, FileNotFoundError) and entry.is_symlink():
        reason = f"links to {os.path.realpath(entry.path)}, which is not there"
    return Problem(code="unreadable", path=entry.path, message=f"{entry.path}: {reason}")


def _special(path: str) -> Problem:
    return Problem(
        code="not-a-regular-file",
        path=path,
        message=f"{path}: a pipe, socket or device, so it was not opened",
    )


def reason_of(error: OSError | ValueError) -> str:
    """Why the system refused, in its words."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
