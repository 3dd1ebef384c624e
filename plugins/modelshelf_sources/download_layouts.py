"""How downloads are laid out on a disk: where caches are by default, and how each layout is recognised.

The layouts of huggingface_hub's cache, of its downloads into a folder (``local_dir``), and of llama.cpp's
older, flat cache. Several sources share them, and decide by them which lists what.
"""

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

REPOSITORY_PREFIX = "models--"
"""What the name of a model repository's folder begins with."""

HUB_FOLDER = ".cache/huggingface"
"""What huggingface_hub keeps in a folder that it downloaded into."""

DOWNLOAD_METADATA = f"{HUB_FOLDER}/download"
"""Where it keeps the metadata of the files; see `hub_metadata`."""

FLAT_MANIFEST = re.compile(r"manifest=(?P<user>[^=]+)=(?P<repository>[^=]+)=(?P<tag>[^=]+)\.json")

FLAT_SIDECARS = (".gguf.etag", ".gguf.json")
"""Endings of the files that llama.cpp keeps beside a model's; see `llamacpp_flat`."""

_REPOSITORY_PARTS = frozenset({"snapshots", "blobs", "refs"})


@frozen(kw_only=True, eq=False, repr=False)
class CacheLocation:
    """What a path means within a cache of the Hub's layout.

    Attributes:
        cache: The folder of the repositories, or None where one repository is meant.
        repository: The repository's folder, or None where all are meant.
        commit: The snapshot that is meant, or None for all of the repository.
    """

    cache: str | None = None
    repository: str | None = None
    commit: str | None = None


def hub_roots(machine: Machine) -> Iterator[Root]:
    """List where huggingface_hub keeps its cache on this machine (huggingface_hub, ``constants.py``)."""
    default = os.path.join(machine.cache_home, "huggingface", "hub")
    for variable, below in (("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", ""), ("HF_HOME", "hub")):
        value = machine.variable(variable)
        if value is not None:
            yield Root(path=os.path.join(machine.expand(value), below), reason=f"${variable}")
            yield Root(path=default, reason=f"default, not in use: ${variable} is set", optional=True)
            return
    reason = "$XDG_CACHE_HOME" if machine.variable("XDG_CACHE_HOME") else "default"
    yield Root(path=default, reason=reason)


def locate(root: str) -> CacheLocation | None:
    """Find out what a folder is: a cache, its parent, a repository, a snapshot; None for none of these."""
    path = os.path.normpath(root)
    if is_cache(path):
        return CacheLocation(cache=path)
    if is_cache(f"{path}/hub"):  # $HF_HOME
        return CacheLocation(cache=f"{path}/hub")
    if _is_repository(path):
        return CacheLocation(repository=path)
    snapshots, commit = os.path.split(path)
    repository = os.path.dirname(snapshots)
    if os.path.basename(snapshots) == "snapshots" and _is_repository(repository):
        return CacheLocation(repository=repository, commit=commit)
    return None


def is_cache(folder: str) -> bool:
    """Whether a folder has a repository of a model in it."""
    return any(
        name.startswith(REPOSITORY_PREFIX) and _is_repository(f"{folder}/{name}") for name in names_in(folder)
    )


def _is_repository(folder: str) -> bool:
    is_named_so = os.path.basename(folder).startswith(REPOSITORY_PREFIX)
    return is_named_so and not _REPOSITORY_PARTS.isdisjoint(names_in(folder))


def is_local_download(folder: Folder) -> bool:
    """Whether huggingface_hub downloaded into this folder, by its listing."""
    return ".cache" in folder.subfolders and has_download_metadata(folder.path)


def has_download_metadata(folder: str) -> bool:
    """Whether huggingface_hub downloaded into this folder, by its path."""
    return os.path.isdir(f"{folder}/{DOWNLOAD_METADATA}")


def is_bookkeeping(path: str, root: str) -> bool:
    """Whether a folder below a local download is huggingface_hub's own."""
    return relative(path, root).startswith(HUB_FOLDER)


def flat_roots(machine: Machine) -> tuple[str, ...]:
    """List where llama.cpp keeps, or kept, its flat cache by default on this platform."""
    if machine.platform == "darwin":
        return (machine.below_home("Library", "Caches", "llama.cpp"),)
    if machine.platform == "win32":
        return (os.path.join(machine.local_app_data, "llama.cpp"),)
    return (os.path.join(machine.cache_home, "llama.cpp"),)


def has_flat_files(folder: str) -> bool:
    """Whether a folder has what only llama.cpp's flat cache has: manifests, or etags of files."""
    return any(FLAT_MANIFEST.fullmatch(name) or name.endswith(FLAT_SIDECARS) for name in names_in(folder))
