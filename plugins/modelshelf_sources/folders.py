"""Plain folders of any depth."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from modelshelf.errors import ConfigurationError
from modelshelf.reader import Budget, FileReader, open_local
from modelshelf.source import Listing, Place, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modelshelf.model import Artifact, ArtifactFile


class FolderSource:
    """Folders that a person or the settings name; the core's walker lists them.

    Attributes:
        name: ``local``.
    """

    name = "local"

    def __init__(self, paths: Sequence[str] = ()) -> None:
        self._paths = tuple(paths)

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Build the source from its settings: ``paths``, a list of folders.

        Raises:
            ConfigurationError: ``paths`` is no list of text.
        """
        paths = settings.get("paths", [])
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise ConfigurationError(f"paths of the source 'local' must be a list of folders, not {paths!r}")
        return cls(paths)

    def places(self) -> Sequence[Place]:
        """The folders of the settings."""
        roots = [os.path.abspath(os.path.expanduser(path)) for path in self._paths]
        return [
            Place(source=self.name, root=root, reason="settings", present=os.path.exists(root))
            for root in roots
        ]

    def claims(self, root: str) -> bool:  # noqa: ARG002 - the protocol's argument
        """Nothing: plain folders are what is left when no other source claims a folder."""
        return False

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """Everything below the place's root."""
        return walk(place.root)

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        """Open a file on this machine."""
        return open_local(artifact, one, budget)
