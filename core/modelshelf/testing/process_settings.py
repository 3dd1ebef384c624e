"""What a process has set for all that runs in it, which no plugin may change: others run there too."""

from __future__ import annotations

import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARNINGS, _RANDOM = "the filters of warnings", "the state of random numbers"
SET_BY_IMPORTS = frozenset({_WARNINGS, _RANDOM})
"""What libraries change where they are imported, and hooks import them at their first call."""

_OWN_THREADS = frozenset({"modelshelf-watchdog"})


@contextmanager
def settings_kept(but: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """Name the settings of the process that the block changes, once it has ended; they are not put back.

    Args:
        but: Names of those that it may change.
    """
    before, threads = _settings(), _threads()
    changed: list[str] = []
    yield changed
    after = _settings()
    changed += [name for name, value in before.items() if after[name] != value and name not in but]
    if not threads.issuperset(_threads()):  # others may have ended meanwhile
        changed.append("the threads that go on")


def _settings() -> dict[str, Any]:
    root = logging.getLogger()
    mask = os.umask(0o77)  # the only way to ask for it
    os.umask(mask)
    return {
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "the import path": list(sys.path),
        "the recursion limit": sys.getrecursionlimit(),
        "the mode of new files": mask,
        "a signal's handler": {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)},
        _WARNINGS: list(warnings.filters),
        _RANDOM: random.getstate(),
        "the root logger": (root.level, list(root.handlers)),
        "the locale": locale.setlocale(locale.LC_ALL),
    }


def _threads() -> set[int | None]:
    return {one.ident for one in threading.enumerate() if one.name not in _OWN_THREADS}
