"""Folders below a root, one at a time, in sorted order."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Container, Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.model import Problem

if TYPE_CHECKING:
    from modelshelf.scan.walk import Tree
    from modelshelf.source import Listing


class Walker:
    """Walks plain folders; asks the system only about files whose names somebody wants.

    A link to a folder is followed where it stays within the root, once; a link out of it is named, not
    followed. Links to files are followed: only a header is ever read from what they lead to.

    Args:
        wants: Whether a file of that name matters.
        left_out: Folders that somebody else lists, by their absolute paths.
    """

    def __init__(self, wants: Callable[[str], bool], left_out: Collection[str] = ()) -> None:
        self._wants = wants
        self._left_out = frozenset(left_out)

    def __call__(self, root: str) -> Iterator[Listing]:
        """Every folder below `root`, itself first, and a problem for all that was left out.

        Yields a problem of code ``absent`` where the root is not there. A root that is a file gives
        the folder that holds it, with that file alone.
        """
        from modelshelf.scan.walk import reason_of

        try:
            told = os.stat(root)
            tree = self.tree(root) if stat.S_ISDIR(told.st_mode) else None
        except (OSError, ValueError) as error:
            yield Problem(
                code="absent", path=root, message=f"{root}: {reason_of(error)}; nothing there was changed"
            )
            return
        if tree is None:
            yield from self._around(root)
            return
        waiting = [root]
        while waiting:
            listed = tree.look(waiting.pop())
            yield from listed.problems
            if listed.folder is not None:
                yield listed.folder
            waiting.extend(reversed(listed.below))

    def tree(self, root: str, kept: Container[str] = ()) -> Tree:
        """The folders below `root`, to be looked into one by one.

        Args:
            root: The root.
            kept: Paths of files that matter whatever their names.

        Raises:
            OSError: The root is not there.
        """
        from modelshelf.scan.walk import Tree

        return Tree(root, self._wants, self._left_out, kept)

    def _around(self, file: str) -> Iterator[Listing]:
        """The folder of one file: its shards and companions lie beside it."""
        from modelshelf.scan.walk import Tree

        path, name = os.path.split(file)
        path = path or "."
        listed = Tree(path, lambda entry: entry == name or self._wants(entry)).look(path)
        yield from (one for one in listed.problems if one.path in {file, path})
        if listed.folder is not None:
            yield evolve(listed.folder, subfolders=(), named=name)
