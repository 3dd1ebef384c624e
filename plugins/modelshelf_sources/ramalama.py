"""RamaLama's store on this machine: where it is, and how such a folder is recognised."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf_sources.listing import absent, names_in, relative
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk

_MAX_DEPTH = 8


class RamaLamaSource(LocalStore):
    """Models that RamaLama pulled, one for each tag: ``org/model:tag``."""

    name = "ramalama"

    def default_roots(self) -> Iterable[Root]:
        """List the user's store, and for the system's administrator the system's."""
        yield Root(path=os.path.join(self.machine.data_home, "ramalama", "store"), reason="default")
        yield Root(
            path="/var/lib/ramalama/store",
            reason="the administrator's store",
            optional=not self.machine.is_root,
        )

    def recognises(self, root: str) -> bool:
        """Whether it is a folder named ``store`` with a model some levels down."""
        return os.path.basename(root) == "store" and next(_models(root), None) is not None

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List every tag of every model, unfinished downloads, and blobs that no tag uses."""
        if not os.path.isdir(place.root):
            yield absent(place.root)
            return
        from modelshelf_sources.ramalama_store import list_model

        for folder in _models(place.root):
            yield from list_model(folder, relative(folder, place.root), walk, self.name)


def _models(folder: str, depth: int = 0) -> Iterator[str]:
    """Find the folders of models, which have ``refs`` and ``blobs``."""
    names = names_in(folder)
    if "refs" in names and "blobs" in names:
        yield folder
        return
    for name in names:
        path = f"{folder}/{name}"
        if depth < _MAX_DEPTH and os.path.isdir(path) and not os.path.islink(path):
            yield from _models(path, depth + 1)
