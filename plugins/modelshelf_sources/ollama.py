"""Ollama's models on this machine: where they are, and how such a folder is recognised."""

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

    def default_roots(self) -> Iterable[Root]:
        """List ``OLLAMA_MODELS``, the user's own folder, and those of the service of Linux packages."""
        named = self.machine.variable("OLLAMA_MODELS")
        if named is not None:
            yield Root(path=self.machine.expand(named), reason="$OLLAMA_MODELS")
        reason = "default" if named is None else "default, not in use: $OLLAMA_MODELS is set"
        yield Root(
            path=self.machine.below_home(".ollama", "models"), reason=reason, optional=named is not None
        )
        if self.machine.platform == "linux":
            for path in _SYSTEM_ROOTS:
                yield Root(path=path, reason="Ollama's service", optional=True)

    def recognises(self, root: str) -> bool:
        """Whether ``manifests`` and ``blobs`` are in it, or in its folder ``models``."""
        return _store_at(root) is not None

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:  # noqa: ARG002 - blobs are in one folder
        """List every model, manifests without weights here, unfinished pulls, and unnamed blobs."""
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
