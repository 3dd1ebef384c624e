"""A pool of worker processes, each of which can be ended when a hook in it does not end.

The standard process pools either fork (which copies locks that other threads hold) or import the caller's
main module again (which a library must not ask of a program). This one starts a fresh interpreter per
worker and speaks with it in frames over pipes: a function's name and bytes in, bytes out. No pickles.
A worker that crashes, or runs past its time, is replaced; its call fails and the others go on.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future
from typing import IO, TYPE_CHECKING, Any

from modelshelf.errors import PluginTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

_FRAME = struct.Struct("<BI")  # status or kind, length
_DONE, _RAISED = 0, 1
_Call = tuple["Future[bytes]", str, bytes]


class WorkerFailedError(RuntimeError):
    """A worker ended without an answer, or its function raised."""


class WorkerPool(Executor):
    """Runs ``function(bytes) -> bytes``, named by its module, in processes of its own.

    Args:
        workers: Number of processes; each starts with its first call.
        timeout: Seconds that one call may take before its worker is ended; None sets no limit.
    """

    def __init__(self, workers: int, timeout: float | None) -> None:
        self._timeout = timeout
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._threads = [
            threading.Thread(target=self._serve, name=f"modelshelf-worker-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function of one module by name, on one argument of bytes.

        Raises:
            RuntimeError: The pool was shut down.
            TypeError: It is called with anything but one argument of bytes.
        """
        if self._stopping.is_set():
            raise RuntimeError("the worker pool was shut down")
        if kwargs or len(args) != 1 or not isinstance(args[0], bytes):
            raise TypeError("a worker takes one argument of bytes")
        future: Future[bytes] = Future()
        self._calls.put((future, f"{fn.__module__}:{fn.__qualname__}", args[0]))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish what was submitted, or, with `cancel_futures`, end them now."""
        self._stopping.set()
        if cancel_futures:
            with contextlib.suppress(queue.Empty):
                while (call := self._calls.get_nowait()) is not None:
                    call[0].cancel()
            for child in tuple(self._children):
                child.kill()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        child: subprocess.Popen[bytes] | None = None
        while (call := self._calls.get()) is not None:
            future, name, payload = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if child is None or child.poll() is not None:
                    child = self._start()
                future.set_result(self._ask(child, name, payload))
            except Exception as error:  # noqa: BLE001 - it is the future's to raise
                if not isinstance(error, _RaisedInWorkerError):
                    self._end(child)
                    child = None
                future.set_exception(error)
        self._end(child, gently=True)

    def _start(self) -> subprocess.Popen[bytes]:
        code = "from modelshelf.scan.worker_pool import work; work()"
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._children.add(child)
        return child

    def _ask(self, child: subprocess.Popen[bytes], name: str, payload: bytes) -> bytes:
        assert child.stdin is not None  # noqa: S101 - both are pipes, see _start
        assert child.stdout is not None  # noqa: S101
        encoded = name.encode()
        child.stdin.write(_FRAME.pack(len(encoded), len(payload)) + encoded + payload)
        child.stdin.flush()
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        status, length = _FRAME.unpack(self._receive(child.stdout, _FRAME.size, deadline))
        answer = self._receive(child.stdout, length, deadline)
        if status == _RAISED:
            raise _RaisedInWorkerError(answer.decode("utf-8", "replace"))
        return answer

    def _receive(self, pipe: IO[bytes], length: int, deadline: float | None) -> bytes:
        received = b""
        while len(received) < length:
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            if not select.select([pipe], [], [], left)[0]:
                raise PluginTimeoutError("worker", f"ran past its {self._timeout:g} s and was ended")
            part = os.read(pipe.fileno(), length - len(received))
            if not part:
                raise WorkerFailedError("the worker process ended without an answer")
            received += part
        return received

    def _end(self, child: subprocess.Popen[bytes] | None, *, gently: bool = False) -> None:
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if not gently:
            child.kill()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._children.discard(child)


class _RaisedInWorkerError(WorkerFailedError):
    """The function raised; the worker itself is well."""


def work() -> None:
    """A worker's main loop: answer calls on standard input until it ends."""
    logging.getLogger("modelshelf").addHandler(logging.NullHandler())  # the parent logs what comes back
    gc.set_threshold(20_000, 20, 20)  # examining leaves next to no cycles, and looking for them takes time
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; its pipes close then
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a plugin prints must not end up among the answers
    while header := calls.read(_FRAME.size):
        name_length, length = _FRAME.unpack(header)
        name = calls.read(name_length).decode()
        payload = calls.read(length)
        try:
            module, _, function = name.partition(":")
            status, answer = _DONE, getattr(importlib.import_module(module), function)(payload)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the parent decides what becomes of it
            status, answer = _RAISED, f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        answers.write(_FRAME.pack(status, len(answer)) + answer)
        answers.flush()
