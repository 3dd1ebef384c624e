"""The Hugging Face Hub's cache on this machine.

A folder of the Hub's layout belongs to this source, whichever tool fills it, with one exception: one that
``LLAMA_CACHE`` names, or that holds files of llama.cpp's older flat cache, is listed by `LlamaCppSource`,
both layouts together. So no folder is listed by both.
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

    def told_roots(self) -> Iterable[Root]:
        """The cache that huggingface_hub uses, then its default where another is in use and this remains."""
        return (root for root in hub_roots(self.machine) if not has_flat_files(root.path))

    def recognises(self, root: str) -> bool:
        """Whether it is a cache of the Hub's layout, a repository in one, or a snapshot of one."""
        spot = locate(root)
        return spot is not None and not _is_llama_cpps(spot.cache, self.machine)

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """Every snapshot of every model, unfinished downloads, and blobs that no snapshot uses."""
        spot = locate(place.root)
        if spot is not None:
            from modelshelf_sources.hub_repository import list_spot

            yield from list_spot(spot, walk)
        elif not os.path.isdir(place.root):
            yield absent(place.root)


def _is_llama_cpps(cache: str | None, machine: Machine) -> bool:
    if cache is None:
        return False
    mine = {os.path.abspath(root.path) for root in hub_roots(machine)}
    told = machine.variable("LLAMA_CACHE")
    named = {
        os.path.abspath(path) for path in (*flat_roots(machine), *([machine.expand(told)] if told else []))
    }
    return has_flat_files(cache) or (cache in named and cache not in mine)
