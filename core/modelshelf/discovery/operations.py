"""The registry's two looks at files: a scan of places, and a check of models that are registered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.discovery.admit import health_event
from modelshelf.discovery.examine import Examiner, restat
from modelshelf.discovery.hashing import differing, with_hashes
from modelshelf.discovery.pipeline import Scan, ScanProgress
from modelshelf.discovery.places import make_sources, place_of, with_nested
from modelshelf.errors import UnknownModelError
from modelshelf.model import (
    Artifact,
    Depth,
    DiscoveryStats,
    Finding,
    HealthReport,
    Location,
    ModelConfig,
    ModelEvent,
    Severity,
)
from modelshelf.model.health import status_of, worst_first
from modelshelf.records import Records

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from modelshelf.plugin.call import PluginSet
    from modelshelf.source import Place
    from modelshelf.store import Store, Transaction

Emit = Callable[[Iterable[ModelEvent]], None]


def discover(  # noqa: PLR0913 - what the façade is given, and what it holds
    store: Store,
    plugins: PluginSet,
    paths: Sequence[str | Place],
    *,
    tables: Sequence[Mapping[str, Any]],
    depth: Depth,
    executor: Executor | None,
    workers: int | None,
    force: bool,
    progress: Callable[[ScanProgress], None] | None,
    emit: Emit,
) -> DiscoveryStats:
    """Scan paths; see `ModelRegistry.discover_models`."""
    before = len(plugins.failures)
    examiner = Examiner(plugins, make_sources(plugins, tables))
    named = [place_of(examiner.sources, one) for one in dict.fromkeys(paths)]
    places = with_nested(examiner.sources, named)
    failures = (*plugins.load_failures, *plugins.failures[before:])
    scan = Scan(store, examiner, emit=emit, depth=depth, force=force, progress=progress)
    return scan.run(places, executor=executor, workers=workers, failures=failures)


def check(
    store: Store, plugins: PluginSet, models: Sequence[ModelConfig], *, depth: Depth, emit: Emit
) -> dict[str, HealthReport]:
    """Probe models again; see `ModelRegistry.check`."""
    examiner = Examiner(plugins)
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
    """What is wrong with a model now, and its places with the sha256 that were read, by their paths.

    Its first place is examined; at depth full every byte of its other places is read too.
    """
    first = next((one for one in model.locations if not one.missing), None)
    if first is None or not first.files:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return (Finding(code="no-files", severity=Severity.ERROR, message=message),), {}
    standing = restat(_artifact(first))
    if not standing.weights:
        message = f"{first.path}: the file is gone"
        return (Finding(code="missing-file", severity=Severity.ERROR, message=message),), {}
    seen = examiner.examine(standing, depth)
    if seen.rejected is not None:
        rejected = seen.rejected
        return (Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message),), {}
    if depth is not Depth.FULL:
        return seen.findings, {}
    findings = list(seen.findings)
    places = [attrs.evolve(first, files=with_hashes(first.files, seen.sha256))]
    for other in model.locations:
        if other is not first and not other.missing and other.files:
            read = examiner.hashed(restat(_artifact(other)))
            findings += read.findings
            places.append(attrs.evolve(other, files=with_hashes(other.files, read.sha256)))
    findings += differing(tuple(places))
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
