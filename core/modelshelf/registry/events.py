"""What becomes of a committed change: one structured log record, and one call of the plugins that observe it.

A change loads no plugin that observes none. Which of the built-in plugins do is a list here. The hooks that a
release of another distribution's plugin implements are kept in the store, whenever plugins were loaded; where
they are not known the plugin is loaded.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from modelshelf.errors import StoreError
from modelshelf.model.event import EventKind
from modelshelf.plugin.find import (
    BUILTIN,
    GROUP,
    blocked_names,
    files_of_environment,
    find,
    is_released,
    others_offer,
)
from modelshelf.records.read import RecordReader
from modelshelf.records.write import Records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import ModelEvent
    from modelshelf.plugin.call import PluginSet
    from modelshelf.plugin.find import FoundPlugin
    from modelshelf.plugin.report import PluginReport
    from modelshelf.store import Store

log = logging.getLogger("modelshelf.events")

HOOK = "modelshelf_model_changed"
BUILTIN_OBSERVERS: frozenset[str] = frozenset()
"""Names of the built-in plugins that implement the hook."""
QUIET = frozenset({EventKind.USED})
"""Kinds of events that observers are not called with."""

Hooks = dict[tuple[str, str, str], tuple[str, ...]]


def emit(events: Iterable[ModelEvent], observers: PluginSet | None) -> None:
    """Log events and call the observers with each, in order."""
    for event in events:
        log_event(event)
        if observers is not None and event.kind not in QUIET:
            for _ in observers.call(HOOK, event=event):
                pass


def log_event(event: ModelEvent) -> None:
    """Log an event, with its fields in ``extra``: ``event``, ``model_id``, ``model_version``, ``details``."""
    log.log(
        logging.DEBUG if event.kind in QUIET else logging.INFO,
        "%s: %s %s",
        event.kind,
        event.model_id,
        event.version or "",
        extra={
            "event": event.kind.value,
            "model_id": event.model_id,
            "model_version": event.version,
            "details": event.details,
        },
    )


def load_observers(store: Store, given: Iterable[object], blocked: frozenset[str]) -> PluginSet | None:
    """The plugins that observe changes, loaded, and no other but those that may; None where there is none.

    Args:
        store: Where the hooks of plugins are kept.
        given: Plugins that a program passes in beside the installed ones.
        blocked: Names of plugins that are not to be loaded, beside those of the environment.
    """
    installed, passed = _installed_observers(store), [*given, *files_of_environment()]
    if not installed and not passed:
        return None
    # Not imported for the many registries that have no other plugins.
    from modelshelf.plugin import given as given_plugins
    from modelshelf.plugin.call import PluginSet
    from modelshelf.plugin.load import load

    beside = given_plugins.given(given_plugins.with_environment(passed))
    loaded = load([*installed, *beside], blocked | blocked_names())
    return PluginSet(loaded) if installed or loaded.hooks[HOOK] else None


def _installed_observers(store: Store) -> list[FoundPlugin]:
    """The installed plugins that observe changes, or may; none is imported."""
    if not BUILTIN_OBSERVERS and not others_offer(BUILTIN, GROUP):
        return []
    recorded = _recorded_hooks(store)
    return [one for one in find() if _may_observe(one, recorded)]


def _may_observe(plugin: FoundPlugin, recorded: Hooks) -> bool:
    if plugin.distribution == BUILTIN:
        return plugin.name in BUILTIN_OBSERVERS
    release = _release_of(plugin)
    return release is None or HOOK in recorded.get(release, (HOOK,))


def _release_of(plugin: FoundPlugin | PluginReport) -> tuple[str, str, str] | None:
    """Distribution, version and name of a plugin; None where its hooks may change without these changing."""
    if plugin.distribution is None or plugin.version is None or not is_released(plugin.distribution):
        return None
    return plugin.distribution, plugin.version, plugin.name


def _recorded_hooks(store: Store) -> Hooks:
    try:
        return store.view(lambda state: RecordReader(state).plugin_hooks())
    except StoreError:  # damaged, as `modelshelf doctor` says, or of a later release: the plugins are loaded
        return {}


def keep_hooks(store: Store, plugins: PluginSet) -> None:
    """Keep which hooks the loaded plugins of other distributions implement, where that is news."""
    from modelshelf.plugin.report import PluginState

    misloaded = {one.plugin for one in plugins.load_failures}
    hooks = {
        release: one.hooks
        for one in plugins.reports
        if one.distribution != BUILTIN and one.state is not PluginState.DISABLED
        if one.plugin not in misloaded and (release := _release_of(one)) is not None
    }
    recorded = _recorded_hooks(store)
    if {**recorded, **hooks} != recorded:
        with suppress(StoreError):  # it only spares loading the plugins once more
            store.update(lambda state: Records(state).save_plugin_hooks({**recorded, **hooks}))
