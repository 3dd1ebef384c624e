"""The artifact that a scan would make of some files, with the bytes on disk or in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.model import Artifact, ArtifactFile, Role
from modelshelf.reader import Budget, FileReader, Opener

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NOWHERE = "memory://conformance"
"""The folder of files that are on no disk: whoever opens a path himself finds nothing there."""


def artifact_of(
    *weights: Path, index: Path | None = None, companions: Iterable[Path] = (), **values: Any
) -> Artifact:
    """The artifact that a scan would make of these files, which lie in one folder."""
    folder = weights[0].parent
    files = [artifact_file(path, folder, Role.WEIGHTS) for path in weights]
    if index is not None:
        files.append(artifact_file(index, folder, Role.INDEX))
    files += [artifact_file(path, folder, Role.COMPANION) for path in companions]
    primary = (index or weights[0]).name
    return Artifact(folder=os.fspath(folder), primary=primary, files=tuple(files), **values)


def artifact_file(path: Path, folder: Path, role: Role = Role.WEIGHTS) -> ArtifactFile:
    """The file as a listing of `folder` gives it."""
    status = path.stat()
    name = path.relative_to(folder).as_posix()
    return ArtifactFile(
        name=name, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, role=role
    )


class MemoryFile(FileReader):
    """A file that is nowhere but in memory, as one on a remote store is nowhere on this disk.

    Attributes:
        ranges: The (offset, length) of every read that was asked for.
    """

    def __init__(self, content: bytes, name: str, budget: Budget) -> None:
        super().__init__(name, budget)
        self.size = len(content)
        self.ranges: list[tuple[int, int]] = []
        self._content = content
        budget.opened += 1

    def _ranged(self, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        return super()._ranged(offset, length)

    def _fetch(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""


def in_memory(artifact: Artifact, contents: Mapping[str, bytes]) -> tuple[Artifact, Opener]:
    """The artifact with these contents in place of its files, and what opens them."""
    files = tuple(attrs.evolve(one, size=len(contents[one.name])) for one in artifact.files)

    def opener(_artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        return MemoryFile(contents[one.name], one.name, budget)

    return attrs.evolve(artifact, folder=NOWHERE, files=files), opener
