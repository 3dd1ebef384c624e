"""A scan of what was asked for: sources are made, places found, and each is brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.scan.file_names import FormatTable
from modelshelf.scan.places import make_sources, place_of, with_nested
from modelshelf.scan.run import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from modelshelf.model import Depth, DiscoveryStats, ModelEvent
    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.counters import ScanProgress
    from modelshelf.source import Place
    from modelshelf.store import Store


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
    emit: Callable[[Iterable[ModelEvent]], None],
) -> DiscoveryStats:
    """Scan paths; see `ModelRegistry.discover_models`."""
    before = len(plugins.failures)
    formats = FormatTable.of(plugins.collect("modelshelf_formats"))
    sources = make_sources(plugins, tables)
    named = [place_of(sources, one) for one in dict.fromkeys(paths)]
    places = with_nested(sources, named)
    failures = (*plugins.load_failures, *plugins.failures[before:])
    scan = Scan(store, plugins, formats, sources, emit=emit, depth=depth, force=force, progress=progress)
    return scan.run(places, executor=executor, workers=workers, failures=failures)
