"""What became of each plugin: loaded, blocked or failed, which hooks fail, and what it is warned of."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from modelshelf.model.failure import PluginFailure  # noqa: TC004 - an annotation; loaded where one failed

_MOST_TRACEBACKS = 20  # of one plugin: a reason with a file's name in it is another one for each file
_LONGEST_TRACEBACK = 8192  # characters, of its end


class PluginState(Enum):
    """What became of a plugin. A failing one was loaded, and a hook of it failed whenever it was called."""

    LOADED = "loaded"
    FAILING = "failing"
    DISABLED = "disabled"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@define(kw_only=True)
class PluginReport:
    """One plugin as `modelshelf plugins` shows it.

    Attributes:
        name: The entry point's name.
        plugin: Display name, ``distribution[entry]``.
        distribution: The distribution's name, or None for a plugin that was passed in.
        version: The distribution's version, a digest of a one-file plugin, or None.
        state: What became of it.
        hooks: Names of the hooks that it implements, sorted.
        failing: Names of those that failed each time that they were called.
        load_seconds: Time that its import took.
        failures: What failed, in order; repeats of one reason are counted once.
        warnings: What is no failure and should be known, each in one line.
    """

    name: str
    plugin: str
    distribution: str | None = None
    version: str | None = None
    state: PluginState = PluginState.LOADED
    hooks: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    load_seconds: float = 0.0
    failures: list[PluginFailure] = field(factory=list)
    warnings: list[str] = field(factory=list)
    _reasons: set[tuple[str, str]] = field(factory=set, init=False, repr=False, eq=False)

    def record(
        self,
        hook: str,
        reason: str,
        path: str | None = None,
        *,
        error: BaseException | None = None,
        function: object = None,
    ) -> PluginFailure:
        """Record a failure and return it.

        Args:
            hook: The hook that failed, or ``load``.
            reason: What happened, in one line.
            path: The artifact that it was about, or None.
            error: What was raised, for the place and the traceback, which the first of a reason has.
            function: The hook's function, for the place where nothing was raised in it.
        """
        from modelshelf.model.failure import PluginFailure

        file, line = _place(error, function)
        fresh = (hook, reason) not in self._reasons and len(self.failures) < _MOST_TRACEBACKS
        failure = PluginFailure(
            plugin=self.plugin,
            version=self.version,
            hook=hook,
            reason=reason,
            path=path,
            file=file,
            line=line,
            traceback=_traceback(error) if fresh else "",
        )
        self.add(failure)
        return failure

    def add(self, failure: PluginFailure) -> bool:
        """Add a failure that may have been recorded elsewhere; whether it is the first for its reason."""
        key = failure.hook, failure.reason
        fresh = key not in self._reasons
        if fresh:
            self._reasons.add(key)
            self.failures.append(failure)
        return fresh

    def warn(self, hook: str, warning: str) -> bool:
        """Add a warning about a hook, once; whether it is new."""
        text = f"{hook}: {warning}"
        fresh = text not in self.warnings
        if fresh:
            self.warnings.append(text)
        return fresh

    def mark_failing(self, hook: str, *, failing: bool) -> None:
        """Note whether a hook failed each time that it was called."""
        others = [one for one in self.failing if one != hook]
        self.failing = tuple(sorted([*others, hook])) if failing else tuple(others)
        if self.state in {PluginState.LOADED, PluginState.FAILING}:
            self.state = PluginState.FAILING if self.failing else PluginState.LOADED


def describe(error: BaseException) -> str:
    """An exception in one line: its type and message."""
    try:
        text = " ".join(str(error).split())
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a plugin's exception may fail at its own message, or exit
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def failed(reports: Iterable[PluginReport]) -> list[PluginReport]:
    """The plugins that failed, on loading or since."""
    return [one for one in reports if one.failures]


def _place(error: BaseException | None, function: object) -> tuple[str | None, int | None]:
    """File and line of a failure: the innermost of the plugin's own that the error passed through.

    Where it passed through none, as a missing argument does, that of the function's definition.
    """
    if error is not None:
        if function is None and isinstance(error, SyntaxError) and error.filename:
            return error.filename, error.lineno
        own = _root(getattr(function, "__module__", None))
        place: tuple[str, int] | None = None
        for module, file, line in _frames(error.__traceback__):
            if _root(module) == own if own else _is_foreign(module):
                place = file, line
        if place is not None:
            return place
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return (None, None) if code is None else (code.co_filename, code.co_firstlineno)


def _frames(traceback: TracebackType | None) -> Iterator[tuple[str, str, int]]:
    while traceback is not None:
        frame = traceback.tb_frame
        yield str(frame.f_globals.get("__name__")), frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next


def _root(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


def _is_foreign(module: str) -> bool:
    """Whether a module is neither this program's core nor what imports modules."""
    return _root(module) not in {"modelshelf", "importlib"}


def _traceback(error: BaseException | None) -> str:
    if error is None:
        return ""
    import traceback  # takes longer to load than plugins to answer, and few fail

    inner = error.__traceback__ and error.__traceback__.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))
    except Exception:  # noqa: BLE001 - as in describe
        return ""
    return text[-_LONGEST_TRACEBACK:]
