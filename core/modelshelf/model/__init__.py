"""The values that everything else speaks in: frozen, keyword-only, without behaviour that reads or writes.

Each is loaded when it is first used: building a class of values takes longer than a listing needs for a
hundred rows, and a listing needs few of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker sees; at run time __getattr__ gives the same names
    from modelshelf.model.artifact import Artifact, ArtifactFile, Fingerprint, Role
    from modelshelf.model.config import Location, ModelConfig
    from modelshelf.model.depth import Depth
    from modelshelf.model.event import EventKind, ModelEvent
    from modelshelf.model.failure import PluginFailure
    from modelshelf.model.format import Detection, FormatType, TensorPlaces
    from modelshelf.model.health import Concern, Finding, HealthReport, Severity
    from modelshelf.model.kind import Kind, Modalities
    from modelshelf.model.metadata import ModelMetadata, Origin, Provenance, merge_metadata
    from modelshelf.model.query import Query
    from modelshelf.model.stats import DiscoveryStats, Orphan, Problem, UnfinishedDownload
    from modelshelf.model.status import HealthStatus
    from modelshelf.model.version import ModelVersion
    from modelshelf.reader import Candidate

__all__ = [
    "Artifact",
    "ArtifactFile",
    "CacheMemory",
    "Candidate",
    "Concern",
    "Depth",
    "Detection",
    "DiscoveryStats",
    "EventKind",
    "Finding",
    "Fingerprint",
    "FormatType",
    "HealthReport",
    "HealthStatus",
    "Kind",
    "Location",
    "MemoryEstimate",
    "MemoryRequest",
    "Modalities",
    "ModelConfig",
    "ModelEvent",
    "ModelMetadata",
    "ModelVersion",
    "Origin",
    "Orphan",
    "PluginFailure",
    "Problem",
    "Provenance",
    "Query",
    "Role",
    "Severity",
    "TensorPlaces",
    "UnfinishedDownload",
    "merge_metadata",
]

_HOMES = {
    "artifact": ("Artifact", "ArtifactFile", "Fingerprint", "Role"),
    "config": ("Location", "ModelConfig"),
    "depth": ("Depth",),
    "event": ("EventKind", "ModelEvent"),
    "failure": ("PluginFailure",),
    "format": ("Detection", "FormatType", "TensorPlaces"),
    "health": ("Concern", "Finding", "HealthReport", "Severity"),
    "kind": ("Kind", "Modalities"),
    "memory": ("CacheMemory", "MemoryEstimate", "MemoryRequest"),
    "metadata": ("ModelMetadata", "Origin", "Provenance", "merge_metadata"),
    "query": ("Query",),
    "stats": ("DiscoveryStats", "Orphan", "Problem", "UnfinishedDownload"),
    "status": ("HealthStatus",),
    "version": ("ModelVersion",),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}
_HOME_OF["Candidate"] = "modelshelf.reader"  # it refers to a reader, which is above the model


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
