"""Ollama's models on this machine: where they lie, and how such a folder is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf_sources.listing import absent
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk

_SYSTEM_ROOTS = ("/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models")


class OllamaSource(LocalStore):
    """Ollama's models on this machine, one for each blob of weights, its tags as ids.

    The manifests are among a model's companions: a tag that is added or pulled anew changes its fingerprint.
    """

    name = "ollama"

    def told_roots(self) -> Iterable[Root]:
        """``OLLAMA_MODELS``, the user's own folder, and those of the service that Linux packages set up."""
        told = self.machine.variable("OLLAMA_MODELS")
        if told is not None:
            yield Root(path=self.machine.expand(told), reason="$OLLAMA_MODELS")
        reason = "default" if told is None else "default, not in use: $OLLAMA_MODELS is set"
        yield Root(
            path=self.machine.below_home(".ollama", "models"), reason=reason, optional=told is not None
        )
        if self.machine.platform == "linux":
            for path in _SYSTEM_ROOTS:
                yield Root(path=path, reason="Ollama's service", optional=True)

    def recognises(self, root: str) -> bool:
        """Whether it holds ``manifests`` and ``blobs``, or its folder ``models`` does."""
        return _store_at(root) is not None

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:  # noqa: ARG002 - blobs lie in one folder
        """Every model, the manifests that have none here, unfinished pulls, and blobs that nothing names."""
        root = _store_at(place.root)
        if root is not None:
            from modelshelf_sources.ollama_store import list_store

            yield from list_store(root, self.name)
        elif not os.path.isdir(place.root):
            yield absent(place.root)


def _store_at(root: str) -> str | None:
    for path in (root, f"{root.rstrip('/')}/models"):
        if os.path.isdir(f"{path}/manifests") and os.path.isdir(f"{path}/blobs"):
            return path.rstrip("/") or path
    return None
