"""`ModelRegistry`: what programs import. A façade over the store, discovery and the plugins."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

from modelshelf import changes, selection
from modelshelf.errors import (
    InvalidModelError,
    InvalidValueError,
    RegistryClosedError,
    SerializerError,
    UnknownModelError,
)
from modelshelf.events import log_event
from modelshelf.model import EventKind, HealthStatus, ModelConfig, ModelEvent, ModelVersion, Query
from modelshelf.opening import open_store
from modelshelf.records import RecordReader, Records, current_version, pin_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

    from modelshelf.discovery.pipeline import ScanProgress
    from modelshelf.discovery.why import Reason
    from modelshelf.model import Depth, DiscoveryStats, HealthReport
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.call import PluginSet
    from modelshelf.sealed import Summary
    from modelshelf.serializer import SerializerType
    from modelshelf.source import Place
    from modelshelf.store import Store

T = TypeVar("T")


class ModelRegistry:
    """A versioned registry of models.

    Reading is a look-up in memory, guarded by the store's revision: what another process commits is seen
    by the next call. Every change is committed durably before the call returns, then logged and told to
    the plugins that observe changes.

    Args:
        model_base_path: The folder that `discover_models` scans when it is given no other.
        metadata_path: Where the records are kept: a folder, or a store's URL.
        plugins: Plugins beside the installed ones: modules, or objects whose methods are hooks. A scan with
            such plugins runs in this process alone.
        blocked: Names of plugins that are not to be loaded.
        readonly: Whether nothing may be written, not even the store's folder.

    Raises:
        StoreError: The store cannot be opened.
    """

    def __init__(
        self,
        model_base_path: str | os.PathLike[str] = "vendor/layerModels",
        metadata_path: str | os.PathLike[str] = "vendor/layerData",
        *,
        plugins: Iterable[object] = (),
        blocked: Iterable[str] = (),
        readonly: bool = False,
    ) -> None:
        self.model_base_path = os.fspath(model_base_path)
        self._extra = tuple(plugins)
        self._blocked = frozenset(blocked)
        self._store: Store | None = open_store(
            os.fspath(metadata_path), self._extra, self._blocked, readonly=readonly
        )
        self._loaded: PluginSet | None = None
        self._revision: int | None = None
        self._models: dict[str, ModelConfig | None] = {}
        self._summaries: list[Summary] | None = None

    # -- life ---------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the store; twice is fine."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            RegistryClosedError: The registry is closed.
        """
        if self._store is None:
            raise RegistryClosedError("the registry is closed; open a new ModelRegistry")
        return self._store

    @property
    def location(self) -> str:
        """Where the records are kept."""
        return self.store.location

    @property
    def plugins(self) -> PluginSet:
        """The plugins, loaded when they are first needed."""
        if self._loaded is None:
            from modelshelf.plugin.call import PluginSet

            self._loaded = PluginSet.discover(self._extra, blocked=self._blocked)
        return self._loaded

    # -- reading ------------------------------------------------------------------------------------

    def get(self, model_id: str) -> ModelConfig | None:
        """The model of that id or alias: its pinned version, else its newest that is not missing; or None."""
        self._forget_if_changed()
        try:
            return self._models[model_id]
        except KeyError:
            found = self.store.view(lambda state: RecordReader(state).current(model_id))
            self._models[model_id] = found
            return found

    def get_by_version(self, model_id: str, version: ModelVersion | str) -> ModelConfig | None:
        """That very version of a model, or None.

        Raises:
            InvalidVersionError: The text is no version.
        """
        wanted = _version(version)
        return self.store.view(lambda state: RecordReader(state).model(model_id, wanted))

    def get_versions(self, model_id: str) -> list[ModelVersion]:
        """Every version of a model, newest first; empty for an unknown id."""
        return self.store.view(lambda state: RecordReader(state).versions(model_id))

    def default(self) -> ModelConfig | None:
        """The default model, or None where there is none."""
        model_id = self.store.view(lambda state: RecordReader(state).default())
        return None if model_id is None else self.get(model_id)

    def list_models(self) -> list[str]:
        """Every model's id, sorted."""
        return [one.id for one in self.summaries()]

    def get_healthy_models(self) -> list[str]:
        """Ids of the models whose status is healthy, sorted."""
        return [one.id for one in self.summaries() if one.health_status == HealthStatus.HEALTHY.value]

    def summaries(self, *, all_versions: bool = False) -> list[Summary]:
        """The fields that a listing needs, of each model's current version, sorted by id."""
        if all_versions:
            return self.store.view(lambda state: list(RecordReader(state).summaries()))
        self._forget_if_changed()
        if self._summaries is None:
            self._summaries = self.store.view(lambda state: _current(RecordReader(state)))
        return self._summaries

    def find(self, query: Query) -> list[ModelConfig]:
        """The models that meet a query, in its order."""
        found = self.find_summaries(query)
        return [model for one in found if (model := self.get_by_version(one.id, one.version)) is not None]

    def find_summaries(self, query: Query) -> list[Summary]:
        """What `find` finds, as summaries: no record is decoded whole."""
        tests = selection.conditions(query)
        held = self.summaries(all_versions=query.all_versions)
        return selection.arranged(query, (one for one in held if all(test(one) for test in tests)))

    def select_best(self, task: str = "simple", *, query: Query | None = None) -> ModelConfig | None:
        """The model for a task: largest healthy, enabled one for ``complex``, the smallest for ``simple``.

        Where none of known size is healthy and enabled, the default model, or None.

        Args:
            task: ``simple`` or ``complex``.
            query: More conditions that the model must meet.

        Raises:
            InvalidValueError: There is no such task.
        """
        if task not in selection.TASKS:
            raise InvalidValueError(f"unknown task {task!r}: use one of {', '.join(selection.TASKS)}")
        healthy = HealthStatus.HEALTHY.value
        held = self.find_summaries(query) if query is not None else self.summaries()
        usable = (one for one in held if one.health_status == healthy and one.enabled and not one.missing)
        chosen = selection.best(task, usable)
        return self.default() if chosen is None else self.get_by_version(chosen.id, chosen.version)

    def check_health(self) -> HealthStatus:
        """Healthy when every model is, degraded when some are, unhealthy when none is."""
        total, healthy = len(self.summaries()), len(self.get_healthy_models())
        if healthy == total:
            return HealthStatus.HEALTHY
        return HealthStatus.DEGRADED if healthy else HealthStatus.UNHEALTHY

    def stale(self, hours: float = 24) -> list[ModelConfig]:
        """Models that were used, but not within the last `hours`, the longest unused first."""
        limit = time.time() - hours * 3600
        unused = [one for one in self.summaries() if one.last_used is not None and one.last_used < limit]
        unused.sort(key=lambda one: one.last_used or 0)
        return [model for one in unused if (model := self.get(one.id)) is not None]

    def to_json(self, *, strict: bool = False) -> str:
        """The models as the list that OpenAI's ``/v1/models`` gives.

        Args:
            strict: Only the four fields that OpenAI defines; otherwise the registry's own stand beside them.
        """
        from modelshelf.plain import openai_listing

        return json.dumps(openai_listing(iter(self), strict=strict), allow_nan=False)

    def __len__(self) -> int:
        return len(self.summaries())

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self.get(model_id) is not None

    def __iter__(self) -> Iterator[ModelConfig]:
        for one in self.summaries():
            model = self.get(one.id)
            if model is not None:
                yield model

    # -- changing -----------------------------------------------------------------------------------

    def register(self, config: ModelConfig) -> ModelConfig:
        """Add a model, or a version of one. The first model of a registry becomes its default.

        Raises:
            DuplicateModelError: That id and version is registered already.
            InvalidModelError: An alias is another model's, or the id is an alias.
        """
        return self._change(lambda records: changes.register(records, config))

    def update(
        self, model_id: str, *, version: ModelVersion | str | None = None, **fields: Any
    ) -> ModelConfig:
        """Set fields of a model: those of `ModelConfig` that a person sets, and any of `ModelMetadata`.

        What is set here outlives every rescan.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
            InvalidModelError: A field does not exist, or cannot hold the value.
        """
        return self._change(lambda records: changes.update(records, model_id, _optional(version), fields))

    def mark_used(self, model_id: str) -> ModelConfig:
        """Count one more use, now.

        Raises:
            UnknownModelError: The id is not registered.
        """
        return self._change(lambda records: changes.mark_used(records, model_id))

    def update_health_status(self, model_id: str, status: HealthStatus | str) -> ModelConfig:
        """Set a model's health, as its server sees it.

        Raises:
            UnknownModelError: The id is not registered.
            InvalidModelError: There is no such status.
        """
        return self._change(lambda records: changes.update_health_status(records, model_id, status))

    def set_default(self, model_id: str) -> None:
        """Make a model the default.

        Raises:
            UnknownModelError: The id is not registered.
        """
        self._change(lambda records: changes.set_default(records, model_id))

    def pin(self, model_id: str, version: ModelVersion | str | None) -> None:
        """Make `get` give this version of a model, whatever comes after it; None lets it go.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        self._change(lambda records: changes.pin(records, model_id, _optional(version)))

    def remove(self, model_id: str, version: ModelVersion | str | None = None) -> None:
        """Forget a model, or one version of it. Its files are not touched; a scan finds them again.

        Where it was the default, the first of the others takes its place.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        self._change(lambda records: changes.remove(records, model_id, _optional(version)))

    # -- looking at files -----------------------------------------------------------------------------

    def discover_models(
        self,
        paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
        *,
        depth: Depth | str = "header",
        executor: Executor | None = None,
        workers: int | None = None,
        force: bool = False,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> DiscoveryStats:
        """Scan folders, files or places of other tools, and bring the registry up to date with them.

        Files that are as they were are not opened. One bad file, folder or plugin is a problem in the
        result, never the scan's end; ending it early (Ctrl-C) leaves what was committed.

        Args:
            paths: What to scan; None means `model_base_path`.
            depth: How deep a probe looks at what is new or changed.
            executor: Where to examine; None decides between this process and worker processes. A registry
                with plugins of its own examines in this process whatever is given here.
            workers: Worker processes; 1 means this process.
            force: Examine unchanged files too.
            progress: Called now and then, in this thread.
        """
        from modelshelf.discovery.operations import discover

        if paths is None:
            paths = [self.model_base_path]
        elif isinstance(paths, str | os.PathLike):
            paths = [paths]
        return discover(
            self.store,
            self.plugins,
            [os.fspath(path) for path in paths],
            depth=_depth(depth),
            executor=None if self._extra else executor,
            workers=1 if self._extra else workers,
            force=force,
            progress=progress,
            emit=self._emit,
        )

    def check(
        self, model_ids: Iterable[str] | None = None, *, depth: Depth | str = "header"
    ) -> dict[str, HealthReport]:
        """Probe models again and keep what was found; all of them where none is named.

        Raises:
            UnknownModelError: An id is not registered.
        """
        from modelshelf.discovery.operations import check

        wanted = self.list_models() if model_ids is None else list(model_ids)
        models = [self._known(model_id) for model_id in wanted]
        return check(self.store, self.plugins, models, depth=_depth(depth), emit=self._emit)

    def why(self, path: str | os.PathLike[str]) -> list[Reason]:
        """Why a file is, or is not, in the registry: every rule and plugin's verdict, in order."""
        from modelshelf.discovery.examine import Examiner
        from modelshelf.discovery.why import why

        examiner, absolute = Examiner(self.plugins), os.path.abspath(path)
        return self.store.view(lambda state: why(absolute, examiner, RecordReader(state)))

    def places(self) -> list[Place]:
        """Every place that the sources would look into on this machine, present or not."""
        from modelshelf.discovery.examine import make_sources

        return [place for source in make_sources(self.plugins).values() for place in source.places()]

    def serializer(self, name: str) -> SerializerType:
        """The serializer of that name.

        Raises:
            SerializerError: No plugin offers it; the message names those there are.
        """
        offered: dict[str, SerializerType] = {}
        for one in self.plugins.collect("modelshelf_serializers"):
            offered.setdefault(one.name, one)
        if name not in offered:
            known = ", ".join(sorted(offered)) or "none: see `modelshelf plugins`"
            raise SerializerError(f"no serializer is named {name!r}; there are {known}")
        return offered[name]

    def scan_failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans; a forced scan without a failure forgets it."""
        return self.store.view(lambda state: RecordReader(state).failures())

    # -- inside ---------------------------------------------------------------------------------------

    def _known(self, model_id: str) -> ModelConfig:
        model = self.get(model_id)
        if model is None:
            raise UnknownModelError(model_id)
        return model

    def _forget_if_changed(self) -> None:
        revision = self.store.revision()
        if revision != self._revision:
            self._models.clear()
            self._summaries = None
            self._revision = revision

    def _change(self, work: Callable[[Records], tuple[T, list[ModelEvent]]]) -> T:
        result, events = self.store.update(lambda state: work(Records(state)))
        self._emit(events)
        return result

    def _emit(self, events: Iterable[ModelEvent]) -> None:
        for event in events:
            log_event(event)
            if event.kind is not EventKind.USED:
                for _ in self.plugins.call("modelshelf_model_changed", event=event):
                    pass


def _current(records: RecordReader) -> list[Summary]:
    pins = records.pins()
    by_id: dict[str, list[Summary]] = {}
    for one in records.summaries():
        by_id.setdefault(one.id, []).append(one)
    chosen = (
        versions[0] if len(versions) == 1 else current_version(versions, pins.get(pin_part(model_id)))
        for model_id, versions in by_id.items()
    )
    return sorted(chosen, key=lambda one: one.id)


def _version(version: ModelVersion | str) -> ModelVersion:
    return version if isinstance(version, ModelVersion) else ModelVersion.parse(version)


def _optional(version: ModelVersion | str | None) -> ModelVersion | None:
    return None if version is None else _version(version)


def _depth(depth: Depth | str) -> Depth:
    from modelshelf.model import Depth

    try:
        return Depth(depth)
    except ValueError:
        names = ", ".join(one.value for one in Depth)
        raise InvalidModelError("*", "depth", f"must be one of {names}, not {depth!r}") from None
