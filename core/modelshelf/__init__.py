"""Modelshelf: finds AI model files, says what each one is and whether it is sound, and keeps a registry.

Everything public can be imported from here; each name is loaded when it is first used, so that
``import modelshelf`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelshelf.command import CommandType
    from modelshelf.errors import *  # noqa: F403
    from modelshelf.model import *  # noqa: F403
    from modelshelf.plugin import hookimpl
    from modelshelf.reader import ArtifactReader, Budget, FileReader
    from modelshelf.registry import ModelRegistry
    from modelshelf.serializer import SerializerType
    from modelshelf.source import Folder, Listing, Place, Source, SourceType, Walk
    from modelshelf.store import Snapshot, Store, StoreType, Transaction

_HOMES = {
    "modelshelf.command": ("CommandType",),
    "modelshelf.plugin": ("hookimpl",),
    "modelshelf.reader": ("ArtifactReader", "Budget", "FileReader"),
    "modelshelf.registry": ("ModelRegistry",),
    "modelshelf.serializer": ("SerializerType",),
    "modelshelf.source": ("Folder", "Listing", "Place", "Source", "SourceType", "Walk"),
    "modelshelf.store": ("Snapshot", "Store", "StoreType", "Transaction"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    for home in ("modelshelf.model", "modelshelf.errors"):
        module = import_module(home)
        if name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
