"""Which symbolic links a walk follows: one rule for every place, by what the place is.

Within the place a link is followed. What leads out of a plain folder is followed where it is a file that, by
its real name, is one of a model; a folder out there where the settings say so. In a tool's own place that
tool's source decides, as the tool itself would. A folder is walked once, whatever leads to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.model import Problem

if TYPE_CHECKING:
    from modelshelf.scan.file_names import FormatTable

REPEATED = "linked-folder"
"""Code of what says that a link leads to a folder that is walked in another place; it is no problem."""

LEAVES = "link-leaves-root"
"""Code of what says that a link out of the place was not followed; it is no problem."""

ANY_LEVEL = 1 << 30
"""Levels below a root for `LinkRule.levels`: links to folders are followed everywhere."""

_BLOB_NAME = re.compile(r"(?:sha256[-:])?(?:[0-9a-f]{64}|[0-9a-f]{40})")
"""How tools name a file by its content: Ollama's and RamaLama's blobs, those of the Hub's cache."""


@frozen(kw_only=True)
class LinkRule:
    """What of the links out of a place is followed.

    Attributes:
        is_model_file: Whether a file out there is followed by its real name; None: every one is, as its
            source sees to it.
        levels: Down to how many levels below the root links to folders are followed.
    """

    is_model_file: Callable[[str], bool] | None = None
    levels: int = 0


def plain_rule(formats: FormatTable, *, follow_links: bool) -> LinkRule:
    """The rule of a plain folder.

    Args:
        formats: The names that the formats claim.
        follow_links: Whether links to folders out there are followed too.
    """
    from modelshelf.scan.file_names import is_companion

    def is_model_file(name: str) -> bool:
        named = formats.claims(name) or formats.is_index(name) or is_companion(name)
        return named or _BLOB_NAME.fullmatch(name) is not None

    return LinkRule(is_model_file=is_model_file, levels=ANY_LEVEL if follow_links else 0)


@frozen(kw_only=True, eq=False)
class Links:
    """The links of one walk: what they lead to, and what was followed already.

    Attributes:
        root: The root of the walk.
        rule: What is followed.
        hidden: Names of folders that the walk does not enter by itself.
        left_out: Folders that somebody else lists, by their absolute paths.
        real_root: The root without links.
        outside: Real paths of the folders out of the place that were followed, by their paths below the root.
        files: Paths of the links to files that were followed.
    """

    root: str
    rule: LinkRule
    hidden: Container[str]
    left_out: frozenset[str] = frozenset()
    real_root: str = field()
    outside: dict[str, str] = field(factory=dict, init=False)
    files: set[str] = field(factory=set, init=False)
    _entered: set[tuple[int, int]] = field(factory=set, init=False)

    @real_root.default
    def _without_links(self) -> str:
        return os.path.realpath(self.root)

    def __attrs_post_init__(self) -> None:
        self._is_new(os.stat(self.root))

    def folder_problem(self, entry: os.DirEntry[str]) -> Problem | None:
        """Why a link to a folder is not followed; None where it is, once."""
        target = os.path.realpath(entry.path)
        if self._is_within(target):
            # What lies below the root is walked in its own place; a loop comes back to a folder of it.
            hidden = any(
                part in self.hidden for part in os.path.relpath(target, self.real_root).split(os.sep)
            )
            return None if hidden and self._is_new(entry.stat()) else _repeated(entry.path)
        level = os.path.relpath(entry.path, self.root).count(os.sep) + 1
        if level > self.rule.levels:
            message = f"{entry.path}: links out of the scanned folder, so not followed; scan {target} itself"
            if self.rule.is_model_file is not None:
                message += ", or set follow_links = true"
            return Problem(code=LEAVES, path=entry.path, message=message)
        others = (*self.outside.values(), *self.left_out)
        if any(_is_at(target, one) for one in others) or not self._is_new(entry.stat()):
            return _repeated(entry.path)
        self.outside[entry.path] = target
        return None

    def folder_repeats(self, path: str) -> Problem | None:
        """Why a folder that is no link is not walked: it lies out of the place, and was come to before."""
        if not self._is_outside(path) or self._is_new(os.stat(path)):
            return None
        return _repeated(path)

    def file_problem(self, entry: os.DirEntry[str]) -> Problem | None:
        """Why a link to a file is not followed, or None."""
        target = None if self.rule.is_model_file is None else os.path.realpath(entry.path)
        if (
            target is None
            or self.rule.is_model_file is None
            or self._is_within(target)
            or self.rule.is_model_file(os.path.basename(target))
        ):
            self.files.add(entry.path)
            return None
        message = f"{entry.path}: links to {target}, which by its name is no file of a model, so not followed"
        return Problem(code=LEAVES, path=entry.path, message=message)

    def real_path(self, path: str, place: str) -> str | None:
        """The real path of a file of the walk that lies out of a place; None for one within."""
        if path not in self.files and not self._is_outside(path):
            return None
        target = os.path.realpath(path)
        return None if _is_at(target, os.path.realpath(place)) else target

    def _is_outside(self, path: str) -> bool:
        return any(_is_at(path, link) for link in self.outside)

    def _is_within(self, target: str) -> bool:
        return _is_at(target, self.real_root)

    def _is_new(self, status: os.stat_result) -> bool:
        inode = (status.st_dev, status.st_ino)
        if inode in self._entered:
            return False
        self._entered.add(inode)
        return True


def _is_at(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _repeated(path: str) -> Problem:
    message = f"{path}: links to a folder that has its own place in this scan"
    return Problem(code=REPEATED, path=path, message=message)
