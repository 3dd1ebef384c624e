"""Modelshelf: finds AI model files, says what each one is and whether it is sound, and keeps a registry.

Everything public can be imported from here; each name is loaded when it is first used, so that
``import modelshelf`` costs next to nothing.
"""

# ruff: noqa: F403, F405 - the starred names are those of the modules' own lists

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker sees; at run time __getattr__ gives the same names
    from modelshelf.command import CommandType
    from modelshelf.errors import *
    from modelshelf.model import *
    from modelshelf.plugin import hookimpl
    from modelshelf.reader import ArtifactReader, Budget, FileReader
    from modelshelf.registry.registry import ModelRegistry
    from modelshelf.serializer import SerializerType
    from modelshelf.source import Folder, Listing, Place, PlainFolders, Source, SourceType, Walk
    from modelshelf.store import Snapshot, Store, StoreType, Transaction

__all__ = [
    "AmbiguousNameError",
    "Artifact",
    "ArtifactFile",
    "ArtifactReader",
    "Budget",
    "BudgetExceededError",
    "CacheMemory",
    "Candidate",
    "CommandType",
    "Concern",
    "ConfigurationError",
    "DamagedStoreError",
    "Depth",
    "Detection",
    "DiscoveryStats",
    "DuplicateModelError",
    "EventKind",
    "FileChangedError",
    "FileReader",
    "Finding",
    "Fingerprint",
    "Folder",
    "FormatError",
    "FormatType",
    "HealthReport",
    "HealthStatus",
    "HookError",
    "InvalidModelError",
    "InvalidValueError",
    "InvalidVersionError",
    "Listing",
    "Location",
    "MemoryEstimate",
    "MemoryRequest",
    "ModelConfig",
    "ModelEvent",
    "ModelMetadata",
    "ModelRegistry",
    "ModelVersion",
    "ModelshelfError",
    "Origin",
    "Place",
    "PlainFolders",
    "PluginError",
    "PluginFailure",
    "PluginLoadError",
    "PluginTimeoutError",
    "Problem",
    "Provenance",
    "Query",
    "ReadError",
    "RegistryClosedError",
    "RegistryError",
    "Role",
    "SerializerError",
    "SerializerType",
    "Severity",
    "Snapshot",
    "Source",
    "SourceError",
    "SourceType",
    "Store",
    "StoreAbsentError",
    "StoreError",
    "StoreFullError",
    "StoreType",
    "StoreUnavailableError",
    "Transaction",
    "TruncatedFileError",
    "UnfinishedDownload",
    "UnknownModelError",
    "UnreadableFileError",
    "Walk",
    "hookimpl",
]

_HOMES = {
    "CommandType": "command",
    "hookimpl": "plugin",
    "ArtifactReader": "reader",
    "Budget": "reader",
    "FileReader": "reader",
    "ModelRegistry": "registry.registry",
    "SerializerType": "serializer",
    "Folder": "source",
    "Listing": "source",
    "Place": "source",
    "PlainFolders": "source",
    "Source": "source",
    "SourceType": "source",
    "Walk": "source",
    "Snapshot": "store",
    "Store": "store",
    "StoreType": "store",
    "Transaction": "store",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name) or ("errors" if name.endswith("Error") else "model")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
