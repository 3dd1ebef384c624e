"""No code of a file is run while the kit calls a hook: unpickling and evaluating text are refused."""

from __future__ import annotations

import _pickle
import builtins
import marshal
import pickle
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EXECUTING = (
    (pickle, "load"),
    (pickle, "loads"),
    (pickle, "Unpickler"),
    (pickle, "_Unpickler"),
    (_pickle, "load"),
    (_pickle, "loads"),
    (_pickle, "Unpickler"),
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
    ("yaml", "Loader"),
    ("yaml", "UnsafeLoader"),
    ("yaml", "CLoader"),
    ("yaml", "CUnsafeLoader"),
    ("torch.jit", "load"),
    ("runpy", "run_path"),
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
_OWN_CODE += ("_pytest",)  # which compiles the modules whose assertions it explains


class ForbiddenCallError(Exception):
    """A hook called what would run the content of a file."""


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
