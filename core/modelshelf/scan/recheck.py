"""A check of registered models: each is examined again, and its record gets the findings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import attrs
from attrs import field, frozen

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
from modelshelf.scan.commit import commit_artifact, health_event, split_off, without_location
from modelshelf.scan.copies import after, findings_of, judged, with_own_findings
from modelshelf.scan.examine import Examination, Examiner
from modelshelf.scan.hashing import other_copies, with_sha256
from modelshelf.scan.walk import regular_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Store, Transaction


@frozen(kw_only=True)
class _Look:
    """One copy after it was examined again.

    Attributes:
        place: The copy, with what is wrong with it.
        artifact: Its files as they are now.
        examination: What the look found.
    """

    place: Location
    artifact: Artifact
    examination: Examination


@frozen(kw_only=True)
class _Looks:
    """All copies of a model after they were examined again.

    Attributes:
        places: The copies that are still those of the model, or gone, by their paths.
        findings: What is wrong with the model.
        others: The copies whose bytes proved to be another model's.
    """

    places: dict[str, Location] = field(factory=dict)
    findings: tuple[Finding, ...] = ()
    others: tuple[_Look, ...] = ()


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
        looks = _probe_again(examiner, model, depth)
        now = int(time.time())
        reports[model.id] = HealthReport(
            status=status_of(looks.findings), findings=looks.findings, depth=depth, checked_at=now
        )
        emit(store.update(_commit(model, reports[model.id], looks)))
    return reports


def _probe_again(examiner: Examiner, model: ModelConfig, depth: Depth) -> _Looks:
    """What is wrong with a model now, and its present copies as they were read.

    A copy that is gone counts for nothing while another one is there.
    """
    recorded = [one for one in with_own_findings(model).locations if not one.missing and one.files]
    if not recorded:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return _Looks(findings=(Finding(code="no-files", severity=Severity.ERROR, message=message),))
    artifacts = {one.path: _artifact_at(one) for one in recorded}
    present = [one for one in recorded if artifacts[one.path].weights]
    if not present:
        message = f"{recorded[0].path}: the file is gone"
        return _Looks(findings=(Finding(code="missing-file", severity=Severity.ERROR, message=message),))
    looks = {one.path: _probe_place(examiner, one, artifacts[one.path], depth) for one in present}
    others = {one.path for one in other_copies(look.place for look in looks.values())}
    places = [look.place for path, look in looks.items() if path not in others]
    gone = {one.path: attrs.evolve(one, missing=True) for one in recorded if one not in present}
    split = tuple(
        Finding(code="copies-differ", severity=Severity.INFO, message=_split(one)) for one in others
    )
    return _Looks(
        places={**gone, **{one.path: one for one in places}},
        findings=worst_first([*findings_of(places), *split]),
        others=tuple(looks[path] for path in looks if path in others),
    )


def _split(path: str) -> str:
    return f"{path}: was recorded as a copy; its bytes (sha256) are others, so it is a model of its own now"


def _probe_place(examiner: Examiner, place: Location, artifact: Artifact, depth: Depth) -> _Look:
    """One copy after it was examined again, with what is wrong with it."""
    with examiner.plugins.limit():
        examination = examiner.examine(artifact, depth)
    return _Look(place=_after(place, artifact, examination), artifact=artifact, examination=examination)


def _after(place: Location, artifact: Artifact, examination: Examination) -> Location:
    is_unchanged = place.has_unchanged(artifact.files)
    rejected = examination.rejected
    if rejected is not None and rejected.code == UnreadableFileError.code:
        unread = (not_judged(rejected.message),)
        return attrs.evolve(place, findings=combine(place.findings, unread) if is_unchanged else unread)
    if rejected is not None:
        fault = Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message)
        return attrs.evolve(place, findings=(fault,))
    read = attrs.evolve(
        place,
        depth=examination.depth,
        findings=examination.findings,
        found_at=None,
        files=with_sha256(artifact.files, examination.sha256),
    )
    look = after(place, read, finished=examination.is_finished)
    look = attrs.evolve(
        look,
        files=with_sha256(place.files, {one.name: one.sha256 for one in look.files if one.sha256}),
        # Without a fingerprint the next scan examines it again.
        fingerprint=place.fingerprint if examination.complete else b"",
    )
    if not is_unchanged:
        return look
    is_final = examination.is_finished and examination.depth.reaches(place.depth)
    return look if is_final else attrs.evolve(look, depth=place.depth)


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
        model_id=location.proposed_id or None,
        missing=tuple(gone),
        named_directly=True,
    )


def _commit(
    model: ModelConfig, report: HealthReport, looks: _Looks
) -> Callable[[Transaction], list[ModelEvent]]:
    fingerprints = {one.path: one.fingerprint for one in model.locations}
    now = report.checked_at or 0

    def work(state: Transaction) -> list[ModelEvent]:
        records = Records(state)
        old = records.model(model.id, model.version)
        if old is None:
            raise UnknownModelError(model.id, model.version)
        places = {
            path: one
            for path, one in looks.places.items()
            if any(there.fingerprint == fingerprints[path] for there in old.locations if there.path == path)
        }
        read = tuple(places.get(one.path, one) for one in with_own_findings(old).locations)
        config = attrs.evolve(old, checked_at=report.checked_at, locations=read)
        for one in read:
            if one.missing and one.path in places:
                config = without_location(config, one.path, now, offline=one.offline)
        config = judged(config) if looks.places else attrs.evolve(config, findings=report.findings)
        config = attrs.evolve(config, health_status=status_of(config.findings))
        records.put(config)
        events = [] if config.health_status is old.health_status else [health_event(old, config)]
        for look in looks.others:
            events += _split_off(records, look, fingerprints[look.place.path], now)
        return events

    return work


def _split_off(records: Records, look: _Look, fingerprint: bytes, now: int) -> list[ModelEvent]:
    """Give a copy that proved to be another model a record of its own; none where it changed meanwhile."""
    path = look.place.path
    entry = records.location(path)
    if entry is None or entry.model_id is None or entry.version is None or entry.fingerprint != fingerprint:
        return []
    record = records.model(entry.model_id, entry.version)
    if record is None:
        return []
    split = split_off(records, record, path, now)
    # What its source knows of it is asked by the next scan, for which it must not be unchanged.
    examination = attrs.evolve(look.examination, unreadable=True)
    return [split, *commit_artifact(records, look.artifact, examination, now).events]
