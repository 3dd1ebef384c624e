"""What code does beyond reading, by the interpreter's audit events (PEP 578)."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Programs started, connections opened, pickles loaded, files changed.
_FORBIDDEN = frozenset(
    {
        "ftplib.connect",
        "http.client.connect",
        "marshal.loads",
        "os.chmod",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.link",
        "os.mkdir",
        "os.posix_spawn",
        "os.putenv",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.system",
        "os.truncate",
        "os.utime",
        "pickle.find_class",
        "shutil.rmtree",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "urllib.Request",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_recording: dict[int, list[str]] = {}  # thread to what it did; empty while nobody asks
_opening: dict[int, list[str]] = {}  # thread to the paths that it opens
_installed = False


@contextmanager
def side_effects() -> Iterator[list[str]]:
    """List what this thread does in the block that no reader of headers does.

    The interpreter's own reading and caching of modules is left out. Blocks do not nest.
    """
    global _installed  # noqa: PLW0603 - an audit hook stays for good, so there is one
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    done: list[str] = []
    _recording[threading.get_ident()] = done
    try:
        yield done
    finally:
        del _recording[threading.get_ident()]


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """List the paths that this thread opens in the block, whatever for. Blocks do not nest."""
    with side_effects():
        paths: list[str] = []
        _opening[threading.get_ident()] = paths
        try:
            yield paths
        finally:
            del _opening[threading.get_ident()]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _recording:
        return
    opening = _opening.get(threading.get_ident())
    if opening is not None and event == "open" and isinstance(arguments[0], str | bytes):
        opening.append(os.fsdecode(arguments[0]))
    done = _recording.get(threading.get_ident())
    if done is None or not (event in _FORBIDDEN or (event == "open" and _writes(arguments))):
        return
    if event == "marshal.loads" or "__pycache__" in str(arguments[:1]):
        if not _importing():
            done.append(event)
        return
    done.append(f"{event}{arguments[:2]!r}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    _path, mode, flags = arguments
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)


def _importing() -> bool:
    frame: Any = sys._getframe()  # noqa: SLF001 - the only way to see who asks
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
