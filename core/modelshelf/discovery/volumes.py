"""Telling a volume that is unplugged from files that were deleted.

A place remembers the mount point that it lay on. Device numbers would not do: many file systems get another
one at every mount.
"""

from __future__ import annotations

import os
from collections.abc import Callable

IsMount = Callable[[str], bool]


def mount_point(path: str, is_mount: IsMount = os.path.ismount) -> str:
    """The mount point that a path lies on, links resolved; of a path that is gone, where it would lie."""
    standing = os.path.realpath(path)
    while not is_mount(standing):
        above = os.path.dirname(standing)
        if above == standing:
            break
        standing = above
    return standing


def is_offline(mount: str | None, is_mount: IsMount = os.path.ismount) -> bool:
    """Whether nothing is mounted any more where a place's volume was.

    Args:
        mount: The mount point that the place lay on when it was scanned; None where it never was.
        is_mount: Whether something is mounted at a path.
    """
    return mount is not None and not is_mount(mount)
