"""Telling a volume that is unplugged from files that were deleted.

The registry remembers the mount points that models lay on. Device numbers would not do: many file systems get
another one at every mount.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

IsMount = Callable[[str], bool]


class Volumes:
    """The mount points that models lie, or lay, on.

    The one that everything hangs from is none of them: without it nothing runs.

    Args:
        known: Those that are remembered.
        is_mount: Whether something is mounted at a path.
    """

    def __init__(self, known: Iterable[str] = (), is_mount: IsMount = os.path.ismount) -> None:
        self.known = frozenset(known)
        self._is_mount = is_mount
        self._mounts: dict[str, str | None] = {}

    def mount_of(self, folder: str) -> str | None:
        """The mount point that a folder lies on, links resolved; None for the one of the whole system."""
        if folder in self._mounts:
            return self._mounts[folder]
        above = os.path.dirname(folder)
        if above in self._mounts and not os.path.islink(folder) and not self._is_mount(folder):
            self._mounts[folder] = self._mounts[above]
            return self._mounts[above]
        real = os.path.realpath(folder)
        climbed = [folder]
        while real not in self._mounts:
            climbed.append(real)
            above = os.path.dirname(real)
            if above == real:
                self._mounts[real] = None
            elif self._is_mount(real):
                self._mounts[real] = real
            else:
                real = above
        found = self._mounts[real]
        self._mounts.update(dict.fromkeys(climbed, found))
        return found

    def lost(self) -> frozenset[str]:
        """The remembered mount points at which nothing is mounted now."""
        return frozenset(one for one in self.known if not self._is_mount(one))

    def with_those_of(self, folders: Iterable[str]) -> Volumes | None:
        """These with the mount points of folders beside them, or None where they are known already."""
        found = {one for folder in folders if (one := self.mount_of(folder)) is not None}
        if found <= self.known:
            return None
        more = Volumes(self.known | found, self._is_mount)
        more._mounts = self._mounts
        return more


def is_on(path: str, mounts: Iterable[str]) -> bool:
    """Whether a path, which may be gone, lies at or below one of these mount points."""
    mounts = tuple(mounts)
    if not mounts:
        return False
    real = os.path.realpath(path)
    return any(
        one in (path, real) or f"{path}/".startswith(f"{one}/") or real.startswith(f"{one}/")
        for one in mounts
    )
