"""Volumes that are unplugged, so that their files are not taken for deleted.

The registry keeps the mount points that models lay on. Device numbers would not do: many file systems get
another one at every mount, and psutil lists what is mounted now, not what was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

IsMount = Callable[[str], bool]


class Volumes:
    """The mount points that models lie, or lay, on.

    The one that everything hangs from is none of them: without it nothing runs.

    Args:
        mounts: Those that the registry keeps.
        is_mount: Whether something is mounted at a path.

    Attributes:
        mounts: Those that the registry keeps, and those that were added.
    """

    def __init__(self, mounts: Iterable[str] = (), is_mount: IsMount = os.path.ismount) -> None:
        self.mounts = frozenset(mounts)
        self._is_mount = is_mount
        self._mount_by_folder: dict[str, str | None] = {}

    def mount_of(self, folder: str) -> str | None:
        """The mount point that a folder lies on, links resolved; None for the one of the whole system."""
        if folder in self._mount_by_folder:
            return self._mount_by_folder[folder]
        above = os.path.dirname(folder)
        if above in self._mount_by_folder and not os.path.islink(folder) and not self._is_mount(folder):
            self._mount_by_folder[folder] = self._mount_by_folder[above]
            return self._mount_by_folder[above]
        real = os.path.realpath(folder)
        climbed = [folder]
        while real not in self._mount_by_folder:
            climbed.append(real)
            above = os.path.dirname(real)
            if above == real:
                self._mount_by_folder[real] = None
            elif self._is_mount(real):
                self._mount_by_folder[real] = real
            else:
                real = above
        found = self._mount_by_folder[real]
        self._mount_by_folder.update(dict.fromkeys(climbed, found))
        return found

    def lost(self) -> frozenset[str]:
        """The mount points at which nothing is mounted now."""
        return frozenset(one for one in self.mounts if not self._is_mount(one))

    def add(self, folders: Iterable[str]) -> bool:
        """Add the mount points of folders; whether any of them is new."""
        found = {one for folder in folders if (one := self.mount_of(folder)) is not None}
        if found <= self.mounts:
            return False
        self.mounts |= found
        return True


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
