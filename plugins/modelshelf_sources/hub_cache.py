"""A cache of huggingface_hub's layout, whichever tool keeps it: recognised and located."""

from __future__ import annotations

import os

from attrs import frozen

from modelshelf_sources.local_store import names_in

PREFIX = "models--"
"""What the name of a model's repository begins with."""

_PARTS = frozenset({"snapshots", "blobs", "refs"})


@frozen(kw_only=True, eq=False, repr=False)
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
