"""Who is inside an environment: any number of transactions, or one thread that changes the environment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.errors import StoreError


class Gate:
    """Lets transactions in, and keeps them out while the map is resized or the file is opened anew.

    A thread that is inside already is let in again at once, so that nested views cannot deadlock.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._local = threading.local()
        self._inside = 0
        self._closed_off = False

    @property
    def depth(self) -> int:
        """How many transactions the calling thread has inside."""
        return getattr(self._local, "depth", 0)

    @property
    def idle(self) -> bool:
        """Whether nobody is inside."""
        return not self._inside

    def enter(self) -> None:
        """Come in, after whoever has closed the gate."""
        depth = self.depth
        with self._changed:
            while self._closed_off and not depth:
                self._changed.wait()
            self._inside += 1
        self._local.depth = depth + 1

    def leave(self) -> None:
        """Go out."""
        self._local.depth -= 1
        with self._changed:
            self._inside -= 1
            if not self._inside:
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until everyone is out, and keep them out meanwhile.

        Raises:
            StoreError: The calling thread itself is inside, so that it would wait for itself.
        """
        if self.depth:
            raise StoreError(
                "the store has grown while this thread reads it: end the outer view, then try again"
            )
        with self._changed:
            while self._closed_off or self._inside:
                self._changed.wait()
            self._closed_off = True
        try:
            yield
        finally:
            with self._changed:
                self._closed_off = False
                self._changed.notify_all()

    def hold(self, seconds: float) -> bool:
        """Take the gate's own lock, for a fork or a quick change; whether nobody is inside.

        Waits up to `seconds` for others to go out, and not at all for the calling thread itself.
        """
        self._changed.acquire()
        deadline = time.monotonic() + (0 if self.depth else seconds)
        while self._inside or self._closed_off:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.wait(left)
        return True

    def release(self) -> None:
        """Let go of the gate's own lock."""
        self._changed.release()
