"""A guard around each source: what a source raises costs its own places and files, never the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import ReadError, SourceError, UnreadableFileError
from modelshelf.plugin.report import describe
from modelshelf.source import PlainFolders

if TYPE_CHECKING:
    from modelshelf.model import Artifact, ArtifactFile
    from modelshelf.reader import Budget, FileReader
    from modelshelf.source import Folder, Listing, Place, Source, Walk


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
            return evolve(listed, describe=lambda folder: self._describe(listed, folder, place))
        return self._iterate(listed, place)

    def _iterate(self, listed: Iterator[Listing], place: Place) -> Iterator[Listing]:
        from modelshelf.scan.listed_names import checked  # plain folders, as most are, are not listed here

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
