"""A check of registered models: each is examined again, and its record gets the findings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import attrs

from modelshelf.errors import UnknownModelError, UnreadableFileError
from modelshelf.model import (
    Artifact,
    Depth,
    Finding,
    HealthReport,
    Location,
    ModelConfig,
    ModelEvent,
    Role,
    Severity,
)
from modelshelf.model.health import combine, not_judged, status_of, worst_first
from modelshelf.records.write import Records
from modelshelf.scan.commit import health_event
from modelshelf.scan.examine import Examiner
from modelshelf.scan.hashing import copy_findings, with_sha256
from modelshelf.scan.walk import regular_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Store, Transaction


def check(
    store: Store,
    plugins: PluginSet,
    models: Sequence[ModelConfig],
    *,
    depth: Depth,
    emit: Callable[[Iterable[ModelEvent]], None],
) -> dict[str, HealthReport]:
    """Probe models again; see `ModelRegistry.check`."""
    examiner = Examiner.of(plugins)
    reports = {}
    for model in models:
        findings, locations = _probe_again(examiner, model, depth)
        now = int(time.time())
        reports[model.id] = HealthReport(
            status=status_of(findings), findings=findings, depth=depth, checked_at=now
        )
        emit(store.update(_commit(model, reports[model.id], locations)))
    return reports


def _probe_again(
    examiner: Examiner, model: ModelConfig, depth: Depth
) -> tuple[tuple[Finding, ...], dict[str, Location]]:
    """What is wrong with a model now, and its locations as they were read, by their paths.

    Its first location is examined; at depth full every byte of its other locations is read too.
    """
    first = next((one for one in model.locations if not one.missing), None)
    if first is None or not first.files:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return (Finding(code="no-files", severity=Severity.ERROR, message=message),), {}
    artifact = _artifact_at(first)
    if not artifact.weights:
        message = f"{first.path}: the file is gone"
        return (Finding(code="missing-file", severity=Severity.ERROR, message=message),), {}
    with examiner.plugins.limit():
        examination = examiner.examine(artifact, depth)
    is_unchanged = first.has_unchanged(artifact.files)
    rejected = examination.rejected
    if rejected is not None and rejected.code == UnreadableFileError.code:
        unread = [not_judged(rejected.message)]
        return combine(model.findings, unread) if is_unchanged else tuple(unread), {}
    if rejected is not None:
        return (Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message),), {}
    found = examination.findings
    reached = depth
    if is_unchanged and not (examination.is_finished and depth.reaches(first.depth)):
        found = combine(model.findings, found)
        reached = first.depth
    # Without a fingerprint the next scan examines it again.
    fingerprint = first.fingerprint if examination.complete else b""
    examined = attrs.evolve(first, depth=reached, fingerprint=fingerprint)
    if depth is not Depth.FULL:
        return found, {first.path: examined}
    findings = list(found)
    locations = [attrs.evolve(examined, files=with_sha256(first.files, examination.sha256))]
    for other in model.locations:
        if other is not first and not other.missing and other.files:
            read = examiner.hash_weights(_artifact_at(other))
            findings += read.findings
            locations.append(attrs.evolve(other, files=with_sha256(other.files, read.sha256), depth=depth))
    findings += copy_findings(tuple(locations))
    return worst_first(findings), {one.path: one for one in locations}


def _artifact_at(location: Location) -> Artifact:
    """The artifact as its folder is now: sizes and times anew, files that are gone named as missing."""
    files, gone = [], []
    for one in location.files:
        try:
            present = regular_file(one.name, os.stat(f"{location.folder.rstrip('/')}/{one.name}"))
        except (OSError, ValueError):
            present = None
        if present is not None:
            # A digest says nothing of bytes that were written since.
            is_same = (present.size, present.mtime_ns) == (one.size, one.mtime_ns)
            files.append(attrs.evolve(present, role=one.role, sha256=one.sha256 if is_same else None))
        elif one.role is not Role.COMPANION:
            gone.append(one.name)
    return Artifact(
        folder=location.folder,
        primary=os.path.relpath(location.path, location.folder),
        files=tuple(files),
        source=location.source,
        missing=tuple(gone),
        named_directly=True,
    )


def _commit(
    model: ModelConfig, report: HealthReport, locations: Mapping[str, Location]
) -> Callable[[Transaction], list[ModelEvent]]:
    fingerprints = {one.path: one.fingerprint for one in model.locations}

    def work(state: Transaction) -> list[ModelEvent]:
        records = Records(state)
        old = records.model(model.id, model.version)
        if old is None:
            raise UnknownModelError(model.id, model.version)
        config = attrs.evolve(
            old,
            health_status=report.status,
            findings=report.findings,
            checked_at=report.checked_at,
            locations=tuple(
                locations[one.path]
                if one.path in locations and one.fingerprint == fingerprints[one.path]
                else one
                for one in old.locations
            ),
        )
        records.put(config)
        return [] if config.health_status is old.health_status else [health_event(old, config)]

    return work
