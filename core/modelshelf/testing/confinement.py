"""What a hook may not do while the kit calls it: go on for ever, unpickle, evaluate text as code."""

from __future__ import annotations

import builtins
import marshal
import pickle
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOK_SECONDS = 6.0
"""How long one look at one small file may take; the kit's files are of some 64 KiB."""

_EXECUTING = (
    (pickle, "load"),
    (pickle, "loads"),
    (pickle, "Unpickler"),
    (pickle, "_Unpickler"),
    (marshal, "load"),
    (marshal, "loads"),
    (builtins, "eval"),
    (builtins, "exec"),
    (builtins, "compile"),
)
_OPTIONAL = (  # patched where they were imported
    ("torch", "load"),
    ("joblib", "load"),
    ("dill", "load"),
    ("dill", "loads"),
    ("cloudpickle", "load"),
    ("cloudpickle", "loads"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
)
# What evaluates its own text, never a file's: imports, and what makes classes and patterns.
_OWN_CODE: tuple[str, ...] = (
    "importlib",
    "_frozen_importlib",
    "attr",
    "attrs",
    "collections",
    "dataclasses",
    "inspect",
    "re",
)
_OWN_CODE += ("typing", "zipimport", "cattrs", "linecache", "traceback", "ast", "tokenize", "pluggy", "runpy")
_OWN_CODE += (
    "_pytest",
)  # imports a module of the core, whose assertions it rewrites, when a hook first needs it


class ForbiddenCallError(Exception):
    """A hook called what would run the content of a file."""


class EndlessCallError(BaseException):  # so that a hook's own `except Exception` does not keep it going
    """A hook did not end in time."""


@contextmanager
def nothing_executed(packages: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """Make every call in the block fail that would run what lies in a file; gives the calls that were tried.

    Args:
        packages: Top-level packages whose own names for these functions (``from pickle import loads``) are
            replaced too.
    """
    tried: list[str] = []
    places = _places(packages, len(sys.modules))
    refusals = {id(original): _refusal(name, original, tried) for _, _, name, original in places}
    for owner, attribute, _, original in places:
        setattr(owner, attribute, refusals[id(original)])
    try:
        yield tried
    finally:
        for owner, attribute, _, original in places:
            setattr(owner, attribute, original)


@lru_cache(maxsize=4)
def _places(packages: frozenset[str], _modules: int) -> list[tuple[Any, str, str, Any]]:
    """Where each such function is bound: owner, attribute, the function's name and itself.

    Args:
        packages: As for `nothing_executed`.
        _modules: Number of imported modules, so that what is imported later is found too.
    """
    targets = list(_EXECUTING)
    targets += [(sys.modules[name], one) for name, one in _OPTIONAL if hasattr(sys.modules.get(name), one)]
    places = [(owner, one, f"{owner.__name__}.{one}", getattr(owner, one)) for owner, one in targets]
    names = {id(original): name for _, _, name, original in places}
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in packages:
            places += [
                (module, at, names[id(one)], one) for at, one in vars(module).items() if id(one) in names
            ]
    return places


def _refusal(name: str, original: Callable[..., Any], tried: list[str]) -> Any:
    """A stand-in for a function: it still serves the interpreter's and libraries' own code."""

    def refuse(*arguments: Any, **named: Any) -> Any:
        caller = sys._getframe(1)  # noqa: SLF001 - the only way to see who calls
        if str(caller.f_globals.get("__name__", "")).split(".")[0] in _OWN_CODE:
            return original(*arguments, **named)
        tried.append(name)
        raise ForbiddenCallError(f"{name}() was called: it would run what lies in the file")

    return refuse


@contextmanager
def time_limit(seconds: float = HOOK_SECONDS) -> Iterator[list[str]]:
    """Interrupt what the block calls after so many seconds, again each second; gives words if it had to.

    A signal does it, so it works in the main thread of a process alone, where pytest and the workers of
    pytest-xdist run tests; elsewhere, and on Windows, nothing is interrupted. An alarm that was set before
    (pytest-timeout's) is set again with what is left of it.
    """
    expired: list[str] = []
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield expired
        return

    def interrupt(_number: int, _frame: object) -> None:
        expired.append(f"it did not end within {seconds:g} s")
        raise EndlessCallError(expired[0])

    handler = signal.signal(signal.SIGALRM, interrupt)
    started = time.monotonic()
    left, _interval = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield expired
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 0.1) if left else 0)
        signal.signal(signal.SIGALRM, handler)
