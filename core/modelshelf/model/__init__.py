"""The values that everything else speaks in: frozen, keyword-only, without behaviour that reads or writes."""

from modelshelf.model.artifact import (
    Artifact,
    ArtifactFile,
    Candidate,
    Detection,
    Fingerprint,
    FormatType,
    Role,
)
from modelshelf.model.config import Location, ModelConfig
from modelshelf.model.event import EventKind, ModelEvent
from modelshelf.model.failure import PluginFailure
from modelshelf.model.health import Depth, Finding, HealthReport, HealthStatus, Severity
from modelshelf.model.metadata import ModelMetadata, Origin, Provenance, merge_metadata
from modelshelf.model.query import Query
from modelshelf.model.stats import DiscoveryStats, Orphan, Problem, UnfinishedDownload
from modelshelf.model.version import ModelVersion

__all__ = [
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
    "Orphan",
    "PluginFailure",
    "Problem",
    "Provenance",
    "Query",
    "Role",
    "Severity",
    "UnfinishedDownload",
    "merge_metadata",
]
