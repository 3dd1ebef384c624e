"""The source inventory: paths and URLs that a team writes down in a YAML file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import attrs

from modelshelf.errors import ConfigurationError, SourceError
from modelshelf.model import Artifact, ArtifactFile, Problem
from modelshelf.reader import Budget, FileReader, open_local
from modelshelf.source import Folder, Listing, Place, SourceType, Walk

NAME = "inventory"
DEFAULT = "~/models.yaml"
_FACTS = ("license", "tags", "title")
_LARGEST = 16 * 1024 * 1024  # bytes of an inventory


def modelshelf_sources() -> Iterator[SourceType]:
    """Offer the source; a ``[[sources]]`` table with ``name = "inventory"`` names the file."""
    yield SourceType(name=NAME, make=Inventory.make, summary=f"Paths and URLs that {DEFAULT} names.")


class Inventory:
    """The models that one YAML file names; a relative path goes by the folder of that file."""

    name = NAME

    def __init__(self, file: str) -> None:
        self._file = os.path.abspath(os.path.expanduser(file))

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Build the source from its settings: ``file``, the YAML file.

        Raises:
            ConfigurationError: ``file`` is no path.
        """
        file = settings.get("file", DEFAULT)
        if not isinstance(file, str) or not file or "\0" in file:
            raise ConfigurationError(f"file of the source {NAME!r} must be a path, not {file!r}")
        return cls(file)

    def places(self) -> Sequence[Place]:
        """Each path, present or not, and each URL, which is never here; the file where it cannot be read."""
        found = {}
        try:
            entries = self._entries()
        except SourceError as error:
            return [Place(source=NAME, root=self._file, reason=str(error))]
        for root, entry in entries.items():
            remote = "url" in entry
            reason = f"{self._file}: a URL; download it and name its path" if remote else self._file
            present = not remote and os.path.exists(root)
            found[root] = Place(source=NAME, root=root, reason=reason, present=present)
        return list(found.values())

    def claims(self, root: str) -> bool:  # noqa: ARG002 - the contract's argument
        """No: a path that the file names is a plain one."""
        return False

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """What lies at the path, with the id and the facts that the file gives; a URL is a problem.

        Raises:
            SourceError: The file cannot be read.
        """
        entry = self._entries().get(place.root, {})
        if "url" in entry:
            message = f"{place.root}: only files on this machine are read; download it and name its path"
            yield Problem(code="remote", path=place.root, message=message)
            return
        facts = {name: entry[name] for name in _FACTS if name in entry}
        for one in walk(place.root):
            # The id is that of the one model at the path, not of every folder below it.
            here = isinstance(one, Folder) and one.path in {place.root, os.path.dirname(place.root)}
            yield attrs.evolve(one, model_id=entry.get("id"), facts=facts) if here else one

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Budget) -> FileReader:
        """Open a file on this machine."""
        return open_local(artifact, one, budget)

    def _entries(self) -> dict[str, dict[str, Any]]:
        """The usable entries by their absolute path or URL; none where there is no file."""
        models = self._load().get("models", [])
        found: dict[str, dict[str, Any]] = {}
        for entry in models if isinstance(models, list) else []:
            values = _facts_of(entry)
            if "url" in values:
                found.setdefault(values["url"], values)
            elif "path" in values:
                path = os.path.join(os.path.dirname(self._file), os.path.expanduser(values["path"]))
                found.setdefault(os.path.abspath(path), values)
        return found

    def _load(self) -> dict[str, Any]:
        import yaml

        try:
            with open(self._file, "rb") as stream:
                content = yaml.safe_load(stream.read(_LARGEST))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"{self._file}: cannot be read as YAML: {reason}") from error
        return content if isinstance(content, dict) else {}


def _facts_of(entry: object) -> dict[str, Any]:
    """What an entry says, of that which it may say."""
    if not isinstance(entry, dict):
        return {}
    texts = ("path", "url", "id", "license", "title")
    values = {
        name: entry[name]
        for name in texts
        if isinstance(entry.get(name), str) and entry[name].strip() and "\0" not in entry[name]
    }
    tags = entry.get("tags")
    if isinstance(tags, list):
        values["tags"] = [tag for tag in tags if isinstance(tag, str)]
    return values
