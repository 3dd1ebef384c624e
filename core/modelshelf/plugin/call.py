"""Call hooks, each implementation by itself under a guard. Nothing else in the core calls a hook.

An implementation that raises, exits, raises late from a generator or gives the wrong type costs its own
result only. `KeyboardInterrupt` passes through. `ReadError` is the file's fault, not the plugin's, and is
handed to the caller beside the results. pluggy puts the implementations in order; it does not call them, as
its own call loses every result where one of them raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from modelshelf.errors import PluginLoadError, ReadError
from modelshelf.model.depth import Depth
from modelshelf.plugin.find import blocked_names, find
from modelshelf.plugin.given import PluginSelection, given, selected, with_environment
from modelshelf.plugin.load import HookImplementation, LoadedPlugins, load
from modelshelf.plugin.report import PluginReport, PluginState, describe
from modelshelf.plugin.results import fault, result_type, wrong_type
from modelshelf.plugin.spec import HOOK_SECONDS, PREFIX

if TYPE_CHECKING:
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.limit import HookTimer
    from modelshelf.reader import ArtifactReader

_MOST_RESULTS = 10_000  # of one call: a generator that never ends must end


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

    Threads may call hooks at the same time: each implementation runs in the thread of its caller.

    Attributes:
        failures: Every failure since the plugins were loaded, load failures included.
        load_failures: Those of loading alone.
        selection: What another process needs to load the same plugins, or None where it cannot.
    """

    def __init__(
        self,
        loaded: LoadedPlugins,
        timer: HookTimer | None = None,
        selection: PluginSelection | None = None,
    ) -> None:
        self._loaded = loaded
        self._timer = timer
        self.selection = selection
        self._reports = {one.plugin: one for one in loaded.reports}
        self._silent = {one: Outcome(plugin=one) for one in self._reports}
        self.failures: list[PluginFailure] = [one for report in loaded.reports for one in report.failures]
        self.load_failures = tuple(self.failures)
        for failure in self.load_failures:
            _log_failure(failure)

    @classmethod
    def discover(
        cls, plugins: Iterable[object] = (), *, blocked: Iterable[str] = (), timer: HookTimer | None = None
    ) -> PluginSet:
        """Load every installed plugin, those passed in and those of `MODELSHELF_PLUGINS`.

        Args:
            plugins: Modules, objects whose methods are hooks, or paths of one-file plugins.
            blocked: Names of plugins that are not imported, beside those of `MODELSHELF_DISABLE_PLUGINS`.
            timer: Ends a hook that runs past its time, while it is entered; None: `limit` makes one.
        """
        names = frozenset(blocked) | blocked_names()
        passed = with_environment(plugins)
        installed = find()
        loaded = load([*installed, *given(passed)], names)
        working = [
            plugin
            for plugin, report in zip(passed, loaded.reports[len(installed) :], strict=True)
            if report.state is PluginState.LOADED
        ]
        return cls(loaded, timer, PluginSelection.of(working, names))

    @classmethod
    def of(cls, selection: PluginSelection, timer: HookTimer | None = None) -> PluginSet:
        """Load what another process selected: the installed plugins, and its own.

        Raises:
            PluginLoadError: One of its own cannot be loaded here, so that this process would miss it.
        """
        installed = find()
        loaded = load([*installed, *selected(selection)], selection.blocked)
        for report in loaded.reports[len(installed) :]:
            if report.state is PluginState.FAILED:
                raise PluginLoadError(report.plugin, report.failures[0].reason)
        return cls(loaded, timer, selection)

    def limit(self) -> HookTimer:
        """What ends each hook that runs past its time, while it is entered, in the thread that enters it.

        In the main thread of a program without a SIGALRM handler of its own, hooks that wait for the system
        end too; elsewhere a loop of Python code does, and native code that never returns goes on.
        """
        if self._timer is None:
            from modelshelf.plugin.limit import HookTimer

            self._timer = HookTimer(HOOK_SECONDS)
        return self._timer

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
        """Every plugin's descriptors of a hook without arguments, in order.

        Two plugins that offer one name are both kept, and the second is warned of.
        """
        found: list[Any] = []
        owners: dict[str, str] = {}
        for outcome in self.call(hook):
            for one in outcome.results:
                name = one.scheme.lower() if hook == "modelshelf_stores" else one.name
                owner = owners.setdefault(name, outcome.plugin)
                if owner != outcome.plugin:
                    self._warn_of_name(outcome.plugin, hook, name, owner)
            found += outcome.results
        return found

    def record(self, plugin: str, hook: str, reason: str, error: BaseException) -> None:
        """Record a failure of something that a plugin's hook gave: a source, say."""
        for one in self._loaded.hooks[hook]:
            if one.report.plugin == plugin:
                self._keep(one.report.record(hook, reason, error=error, function=one.function))
                return

    def merge(self, hooks: Iterable[str], failures: Sequence[PluginFailure]) -> None:
        """Add what became of calls in another process; of one reason the first is logged.

        Args:
            hooks: The hooks that were called, each of every plugin.
            failures: What failed in them.
        """
        failing = {(one.plugin, one.hook) for one in failures}
        for hook in hooks:
            for implementation in self._loaded.hooks.get(hook, ()):
                if not implementation.worked:
                    _mark(implementation, worked=(implementation.report.plugin, hook) not in failing)
        for failure in failures:
            self.failures.append(failure)
            report = self._reports.get(failure.plugin)
            if report is not None and report.add(failure):
                _log_failure(failure)

    def with_verdict(self, failure: PluginFailure) -> PluginFailure:
        """The failure, saying whether its hook failed each time; unchanged where the hook was not called."""
        report = self._reports.get(failure.plugin)
        if report is None:
            return failure
        implementations = [one for one in self._loaded.hooks.get(failure.hook, ()) if one.report is report]
        failing = failure.hook in report.failing
        if not failing and not any(one.worked for one in implementations):
            return failure
        return attrs.evolve(failure, always=failing)

    def _call_one(  # noqa: C901 - the one guard, called so often that a function more would show
        self, one: HookImplementation, path: str | None, arguments: dict[str, Any]
    ) -> Outcome:
        kept: list[Any] = []
        read_error: ReadError | None = None
        failures_before = len(self.failures)
        # Reading every byte takes as long as the disk does.
        limited = arguments.get("depth") is not Depth.FULL
        timer = self._timer
        progress = None if limited or timer is None else _bytes_read_by(arguments.get("reader"))
        if len(one.arguments) < len(arguments):
            arguments = {name: arguments[name] for name in one.arguments}
        started = time.monotonic()
        try:
            try:
                if timer is not None:
                    timer.begin(progress)
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
            self._fail(one, describe(error), path, error)
        if not one.worked:
            _mark(one, worked=len(self.failures) == failures_before)
        if not kept and read_error is None:
            return self._silent[one.report.plugin]
        return Outcome(plugin=one.report.plugin, results=tuple(kept), read_error=read_error)

    def _gather(self, one: HookImplementation, path: str | None, value: Any, kept: list[Any]) -> None:
        """Keep what the implementation gave, the results too that came before it failed."""
        kind, several = result_type(one.hook)
        if isinstance(value, kind):
            value = (value,)
        elif not several or isinstance(value, str | bytes) or not isinstance(value, Iterable):
            self._fail(one, wrong_type(value, kind), path)
            return
        wrong: set[str] = set()
        for number, result in enumerate(value):
            if number >= _MOST_RESULTS:
                self._fail(one, f"gave more than {_MOST_RESULTS} results", path)
                break
            reason = fault(result, kind)
            if reason is None:
                kept.append(result)
            elif reason not in wrong:  # a long list of them is one failure
                wrong.add(reason)
                self._fail(one, reason, path)

    def _fail(
        self, one: HookImplementation, reason: str, path: str | None, error: BaseException | None = None
    ) -> None:
        self._keep(one.report.record(one.hook, reason, path, error=error, function=one.function))

    def _keep(self, failure: PluginFailure) -> None:
        self.failures.append(failure)
        _log_failure(failure)

    def _warn_of_name(self, plugin: str, hook: str, name: str, owner: str) -> None:
        kind = hook.removeprefix(PREFIX).removesuffix("s")
        use = "both are asked about each file" if hook == "modelshelf_formats" else "the first is used"
        warning = f"offers the {kind} {name!r}, as {owner} does; {use}"
        if self._reports[plugin].warn(hook, warning):
            import logging

            logging.getLogger(__name__).warning("%s: %s: %s", plugin, hook, warning)


def _bytes_read_by(reader: ArtifactReader | None) -> Callable[[], int] | None:
    return None if reader is None else lambda: reader.bytes_read


def _mark(implementation: HookImplementation, *, worked: bool) -> None:
    implementation.worked = worked
    implementation.report.mark_failing(implementation.hook, failing=not worked)


def _log_failure(failure: PluginFailure) -> None:
    import logging  # only where something failed: it takes longer to load than plugins take to answer

    log = logging.getLogger(__name__)
    traced = failure.traceback and log.isEnabledFor(logging.DEBUG)
    log.warning(
        "plugin failed: %s",
        failure,
        exc_info=PluginTraceback(failure.traceback) if traced else None,
        extra={
            "event": "plugin failed",
            "plugin": failure.plugin,
            "plugin_version": failure.version,
            "hook": failure.hook,
            "reason": failure.reason,
            "path": failure.path,
            "file": failure.file,
            "line": failure.line,
        },
    )


class PluginTraceback(Exception):  # noqa: N818 - it is shown, never raised
    """The traceback of a failure, which may be another process's, where a log record wants an exception."""
