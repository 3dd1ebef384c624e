"""The only place that calls hooks: each implementation alone, under a guard.

An implementation that raises, exits, raises late from a generator or gives the wrong type costs its own
result only. `KeyboardInterrupt` passes through. `ReadError` is the file's fault, not the plugin's, and is
handed to the caller beside the results.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import ReadError
from modelshelf.model.depth import Depth
from modelshelf.plugin.find import blocked_names
from modelshelf.plugin.load import HookImplementation, LoadedPlugins, find, given, load
from modelshelf.plugin.report import PluginReport, describe
from modelshelf.plugin.results import misfit
from modelshelf.plugin.spec import HOOK_SECONDS

if TYPE_CHECKING:
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.limit import HookTimer

_MOST_RESULTS = 10_000  # of one call: a generator that never ends must end

# What a hook gives: the type of one result, by its module and name, and whether it may give several.
# A type is imported when its hook is first called, since most runs call few.
_RESULTS = {
    "modelshelf_formats": ("model.format", "FormatType", True),
    "modelshelf_detect_format": ("model.format", "Detection", False),
    "modelshelf_extract_metadata": ("model.metadata", "ModelMetadata", True),
    "modelshelf_probe_health": ("model.health", "Finding", True),
    "modelshelf_serializers": ("serializer", "SerializerType", True),
    "modelshelf_sources": ("source", "SourceType", True),
    "modelshelf_stores": ("store", "StoreType", True),
    "modelshelf_commands": ("command", "CommandType", True),
}


@cache
def result_of(hook: str) -> tuple[type, bool]:
    """The type of one result of a hook, and whether it may give several."""
    if hook not in _RESULTS:
        return type(None), False
    module, name, several = _RESULTS[hook]
    kind: type = getattr(import_module(f"modelshelf.{module}"), name)
    return kind, several


@frozen(kw_only=True)
class Outcome:
    """What one plugin gave to one call.

    Attributes:
        plugin: The plugin's display name.
        results: Its results, of the hook's type.
        read_error: The file's fault that ended the call, or None. Results given before it are kept.
    """

    plugin: str
    results: tuple[Any, ...] = ()
    read_error: ReadError | None = None


class PluginSet:
    """The plugins that a registry works with.

    Attributes:
        failures: Every failure since the plugins were loaded, load failures included.
        load_failures: Those of loading alone.
        blocked: Names of the plugins that were not to be loaded.
    """

    def __init__(
        self,
        loaded: LoadedPlugins,
        blocked: frozenset[str] = frozenset(),
        timer: HookTimer | None = None,
    ) -> None:
        self._loaded = loaded
        self._timer = timer
        self.blocked = blocked
        self._silent = {one.plugin: Outcome(plugin=one.plugin) for one in loaded.reports}
        self.failures: list[PluginFailure] = [one for report in loaded.reports for one in report.failures]
        self.load_failures = tuple(self.failures)
        for failure in self.load_failures:
            _log_failure(failure)

    @classmethod
    def discover(
        cls, extra: Iterable[object] = (), *, blocked: Iterable[str] = (), timer: HookTimer | None = None
    ) -> PluginSet:
        """Load every installed plugin, and those passed in; blocked ones are named but not imported.

        Args:
            timer: Ends a hook that runs past its time, while it is entered; None lets each run.
        """
        named = frozenset(blocked) | blocked_names()
        return cls(load([*find(), *given(extra)], named), named, timer)

    @property
    def reports(self) -> tuple[PluginReport, ...]:
        """Each plugin's report, in the order of loading."""
        return self._loaded.reports

    def call(self, hook: str, *, path: str | None = None, **arguments: Any) -> Iterator[Outcome]:
        """Call every plugin's implementation of a hook, one by one.

        Args:
            hook: The hook's name.
            path: The artifact that it is about, for the record of a failure.
            arguments: What the hook gives; each implementation gets those that it takes.
        """
        for implementation in self._loaded.hooks[hook]:
            yield self._call_one(implementation, path, arguments)

    def collect(self, hook: str) -> list[Any]:
        """Every plugin's results of a hook without arguments, in order."""
        return [result for outcome in self.call(hook) for result in outcome.results]

    def record(self, plugin: str, hook: str, reason: str, path: str | None = None) -> None:
        """Remember a failure of something that a plugin's hook gave: a source, say."""
        for report in self.reports:
            if report.plugin == plugin:
                failure = report.record(hook, reason, path)
                self.failures.append(failure)
                _log_failure(failure)

    def _call_one(self, one: HookImplementation, path: str | None, arguments: dict[str, Any]) -> Outcome:
        kept: list[Any] = []
        read_error: ReadError | None = None
        # Reading every byte takes as long as the disk does.
        limited = arguments.get("depth") is not Depth.FULL
        timer = self._timer if limited else None
        if len(one.arguments) < len(arguments):
            arguments = {name: arguments[name] for name in one.arguments}
        started = time.monotonic()
        try:
            try:
                if timer is not None:
                    timer.begin()
                value = one.function(**arguments)
                if value is not None:
                    self._gather(one, path, value, kept)
            finally:
                if timer is not None:
                    timer.end()
            seconds = time.monotonic() - started
            if limited and seconds > HOOK_SECONDS:
                self._fail(one, f"took {seconds:.0f} s; a hook has {HOOK_SECONDS:g} s", path)
        except ReadError as error:
            read_error = error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit, a panic of native code: recorded, not hidden
            self._fail(one, describe(error), path)
        if not kept and read_error is None:
            return self._silent[one.report.plugin]
        return Outcome(plugin=one.report.plugin, results=tuple(kept), read_error=read_error)

    def _gather(self, one: HookImplementation, path: str | None, value: Any, kept: list[Any]) -> None:
        """Keep what the implementation gave, the results too that came before it failed."""
        kind, several = result_of(one.hook)
        if isinstance(value, kind):
            value = (value,)
        elif not several or isinstance(value, str | bytes) or not isinstance(value, Iterable):
            self._fail(one, _of_wrong_type(value, kind), path)
            return
        wrong: set[str] = set()
        for number, result in enumerate(value):
            if number >= _MOST_RESULTS:
                self._fail(one, f"gave more than {_MOST_RESULTS} results", path)
                break
            reason = _unfit(result, kind)
            if reason is None:
                kept.append(result)
            elif reason not in wrong:  # a long list of them is one failure
                wrong.add(reason)
                self._fail(one, reason, path)

    def _fail(self, one: HookImplementation, reason: str, path: str | None) -> None:
        failure = one.report.record(one.hook, reason, path)
        self.failures.append(failure)
        _log_failure(failure)


def _unfit(result: Any, kind: type) -> str | None:
    if not isinstance(result, kind):
        return _of_wrong_type(result, kind)
    reason = misfit(result, kind)
    return None if reason is None else f"gave {kind.__name__} whose {reason}"


def _of_wrong_type(result: object, kind: type) -> str:
    return f"gave {type(result).__name__} where {kind.__name__} is wanted"


def _log_failure(failure: PluginFailure) -> None:
    import logging  # only where something failed: it takes longer to load than plugins take to answer

    logging.getLogger(__name__).warning(
        "plugin failed: %s",
        failure,
        extra={
            "event": "plugin failed",
            "plugin": failure.plugin,
            "plugin_version": failure.version,
            "hook": failure.hook,
            "reason": failure.reason,
            "path": failure.path,
        },
    )


def named(plugins: PluginSet, hook: str, attribute: str, wanted: Callable[[str], bool]) -> Iterator[Any]:
    """The descriptors of a hook whose `attribute` is wanted; the first plugin that gives a name keeps it."""
    seen = set()
    for one in plugins.collect(hook):
        name = getattr(one, attribute)
        if name not in seen and wanted(name):
            seen.add(name)
            yield one
