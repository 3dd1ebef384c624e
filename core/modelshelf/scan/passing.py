"""Folders that a walk of a larger tree passes over: where programs lie, and caches of what was downloaded.

They are looked into where they are named as the root of a scan, and where everything is asked for. A rule
goes by the names in one folder, which a walk has listed anyway; globs, and the packages for gitignore's
rules, know a path alone and not what lies beside it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modelshelf.model import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

PASSED_OVER = "passed-over"
"""Code of what says that a folder was passed over; it is no problem."""

SILENT = frozenset({".locks", ".no_exist"})
"""Folders in which the Hugging Face cache keeps locks and marks of absence, never a file of a model."""

_BY_NAME = {
    **dict.fromkeys((".git", ".hg", ".svn"), "the history of a repository"),
    **dict.fromkeys(("__pycache__", ".mypy_cache", ".ruff_cache"), "a cache of Python's tools"),
    **dict.fromkeys(("node_modules", "_cacache", ".npm"), "packages of npm"),
    **dict.fromkeys(("site-packages", "dist-packages", ".venv"), "installed packages of Python"),
}
_CACHES = {"pip": "the cache of pip", "uv": "the cache of uv"}  # below one of the next
_CACHE_FOLDERS = frozenset({".cache", "Caches"})
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})
_ENVIRONMENT_FOLDERS = frozenset(
    {"lib", "lib64", "bin", "include", "Lib", "Scripts", "Include", "pkgs", "conda-meta"}
)
_PACKAGE_MARKS = frozenset({"__init__.py", "setup.py"})
_TESTS = frozenset({"test", "tests"})
_PACKAGE_FOLDERS = {
    **dict.fromkeys(_TESTS, "tests of a Python package"),
    **dict.fromkeys(("bin", "include"), "programs of a Python package"),
}
_LIBRARY_MARKS = frozenset({"os.py", "site.py"})  # Python itself knows its library by `os.py`

RULES = repr(
    [sorted(one) for one in (_BY_NAME, _CACHES, _CACHE_FOLDERS, _ENVIRONMENT_FOLDERS, _PACKAGE_FOLDERS)]
).encode()
"""All that the rules go by, for whoever keeps what they left."""


class PassingRules:
    """The rules for the walk of one tree.

    Args:
        root: The root of the walk. One that lies within a folder which would be passed over is looked into
            whole, but for histories, caches, and the tests and programs of its packages.
        everything: Whether nothing is passed over.
    """

    def __init__(self, root: str, *, everything: bool = False) -> None:
        self._root = root
        self._everything = everything
        path = os.path.abspath(root)
        self._packages = not everything and passed_over(path) is None
        self._always = _ALWAYS if _PACKAGE_FOLDERS.keys().isdisjoint(path.split(os.sep)) else _CACHED

    def reason(self, folder: str, names: Collection[str], name: str) -> str | None:
        """What the folder `name` in a folder with these names is, where it is passed over; else None."""
        if self._everything:
            return None
        reason = _reason(folder, names, name)
        return reason if self._packages or reason in self._always else None

    def is_library(self, folder: str, names: Collection[str]) -> bool:
        """Whether a folder with these names is Python's own library, and not the root."""
        return self._packages and folder != self._root and _LIBRARY_MARKS.issubset(names)


_CACHED = frozenset({_BY_NAME[".git"], _BY_NAME["__pycache__"]})
_ALWAYS = _CACHED | set(_PACKAGE_FOLDERS.values())


def passed_over(path: str) -> tuple[str, str] | None:
    """The outermost folder at or above a path that a walk from further above passes over, and what it is."""
    parts = path.split(os.sep)
    for count in range(1, len(parts)):
        folder, name = os.sep.join(parts[:count]) or os.sep, parts[count]
        reason = _reason(folder, _marks_in(folder), name)
        inner = os.path.join(folder, name)
        if reason is None and all(os.path.isfile(os.path.join(inner, mark)) for mark in _LIBRARY_MARKS):
            reason = "Python's own library"
        if reason is not None:
            return inner, reason
    return None


def problem_of(path: str, reason: str) -> Problem:
    """The word on a folder that was passed over."""
    message = f"{path}: {reason}, passed over; name it, or scan with --everything, to look into it"
    return Problem(code=PASSED_OVER, path=path, message=message)


def _reason(folder: str, names: Collection[str], name: str) -> str | None:
    if name in _ENVIRONMENT_FOLDERS and not _ENVIRONMENT_MARKS.isdisjoint(names):
        return "part of a Python environment"
    if name in _CACHES and os.path.basename(folder) in _CACHE_FOLDERS:
        return _CACHES[name]
    if name in _PACKAGE_FOLDERS and not _PACKAGE_MARKS.isdisjoint(names):
        return _PACKAGE_FOLDERS[name]
    return _BY_NAME.get(name)


def _marks_in(folder: str) -> frozenset[str]:
    marks = _ENVIRONMENT_MARKS | _PACKAGE_MARKS
    return frozenset(mark for mark in marks if os.path.lexists(os.path.join(folder, mark)))
