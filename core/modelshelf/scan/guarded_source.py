"""Sources under a guard: what one raises costs its own places and files, never the scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError, SourceError, UnreadableFileError
from modelshelf.plugin.report import describe

if TYPE_CHECKING:
    from modelshelf.model import Artifact, ArtifactFile
    from modelshelf.reader import Budget, FileReader
    from modelshelf.source import Listing, Place, Source, Walk


class GuardedSource:
    """A source whose foreign exceptions become those of its contract.

    Args:
        source: The source.
        tell: Told of what failed, in one line; for the record of the plugin that offers it.

    Attributes:
        name: The source's name.
    """

    def __init__(self, source: Source, tell: Callable[[str], object]) -> None:
        self._source = source
        self._tell = tell
        self.name = source.name

    def places(self) -> Sequence[Place]:
        """Its places; none where it fails."""
        try:
            return tuple(self._source.places())
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it is told, not hidden
            self._tell(f"places: {describe(error)}")
            return ()

    def claims(self, root: str) -> bool:
        """Whether it claims the folder; not where it fails."""
        try:
            return bool(self._source.claims(root))
        except Exception as error:  # noqa: BLE001 - as above
            self._tell(f"claims: {describe(error)}")
            return False

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """What it lists, until it fails.

        Raises:
            SourceError: It failed, or says itself that the place cannot be listed.
        """
        try:
            yield from self._source.list(place, walk)
        except SourceError:
            raise
        except Exception as error:
            self._tell(f"list: {describe(error)}")
            raise SourceError(f"{place.root}: the source {self.name} failed: {describe(error)}") from error

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
            self._tell(f"open: {describe(error)}")
            raise UnreadableFileError(
                f"{one.name}: the source {self.name} failed: {describe(error)}", file=one.name
            ) from error
