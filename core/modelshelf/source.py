"""Places where models lie: plain folders, caches of other tools, remote stores. Sources are plugins.

A source reads; it never writes into, repairs or cleans the place it lists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from attrs import field, frozen

if TYPE_CHECKING:
    from modelshelf.model.artifact import Artifact, ArtifactFile  # noqa: TC004 - annotations; see Listing
    from modelshelf.model.stats import Orphan, Problem, UnfinishedDownload
    from modelshelf.reader import Budget, FileReader

LOCAL = "local"
"""Name of the source of plain folders, which lists every folder that no other source claims."""

_SMALLEST_BLOCK = 4096  # a file of up to this size may lie within its directory entry, without blocks
_BLOCK = 512  # bytes that `st_blocks` counts in, by POSIX


@frozen(kw_only=True)
class Place:
    """One root that a source would look into.

    Attributes:
        source: The source's name.
        root: Absolute path or URL. A file is a place too.
        reason: Why it is looked into: an environment variable, a settings file, the default, a command.
        present: Whether it is there.
    """

    source: str
    root: str
    reason: str = ""
    present: bool = True


@frozen(kw_only=True)
class Folder:
    """The regular files of one folder, for the core to group into artifacts.

    Attributes:
        path: Absolute path or URL.
        files: Its files, as they were listed; names are relative to `path`. Roles are the core's to set.
        subfolders: Names of its folders.
        model_id: The id that the source gives to the one model in it, or None.
        facts: What the source knows of it, for metadata of origin source; see `Artifact.facts`.
        named: The one file that a person named: only the model that it belongs to is meant. None means all.
    """

    path: str
    files: tuple[ArtifactFile, ...]
    subfolders: tuple[str, ...] = ()
    model_id: str | None = None
    facts: dict[str, Any] = field(factory=dict)
    named: str | None = None


def room_of(status: os.stat_result) -> int:
    """Bytes that a file takes up on its disk: one made full size in advance has holes, which take none."""
    blocks: int | None = getattr(status, "st_blocks", None)  # Windows counts none
    if blocks is None or status.st_size <= _SMALLEST_BLOCK:
        return status.st_size
    return min(status.st_size, blocks * _BLOCK)


Listing: TypeAlias = "Folder | Artifact | UnfinishedDownload | Orphan | Problem"
"""What a source yields: folders to group, ready artifacts, unfinished downloads, orphans, problems.

Its classes are loaded by who makes one: most places of a machine are only asked for, and not listed.
"""


class Walk(Protocol):
    """The core's walk: every folder below a root, in sorted order, safe against loops, FIFOs, odd names."""

    def __call__(self, root: str, /, *, link_levels: int = 0) -> Iterator[Listing]:
        """List every folder below a root.

        Args:
            root: The root.
            link_levels: Down to how many levels below the root links to folders out of it are followed, as
                the tool itself does; each folder is listed once.
        """
        ...


def _as_listed(folder: Folder) -> Folder:
    return folder


@frozen(kw_only=True, eq=False, repr=False)
class PlainFolders:
    """A place that is plain folders: the core walks it, and lists only what changed since the last scan.

    Attributes:
        describe: Adds what the source knows of a folder to its listing: facts, an id, digests of files. It is
            called for each folder that is listed, after those above it, of which unchanged ones are left
            out. What it adds must depend on that folder and those above it alone.
        follow_links: Whether links to folders out of the place are followed.
    """

    describe: Callable[[Folder], Folder] = _as_listed
    follow_links: bool = False


class Source(Protocol):
    """A place, or several of one kind."""

    @property
    def name(self) -> str:
        """The source's name in records: ``local``, ``huggingface``, ``ollama``."""
        ...

    def places(self) -> Sequence[Place]:
        """Where it would look on this machine, present or not, and why. Opens nothing but settings files."""
        ...

    def claims(self, root: str) -> bool:
        """Whether the folder at `root`, named by a person, is one of this kind."""
        ...

    def list(self, place: Place, walk: Walk) -> Iterator[Listing] | PlainFolders:
        """Everything in the place, or that the core is to walk it as plain folders.

        One bad entry is a `Problem`, never an exception that ends the listing. An entry with a name that is
        absolute, holds a NUL or a part ``..`` is refused by the core, and is a problem too.

        Args:
            place: One of `places`, or what a person named and `claims` knows.
            walk: Lists the folders below a root, for the source to add what it knows of them.

        Raises:
            SourceError: The place as a whole cannot be listed.
        """
        ...

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        """Open one file of an artifact that this source listed; called in worker processes too."""
        ...


@frozen(kw_only=True)
class SourceType:
    """A kind of source, as a plugin's `modelshelf_sources` hook gives it.

    Attributes:
        name: The source's name.
        make: Builds the source from its settings (the ``[[sources]]`` table of the configuration, or an
            empty mapping).
        summary: One line for `modelshelf plugins`.
    """

    name: str
    make: Callable[[dict[str, Any]], Source]
    summary: str = ""
