"""What lies beside a file on this machine: names, sizes, and the first bytes of a few small files.

Of a place that is no folder of this machine nothing is said. Only plain names within the file's own folder
are asked for, whatever a file there says.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.reader import HEAD_BLOCK, Budget, LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_FILES = 10_000  # of a folder whose sizes are summed up


def is_beside(folder: str, name: str) -> bool:
    """Return whether a regular file of that name lies in a folder."""
    return _is_local(folder) and os.path.isfile(f"{folder}/{name}")


def read_beside(folder: str, name: str, length: int) -> bytes:
    """Return up to `length` first bytes of a file in a folder; none where it cannot be read."""
    if not is_beside(folder, name):
        return b""
    try:
        file = LocalFile(f"{folder}/{name}", name, Budget(length + HEAD_BLOCK))
    except ReadError:
        return b""
    try:
        return file.read_up_to(0, length)
    except ReadError:
        return b""
    finally:
        file.close()


def names_in(folder: str) -> frozenset[str]:
    """Return the names in a folder; none where it cannot be listed."""
    if not _is_local(folder):
        return frozenset()
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def size_of(folder: str, names: Iterable[str]) -> int:
    """Return the bytes of those of these files that lie in a folder."""
    return sum(_size(f"{folder}/{name}") for name in names) if _is_local(folder) else 0


def size_below(folder: str) -> int | None:
    """Return the bytes of all files in a folder and below it; None where they are too many to count."""
    if not _is_local(folder):
        return None
    total = count = 0
    for path, _, names in os.walk(folder):
        count += len(names)
        if count > _MOST_FILES:
            return None
        total += sum(_size(f"{path}/{name}") for name in names)
    return total


def package_of(folder: str, endings: tuple[str, ...]) -> str | None:
    """Return the innermost folder at or above one whose name ends so, or None."""
    while folder and folder != os.path.dirname(folder):
        if folder.lower().endswith(endings):
            return folder
        folder = os.path.dirname(folder)
    return None


def _is_local(folder: str) -> bool:
    return "://" not in folder and "\0" not in folder


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0
