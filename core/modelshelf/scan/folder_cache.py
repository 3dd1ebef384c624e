"""The folder cache: stat data by which the next scan of a tree lists only the folders that changed.

A name cannot come into a folder or leave it without the system setting the folder's times, and of a file
that matters its size and times show a change, ctime also where another program put mtime back. So a folder
whose own stat data are as they were, and those of its models' files too, needs no listing. Trusted are only
folders on file systems of this machine, which are known to keep that promise, and only those whose last
change was longer ago than their clock's step when they were listed; of every other folder the cache keeps
no more than which models were in it.

Kept as columns, because a large tree has tens of thousands of folders: names joined by NUL, numbers as
arrays. The bytes are packed by hand for the same reason: a converter would build an object for each folder.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from modelshelf.records.frame import pack, unpack

OTHER, MODEL = 0, 1
"""A file of a cached folder: the one that a model is loaded by, or another that is watched all the same."""

_LAYOUT = 2
_MASK = (1 << 63) - 1  # an inode may use all 64 bits, a column has room for 63
_THREE = struct.Struct("=3q")
_UNTRUSTED = _THREE.pack(-1, -1, -1)  # in place of the stat data of a folder that is to be listed again
_FINE_STEP = 100_000_000  # ns; a kernel's clock for files steps every 10 ms at the latest
_COARSE_STEP = 2_500_000_000  # ns; file systems without fractions of a second step by one or two of them
_SECOND = 1_000_000_000

# File systems whose folders take a new time with every name that comes or goes. Network file systems answer
# out of caches, and object stores keep no times of folders.
_KEEPS_TIMES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "zfs", "jfs", "tmpfs", "ramfs", "overlay"}
)


class CachedFolder(NamedTuple):
    """One folder of the cache, in few objects because a scan keeps all of its folders.

    Attributes:
        status: Three packed integers of the folder's stat data from before it was listed, see `pack_status`;
            or None where it must be listed again.
        joined: Names of its files that are watched, joined by NUL.
        kinds: For each of them `OTHER` or `MODEL`.
        stats: For each of them three packed integers.
    """

    status: bytes | None
    joined: str = ""
    kinds: bytes = b""
    stats: bytes = b""

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        return self.joined.split("\0") if self.kinds else []

    def with_kind(self, names: Container[str], kind: int) -> CachedFolder:
        """The folder with these files marked as of that kind."""
        kinds = bytes(
            kind if name in names else old for name, old in zip(self.names, self.kinds, strict=True)
        )
        return self._replace(kinds=kinds)

    def trimmed(self) -> CachedFolder:
        """What the cache keeps of the folder: of one that is to be listed again only its models."""
        if self.status is not None:
            return self
        models = [name for name, kind in zip(self.names, self.kinds, strict=True) if kind == MODEL]
        return CachedFolder(None, "\0".join(models), bytes([MODEL]) * len(models), _UNTRUSTED * len(models))


def pack_status(*numbers: int) -> bytes:
    """Stat data in the cache: inode, mtime_ns, ctime_ns of a folder; size, mtime_ns, ctime_ns of a file.

    An inode that takes 64 bits loses the highest.
    """
    return _THREE.pack(*(number & _MASK if number > _MASK else number for number in numbers))


def is_settled(status: os.stat_result, listed_at: int) -> bool:
    """Whether a folder with these times cannot change unnoticed after it was listed.

    Args:
        status: Its stat data from before the listing.
        listed_at: Unix time in nanoseconds before the listing.
    """
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    coarse = not status.st_mtime_ns % _SECOND and not status.st_ctime_ns % _SECOND
    return newest + (_COARSE_STEP if coarse else _FINE_STEP) < listed_at and keeps_times(status.st_dev)


@cache
def keeps_times(device: int) -> bool:
    """Whether the file system on a device sets a folder's times with every change of its names."""
    if os.name == "nt":
        return False
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                parts = line.split()
                if parts[2] == wanted:
                    return parts[parts.index("-") + 1] in _KEEPS_TIMES
    except (OSError, ValueError, IndexError):
        # Elsewhere than on Linux: the disk of the system, and that of the person's own files.
        return device in {_device_of(place) for place in ("/", os.path.expanduser("~"))}
    return False


def _device_of(place: str) -> int:
    try:
        return os.stat(place).st_dev
    except OSError:
        return -1


class FolderCache:
    """The folders of one tree, each after the folder that it is in.

    Attributes:
        paths: Absolute path of each folder.
    """

    def __init__(
        self,
        *,
        root: str,
        folders: Sequence[str],
        parents: array[int],
        folder_stats: array[int],
        counts: array[int],
        names: Sequence[str],
        kinds: bytes,
        stats: array[int],
    ) -> None:
        self._folders = folders
        self._parents = parents
        self._folder_stats = folder_stats
        self._names = names
        self._kinds = kinds
        self._stats = stats
        self._counts = counts
        self._ends = list(accumulate(counts))
        paths = self.paths = [root]
        for name, parent in zip(folders[1:], parents[1:], strict=True):
            paths.append(f"{paths[parent].rstrip('/')}/{name}")

    @classmethod
    def of(cls, folders: Mapping[str, CachedFolder]) -> FolderCache:
        """The cache of these folders by path: the root first, each other after the one that it is in."""
        numbers = {path: number for number, path in enumerate(folders)}
        root = next(iter(folders))
        splits = [path.rpartition("/") for path in folders]
        names = [one.joined for one in folders.values() if one.kinds]
        return cls(
            root=root,
            folders=["", *(name for _, _, name in splits[1:])],
            parents=array("i", [-1, *(numbers[above or "/"] for above, _, _ in splits[1:])]),
            folder_stats=array("q", b"".join(one.status or _UNTRUSTED for one in folders.values())),
            counts=array("i", [len(one.kinds) for one in folders.values()]),
            names="\0".join(names).split("\0") if names else [],
            kinds=b"".join(one.kinds for one in folders.values()),
            stats=array("q", b"".join(one.stats for one in folders.values())),
        )

    def pack(self) -> bytes:
        """The cache as bytes."""
        return pack(
            [
                _LAYOUT,
                sys.byteorder,
                _joined(self._folders),
                self._parents.tobytes(),
                self._folder_stats.tobytes(),
                self._counts.tobytes(),
                _joined(self._names),
                self._kinds,
                self._stats.tobytes(),
            ]
        )

    @classmethod
    def unpack(cls, root: str, data: bytes) -> FolderCache | None:
        """What `pack` packed, or None where another release or another machine did so."""
        layout, order, folders, parents, folder_stats, counts, names, kinds, stats = unpack(data)
        if (layout, order) != (_LAYOUT, sys.byteorder):
            return None
        return cls(
            root=root,
            folders=_split(folders),
            parents=array("i", parents),
            folder_stats=array("q", folder_stats),
            counts=array("i", counts),
            names=_split(names) if kinds else [],
            kinds=kinds,
            stats=array("q", stats),
        )

    def changed_folders(self) -> set[int]:
        """Numbers of the folders that have to be listed again; asks the system about every other file."""
        found: set[int] = set()
        ask, folder_stats, names, stats = os.stat, self._folder_stats, self._names, self._stats
        start = 0
        for number, (path, end) in enumerate(zip(self.paths, self._ends, strict=True)):
            at = 3 * number
            try:
                own = ask(path)
                if (
                    own.st_ctime_ns == folder_stats[at + 2]
                    and own.st_mtime_ns == folder_stats[at + 1]
                    and own.st_ino & _MASK == folder_stats[at]
                ):
                    for place in range(start, end):
                        one = ask(f"{path}/{names[place]}")
                        if (
                            one.st_mtime_ns != stats[3 * place + 1]
                            or one.st_size != stats[3 * place]
                            or one.st_ctime_ns != stats[3 * place + 2]
                        ):
                            found.add(number)
                            break
                else:
                    found.add(number)
            except (OSError, ValueError):
                found.add(number)
            start = end
        return found

    def models(self, numbers: Iterable[int]) -> list[str]:
        """Paths of the models in these folders."""
        names, kinds = self._names, self._kinds
        found: list[str] = []
        for number in numbers:
            path, end = self.paths[number].rstrip("/"), self._ends[number]
            places = range(end - self._counts[number], end)
            found += [f"{path}/{names[place]}" for place in places if kinds[place] == MODEL]
        return found

    def count_models(self, numbers: Collection[int]) -> int:
        """Number of the models in these folders."""
        if len(numbers) == len(self.paths):
            return self._kinds.count(MODEL)
        ends, counts = self._ends, self._counts
        return sum(self._kinds.count(MODEL, ends[one] - counts[one], ends[one]) for one in numbers)

    def folder(self, number: int) -> CachedFolder:
        """One folder."""
        at, end = 3 * number, self._ends[number]
        start = end - self._counts[number]
        status = self._folder_stats[at : at + 3].tobytes()
        return CachedFolder(
            None if status == _UNTRUSTED else status,
            "\0".join(self._names[start:end]),
            self._kinds[start:end],
            self._stats[3 * start : 3 * end].tobytes(),
        )

    def with_parents(self, numbers: Iterable[int]) -> set[int]:
        """These folders, and all that lie on the way to them."""
        found: set[int] = set()
        for number in numbers:
            above = number
            while above >= 0 and above not in found:
                found.add(above)
                above = self._parents[above]
        return found

    def subfolders(self) -> list[list[int]]:
        """For each folder the numbers of those directly in it, in the order in which they were listed."""
        found: list[list[int]] = [[] for _ in self.paths]
        for number, parent in enumerate(self._parents):
            if parent >= 0:
                found[parent].append(number)
        return found


def _joined(names: Sequence[str]) -> bytes:
    return "\0".join(names).encode("utf-8", "surrogateescape")


def _split(joined: bytes) -> list[str]:
    return joined.decode("utf-8", "surrogateescape").split("\0")
