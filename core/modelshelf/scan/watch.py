"""Keeping the registry up to date while files come and go.

An event of the operating system is only a hint that a unit (a folder of a plain place, or the whole place of
another tool) is worth another scan: folders can appear with files in them before anyone watches them. A unit
is scanned once nothing in it has changed for a while, so that a file is not read while it grows.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from attrs import define

from modelshelf.errors import ConfigurationError
from modelshelf.scan.places import is_below
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from modelshelf.model import DiscoveryStats
    from modelshelf.source import Place

_INTERVAL = 200  # milliseconds between two checks of what is pending
_DEBOUNCE = 50  # milliseconds in which the system's events are gathered

_Unit: TypeAlias = tuple[str, str]
"""The root of a watched place, and the folder in it to scan: the root itself where another tool owns it."""

_Snapshot: TypeAlias = dict[str, tuple[int, int]]
"""Size and mtime_ns of every file of a folder, by name."""


@define
class _Pending:
    snapshot: _Snapshot
    quiet_since: float


class Watch:
    """Watches places and scans what changed in them.

    Args:
        places: What to watch.
        scan: Scans a place or a folder, as `ModelRegistry.discover_models` does.
        settle: Seconds without a change after which a unit is scanned.
        ignored: A folder whose changes mean nothing: the store's own, where it lies within a place.
    """

    def __init__(
        self,
        places: Sequence[Place],
        scan: Callable[[Place | str], DiscoveryStats],
        *,
        settle: float = 2.0,
        ignored: str | None = None,
    ) -> None:
        self._places = {one.root.rstrip("/") or "/": one for one in places}
        self._scan = scan
        self._settle = settle
        self._ignored = ignored
        self._pending: dict[_Unit, _Pending] = {}
        self._present: set[str] = set()

    def run(self, stop: threading.Event | None = None) -> Iterator[DiscoveryStats]:
        """Scan every place, then whatever changes, until `stop` is set; gives what each scan did.

        Raises:
            ConfigurationError: The package ``watchfiles`` is not installed, or the system can watch no more.
        """
        stop = stop or threading.Event()
        while not stop.is_set():
            self._present = self._roots_present()
            listening = False
            for changed in self._events(stop):
                if not listening:  # before that a change would have gone unnoticed
                    listening = True
                    for place in self._places.values():
                        yield self._scan(place)
                for path in changed:
                    self._add_pending(path)
                yield from self._scan_settled()
                if self._roots_present() != self._present:  # a volume was plugged in or pulled out
                    break

    def _events(self, stop: threading.Event) -> Iterator[set[str]]:
        """Changed paths, or nothing every now and then; ends when `stop` is set."""
        if not self._present:
            yield set()
            while not stop.wait(_INTERVAL / 1000):
                yield set()
            return
        try:
            from watchfiles import watch
        except ImportError:
            raise ConfigurationError(
                "watching needs the package watchfiles: pip install 'modelshelf[watch]'"
            ) from None
        events = watch(
            *sorted(self._present),
            watch_filter=None,
            stop_event=stop,
            rust_timeout=_INTERVAL,
            debounce=_INTERVAL,
            step=_DEBOUNCE,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        try:
            for changes in events:
                yield {path for _, path in changes}
        except OSError as error:
            raise ConfigurationError(
                f"the system does not watch so many folders: {error}; raise its limit (on Linux "
                "fs.inotify.max_user_watches), set WATCHFILES_FORCE_POLLING=1, or watch fewer places"
            ) from error

    def _add_pending(self, path: str) -> None:
        """Have the unit of a path scanned; a folder that came may have others in it by now."""
        if self._ignored is not None and is_below(path, self._ignored):
            return
        unit = self._unit_of(path)
        if unit is None:
            return
        folders = [folder for folder, _, _ in os.walk(path)] if unit[1] == path != unit[0] else [unit[1]]
        for folder in folders:
            self._pending[unit[0], folder] = _Pending(self._snapshot(unit[0], folder), time.monotonic())

    def _unit_of(self, path: str) -> _Unit | None:
        """The place that a path belongs to, and the folder to scan; a folder that came is its own."""
        roots = [root for root in self._places if is_below(path, root)]
        if not roots:
            return None
        root = max(roots, key=len)
        if self._places[root].source != LOCAL:
            return root, root
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        while not os.path.isdir(folder) and is_below(folder, root) and folder != root:
            folder = os.path.dirname(folder)  # a folder that is gone is noticed by the one that it was in
        return root, folder if is_below(folder, root) else root

    def _scan_settled(self) -> Iterator[DiscoveryStats]:
        now = time.monotonic()
        for (root, folder), pending in self._pending.items():
            snapshot = self._snapshot(root, folder)
            if snapshot != pending.snapshot:
                pending.snapshot, pending.quiet_since = snapshot, now
        busy = [folder for (_, folder), one in self._pending.items() if now - one.quiet_since < self._settle]
        ready = [unit for unit in self._pending if not any(is_below(one, unit[1]) for one in busy)]
        for unit in ready:
            del self._pending[unit]
        for root, folder in ready:
            if not any(is_below(folder, other) for _, other in ready if other != folder):
                yield self._scan(self._places[root] if folder == root else folder)

    def _snapshot(self, root: str, folder: str) -> _Snapshot:
        """The files of a folder as they are now. Other tools write under names that no scan wants."""
        return _snapshot(folder) if self._places[root].source == LOCAL else {}

    def _roots_present(self) -> set[str]:
        return {root for root in self._places if os.path.exists(root)}


def _snapshot(folder: str) -> _Snapshot:
    """The files of a folder as they are now; one that is gone by then is left out."""
    snapshot: _Snapshot = {}
    try:
        with os.scandir(folder) as listing:
            for entry in listing:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if not entry.is_dir(follow_symlinks=False):
                        snapshot[entry.name] = (status.st_size, status.st_mtime_ns)
    except OSError:
        return {}
    return snapshot
