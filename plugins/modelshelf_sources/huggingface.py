"""The Hugging Face Hub's cache on this machine.

A folder of the Hub's layout belongs to this source, whichever tool fills it, with one exception: one that
``LLAMA_CACHE`` names, or that has files of llama.cpp's older flat cache, is listed by `LlamaCppSource`, both
layouts together. So no folder is listed by both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf_sources.download_layouts import flat_roots, has_flat_files, hub_roots, locate
from modelshelf_sources.listing import absent
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk
    from modelshelf_sources.machine import Machine


class HuggingFaceSource(LocalStore):
    """Model repositories in the Hub's cache, their revisions, and what downloads left behind."""

    name = "huggingface"

    def default_roots(self) -> Iterable[Root]:
        """List the cache that huggingface_hub uses, then its default where another is in use."""
        return (root for root in hub_roots(self.machine) if not has_flat_files(root.path))

    def recognises(self, root: str) -> bool:
        """Whether it is a cache of the Hub's layout, a repository in one, or a snapshot of one."""
        location = locate(root)
        return location is not None and not _is_llamacpps(location.cache, self.machine)

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List every snapshot of every model, unfinished downloads, and blobs that no snapshot uses."""
        location = locate(place.root)
        if location is not None:
            from modelshelf_sources.hub_repository import list_location

            yield from list_location(location, walk)
        elif not os.path.isdir(place.root):
            yield absent(place.root)


def _is_llamacpps(cache: str | None, machine: Machine) -> bool:
    """Whether a cache is listed by `LlamaCppSource`."""
    if cache is None:
        return False
    hub = {os.path.abspath(root.path) for root in hub_roots(machine)}
    named = machine.variable("LLAMA_CACHE")
    folders = (*flat_roots(machine), *([machine.expand(named)] if named else []))
    return has_flat_files(cache) or (cache in map(os.path.abspath, folders) and cache not in hub)
