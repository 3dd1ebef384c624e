"""Register plugins with pluggy, where a function's name is marker enough.

pluggy reads the markers, binds the functions, checks them against the specifications, orders them by
``tryfirst`` and ``trylast`` and warns of what is deprecated. It refuses a whole plugin for one function that
does not fit, though, and passes no argument that has a default. So each function is looked at here first: one
that does not fit costs itself only, and the reason is one plain line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from modelshelf.plugin import API_VERSION, PROJECT, spec

if TYPE_CHECKING:
    from modelshelf.plugin.report import PluginReport

_BINDABLE = (type(lambda: None), staticmethod, classmethod, MethodType)  # what pluggy takes for a function
_UNMARKED = pluggy.HookimplOpts(
    wrapper=False, hookwrapper=False, optionalhook=False, tryfirst=False, trylast=False, specname=None
)


class _LeftOut(NamedTuple):
    """What is named or marked as a hook and is not registered.

    Attributes:
        hook: The hook's name.
        reason: Why, in one line.
        function: The function, where it is one.
        tolerated: Whether that is no failure.
    """

    hook: str
    reason: str
    function: object = None
    tolerated: bool = False


class HookManager(pluggy.PluginManager):
    """pluggy's plugin manager for the hooks of one specification.

    Args:
        specification: The module whose marked functions specify the hooks.

    Attributes:
        arguments: Names of the hooks, each with the names of its arguments.
    """

    def __init__(self, specification: ModuleType = spec) -> None:
        super().__init__(PROJECT)
        self.add_hookspecs(specification)
        callers: dict[str, pluggy.HookCaller] = vars(self.hook)
        self.arguments = {name: one.spec.argnames for name, one in callers.items() if one.spec}
        self._left_out: list[_LeftOut] = []

    def add(self, plugin: object, report: PluginReport) -> None:
        """Register the hooks of a plugin that fit. Its report names the others, and what is deprecated.

        Raises:
            PluginValidationError: pluggy refuses the plugin as a whole.
        """
        self._left_out = []
        try:
            self.register(plugin, report.plugin)
            self.check_pending()
        finally:
            for one in self._left_out:
                if one.tolerated:
                    report.warn(one.hook, one.reason)
                else:
                    report.record(one.hook, one.reason, function=one.function)
        for caller in self.get_hookcallers(plugin) or ():
            for warning in _deprecations(caller, plugin):
                report.warn(caller.name, str(warning))

    def implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """A hook's implementations in the order in which pluggy calls them: the last registered first."""
        caller: pluggy.HookCaller = getattr(self.hook, hook)
        return caller.get_hookimpls()[::-1]

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """The options of a function's marker; a function that is named like a hook needs none.

        A function that fits no specification is left out, for `add` to say why.
        """
        if name.startswith("__"):  # Python's own; half of all names, and pluggy looks long at each
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None:
            if not name.startswith(spec.PREFIX):
                return None
            value = inspect.getattr_static(plugin, name, None)
            if not isinstance(value, _BINDABLE):
                if _looks_callable(value):
                    reason = f"is a {type(value).__name__}; hooks are plain functions and methods"
                    self._left_out.append(_LeftOut(name, reason))
                return None
            options = _UNMARKED.copy()
        left_out = self._misfit(options.get("specname") or name, getattr(plugin, name), options)
        if left_out is None:
            return options
        self._left_out.append(left_out)
        return None

    def _misfit(
        self, hook: str, function: Callable[..., Any], options: pluggy.HookimplOpts
    ) -> _LeftOut | None:
        given = self.arguments.get(hook)
        if given is None:
            if options.get("optionalhook"):
                reason = f"this release (API version {API_VERSION}) has no such hook; it is marked optional"
                return _LeftOut(hook, reason, function, tolerated=True)
            return _LeftOut(hook, self._suggestion(hook), function)
        if options.get("wrapper") or options.get("hookwrapper"):
            reason = "is a wrapper, and there is nothing to wrap: each implementation is called by itself"
        else:
            reason = _signature_fault(function, given)
        return _LeftOut(hook, reason, function) if reason else None

    def _suggestion(self, hook: str) -> str:
        from difflib import get_close_matches  # for a mistake only

        short = {name.removeprefix(spec.PREFIX): name for name in self.arguments}
        near = [short[one] for one in get_close_matches(hook.removeprefix(spec.PREFIX), short, n=2)]
        if near:
            return f"there is no such hook; did you mean {' or '.join(near)}?"
        return f"there is no such hook; the hooks are {', '.join(sorted(self.arguments))}"


def hook_arguments() -> dict[str, tuple[str, ...]]:
    """Each hook's name with the names of its arguments, as pluggy reads the specification."""
    return HookManager().arguments


def taken_arguments(function: Callable[..., Any], given: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a hook's arguments that a function takes, in the function's order."""
    return tuple(name for name in inspect.signature(function).parameters if name in given)


def _looks_callable(value: object) -> bool:
    """Whether a value that no function is was meant as one; a constant, a module or a class was not."""
    return isinstance(value, property) or (callable(value) and not isinstance(value, type | ModuleType))


def _signature_fault(function: Callable[..., Any], given: tuple[str, ...]) -> str:
    """Why the function cannot be called with these arguments by their names, or nothing."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "hooks are plain functions, not coroutines"
    parameters = inspect.signature(function).parameters.values()
    if any(one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL} for one in parameters):
        return "names its arguments, without * and **"
    foreign = [
        one.name
        for one in parameters
        if one.default is one.empty and (one.name not in given or one.kind is one.POSITIONAL_ONLY)
    ]
    if foreign:
        names, offered = ", ".join(map(repr, foreign)), ", ".join(given) or "nothing"
        return f"takes {names}, which the hook does not give; it gives {offered}"
    return ""


def _deprecations(caller: pluggy.HookCaller, plugin: object) -> Iterator[Warning]:
    """What the specification says against implementing the hook, or against arguments that are taken."""
    if caller.spec is None:
        return
    for one in caller.get_hookimpls():
        if one.plugin is plugin:
            if caller.spec.warn_on_impl:
                yield caller.spec.warn_on_impl
            for name, warning in (caller.spec.warn_on_impl_args or {}).items():
                if name in one.argnames or name in one.kwargnames:
                    yield warning
