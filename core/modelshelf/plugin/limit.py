"""End a hook that runs past its time, where that can be done: in the main thread of a process of our own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HOOK_SECONDS = 60.0
"""Time that a hook has for one artifact. A worker process ends it then; elsewhere it is reported."""


class HookTimeout(BaseException):  # no error that a plugin's `except Exception` should catch
    """Raised within a hook when its time is over."""


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """Raise `HookTimeout` in the block once it has run for that long.

    Nothing is raised where `seconds` is None, in any thread but the main one, and on systems without
    interval timers; code that never comes back to the interpreter is the parent process's to end.
    """
    if seconds is None or not _can_interrupt():
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise HookTimeout(f"ran past its {seconds:g} s and was ended")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _can_interrupt() -> bool:
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
