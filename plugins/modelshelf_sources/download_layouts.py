"""How downloads lie on a disk: where caches are by default, and how each layout is recognised."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_sources.listing import names_in, relative
from modelshelf_sources.local_store import Root

if TYPE_CHECKING:
    from modelshelf.source import Folder
    from modelshelf_sources.machine import Machine


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


_CACHE = ".cache"

HUB = ".cache/huggingface"

NOTES = f"{HUB}/download"


def is_local_download(folder: Folder) -> bool:
    """Whether huggingface_hub downloaded into this folder."""
    return _CACHE in folder.subfolders and has_notes(folder.path)


def has_notes(folder: str) -> bool:
    """Whether notes of downloads lie in this folder."""
    return os.path.isdir(f"{folder}/{NOTES}")


def is_bookkeeping(path: str, root: str) -> bool:
    """Whether a folder below a local download is the download's own."""
    return relative(path, root).startswith(HUB)


MANIFEST = re.compile(r"manifest=(?P<user>[^=]+)=(?P<repository>[^=]+)=(?P<tag>[^=]+)\.json")

BESIDE = (".gguf.etag", ".gguf.json")
"""Endings of the files that lie beside a model's."""


def flat_roots(machine: Machine) -> tuple[str, ...]:
    """Where llama.cpp keeps, or kept, its flat cache by default on this platform."""
    if machine.platform == "darwin":
        return (machine.below_home("Library", "Caches", "llama.cpp"),)
    if machine.platform == "win32":
        return (os.path.join(machine.local_app_data, "llama.cpp"),)
    return (os.path.join(machine.cache_home, "llama.cpp"),)


def has_flat_files(folder: str) -> bool:
    """Whether a folder holds what only llama.cpp's flat cache does: manifests, or tags of files."""
    return any(MANIFEST.fullmatch(name) or name.endswith(BESIDE) for name in names_in(folder))
