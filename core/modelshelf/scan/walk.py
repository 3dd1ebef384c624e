"""The folders below a root, listed one by one in sorted order: safe against loops, devices and odd names.

`os.walk` would do neither: it follows every link or none, and gives no stat data of what it lists.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf.scan.file_names import TEMPLATE_FOLDERS, is_companion
from modelshelf.scan.passing import SILENT, problem_of
from modelshelf.source import Folder

if TYPE_CHECKING:
    from modelshelf.scan.links import LinkRule, Links
    from modelshelf.scan.passing import PassingRules
    from modelshelf.source import Listing

_MOST_TEMPLATES = 65  # of a folder for them; from the last one on they are not judged
_SKIPPED_FOLDERS = SILENT | {".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv"}


@frozen(kw_only=True)
class ListedFolder:
    """The result of listing one folder.

    Attributes:
        path: The folder.
        folder: Its files that somebody wants, or None where it cannot be listed.
        problems: What was left out of it, and why.
        below: Paths of the folders in it that are walked too.
        status: Its own stat data, from before it was listed; None where it cannot be listed.
        listed_at: Unix time in nanoseconds, from before it was listed.
        links: Names of links to files that nobody wants, with the stat data of what they lead to.
        repeatable: Whether everything in it is a wanted file, of no interest, or a folder of its own, so that
            listing it again gives the same as long as the folder's and the files' stat data are the same.
    """

    path: str
    folder: Folder | None = None
    problems: list[Problem] = field(factory=list)
    below: list[str] = field(factory=list)
    status: os.stat_result | None = None
    listed_at: int = 0
    links: list[tuple[str, os.stat_result]] = field(factory=list)
    repeatable: bool = False

    def listings(self) -> Iterator[Listing]:
        """Its problems, then its files."""
        yield from self.problems
        if self.folder is not None:
            yield self.folder


@define
class _Contents:
    """What a folder's entries give, entry by entry; see `ListedFolder`."""

    path: str
    names: frozenset[str]
    files: list[ArtifactFile] = field(factory=list)
    subfolders: list[str] = field(factory=list)
    below: list[str] = field(factory=list)
    links: list[tuple[str, os.stat_result]] = field(factory=list)
    problems: list[Problem] = field(factory=list)
    repeatable: bool = True


class FolderTree:
    """The folders below a root, for one walk; asks the system only about files whose names somebody wants.

    Links are followed by the rule; see `modelshelf.scan.links`.

    Args:
        root: The root.
        wants: Whether a file of that name matters.
        left_out: Folders that somebody else lists, by their absolute paths.
        wanted_paths: Paths of files that matter whatever their names.
        passing: What is passed over, with a word on it; None in the place of a tool, where that is little
            and nothing is said of it.
        rule: Makes the rule by which links out of the root are followed; None: those to files are. It is
            asked for with the first link: most trees have none.

    Attributes:
        links: The links that it came by, where there are any.

    Raises:
        OSError: The root is not there.
    """

    def __init__(
        self,
        root: str,
        wants: Callable[[str], bool],
        left_out: frozenset[str] = frozenset(),
        wanted_paths: Container[str] = (),
        passing: PassingRules | None = None,
        rule: Callable[[], LinkRule] | None = None,
    ) -> None:
        self._root = root
        self._wants_name = wants
        self._left_out = left_out
        self._wanted_paths = wanted_paths
        self._passing = passing
        self._rule = rule
        self.links: Links | None = None
        os.stat(root)

    def walk(
        self, unchanged: Callable[[str], Sequence[str] | None] = lambda _: None
    ) -> Iterator[ListedFolder]:
        """List the root and every folder below it, each before those in it.

        Args:
            unchanged: Gives the folders below a folder that need not be listed, by their paths, and None for
                one that has to be.
        """
        waiting = [self._root]
        while waiting:
            path = waiting.pop()
            below = unchanged(path)
            if below is None:
                listed = self.list_folder(path)
                yield listed
                below = listed.below
            waiting.extend(reversed(below))

    def list_folder(self, path: str) -> ListedFolder:
        """List one folder."""
        listed_at = time.time_ns()
        try:
            status = os.stat(path)
            with os.scandir(path) as listing:
                entries = sorted(listing, key=_name_of)
        except OSError as error:
            problem = Problem(code="unreadable-folder", path=path, message=f"{path}: {_reason(error)}")
            return ListedFolder(path=path, listed_at=listed_at, problems=[problem])
        names = frozenset(map(_name_of, entries))
        if self._passing is not None and self._passing.is_library(path, names):
            passed = [problem_of(path, "Python's own library")]
            return ListedFolder(path=path, listed_at=listed_at, problems=passed)
        found = _Contents(path=path, names=names)
        for entry in entries:
            try:
                if entry.is_symlink():
                    self._add_link(entry, found)
                elif entry.is_dir(follow_symlinks=False):
                    if entry.path not in self._left_out and not self._passes_over(entry, found):
                        repeats = None if self.links is None else self.links.folder_repeats(entry.path)
                        _add_folder(entry, found, repeats)
                elif self._wants(entry):
                    _add_file(entry, found)
            except OSError as error:
                found.repeatable = False
                if self._wants(entry):
                    found.problems.append(_unreadable(entry, error))
        return ListedFolder(
            path=path,
            folder=Folder(path=path, files=tuple(found.files), subfolders=tuple(found.subfolders)),
            problems=found.problems,
            below=found.below,
            status=status,
            listed_at=listed_at,
            links=found.links,
            repeatable=found.repeatable,
        )

    def _wants(self, entry: os.DirEntry[str]) -> bool:
        return self._wants_name(entry.name) or (bool(self._wanted_paths) and entry.path in self._wanted_paths)

    def _passes_over(self, entry: os.DirEntry[str], found: _Contents) -> bool:
        """Whether a folder is passed over; a word on it joins what was found."""
        if self._passing is None:
            return entry.name in _SKIPPED_FOLDERS
        if entry.name in SILENT:
            return True
        reason = self._passing.reason(found.path, found.names, entry.name)
        if reason is None:
            return False
        found.problems.append(problem_of(entry.path, reason))
        found.repeatable = False  # so that the next scan says so too
        return True

    def _links_met(self) -> Links:
        if self.links is None:
            from modelshelf.scan.links import LinkRule, Links

            rule = LinkRule() if self._rule is None else self._rule()
            self.links = Links(root=self._root, rule=rule, hidden=_SKIPPED_FOLDERS, left_out=self._left_out)
        return self.links

    def _add_link(self, entry: os.DirEntry[str], found: _Contents) -> None:
        if entry.is_dir():
            found.repeatable = False  # the link's stat data say nothing of a change of its target
            problem = self._links_met().folder_problem(entry)
            if problem is not None or not self._passes_over(entry, found):
                _add_folder(entry, found, problem)
        elif self._wants(entry):
            named = bool(self._wanted_paths) and entry.path in self._wanted_paths
            problem = None if named else self._links_met().file_problem(entry)
            if problem is None:
                _add_file(entry, found)
            elif entry.is_file():
                found.repeatable = False  # so that the next scan says so too
                found.problems.append(problem)
            else:
                _add_file(entry, found)  # which names what is no file, or not there
        else:
            try:  # it may lead to a folder by the next scan, and nothing of this folder would show that
                found.links.append((entry.name, entry.stat()))
            except FileNotFoundError:
                found.repeatable = False


def walk(
    root: str,
    wants: Callable[[str], bool],
    left_out: frozenset[str] = frozenset(),
    passing: PassingRules | None = None,
    rule: Callable[[], LinkRule] | None = None,
    followed: list[FolderTree] | None = None,
    *,
    link_levels: int = 0,
) -> Iterator[Listing]:
    """Every folder below `root`, itself first, and a problem for all that was left out; see `FolderTree`.

    Yields a problem of code ``absent`` where the root is not there. A root that is a file gives the folder
    around it, in which its shards and companions lie, with that file named.

    Args:
        root: The root.
        wants: As for a tree, like the rest.
        left_out: See there.
        passing: See there.
        rule: See there.
        followed: Grows by the tree of this walk.
        link_levels: The levels of the rule, where none is given.
    """
    if rule is None and link_levels:
        from modelshelf.scan.links import LinkRule

        rule = partial(LinkRule, levels=link_levels)
    try:
        is_folder = stat.S_ISDIR(os.stat(root).st_mode)
        tree = FolderTree(root, wants, left_out, passing=passing, rule=rule) if is_folder else None
    except (OSError, ValueError) as error:
        yield absent(root, error)
        return
    if tree is None:
        yield from _around(root, wants, rule)
        return
    if followed is not None:
        followed.append(tree)
    for listed in tree.walk():
        yield from listed.listings()


def _around(
    file: str, wants: Callable[[str], bool], rule: Callable[[], LinkRule] | None
) -> Iterator[Listing]:
    path, name = os.path.split(file)
    path = path or "."
    tree = FolderTree(path, wants, wanted_paths={f"{path.rstrip('/')}/{name}"}, rule=rule)
    listed = tree.list_folder(path)
    yield from (one for one in listed.problems if one.path in {file, path})
    if listed.folder is not None:
        yield evolve(listed.folder, subfolders=(), named=name)


def regular_file(name: str, status: os.stat_result) -> ArtifactFile | None:
    """The file with these stat data, or None where it is no regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return ArtifactFile(
        name=name,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        ctime_ns=status.st_ctime_ns,
    )


def absent(root: str, error: OSError | ValueError) -> Problem:
    """The problem of a root that is not there: nothing below it is taken for gone."""
    return Problem(code="absent", path=root, message=f"{root}: {_reason(error)}; nothing there was changed")


def _name_of(entry: os.DirEntry[str]) -> str:
    return entry.name


def _add_folder(entry: os.DirEntry[str], found: _Contents, problem: Problem | None) -> None:
    """Have a folder walked too; the chat templates in it count among the files of the one that it is in."""
    if problem is not None:
        found.repeatable = False
        found.problems.append(problem)
        return
    found.subfolders.append(entry.name)
    found.below.append(entry.path)
    if entry.name not in TEMPLATE_FOLDERS:
        return
    with os.scandir(entry.path) as listing:
        entries = [one for one in listing if is_companion(f"{entry.name}/{one.name}")]
    for template in sorted(entries, key=_name_of)[:_MOST_TEMPLATES]:
        one = regular_file(f"{entry.name}/{template.name}", template.stat())
        if one is not None:
            found.files.append(one)


def _add_file(entry: os.DirEntry[str], found: _Contents) -> None:
    one = regular_file(entry.name, entry.stat())
    if one is None:
        found.repeatable = False
        message = f"{entry.path}: a pipe, socket or device, so it was not opened"
        found.problems.append(Problem(code="not-a-regular-file", path=entry.path, message=message))
    else:
        found.files.append(one)


def _unreadable(entry: os.DirEntry[str], error: OSError) -> Problem:
    reason = _reason(error)
    if isinstance(error, FileNotFoundError) and entry.is_symlink():
        reason = f"links to {os.path.realpath(entry.path)}, which is not there"
    return Problem(code="unreadable", path=entry.path, message=f"{entry.path}: {reason}")


def _reason(error: OSError | ValueError) -> str:
    """Why the system refused, in its words."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
