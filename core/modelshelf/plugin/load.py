"""Find, load and classify plugins: three steps, with a guard around each plugin in each of them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.plugin import spec
from modelshelf.plugin.find import BUILTIN, GROUP, Offer, all_offered, entry_points_of, offered_by
from modelshelf.plugin.report import PluginReport, PluginState, describe

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@frozen(kw_only=True)
class FoundPlugin:
    """A plugin that was found and not yet imported.

    Attributes:
        name: The entry point's name.
        display: ``distribution[entry]``.
        load: Imports the plugin and gives its namespace.
        distribution: The distribution's name, or None.
        version: Its version, or None.
    """

    name: str
    display: str
    load: Callable[[], object]
    distribution: str | None = None
    version: str | None = None


@frozen(kw_only=True)
class HookImplementation:
    """One plugin's implementation of one hook.

    Attributes:
        report: The plugin's report.
        hook: The hook's name.
        function: The function.
        arguments: Names of the arguments that it takes.
    """

    report: PluginReport
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]


@frozen(kw_only=True)
class LoadedPlugins:
    """Every plugin's report, and the implementations of each hook in the plugins' order."""

    reports: tuple[PluginReport, ...]
    hooks: Mapping[str, tuple[HookImplementation, ...]] = field(factory=dict)


def find() -> list[FoundPlugin]:
    """Every entry point of the group: the built-in ones first, then by distribution and name.

    A distribution whose entry points cannot be read is found too; loading it fails with the reason.
    """
    offered = all_offered(GROUP)
    if offered is None:
        found = []
        entries = entry_points_of(GROUP, lambda name, error: found.append(_describe_broken(name, error)))
        found += map(_describe_entry, entries)
    else:
        found = [_describe_offer(who, it, name) for who, it in offered.items() for name in it.modules]
    found.sort(key=lambda one: (one.distribution != BUILTIN, one.distribution or "", one.name))
    seen: dict[tuple[str, str | None], FoundPlugin] = {}
    for one in found:  # an editable and an installed copy of one distribution name the same entry twice
        seen.setdefault((one.name, one.distribution), one)
    return list(seen.values())


def find_builtin(name: str) -> FoundPlugin | None:
    """The built-in plugin of that name alone, or None; found without a look at other distributions."""
    offer = offered_by(BUILTIN, GROUP)
    if offer is None:
        return next((one for one in find() if one.distribution == BUILTIN and one.name == name), None)
    return _describe_offer(BUILTIN, offer, name) if name in offer.modules else None


def _describe_offer(distribution: str, offer: Offer, name: str) -> FoundPlugin:
    return FoundPlugin(
        name=name,
        display=f"{distribution}[{name}]",
        load=partial(import_module, offer.modules[name]),
        distribution=distribution,
        version=offer.version,
    )


def _describe_entry(entry: EntryPoint) -> FoundPlugin:
    distribution = entry.dist.name if entry.dist else None
    return FoundPlugin(
        name=entry.name,
        display=f"{distribution or entry.value}[{entry.name}]",
        load=entry.load,
        distribution=distribution,
        version=entry.dist.version if entry.dist else None,
    )


def _describe_broken(distribution: str, error: Exception) -> FoundPlugin:
    def load() -> object:
        raise ImportError(f"its entry_points.txt cannot be read: {describe(error)}")

    return FoundPlugin(
        name=distribution, display=f"{distribution}[entry_points.txt]", load=load, distribution=distribution
    )


def given(plugins: Iterable[object]) -> list[FoundPlugin]:
    """Plugins that a program passes in: modules, or objects whose methods are hooks."""
    found = []
    for number, plugin in enumerate(plugins):
        name = getattr(plugin, "__name__", None) or f"{type(plugin).__name__}-{number}"
        found.append(FoundPlugin(name=name, display=f"given[{name}]", load=partial(_as_given, plugin)))
    return found


def _as_given(plugin: object) -> object:
    return plugin


def load(found: Iterable[FoundPlugin], blocked: frozenset[str] = frozenset()) -> LoadedPlugins:
    """Import each plugin and register its hooks, each under a guard.

    Nothing that a plugin does on import stops the others; what fails is in its report.
    """
    reports: list[PluginReport] = []
    hooks: dict[str, list[HookImplementation]] = {name: [] for name in hook_arguments()}
    names: dict[str, PluginReport] = {}
    for one in found:
        report = PluginReport(
            name=one.name, plugin=one.display, distribution=one.distribution, version=one.version
        )
        reports.append(report)
        if {one.name, one.display, one.distribution} & blocked:
            report.state = PluginState.DISABLED
            continue
        first = names.setdefault(one.name, report)
        if first is not report:
            report.record("load", f"{first.plugin} is named {one.name!r} too; both are loaded")
        for implementation in _load_one(one, report):
            hooks[implementation.hook].append(implementation)
    return LoadedPlugins(reports=tuple(reports), hooks={name: tuple(all_) for name, all_ in hooks.items()})


def _load_one(one: FoundPlugin, report: PluginReport) -> list[HookImplementation]:
    started = time.perf_counter()
    try:
        plugin = one.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may do anything on import, SystemExit included
        report.state = PluginState.FAILED
        report.record("load", describe(error))
        return []
    finally:
        report.load_seconds = time.perf_counter() - started
    try:
        return _classify(plugin, report)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a namespace may do anything on access
        report.state = PluginState.FAILED
        report.record("load", describe(error))
        return []


def _classify(plugin: object, report: PluginReport) -> list[HookImplementation]:
    implementations = []
    for name, function in _hook_functions(plugin):
        known = hook_arguments().get(name)
        if known is None:
            report.record(name, f"there is no such hook; the hooks are {', '.join(sorted(hook_arguments()))}")
            continue
        reason, arguments = _fit(function, known)
        if reason:
            report.record(name, reason)
            continue
        implementations.append(
            HookImplementation(report=report, hook=name, function=function, arguments=arguments)
        )
    report.hooks = tuple(sorted(one.hook for one in implementations))
    if report.failures and not implementations:
        report.state = PluginState.FAILED
    return implementations


def _hook_functions(plugin: object) -> list[tuple[str, Callable[..., Any]]]:
    marked = f"{spec.PROJECT}_impl"
    found = []
    for name in dir(plugin):
        if not name.startswith(spec.PREFIX):
            # A function marked with pluggy's decorator may give its hook's name in `specname`.
            options = None if name.startswith("__") else getattr(getattr(plugin, name, None), marked, None)
            if isinstance(options, dict) and options.get("specname"):
                found.append((str(options["specname"]), getattr(plugin, name)))
            continue
        value = getattr(plugin, name)
        if inspect.isroutine(value) or (callable(value) and not isinstance(value, type | ModuleType)):
            found.append((name, value))
    return found


def _fit(function: Callable[..., Any], known: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Why the function cannot be called as this hook, or nothing, and the arguments that it wants."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "hooks are plain functions, not coroutines", ()
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        return f"its signature cannot be read: {describe(error)}", ()
    wanted = []
    for one in parameters:
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            return "names its arguments, without * and **", ()
        if one.name in known and one.kind is not one.POSITIONAL_ONLY:
            wanted.append(one.name)
        elif one.default is one.empty:
            offered = ", ".join(known) or "nothing"
            return f"takes {one.name!r}, which the hook does not give; it gives {offered}", ()
    return "", tuple(wanted)


@lru_cache(maxsize=1)
def hook_arguments() -> dict[str, tuple[str, ...]]:
    """Each hook's name with the names of its arguments, as the specification's functions declare them."""
    hooks = {name: value for name, value in vars(spec).items() if name.startswith(spec.PREFIX)}
    return {name: tuple(inspect.signature(function).parameters) for name, function in hooks.items()}
