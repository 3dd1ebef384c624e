"""A cache of huggingface_hub's layout, whichever tool keeps it: recognised, located, listed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_sources.hub_repository import PREFIX, list_repository
from modelshelf_sources.local_store import names_in, unlisted

if TYPE_CHECKING:
    from modelshelf.source import Listing, Walk

_PARTS = frozenset({"snapshots", "blobs", "refs"})


@frozen(kw_only=True)
class Spot:
    """What a path means within a cache.

    Attributes:
        cache: The folder that holds the repositories, or None where one repository is meant.
        repository: The repository's folder, or None where all are meant.
        commit: The snapshot that is meant, or None for all of the repository.
    """

    cache: str | None = None
    repository: str | None = None
    commit: str | None = None


def locate(root: str) -> Spot | None:
    """What a folder is: a cache, its parent, a repository, a snapshot; None for none of these."""
    path = os.path.normpath(root)
    if is_cache(path):
        return Spot(cache=path)
    if is_cache(f"{path}/hub"):  # $HF_HOME
        return Spot(cache=f"{path}/hub")
    if is_repository(path):
        return Spot(repository=path)
    snapshots, commit = os.path.split(path)
    repository = os.path.dirname(snapshots)
    if os.path.basename(snapshots) == "snapshots" and is_repository(repository):
        return Spot(repository=repository, commit=commit)
    return None


def is_cache(folder: str) -> bool:
    """Whether a folder holds a repository of a model."""
    return any(name.startswith(PREFIX) and is_repository(f"{folder}/{name}") for name in names_in(folder))


def is_repository(folder: str) -> bool:
    """Whether a folder is a repository of a model."""
    return os.path.basename(folder).startswith(PREFIX) and not _PARTS.isdisjoint(names_in(folder))


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
