"""A lock for one environment: shared by any number of transactions, exclusive for who changes the map.

The standard library has no shared lock, and none that a fork can wait for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.errors import StoreError


class Gate:
    """Counts the transactions that run, and keeps them out while the map is resized or the file is reopened.

    A thread with a running transaction gets in again at once, so that nested views cannot deadlock.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._local = threading.local()
        self._running = 0
        self._closed = False
        self._awaited = False  # whether somebody waits for the running ones to end

    @property
    def depth(self) -> int:
        """Running transactions of the calling thread."""
        return getattr(self._local, "depth", 0)

    @property
    def idle(self) -> bool:
        """Whether no transaction runs."""
        return not self._running

    def enter(self) -> None:
        """Count a transaction, after waiting for whoever has closed the gate or waits for it to be idle."""
        depth = self.depth
        with self._changed:
            while (self._closed or self._awaited) and not depth:
                self._changed.wait()
            self._running += 1
        self._local.depth = depth + 1

    def leave(self) -> None:
        """Count a transaction less."""
        self._local.depth -= 1
        with self._changed:
            self._running -= 1
            if not self._running:
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Wait until no transaction runs, and let none begin meanwhile.

        Raises:
            StoreError: The calling thread itself has a transaction, so that it would wait for itself.
        """
        if self.depth:
            raise StoreError(
                "the store has grown while this thread reads it: end the outer view, then try again"
            )
        with self._changed:
            while self._closed or self._running:
                self._changed.wait()
            self._closed = True
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    def acquire(self, seconds: float) -> bool:
        """Take the gate's own lock, for a fork or a quick change; whether no transaction runs.

        Waits up to `seconds` for others to end, and not at all for the calling thread itself; none begins
        meanwhile. `release` must follow, whatever the result.
        """
        self._changed.acquire()
        deadline = time.monotonic() + (0 if self.depth else seconds)
        while self._running or self._closed:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._awaited = True
            self._changed.wait(left)
        return True

    def release(self) -> None:
        """Give the gate's own lock back."""
        self._awaited = False
        self._changed.notify_all()
        self._changed.release()
