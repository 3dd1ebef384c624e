"""End hooks that run past their time, in worker processes and in a program's own.

In the main thread of a process that leaves SIGALRM alone the system's timer interrupts a hook, also one that
waits for the system. In every other thread, and in a program with its own SIGALRM handler, one watchdog
thread has the interpreter raise `HookTimeout` in the hook's thread. That ends a loop of Python code. Native
code that never comes back to the interpreter goes on in both; only a worker process can be ended then.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_NAP = 1.0  # seconds between two looks of the watchdog
_LOOKS = 4  # of the watchdog at least in the time that a hook has


class HookTimeout(BaseException):  # no error that a plugin's `except Exception` should catch
    """Raised within a hook when its time is over."""

    def __init__(self, message: str = "ran past its time and was ended") -> None:
        super().__init__(message)


class _Clock:
    """The time of the hook at work in one thread.

    Attributes:
        seconds: Time that each hook has.
        thread: The thread's number, under which the interpreter knows it.
        due: When the hook's time is over, on the monotonic clock; None while no hook is at work.
        raised: Whether the watchdog has had an exception raised in the hook.
        lock: Guards both against the watchdog.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.thread = threading.get_ident()
        self.due: float | None = None
        self.raised = False
        self.lock = threading.Lock()
        self._progress: Callable[[], int] | None = None
        self._reached = 0

    def begin(self, progress: Callable[[], int] | None) -> None:
        """Start the time of a hook."""
        self._progress = progress
        self._reached = 0 if progress is None else progress()
        self.due = time.monotonic() + self.seconds

    def end(self) -> None:
        """Stop it, and take back an exception that did not reach the hook before it was done."""
        with self.lock:
            self.due = None
            if self.raised:
                self.raised = False
                _raise_in(self.thread, None)

    def left(self) -> float:
        """Seconds that are left; a hook that went on reading has its whole time again."""
        due = self.due
        if due is None:
            return self.seconds
        if self._progress is not None and (reached := self._progress()) != self._reached:
            self._reached = reached
            self.due = time.monotonic() + self.seconds
            return self.seconds
        return due - time.monotonic()


class HookTimer(threading.local):  # each thread has a time of its own
    """Limits the time of all the hooks that are called one after another while it is entered.

    Setting the system's timer for each call would cost as much as a small hook does. This one rings once in
    `seconds` at most, looks how long the hook at work has run, and sets itself to the rest of its time. The
    watchdog, where it takes the timer's place, looks as seldom.

    Args:
        seconds: Time that each hook has.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clock = _Clock(seconds)
        self._before: Callable[..., Any] | int | None = None
        self._by_signal = False

    def begin(self, progress: Callable[[], int] | None = None) -> None:
        """Start the time of a hook. Called within what catches `HookTimeout`.

        Args:
            progress: Gives what the hook has read; while it grows, the time begins again.
        """
        self._clock.begin(progress)

    def end(self) -> None:
        """Stop the time of the hook."""
        self._clock.end()

    def __enter__(self) -> Self:
        self._clock.thread = threading.get_ident()  # another one after a fork on some systems
        self._by_signal = _may_ring()
        if self._by_signal:
            self._before = signal.signal(signal.SIGALRM, self._ring)
            signal.setitimer(signal.ITIMER_REAL, self._seconds)
        else:
            _WATCHDOG.watch(self._clock)
        return self

    def __exit__(self, *_: object) -> None:
        if self._by_signal:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._by_signal = False
        else:
            _WATCHDOG.leave(self._clock)

    def _ring(self, _number: int, _frame: object) -> None:
        left = self._clock.left()
        if left > 0:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        self._clock.due = None
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        raise HookTimeout(f"ran past its {self._seconds:g} s and was ended")


class _Watchdog:
    """One thread of the process that looks at the hooks of all others; it ends when there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clocks: set[_Clock] = set()
        self._thread: threading.Thread | None = None

    def watch(self, clock: _Clock) -> None:
        """Look after the hooks of a thread."""
        with self._lock:
            self._clocks.add(clock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="modelshelf-watchdog", daemon=True)
                self._thread.start()

    def leave(self, clock: _Clock) -> None:
        """Look after them no longer."""
        with self._lock:
            self._clocks.discard(clock)

    def _run(self) -> None:
        while True:
            with self._lock:
                clocks = tuple(self._clocks)
                if not clocks:
                    self._thread = None
                    return
            for clock in clocks:
                _end_late_hook(clock)
            time.sleep(min(_LONGEST_NAP, *(clock.seconds / _LOOKS for clock in clocks)))


def _end_late_hook(clock: _Clock) -> None:
    with clock.lock:
        if clock.due is not None and clock.left() <= 0:
            clock.due = None
            clock.raised = True
            _raise_in(clock.thread, _timeout_of(clock.seconds))


def _timeout_of(seconds: float) -> type[HookTimeout]:
    """An error class that says the time, as the interpreter makes errors without arguments."""

    def begin(self: HookTimeout) -> None:
        HookTimeout.__init__(self, f"ran past its {seconds:g} s and was ended")

    return type(HookTimeout.__name__, (HookTimeout,), {"__init__": begin})


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have the interpreter raise an exception in a thread, or take back one that it has not raised yet."""
    with suppress(ImportError, AttributeError):  # interpreters without it: the hook goes on
        import ctypes

        raising = ctypes.pythonapi.PyThreadState_SetAsyncExc
        raising(ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error))


def _may_ring() -> bool:
    """Whether this is a main thread whose program has no use of its own for SIGALRM."""
    return (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )


_WATCHDOG = _Watchdog()


def _after_fork_in_child() -> None:
    """Begin anew: the child has no watchdog thread, and its lock may have been taken."""
    _WATCHDOG.__init__()  # type: ignore[misc]  # the one object that every timer knows


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
