"""`ModelRegistry`: what programs import. A façade over the store, scans and the plugins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from modelshelf.errors import InvalidModelError, SerializerError, UnknownModelError
from modelshelf.records.write import RecordReader, Records
from modelshelf.registry.lookup import ModelLookup, as_version
from modelshelf.registry.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor

    from modelshelf.model import (
        Depth,
        DiscoveryStats,
        HealthReport,
        HealthStatus,
        ModelConfig,
        ModelEvent,
        ModelVersion,
    )
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.call import PluginSet
    from modelshelf.registry.settings_import import Restored
    from modelshelf.scan.counters import ScanProgress
    from modelshelf.scan.why import Reason
    from modelshelf.serializer import SerializerType
    from modelshelf.source import Place

T = TypeVar("T")


class ModelRegistry(ModelLookup):
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
        sources: Settings of sources, each with the ``name`` of the source that reads the rest of it, as the
            ``[[sources]]`` tables of the configuration.
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
        sources: Iterable[Mapping[str, Any]] = (),
        readonly: bool = False,
    ) -> None:
        self.model_base_path = os.fspath(model_base_path)
        self._extra = tuple(plugins)
        self._blocked = frozenset(blocked)
        self._sources = tuple(sources)
        self._loaded: PluginSet | None = None
        super().__init__(open_store(os.fspath(metadata_path), self._extra, self._blocked, readonly=readonly))

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

    def register(self, config: ModelConfig) -> ModelConfig:
        """Add a model, or a version of one. The first model of a registry becomes its default.

        Raises:
            DuplicateModelError: That id and version is registered already.
            InvalidModelError: An alias is another model's, or the id is an alias.
        """
        from modelshelf.registry import edits

        return self._change(lambda records: edits.register(records, config))

    def update(
        self, model_id: str, *, version: ModelVersion | str | None = None, **fields: Any
    ) -> ModelConfig:
        """Set fields of a model: those of `ModelConfig` that a person sets, and any of `ModelMetadata`.

        What is set here outlives every rescan.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
            InvalidModelError: A field does not exist, or cannot hold the value.
        """
        from modelshelf.registry import edits

        return self._change(lambda records: edits.update(records, model_id, _optional(version), fields))

    def mark_used(self, model_id: str) -> ModelConfig:
        """Count one more use, now.

        Raises:
            UnknownModelError: The id is not registered.
        """
        from modelshelf.registry import edits

        return self._change(lambda records: edits.mark_used(records, model_id))

    def update_health_status(self, model_id: str, status: HealthStatus | str) -> ModelConfig:
        """Set a model's health, as its server sees it.

        Raises:
            UnknownModelError: The id is not registered.
            InvalidModelError: There is no such status.
        """
        from modelshelf.registry import edits

        return self._change(lambda records: edits.update_health_status(records, model_id, status))

    def set_default(self, model_id: str) -> None:
        """Make a model the default.

        Raises:
            UnknownModelError: The id is not registered.
        """
        from modelshelf.registry import edits

        self._change(lambda records: edits.set_default(records, model_id))

    def pin(self, model_id: str, version: ModelVersion | str | None) -> None:
        """Make `get` give this version of a model, whatever comes after it; None lets it go.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        from modelshelf.registry import edits

        self._change(lambda records: edits.pin(records, model_id, _optional(version)))

    def remove(self, model_id: str, version: ModelVersion | str | None = None) -> None:
        """Forget a model, or one version of it. Its files are not touched; a scan finds them again.

        Where it was the default, the first of the others takes its place.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        from modelshelf.registry import edits

        self._change(lambda records: edits.remove(records, model_id, _optional(version)))

    def discover_models(
        self,
        paths: Iterable[str | os.PathLike[str] | Place] | str | os.PathLike[str] | Place | None = None,
        *,
        depth: Depth | str = "header",
        executor: Executor | None = None,
        workers: int | None = None,
        force: bool = False,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> DiscoveryStats:
        """Scan folders, files or places of other tools, and bring the registry up to date with them.

        Files that are as they were are not opened, but for those that nobody looked at so deeply before. One
        bad file, folder or plugin is a problem in the result, never the scan's end; ending it early (Ctrl-C)
        leaves what was committed.

        Args:
            paths: What to scan: folders, files, or places as `places` gives them; None means
                `model_base_path`.
            depth: How deep a probe looks; full also looks into files that no format asks for by name.
            executor: Where to examine; None decides between this process and worker processes. A registry
                with plugins of its own examines in this process whatever is given here.
            workers: Worker processes; 1 means this process.
            force: Examine unchanged files too.
            progress: Called now and then, in this thread.
        """
        from modelshelf.scan.operations import discover
        from modelshelf.source import Place

        if paths is None:
            paths = [self.model_base_path]
        elif isinstance(paths, str | os.PathLike | Place):
            paths = [paths]
        return discover(
            self.store,
            self.plugins,
            [path if isinstance(path, Place) else os.fspath(path) for path in paths],
            tables=self._sources,
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
        from modelshelf.scan.recheck import check

        wanted = self.list_models() if model_ids is None else list(model_ids)
        models = [self._known(model_id) for model_id in wanted]
        return check(self.store, self.plugins, models, depth=_depth(depth), emit=self._emit)

    def why(self, path: str | os.PathLike[str]) -> list[Reason]:
        """Why a file is, or is not, in the registry: every rule and plugin's verdict, in order."""
        from modelshelf.scan.examiner import Examiner
        from modelshelf.scan.why import why

        examiner, absolute = Examiner(self.plugins), os.path.abspath(path)
        return self.store.view(lambda state: why(absolute, examiner, RecordReader(state)))

    def places(self) -> list[Place]:
        """Every place that the sources would look into on this machine, present or not."""
        from modelshelf.scan.places import make_sources

        made = make_sources(self.plugins, self._sources)
        return list({(one.source, one.root): one for source in made for one in source.places()}.values())

    def place(self, path: str | os.PathLike[str]) -> Place:
        """The place at a path: of the source that knows a folder of its kind, else a plain folder.

        Raises:
            SourceError: No plugin offers plain folders.
        """
        from modelshelf.scan.places import make_sources, place_of

        return place_of(make_sources(self.plugins, self._sources), os.fspath(path))[1]

    def with_nested(self, places: Iterable[Place]) -> list[Place]:
        """These places, and before each plain folder the present places of other tools that lie below it.

        A scan takes them together; whoever watches folders has to know them.
        """
        from modelshelf.scan.places import make_sources, place_of, with_nested

        sources = make_sources(self.plugins, self._sources)
        return [place for _, place in with_nested(sources, [place_of(sources, one) for one in places])]

    def is_offline(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path lies on a volume that held models and is not mounted now."""
        from modelshelf.scan.volumes import Volumes, is_on

        mounts = self.store.view(lambda state: RecordReader(state).mounts())
        return is_on(os.path.abspath(path), Volumes(mounts).lost())

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

    def export_settings(self) -> Iterator[bytes]:
        """What was set by hand, and how often models were used, as a document for `import_settings`."""
        from modelshelf.registry.settings_export import collect, dump

        return dump(self.store.view(lambda state: list(collect(RecordReader(state, self.on_damage)))))

    def import_settings(self, document: bytes, *, replace: bool = False, dry_run: bool = False) -> Restored:
        """Take over settings; models are found by their content, else by their id.

        Args:
            document: What `export_settings` gave, joined.
            replace: Whether what was set otherwise here gives way; it stays by default.
            dry_run: Whether nothing is to be changed.

        Raises:
            InvalidValueError: The document holds no settings, or a value in it cannot be.
        """
        from modelshelf.registry.settings_import import Undone, parse, restore

        settings = parse(document)

        def work(records: Records) -> tuple[Restored, list[ModelEvent]]:
            restored, events = restore(records, settings, replace=replace)
            if dry_run:
                raise Undone(restored)
            return restored, events

        try:
            return self._change(work)
        except Undone as undone:
            return undone.restored

    def scan_failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans; a forced scan without a failure forgets it."""
        return self.store.view(lambda state: RecordReader(state).failures())

    def _known(self, model_id: str) -> ModelConfig:
        model = self.get(model_id)
        if model is None:
            raise UnknownModelError(model_id)
        return model

    def _change(self, work: Callable[[Records], tuple[T, list[ModelEvent]]]) -> T:
        result, events = self.store.update(lambda state: work(Records(state)))
        self._emit(events)
        return result

    def _emit(self, events: Iterable[ModelEvent]) -> None:
        told = tuple(events)
        if not told:  # as of most scans; the values of events, and logging, take long to load
            return
        from modelshelf.registry.events import QUIET, log_event

        for event in told:
            log_event(event)
            if event.kind not in QUIET:
                for _ in self.plugins.call("modelshelf_model_changed", event=event):
                    pass


def _optional(version: ModelVersion | str | None) -> ModelVersion | None:
    return None if version is None else as_version(version)


def _depth(depth: Depth | str) -> Depth:
    from modelshelf.model import Depth

    try:
        return Depth(depth)
    except ValueError:
        names = ", ".join(one.value for one in Depth)
        raise InvalidModelError("*", "depth", f"must be one of {names}, not {depth!r}") from None
