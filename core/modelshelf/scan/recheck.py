"""A check of models that are registered: each is examined again, and the record keeps what was found."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import attrs

from modelshelf.errors import UnknownModelError
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
from modelshelf.model.health import status_of, worst_first
from modelshelf.records.write import Records
from modelshelf.scan.commit import health_event
from modelshelf.scan.examine import Examiner
from modelshelf.scan.hashing import copy_findings, with_sha256
from modelshelf.scan.walk import described

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
        findings, places = _probe_again(examiner, model, depth)
        now = int(time.time())
        reports[model.id] = HealthReport(
            status=status_of(findings), findings=findings, depth=depth, checked_at=now
        )
        emit(store.update(_keep(model, reports[model.id], places)))
    return reports


def _probe_again(
    examiner: Examiner, model: ModelConfig, depth: Depth
) -> tuple[tuple[Finding, ...], dict[str, Location]]:
    """What is wrong with a model now, and its places with what was learned of them, by their paths.

    Its first place is examined; at depth full every byte of its other places is read too.
    """
    first = next((one for one in model.locations if not one.missing), None)
    if first is None or not first.files:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return (Finding(code="no-files", severity=Severity.ERROR, message=message),), {}
    standing = _restat(_artifact(first))
    if not standing.weights:
        message = f"{first.path}: the file is gone"
        return (Finding(code="missing-file", severity=Severity.ERROR, message=message),), {}
    seen = examiner.examine(standing, depth)
    if seen.rejected is not None:
        rejected = seen.rejected
        return (Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message),), {}
    reached = depth if seen.complete else first.depth  # else the next scan of this depth looks again
    if depth is not Depth.FULL:
        return seen.findings, {first.path: attrs.evolve(first, depth=reached)}
    findings = list(seen.findings)
    places = [attrs.evolve(first, files=with_sha256(first.files, seen.sha256), depth=reached)]
    for other in model.locations:
        if other is not first and not other.missing and other.files:
            read = examiner.hash_weights(_restat(_artifact(other)))
            findings += read.findings
            places.append(attrs.evolve(other, files=with_sha256(other.files, read.sha256), depth=depth))
    findings += copy_findings(tuple(places))
    return worst_first(findings), {one.path: one for one in places}


def _artifact(place: Location) -> Artifact:
    return Artifact(
        folder=place.folder,
        primary=os.path.relpath(place.path, place.folder),
        files=place.files,
        source=place.source,
        named_directly=True,
    )


def _keep(
    model: ModelConfig, report: HealthReport, places: Mapping[str, Location]
) -> Callable[[Transaction], list[ModelEvent]]:
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
                places[one.path]
                if one.path in places and one.fingerprint == places[one.path].fingerprint
                else one
                for one in old.locations
            ),
        )
        records.put(config)
        return [] if config.health_status is old.health_status else [health_event(old, config)]

    return work


def _restat(artifact: Artifact) -> Artifact:
    """The artifact as its folder is now: sizes and times anew, files that are gone named as missing."""
    files, gone = [], []
    for one in artifact.files:
        try:
            told = described(one.name, os.stat(artifact.path_of(one.name)))
        except (OSError, ValueError):
            told = None
        if told is not None:
            # A digest says nothing of bytes that were written since.
            same = (told.size, told.mtime_ns) == (one.size, one.mtime_ns)
            files.append(attrs.evolve(told, role=one.role, sha256=one.sha256 if same else None))
        elif one.role is not Role.COMPANION:
            gone.append(one.name)
    return attrs.evolve(artifact, files=tuple(files), missing=(*artifact.missing, *gone))
