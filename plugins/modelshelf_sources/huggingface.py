"""The Hugging Face Hub's cache on this machine.

A folder of the Hub's layout belongs to this source, whichever tool fills it, with one exception: one that
``LLAMA_CACHE`` names, or that holds files of llama.cpp's older flat cache, is listed by `LlamaCppSource`,
both layouts together. So no folder is listed by both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf_sources.hub_cache import locate
from modelshelf_sources.llama_cache import flat_roots, has_flat_files
from modelshelf_sources.local_store import LocalStore, Root, absent

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
            from modelshelf_sources.hub_listing import list_spot

            yield from list_spot(spot, walk)
        elif not os.path.isdir(place.root):
            yield absent(place.root)


def hub_roots(machine: Machine) -> Iterator[Root]:
    """Where huggingface_hub keeps its cache on this machine (huggingface_hub, ``constants.py``)."""
    default = os.path.join(machine.cache_home, "huggingface", "hub")
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        value = machine.variable(variable)
        if value is not None:
            yield Root(path=os.path.join(machine.expand(value), below), reason=f"${variable}")
            yield Root(path=default, reason=f"default, not in use: ${variable} is set", optional=True)
            return
    reason = "$XDG_CACHE_HOME" if machine.variable("XDG_CACHE_HOME") else "default"
    yield Root(path=default, reason=reason)


def _is_llama_cpps(cache: str | None, machine: Machine) -> bool:
    if cache is None:
        return False
    mine = {os.path.abspath(root.path) for root in hub_roots(machine)}
    told = machine.variable("LLAMA_CACHE")
    named = {
        os.path.abspath(path) for path in (*flat_roots(machine), *([machine.expand(told)] if told else []))
    }
    return has_flat_files(cache) or (cache in named and cache not in mine)
