"""A guard around each source: what a source raises costs its own places and files, never the scan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from modelshelf.errors import ReadError, SourceError, UnreadableFileError
from modelshelf.model import Artifact, Orphan, Problem, UnfinishedDownload
from modelshelf.plugin.report import describe
from modelshelf.source import Folder, PlainFolders

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile
    from modelshelf.reader import Budget, FileReader
    from modelshelf.source import Listing, Place, Source, Walk

REFUSED_NAME = "refused-name"
"""Code of the problem that stands for an entry whose name leads out of its folder."""


class GuardedSource:
    """A source whose foreign exceptions become those of its contract.

    Args:
        source: The source.
        record: Records what failed, in one line and as it was raised, for the plugin that offers the source.

    Attributes:
        name: The source's name.
    """

    def __init__(self, source: Source, record: Callable[[str, Exception], object]) -> None:
        self._source = source
        self._record = record
        self.name = source.name

    def places(self) -> Sequence[Place]:
        """Its places; none where it fails."""
        try:
            return tuple(self._source.places())
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it is recorded, not hidden
            self._record(f"places: {describe(error)}", error)
            return ()

    def claims(self, root: str) -> bool:
        """Whether it claims the folder; not where it fails."""
        try:
            return bool(self._source.claims(root))
        except Exception as error:  # noqa: BLE001 - as above
            self._record(f"claims: {describe(error)}", error)
            return False

    def list(self, place: Place, walk: Walk) -> Iterator[Listing] | PlainFolders:
        """What it lists, until it fails.

        Raises:
            SourceError: It failed, or says itself that the place cannot be listed.
        """
        try:
            listed = self._source.list(place, walk)
        except SourceError:
            raise
        except Exception as error:
            raise self._failure("list", place, error) from error
        if isinstance(listed, PlainFolders):
            return PlainFolders(describe=lambda folder: self._describe(listed, folder, place))
        return self._iterate(listed, place)

    def _iterate(self, listed: Iterator[Listing], place: Place) -> Iterator[Listing]:
        try:
            for one in listed:
                yield from checked(one, place.root, self.name)
        except SourceError:
            raise
        except Exception as error:
            raise self._failure("list", place, error) from error

    def _describe(self, listed: PlainFolders, folder: Folder, place: Place) -> Folder:
        try:
            return listed.describe(folder)
        except SourceError:
            raise
        except Exception as error:
            raise self._failure("describe", place, error) from error

    def _failure(self, method: str, place: Place, error: Exception) -> SourceError:
        self._record(f"{method}: {describe(error)}", error)
        return SourceError(f"{place.root}: the source {self.name} failed: {describe(error)}")

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        """What it opens.

        Raises:
            ReadError: It cannot be opened, or the source failed.
        """
        try:
            return self._source.open(artifact, one, budget)
        except ReadError:
            raise
        except Exception as error:
            self._record(f"open: {describe(error)}", error)
            raise UnreadableFileError(
                f"{one.name}: the source {self.name} failed: {describe(error)}", file=one.name
            ) from error


def checked(listing: Listing | object, root: str, source: str) -> Iterator[Listing]:
    """A listing, and in place of each entry whose name is refused a problem.

    A name is relative to its folder and stays in it: what a source takes out of a manifest or from a
    server may say otherwise, and would have the core open any file of the machine.

    Args:
        listing: What the source listed.
        root: The root of its place, in which ``..`` is a person's own.
        source: The source's name.
    """
    if isinstance(listing, Folder):
        fault = _fault_of_folder(listing.path, root)
        if fault is not None:
            yield _refused(source, listing.path, root, fault)
            return
        faults = [(one, _fault_of_name(one.name)) for one in listing.files]
        yield from (_refused(source, one.name, listing.path, why) for one, why in faults if why is not None)
        if any(why is not None for _, why in faults):
            listing = attrs.evolve(listing, files=tuple(one for one, why in faults if why is None))
        yield listing
    elif isinstance(listing, Artifact):
        fault = _fault_of_folder(listing.folder, root)
        if fault is not None:
            yield _refused(source, listing.folder, root, fault)
            return
        names = (listing.primary, *(one.name for one in listing.files), *listing.missing)
        wrong = [(name, why) for name in names if (why := _fault_of_name(name)) is not None]
        if not wrong:
            yield listing
        yield from (_refused(source, name, listing.folder, why) for name, why in dict.fromkeys(wrong))
    elif isinstance(listing, UnfinishedDownload | Orphan | Problem):
        yield listing
    else:  # a source of a third party
        message = f"{root}: the source {source} listed {type(listing).__name__}, which is no listing"
        yield Problem(code=REFUSED_NAME, path=root, message=message, plugin=source)


def _refused(source: str, name: object, folder: str, why: str) -> Problem:
    message = f"{folder}: the source {source} names {name!r}, which {why}; it is left out"
    return Problem(code=REFUSED_NAME, path=folder, message=message, plugin=source)


def _fault_of_name(name: object) -> str | None:
    """Why a name cannot be that of a file within its folder; None where it can."""
    if not isinstance(name, str) or name in {"", "."}:
        return "is the name of no file"
    if "\0" in name:
        return "holds a NUL"
    if os.path.isabs(name) or os.path.splitdrive(name)[0]:  # a drive where the system has drives
        return "is absolute"
    return _leading_out(name)


def _fault_of_folder(path: object, root: str) -> str | None:
    """Why a path cannot be that of a folder in, or beside, a place; None where it can."""
    if not isinstance(path, str) or not path:
        return "is the path of no folder"
    if "\0" in path:
        return "holds a NUL"
    if not os.path.isabs(path) and "://" not in path:
        return "is not absolute"
    return _leading_out(path.removeprefix(root))


def _leading_out(path: str) -> str | None:
    if ".." not in path:
        return None
    parts = path.replace(os.sep, "/").split("/")
    return "leads out of its folder" if ".." in parts else None
