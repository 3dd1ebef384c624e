"""`ModelRegistry`: what programs import. A façade over the store, scans and the plugins.

What the methods need that a server calls for each request is imported here, with the module. Imported at the
first call it would hang a process that is forked meanwhile: the child inherits the lock of the module that is
being imported, and nobody is left to release it.
"""

from __future__ import annotations

import hashlib  # noqa: F401 - the keys of long names need it
import json
from typing import TYPE_CHECKING, Any, TypeVar

from modelshelf.errors import UnknownModelError
from modelshelf.records.json import openai_listing
from modelshelf.records.read import RecordReader
from modelshelf.records.write import Records
from modelshelf.registry import edits, events
from modelshelf.registry.discovery import ModelDiscovery, as_depth
from modelshelf.registry.lookup import ModelLookup, as_version

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from modelshelf.model import (
        Depth,
        HealthReport,
        HealthStatus,
        MemoryEstimate,
        MemoryRequest,
        ModelConfig,
        ModelEvent,
        ModelVersion,
    )
    from modelshelf.plugin.call import PluginSet
    from modelshelf.registry.settings_import import Restored
    from modelshelf.store import Store

T = TypeVar("T")

_LONGEST_CACHED = 1 << 23  # characters of a listing that is kept for the next who asks


class ModelRegistry(ModelLookup, ModelDiscovery):
    """A versioned registry of models.

    Reading is a look-up in memory, guarded by the store's revision: what another process commits is seen
    by the next call. Every change is committed durably before the call returns, then logged, and the plugins
    that observe changes are called.

    - **Threads** may share a registry: each look-up reads one committed state, and changes are made one
      after another. Only `close` has to wait until the other threads' calls are done.
    - **A forked child** may go on with the registry that it inherits, as its parent may, whatever look-ups
      and changes other threads of the parent were at; where they were scanning or checking, it must not scan
      or check itself.
    - **Processes** may open one store at the same time, to read and to change: a change waits for those of
      the others, and what one process commits, the next call in another one sees.
    - **asyncio**: every call blocks. A look-up takes microseconds and may be made as it is; a change waits
      for the disk, and a scan or check takes long: ``await asyncio.to_thread(registry.mark_used, model_id)``.

    Args:
        model_base_path: The folder that `discover_models` scans when it is given no other.
        metadata_path: Where the records are kept: a folder, or a store's URL.
        plugins: Plugins beside the installed ones: modules, paths of one-file plugins, or objects whose
            methods are hooks. Worker processes load modules and files by themselves; with an object, a scan
            runs in this process alone.
        blocked: Names of plugins that are not to be loaded.
        sources: Settings of sources, each with the ``name`` of the source that reads the rest of it, as the
            ``[[sources]]`` tables of the configuration.
        readonly: Whether nothing may be written, not even the store's folder. A store that the system lets
            nobody write is read without it too, and every change is an error.
        store: An open store to use in place of the one at `metadata_path`; it is closed with the registry.

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
        store: Store | None = None,
    ) -> None:
        super().__init__(
            model_base_path,
            metadata_path,
            plugins=plugins,
            blocked=blocked,
            sources=sources,
            readonly=readonly,
            store=store,
        )
        # Now and not at the first change, for the reason that the module gives.
        self._observers = None if readonly else events.load_observers(self.store, self._given, self._blocked)
        self._hooks_kept = self._observers is None

    @property
    def plugins(self) -> PluginSet:
        """The plugins, loaded when they are first needed."""
        first = self._plugins is None
        plugins = super().plugins
        if first and self._observers is not None:  # those that were called before all were loaded
            plugins.failures += [one for one in self._observers.failures if one not in plugins.failures]
        return plugins

    def to_json(self, *, strict: bool = False) -> str:
        """The models as the list that OpenAI's ``/v1/models`` gives.

        A model whose files are missing has ``"missing": true``, and ``"offline": true`` where their volume is
        not there; its ``health_status`` is ``unknown``.

        Args:
            strict: Only the four fields that OpenAI defines, and only models that are not missing; otherwise
                the registry's own fields follow.
        """
        state = self._cached.current()
        text = state.listings.get(strict)
        if text is None:
            text = json.dumps(openai_listing(self, strict=strict), allow_nan=False)
            # A commit on the way may have put models of two states into it.
            if len(text) <= _LONGEST_CACHED and self._cached.current() is state:
                state.listings[strict] = text
        return text

    def register(self, config: ModelConfig) -> ModelConfig:
        """Add a model, or a version of one. The first model of a registry becomes its default.

        Where its path exists and its health is not given, the files are judged first, at depth header.

        Raises:
            DuplicateModelError: That id and version is registered already.
            InvalidModelError: An alias is another model's, or the id is an alias.
        """
        from modelshelf.scan.judge import has_to_be_judged, judge  # no request of a server registers

        if has_to_be_judged(config):
            config = judge(config, self.plugins)
        return self._change(lambda records: edits.register(records, config))

    def update(
        self, model_id: str, *, version: ModelVersion | str | None = None, **fields: Any
    ) -> ModelConfig:
        """Set fields of a model: those of `ModelConfig` that a person sets, and any of `ModelMetadata`.

        What is set here outlives every rescan.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
            InvalidModelError: A field does not exist, or cannot have the value.
        """
        return self._change(lambda records: edits.update(records, model_id, _optional(version), fields))

    def mark_used(self, model_id: str) -> ModelConfig:
        """Count one more use, now.

        Raises:
            UnknownModelError: The id is not registered.
        """
        return self._change(lambda records: edits.mark_used(records, model_id))

    def update_health_status(self, model_id: str, status: HealthStatus | str) -> ModelConfig:
        """Set a model's health, as its server sees it.

        Raises:
            UnknownModelError: The id is not registered.
            InvalidModelError: There is no such status.
        """
        return self._change(lambda records: edits.update_health_status(records, model_id, status))

    def set_default(self, model_id: str) -> None:
        """Make a model the default; see `default` for when it is given.

        Raises:
            UnknownModelError: The id is not registered.
        """
        self._change(lambda records: edits.set_default(records, model_id))

    def pin(self, model_id: str, version: ModelVersion | str | None) -> None:
        """Make `get` give this version of a model, whatever comes after it; None ends that.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        self._change(lambda records: edits.pin(records, model_id, _optional(version)))

    def remove(self, model_id: str, version: ModelVersion | str | None = None) -> None:
        """Forget a model, or one version of it. Its files are not touched; a scan finds them again.

        Where it was the default, the first of the others that are enabled and not missing takes its place.

        Raises:
            UnknownModelError: The id, or the version, is not registered.
        """
        self._change(lambda records: edits.remove(records, model_id, _optional(version)))

    def check(
        self, model_ids: Iterable[str] | None = None, *, depth: Depth | str = "header"
    ) -> dict[str, HealthReport]:
        """Probe models again and keep what was found; all of them where none is named.

        Raises:
            UnknownModelError: An id is not registered.
        """
        from modelshelf.scan.recheck import check

        wanted = self.list_models() if model_ids is None else list(model_ids)
        models = [self._registered(model_id) for model_id in wanted]
        return check(self.store, self.plugins, models, depth=as_depth(depth), emit=self._emit)

    def estimate_memory(self, model_id: str, request: MemoryRequest | None = None) -> MemoryEstimate:
        """What a model needs in memory, item by item, by its record alone: no file is opened.

        Args:
            model_id: The model's id or alias.
            request: How it is to be run; None asks for the usual engine of its format.

        Raises:
            UnknownModelError: The id is not registered.
        """
        from modelshelf.model.memory import MemoryEstimate, MemoryRequest

        model, request = self._registered(model_id), request or MemoryRequest()
        for outcome in self.plugins.call(
            "modelshelf_estimate_memory", path=model.path, model=model, request=request
        ):
            for estimate in outcome.results:
                answer: MemoryEstimate = estimate
                return answer
        format_name = model.metadata.format or "no known format"
        engine = request.engine or "any engine"
        reason = f"no plugin estimates the memory of {format_name} with {engine}"
        return MemoryEstimate(engine=engine, unknown=(reason,))

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
            InvalidValueError: The document has no settings, or a value in it cannot be.
        """
        from modelshelf.registry.settings_import import Undone, parse, restore

        settings = parse(document)

        def work(records: Records) -> tuple[Restored, list[ModelEvent]]:
            restored, changes = restore(records, settings, replace=replace)
            if dry_run:
                raise Undone(restored)
            return restored, changes

        try:
            return self._change(work)
        except Undone as undone:
            return undone.restored

    def _registered(self, model_id: str) -> ModelConfig:
        model = self.get(model_id)
        if model is None:
            raise UnknownModelError(model_id)
        return model

    def _change(self, work: Callable[[Records], tuple[T, list[ModelEvent]]]) -> T:
        result, changes = self.store.update(lambda state: work(Records(state)))
        self._emit(changes)
        return result

    def _emit(self, changes: Iterable[ModelEvent]) -> None:
        events.emit(changes, self._plugins or self._observers)
        if not self._hooks_kept and self._observers is not None:
            self._hooks_kept = True
            events.keep_hooks(self.store, self._observers)


def _optional(version: ModelVersion | str | None) -> ModelVersion | None:
    return None if version is None else as_version(version)
