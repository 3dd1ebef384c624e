"""Everything in a cache of huggingface_hub's layout, or in one repository of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelshelf_sources.hub_cache import PREFIX
from modelshelf_sources.hub_repository import list_repository
from modelshelf_sources.local_store import unlisted

if TYPE_CHECKING:
    from modelshelf.source import Listing, Walk
    from modelshelf_sources.hub_cache import Spot


def list_spot(spot: Spot, walk: Walk) -> Iterator[Listing]:
    """Everything that a path means: every repository of the cache, or the one."""
    if spot.repository is not None:
        yield from list_repository(spot.repository, walk, only=spot.commit)
    elif spot.cache is not None:
        yield from list_cache(spot.cache, walk)


def list_cache(folder: str, walk: Walk) -> Iterator[Listing]:
    """Every model of a cache; data sets, spaces, locks and tags are not looked at."""
    try:
        with os.scandir(folder) as listing:
            names = sorted(
                entry.name for entry in listing if entry.name.startswith(PREFIX) and entry.is_dir()
            )
    except OSError as error:
        yield unlisted(folder, error)
        return
    for name in names:
        yield from list_repository(f"{folder}/{name}", walk)
