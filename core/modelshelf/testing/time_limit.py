"""A limit to the time that a hook takes while the kit calls it."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HOOK_SECONDS = 6.0
"""How long one look at one small file may take; the kit's files are of some 64 KiB."""


class EndlessCallError(BaseException):  # so that a hook's own `except Exception` does not keep it going
    """A hook did not end in time."""


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
