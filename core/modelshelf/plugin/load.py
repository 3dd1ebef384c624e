"""Load plugins: import each, and register its hooks, with a guard around each plugin in both steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from modelshelf.plugin import spec
from modelshelf.plugin.register import HookManager, taken_arguments
from modelshelf.plugin.report import PluginReport, PluginState, describe

if TYPE_CHECKING:
    from modelshelf.plugin.find import FoundPlugin


@define(kw_only=True, eq=False)
class HookImplementation:
    """One plugin's implementation of one hook.

    Attributes:
        report: The plugin's report.
        hook: The hook's name.
        function: The function.
        arguments: Names of the arguments that it takes.
        worked: Whether a call of it ended without a failure.
    """

    report: PluginReport
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    worked: bool = False


@frozen(kw_only=True)
class LoadedPlugins:
    """Every plugin's report, and the implementations of each hook in the order of calling.

    That order is the plugins' own, but for those that are marked ``tryfirst`` or ``trylast``.
    """

    reports: tuple[PluginReport, ...]
    hooks: Mapping[str, tuple[HookImplementation, ...]] = field(factory=dict)


def load(
    found: Iterable[FoundPlugin], blocked: frozenset[str] = frozenset(), specification: ModuleType = spec
) -> LoadedPlugins:
    """Import each plugin and register its hooks, each under a guard.

    Nothing that a plugin does on import stops the others; what fails is in its report.
    """
    reports: dict[str, PluginReport] = {}  # by the name that is displayed
    namespaces = _import_all(found, blocked, reports)
    manager = HookManager(specification)
    for namespace, report in reversed(namespaces):  # pluggy calls first what was registered last
        with _guard(report):
            manager.add(namespace, report)
    hooks = {name: tuple(_implementations(manager, name, reports)) for name in sorted(manager.arguments)}
    for one in chain.from_iterable(hooks.values()):
        one.report.hooks = tuple(dict.fromkeys([*one.report.hooks, one.hook]))
    for report in reports.values():
        if report.failures and not report.hooks:
            report.state = PluginState.FAILED
    return LoadedPlugins(reports=tuple(reports.values()), hooks=hooks)


def _import_all(
    found: Iterable[FoundPlugin], blocked: frozenset[str], reports: dict[str, PluginReport]
) -> list[tuple[object, PluginReport]]:
    """Report on each plugin; the namespaces of those that could be imported, with their reports."""
    namespaces: list[tuple[object, PluginReport]] = []
    for one in found:
        report = PluginReport(
            name=one.name,
            plugin=_unused(one.display, reports),
            distribution=one.distribution,
            version=one.version,
        )
        namesakes = (other for other in reports.values() if other.name == one.name)
        namesake = next((other for other in namesakes if other.state is not PluginState.DISABLED), None)
        reports[report.plugin] = report
        if {one.name, one.display, one.distribution} & blocked:
            report.state = PluginState.DISABLED
            continue
        if namesake is not None:
            report.record("load", f"{namesake.plugin} is named {one.name!r} too; both are loaded")
        with _guard(report):
            namespace = _import(one, report)
            # pluggy compares plugins with == and registers none twice.
            twin = next((first for other, first in namespaces if other == namespace), None)
            if twin is None:
                namespaces.append((namespace, report))
            else:
                report.warn("load", f"is the same plugin as {twin.plugin}; its hooks are called once")
    return namespaces


def _unused(display: str, taken: Container[str]) -> str:
    """The name to display, numbered where another plugin has it: a failure has to name one plugin."""
    numbered = (f"{display}#{number}" for number in count(2))
    return display if display not in taken else next(one for one in numbered if one not in taken)


@contextmanager
def _guard(report: PluginReport) -> Iterator[None]:
    """Keep what a plugin raises on import, or where its names are looked at, from the other plugins."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may do anything on import, SystemExit included
        report.state = PluginState.FAILED
        report.record("load", describe(error), error=error)


def _import(one: FoundPlugin, report: PluginReport) -> object:
    started = time.perf_counter()
    try:
        return one.load()
    finally:
        report.load_seconds = time.perf_counter() - started


def _implementations(
    manager: HookManager, hook: str, reports: Mapping[str, PluginReport]
) -> Iterator[HookImplementation]:
    for one in manager.implementations(hook):
        yield HookImplementation(
            report=reports[one.plugin_name],
            hook=hook,
            function=one.function,
            arguments=taken_arguments(one.function, manager.arguments[hook]),
        )
