"""The base of the sources of one machine's folders: settings, places, opening."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from attrs import frozen

from modelshelf.errors import ConfigurationError
from modelshelf.source import Place
from modelshelf_sources.machine import Machine

if TYPE_CHECKING:
    from modelshelf.model import Artifact, ArtifactFile
    from modelshelf.reader import Budget, FileReader
    from modelshelf.source import Listing, PlainFolders, Walk

_SETTINGS = ("name", "paths", "root")


@frozen(kw_only=True, eq=False, repr=False)
class Root:
    """A folder in which a tool keeps, or may keep, models.

    Attributes:
        path: Absolute path.
        reason: Why it is one, for people: an environment variable, a settings file, the default.
        optional: Whether it is left out where it does not exist.
    """

    path: str
    reason: str
    optional: bool = False


class LocalStore(ABC):
    """A tool's models on this machine.

    Args:
        roots: Where to look instead of where the tool itself would.
        machine: The environment, home and platform that decide where the tool keeps its models.

    Attributes:
        name: The source's name.
    """

    name: ClassVar[str]

    def __init__(self, roots: Sequence[str] = (), machine: Machine | None = None) -> None:
        self.machine = Machine.here() if machine is None else machine
        self._configured = tuple(
            Root(path=os.path.abspath(self.machine.expand(path)), reason="settings") for path in roots
        )

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Build the source from its settings: ``root``, a folder, or ``paths``, a list of folders.

        Raises:
            ConfigurationError: There is another key, or a value of another type; the message names the key.
        """
        return cls(_parse_settings(cls.name, settings))

    def places(self) -> Sequence[Place]:
        """List the folders of the settings, else every folder that the tool is set to use and the default."""
        places: dict[str, Place] = {}
        for root in self.roots():
            path = os.path.abspath(root.path)
            present = os.path.exists(path)
            if path not in places and (present or not root.optional):
                places[path] = Place(source=self.name, root=path, reason=root.reason, present=present)
        return tuple(places.values())

    def roots(self) -> Iterable[Root]:
        """List the folders of the settings, else `default_roots`."""
        return self._configured or self.default_roots()

    def claims(self, root: str) -> bool:
        """Whether the folder is one of `places`, or looks like the tool's."""
        path = os.path.abspath(root)
        return any(os.path.abspath(own.path) == path for own in self.roots()) or self.recognises(path)

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        """Open a file on this machine."""
        from modelshelf.reader import open_local  # an unchanged scan reads no file

        return open_local(artifact, one, budget)

    @abstractmethod
    def default_roots(self) -> Iterable[Root]:
        """List where the tool keeps its models, by environment, settings files and defaults; best first."""

    @abstractmethod
    def recognises(self, root: str) -> bool:
        """Whether a folder looks like the tool's, wherever it is."""

    @abstractmethod
    def list(self, place: Place, walk: Walk) -> Iterator[Listing] | PlainFolders:
        """List everything in the place."""


def _parse_settings(name: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the folders that the settings of a source name.

    Raises:
        ConfigurationError: There is another key than ``root`` and ``paths``, or a value of another type.
    """
    for key in settings:
        if key not in _SETTINGS:
            raise ConfigurationError(
                f"{key} is no setting of the source {name!r}; its settings are root and paths"
            )
    paths = settings.get("paths", [])
    if not isinstance(paths, list) or not all(map(_is_path, paths)):
        raise ConfigurationError(f"paths of the source {name!r} must be a list of folders, not {paths!r}")
    root = settings.get("root")
    if root is None:
        return tuple(paths)
    if not _is_path(root):
        raise ConfigurationError(f"root of the source {name!r} must be a folder, not {root!r}")
    return (root, *paths)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value
