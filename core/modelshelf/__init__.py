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

_MODEL = (
    "Artifact",
    "ArtifactFile",
    "Candidate",
    "Depth",
    "Detection",
    "DiscoveryStats",
    "EventKind",
    "Finding",
    "Fingerprint",
    "FormatType",
    "HealthReport",
    "HealthStatus",
    "Location",
    "ModelConfig",
    "ModelEvent",
    "ModelMetadata",
    "ModelVersion",
    "Origin",
    "Problem",
    "Provenance",
    "Query",
    "Role",
    "Severity",
    "UnfinishedDownload",
)
_ERRORS = (
    "BudgetExceededError",
    "ConfigurationError",
    "DamagedStoreError",
    "DuplicateModelError",
    "FileChangedError",
    "FormatError",
    "HookError",
    "InvalidModelError",
    "InvalidValueError",
    "InvalidVersionError",
    "ModelshelfError",
    "PluginError",
    "PluginLoadError",
    "PluginTimeoutError",
    "ReadError",
    "RegistryClosedError",
    "RegistryError",
    "SerializerError",
    "SourceError",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "TruncatedFileError",
    "UnknownModelError",
    "UnreadableFileError",
)
_HOMES = {
    "modelshelf.command": ("CommandType",),
    "modelshelf.errors": _ERRORS,
    "modelshelf.model": _MODEL,
    "modelshelf.plugin": ("hookimpl",),
    "modelshelf.reader": ("ArtifactReader", "Budget", "FileReader"),
    "modelshelf.registry": ("ModelRegistry",),
    "modelshelf.serializer": ("SerializerType",),
    "modelshelf.source": ("Folder", "Listing", "Place", "Source", "SourceType", "Walk"),
    "modelshelf.store": ("Snapshot", "Store", "StoreType", "Transaction"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605 - one table names every public name


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
