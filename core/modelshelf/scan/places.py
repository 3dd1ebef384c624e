"""Which source lists a place, and which places of other tools lie within it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ConfigurationError, SourceError
from modelshelf.plugin.report import describe
from modelshelf.scan.guarded_source import GuardedSource
from modelshelf.source import LOCAL, Place, Source

if TYPE_CHECKING:
    from modelshelf.plugin.call import PluginSet
    from modelshelf.source import SourceType

_HOOK = "modelshelf_sources"


def make_sources(plugins: PluginSet, tables: Iterable[Mapping[str, Any]] = ()) -> list[Source]:
    """The sources that plugins offer: each with its defaults, and once more for every table that names it.

    Of two plugins that give one name the first keeps it. A source that cannot be made is a failure of its
    plugin.

    Args:
        plugins: The plugins.
        tables: Settings, each with the ``name`` of the source that reads the rest of it. ``defaults = false``
            leaves out the source that looks at the default places.

    Raises:
        ConfigurationError: No source has that name, or it cannot use its settings.
    """
    kinds: dict[str, tuple[str, SourceType]] = {}
    for outcome in plugins.call(_HOOK):
        for kind in outcome.results:
            kinds.setdefault(kind.name, (outcome.plugin, kind))
    made: list[Source] = []
    replaced = set()
    for table in tables:
        settings = dict(table)
        name, defaults = settings.pop("name", ""), settings.pop("defaults", True)
        if name not in kinds:
            raise ConfigurationError(
                f"sources: there is no source named {name!r}; there are {', '.join(sorted(kinds)) or 'none'}"
            )
        if not defaults:
            replaced.add(name)
        if settings:
            made += _make(plugins, *kinds[name], settings)
    standard = [
        source
        for name, (plugin, kind) in kinds.items()
        if name not in replaced
        for source in _make(plugins, plugin, kind, {})
    ]
    return [*standard, *made]


def _make(plugins: PluginSet, plugin: str, kind: SourceType, settings: dict[str, Any]) -> list[Source]:
    record = partial(plugins.record, plugin, _HOOK)
    try:
        return [GuardedSource(kind.make(settings), record)]
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it is recorded, not hidden
        record(f"make: {describe(error)}", error)
        return []


def choose_source(sources: Sequence[Source], root: str) -> Source:
    """The source that lists a place which a person named: the one that claims it, else plain folders.

    Raises:
        SourceError: No plugin offers plain folders.
    """
    for source in sorted(sources, key=lambda one: one.name):
        if source.name != LOCAL and os.path.isdir(root) and source.claims(root):
            return source
    for source in sources:
        if source.name == LOCAL:
            return source
    raise SourceError("no plugin lists plain folders; `modelshelf plugins` shows what failed or is disabled")


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


def with_nested(
    sources: Sequence[Source], places: Sequence[tuple[Source, Place]]
) -> list[tuple[Source, Place]]:
    """The places, each plain folder after the places of other tools that lie below it.

    A tool's store is read by the source that knows it; walked as plain folders, its blobs would be models
    without names.
    """
    folders = [place.root for source, place in places if source.name == LOCAL]
    named = {place.root for _, place in places}
    nested = [
        (source, place)
        for source in sources
        if folders and source.name != LOCAL
        for place in source.places()
        if place.present and place.root not in named and any(is_below(place.root, root) for root in folders)
    ]
    others = [one for one in places if one[0].name != LOCAL]
    return [*others, *nested, *(one for one in places if one[0].name == LOCAL)]


def is_below(path: str, root: str) -> bool:
    """Whether a path is a root or lies below it, by their names alone."""
    return path == root or path.startswith(root.rstrip("/") + "/")
