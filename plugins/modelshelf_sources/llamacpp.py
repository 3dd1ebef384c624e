"""llama.cpp's own cache: the older flat folder, and the Hub's layout where ``LLAMA_CACHE`` names a folder.

Without ``LLAMA_CACHE`` today's llama.cpp shares the Hub's cache, which `HuggingFaceSource` lists.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf.source import Folder
from modelshelf_sources.download_layouts import (
    REPOSITORY_PREFIX,
    flat_roots,
    has_flat_files,
    hub_roots,
    is_cache,
)
from modelshelf_sources.listing import relative
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk


class LlamaCppSource(LocalStore):
    """Models that llama.cpp downloaded into a cache of its own."""

    name = "llamacpp"

    def default_roots(self) -> Iterable[Root]:
        """List ``LLAMA_CACHE``, the platform's flat cache, and the Hub's cache where it has flat files."""
        hub = [os.path.abspath(root.path) for root in hub_roots(self.machine)]
        named = self.machine.variable("LLAMA_CACHE")
        if named is not None:
            path = os.path.abspath(self.machine.expand(named))
            if path not in hub or has_flat_files(path):
                yield Root(path=path, reason="$LLAMA_CACHE")
        for path in flat_roots(self.machine):
            reason = "default" if named is None else "default, not in use: $LLAMA_CACHE is set"
            yield Root(path=path, reason=reason, optional=named is not None)
        for path in hub:
            if has_flat_files(path):
                yield Root(path=path, reason="the Hub's cache, with files of llama.cpp's flat cache")

    def recognises(self, root: str) -> bool:
        """Whether there are files of the flat cache."""
        return has_flat_files(root)

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List the flat files, then the repositories of the Hub's layout."""
        from modelshelf_sources.hub_repository import list_cache
        from modelshelf_sources.llamacpp_flat import list_flat

        hub = is_cache(place.root)
        for item in walk(place.root):
            path = item.path or ""
            if hub and relative(path, place.root).startswith(REPOSITORY_PREFIX):
                continue
            if isinstance(item, Folder) and item.path == place.root:
                yield from list_flat(item)
            else:
                yield item
        if hub:
            yield from list_cache(place.root, walk)
