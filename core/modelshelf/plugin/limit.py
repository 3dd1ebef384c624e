"""A time limit for hooks, where there can be one: in the main thread of a process of our own."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class HookTimeout(BaseException):  # no error that a plugin's `except Exception` should catch
    """Raised within a hook when its time is over."""


class HookTimer(threading.local):  # a signal comes to the main thread, whose hooks alone it may end
    """Limits the time of all the hooks that are called one after another while it is entered.

    Setting the system's timer for each call would cost as much as a small hook does. This one rings once in
    `seconds` at most, looks how long the hook at work has run, and sets itself to the rest of its time.

    Nothing is raised in any thread but the main one, and on systems without interval timers; code that
    never comes back to the interpreter is the parent process's to end.

    Args:
        seconds: Time that each hook has.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: float | None = None  # on the monotonic clock; None while no hook is at work
        self._before: Callable[..., Any] | int | None = None
        self._entered = False

    def begin(self) -> None:
        """Start the time of a hook. Called within what catches `HookTimeout`."""
        self._due = time.monotonic() + self._seconds

    def end(self) -> None:
        """Stop the time of the hook."""
        self._due = None

    def __enter__(self) -> Self:
        if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGALRM, self._ring)
            self._entered = True
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        return self

    def __exit__(self, *_: object) -> None:
        if self._entered:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._entered = False

    def _ring(self, _number: int, _frame: object) -> None:
        left = self._seconds if self._due is None else self._due - time.monotonic()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        self._due = None
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        raise HookTimeout(f"ran past its {self._seconds:g} s and was ended")
