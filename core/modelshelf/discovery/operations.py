"""The registry's two looks at files: a scan of places, and a check of models that are registered."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.discovery.admit import health_event
from modelshelf.discovery.examine import Examiner, make_sources, restat
from modelshelf.discovery.pipeline import Scan, ScanProgress, choose_source
from modelshelf.errors import UnknownModelError
from modelshelf.model import (
    Artifact,
    Depth,
    DiscoveryStats,
    Finding,
    HealthReport,
    ModelConfig,
    ModelEvent,
    Severity,
)
from modelshelf.model.health import status_of
from modelshelf.records import Records
from modelshelf.source import Place

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from modelshelf.plugin.call import PluginSet
    from modelshelf.source import Source
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
    failures = (*plugins.load_failures, *plugins.failures[before:])
    places = [place_of(examiner.sources, one) for one in dict.fromkeys(paths)]
    scan = Scan(store, examiner, emit=emit, depth=depth, force=force, progress=progress)
    return scan.run(places, executor=executor, workers=workers, failures=failures)


def place_of(sources: Sequence[Source], named: str | Place) -> tuple[Source, Place]:
    """The source that lists a path or place that was asked for, and the place.

    Raises:
        SourceError: No plugin offers plain folders.
    """
    if isinstance(named, Place):
        for source in sources:
            if source.name == named.source and any(one.root == named.root for one in source.places()):
                return source, named
        named = named.root
    path = os.path.abspath(named)
    source = choose_source(sources, path)
    return source, Place(source=source.name, root=path, reason="named", present=os.path.exists(path))


def check(
    store: Store, plugins: PluginSet, models: Sequence[ModelConfig], *, depth: Depth, emit: Emit
) -> dict[str, HealthReport]:
    """Probe models again; see `ModelRegistry.check`."""
    examiner = Examiner(plugins)
    reports = {}
    for model in models:
        findings = _probe_again(examiner, model, depth)
        now = int(time.time())
        reports[model.id] = HealthReport(
            status=status_of(findings), findings=findings, depth=depth, checked_at=now
        )
        emit(store.update(_keep(model, reports[model.id])))
    return reports


def _probe_again(examiner: Examiner, model: ModelConfig, depth: Depth) -> tuple[Finding, ...]:
    place = next((one for one in model.locations if not one.missing), None)
    if place is None or not place.files:
        message = f"{model.path or model.id}: no file of it is known; scan its folder"
        return (Finding(code="no-files", severity=Severity.ERROR, message=message),)
    artifact = Artifact(
        folder=place.folder,
        primary=os.path.relpath(place.path, place.folder),
        files=place.files,
        source=place.source,
        named_directly=True,
    )
    standing = restat(artifact)
    if not standing.weights:
        message = f"{place.path}: the file is gone"
        return (Finding(code="missing-file", severity=Severity.ERROR, message=message),)
    seen = examiner.examine(standing, depth)
    if seen.rejected is not None:
        return (Finding(code=seen.rejected.code, severity=Severity.ERROR, message=seen.rejected.message),)
    return seen.findings


def _keep(model: ModelConfig, report: HealthReport) -> Callable[[Transaction], list[ModelEvent]]:
    def work(state: Transaction) -> list[ModelEvent]:
        records = Records(state)
        old = records.model(model.id, model.version)
        if old is None:
            raise UnknownModelError(model.id, model.version)
        config = attrs.evolve(
            old, health_status=report.status, findings=report.findings, checked_at=report.checked_at
        )
        records.put(config)
        return [] if config.health_status is old.health_status else [health_event(old, config)]

    return work
