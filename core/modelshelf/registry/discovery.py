"""What scans folders, and what asks the plugins: everything that a scan from the command line needs.

Modules are loaded where they are needed: a scan that finds nothing changed, as most do, loads neither what
examines models nor what changes records.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from modelshelf.errors import InvalidModelError, SerializerError
from modelshelf.plugin.find import BUILTIN
from modelshelf.records.read import RecordReader
from modelshelf.registry.listing import ModelListing
from modelshelf.registry.open_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor

    from modelshelf.model import Depth, DiscoveryStats, ModelEvent
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.counters import ScanProgress
    from modelshelf.scan.why import Reason
    from modelshelf.serializer import SerializerType
    from modelshelf.source import Place
    from modelshelf.store import Store


class ModelDiscovery(ModelListing):
    """Finds models, and brings the registry up to date with them; see `ModelRegistry` for the arguments."""

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
        self.model_base_path = os.fspath(model_base_path)
        self._given = tuple(plugins)
        self._blocked = frozenset(blocked)
        self._sources = tuple(sources)
        self._plugins: PluginSet | None = None
        if store is None:
            store = open_store(os.fspath(metadata_path), self._given, self._blocked, readonly=readonly)
        super().__init__(store)

    @property
    def location(self) -> str:
        """Where the records are kept."""
        return self.store.location

    @property
    def plugins(self) -> PluginSet:
        """The plugins, loaded when they are first needed."""
        if self._plugins is None:
            from modelshelf.plugin.call import PluginSet

            self._plugins = PluginSet.discover(self._given, blocked=self._blocked)
        return self._plugins

    def discover_models(
        self,
        paths: Iterable[str | os.PathLike[str] | Place] | str | os.PathLike[str] | Place | None = None,
        *,
        depth: Depth | str = "header",
        executor: Executor | None = None,
        workers: int | None = None,
        force: bool = False,
        everything: bool = False,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> DiscoveryStats:
        """Scan folders, files or places of other tools, and bring the registry up to date with them.

        Files that are as they were are not opened, but for those that nobody looked at so deeply before. One
        bad file, folder or plugin is a problem in the result, never the scan's end; ending it early (Ctrl-C)
        leaves what was committed.

        A plugin's hook that runs for more than a minute, at depth full one that reads nothing for so long, is
        ended, and its check is not judged. Worker processes end every such hook. In this process a loop of
        Python code is ended; one that waits for the system only in the main thread of a program that has no
        SIGALRM handler of its own, and native code that never returns to the interpreter never.

        Args:
            paths: What to scan: folders, files, or places as `places` gives them; None means
                `model_base_path`.
            depth: How deep a probe looks; full also looks into files that no format asks for by name.
            executor: Where to examine; None decides between this process and worker processes. A registry
                with objects as plugins examines in this process whatever is given here.
            workers: Worker processes; 1 means this process.
            force: Examine unchanged files too.
            everything: Look into every folder: also Python environments and installed packages,
                `node_modules`, histories of repositories and caches, which a walk otherwise passes over
                unless they are named.
            progress: Called now and then, in this thread.
        """
        from modelshelf.scan.run import discover
        from modelshelf.source import Place

        if paths is None:
            paths = [self.model_base_path]
        elif isinstance(paths, str | os.PathLike | Place):
            paths = [paths]
        stats = discover(
            self.store,
            self.plugins,
            [path if isinstance(path, Place) else os.fspath(path) for path in paths],
            tables=self._sources,
            depth=as_depth(depth),
            executor=executor,
            workers=workers,
            force=force,
            everything=everything,
            progress=progress,
            emit=self._emit,
        )
        if any(one.distribution not in {None, BUILTIN} for one in self.plugins.reports):
            from modelshelf.registry.events import keep_hooks

            keep_hooks(self.store, self.plugins)
        return stats

    def why(self, path: str | os.PathLike[str]) -> list[Reason]:
        """Why a file is, or is not, in the registry: every rule and plugin's verdict, in order."""
        from modelshelf.scan.why import why

        plugins, absolute = self.plugins, os.path.abspath(path)
        return self.store.view(lambda state: why(absolute, plugins, RecordReader(state)))

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
        """Whether a path lies on a volume that models lay on and that is not mounted now."""
        from modelshelf.scan.volumes import Volumes, is_on

        mounts = self.store.view(lambda state: RecordReader(state).mounts())
        return is_on(os.path.abspath(path), Volumes(mounts).lost())

    def scan_failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans; a forced scan without a failure forgets it."""
        return self.store.view(lambda state: RecordReader(state).failures())

    def serializer(self, name: str) -> SerializerType:
        """The serializer of that name.

        Raises:
            SerializerError: No plugin offers it; the message names those there are.
        """
        offered: dict[str, SerializerType] = {}
        for one in self.plugins.collect("modelshelf_serializers"):
            offered.setdefault(one.name, one)
        if name not in offered:
            names = ", ".join(sorted(offered)) or "none: see `modelshelf plugins`"
            raise SerializerError(f"no serializer is named {name!r}; there are {names}")
        return offered[name]

    def _emit(self, events: Iterable[ModelEvent]) -> None:
        """Log what was committed, and call the plugins that observe changes."""
        events = tuple(events)
        if events:
            from modelshelf.registry.events import emit

            emit(events, self.plugins)


def as_depth(depth: Depth | str) -> Depth:
    """A depth, from itself or its name.

    Raises:
        InvalidModelError: There is none of that name.
    """
    from modelshelf.model.depth import Depth

    try:
        return Depth(depth)
    except ValueError:
        names = ", ".join(one.value for one in Depth)
        raise InvalidModelError("*", "depth", f"must be one of {names}, not {depth!r}") from None
