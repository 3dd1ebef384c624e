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
from modelshelf.scan.commit import health_event, without_location
from modelshelf.scan.copies import findings_of, judged, with_own_findings
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
    """What is wrong with a model now, and its present locations as they were read, by their paths.

    A copy that is gone counts for nothing while another one is there.
    """
    recorded = [one for one in with_own_findings(model).locations if not one.missing and one.files]
    if not recorded:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return (Finding(code="no-files", severity=Severity.ERROR, message=message),), {}
    artifacts = {one.path: _artifact_at(one) for one in recorded}
    present = [one for one in recorded if artifacts[one.path].weights]
    if not present:
        message = f"{recorded[0].path}: the file is gone"
        return (Finding(code="missing-file", severity=Severity.ERROR, message=message),), {}
    places = [_probe_place(examiner, one, artifacts[one.path], depth) for one in present]
    if depth is Depth.FULL:
        differ = {one.file: one for one in copy_findings(tuple(places))}
        places = [
            attrs.evolve(one, findings=worst_first([*one.findings, differ[one.path]]))
            if one.path in differ
            else one
            for one in places
        ]
    gone = {one.path: attrs.evolve(one, missing=True) for one in recorded if one not in present}
    return findings_of(places), {**gone, **{one.path: one for one in places}}


def _probe_place(examiner: Examiner, place: Location, artifact: Artifact, depth: Depth) -> Location:
    """One copy after it was examined again, with what is wrong with it."""
    with examiner.plugins.limit():
        examination = examiner.examine(artifact, depth)
    is_unchanged = place.has_unchanged(artifact.files)
    rejected = examination.rejected
    if rejected is not None and rejected.code == UnreadableFileError.code:
        unread = (not_judged(rejected.message),)
        return attrs.evolve(place, findings=combine(place.findings, unread) if is_unchanged else unread)
    if rejected is not None:
        fault = Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message)
        return attrs.evolve(place, findings=(fault,))
    found, reached = examination.findings, depth
    if is_unchanged and not (examination.is_finished and depth.reaches(place.depth)):
        found, reached = combine(place.findings, found), place.depth
    return attrs.evolve(
        place,
        depth=reached,
        findings=found,
        files=with_sha256(place.files, examination.sha256),
        # Without a fingerprint the next scan examines it again.
        fingerprint=place.fingerprint if examination.complete else b"",
    )


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
        read = tuple(
            locations[one.path]
            if one.path in locations and one.fingerprint == fingerprints[one.path]
            else one
            for one in with_own_findings(old).locations
        )
        config = attrs.evolve(old, checked_at=report.checked_at, locations=read)
        for one in read:
            if one.missing and one.path in locations:
                config = without_location(config, one.path, report.checked_at or 0, offline=one.offline)
        config = judged(config) if locations else attrs.evolve(config, findings=report.findings)
        config = attrs.evolve(config, health_status=status_of(config.findings))
        records.put(config)
        return [] if config.health_status is old.health_status else [health_event(old, config)]

    return work
