"""A watch keeps the registry up to date, by what the system really tells of files."""

from __future__ import annotations

import queue
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelshelf import DiscoveryStats, ModelRegistry
from modelshelf.errors import ConfigurationError
from modelshelf.scan.watch import Watch
from tests.vendor_models import VENDORED

PATIENCE = 30  # seconds; a busy machine may take some of them
SETTLE = 0.4  # seconds


class Watched:
    """A folder that a thread watches, with a registry of its own."""

    def __init__(self, root: Path, store: Path) -> None:
        self.root = root
        self.registry = ModelRegistry(root, store)
        self.scans: queue.Queue[DiscoveryStats | Exception] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        watch = Watch(
            [self.registry.place(self.root)],
            lambda place: self.registry.discover_models(place, workers=1),
            settle=SETTLE,
            ignored=self.registry.location,
        )
        try:
            for stats in watch.run(self._stop):
                self.scans.put(stats)
        except Exception as error:  # noqa: BLE001 - reported by the waiting test
            self.scans.put(error)

    def start(self) -> None:
        self._thread.start()
        self.until(lambda _: True)

    def until(self, reached: Callable[[DiscoveryStats], bool]) -> DiscoveryStats:
        """The first scan from now on of which that is true."""
        while True:
            stats = self.scans.get(timeout=PATIENCE)
            if isinstance(stats, Exception):
                raise stats
            if reached(stats):
                return stats

    def close(self) -> None:
        self._stop.set()
        if self._thread.ident:
            self._thread.join(PATIENCE)
        self.registry.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    (tmp_path / "models").mkdir()
    made = Watched(tmp_path / "models", tmp_path / "store")
    yield made
    made.close()


def tiny() -> Path:
    return next(VENDORED.rglob("*.gguf"))


def test_what_lay_there_before_is_recorded_at_once(watched: Watched) -> None:
    shutil.copytree(VENDORED, watched.root, dirs_exist_ok=True)
    watched.start()
    assert len(watched.registry) == 3


def test_a_file_that_is_dropped_in_is_recorded_and_marked_missing_when_it_is_removed(
    watched: Watched,
) -> None:
    watched.start()
    shutil.copy(tiny(), watched.root / "dropped.gguf")
    watched.until(lambda stats: stats.models_added == 1)
    (watched.root / "dropped.gguf").unlink()
    watched.until(lambda stats: stats.models_missing == 1)
    assert [one.missing for one in watched.registry] == [True]


def test_a_file_that_grows_is_not_read_before_it_stops(watched: Watched) -> None:
    watched.start()
    data = tiny().read_bytes()
    listed = []
    with (watched.root / "growing.gguf").open("wb", buffering=0) as file:
        for start in range(0, len(data), len(data) // 12):
            file.write(data[start : start + len(data) // 12])
            threading.Event().wait(SETTLE / 2)
            listed += list(watched.registry)
    assert listed == []
    watched.until(lambda stats: stats.models_added == 1)
    assert [one.health_status.value for one in watched.registry] == ["healthy"]


def test_folders_that_come_with_models_in_them_are_found_to_the_last(watched: Watched) -> None:
    watched.start()
    shutil.copytree(VENDORED, watched.root / "deep" / "below" / "here")
    found = 0
    while found < 3:
        found += watched.until(lambda stats: stats.models_added > 0).models_added
    assert len(watched.registry) == 3


def test_a_folder_that_is_moved_in_keeps_the_record_of_what_was_moved_out(watched: Watched) -> None:
    shutil.copytree(VENDORED, watched.root / "before")
    watched.start()
    (watched.root / "before").rename(watched.root / "after")
    watched.until(lambda _: all("/after/" in one.path and not one.missing for one in watched.registry))
    assert len(watched.registry) == 3


def test_a_store_within_the_watched_folder_does_not_keep_the_watch_busy(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    made = Watched(tmp_path / "models", tmp_path / "models" / "store")
    try:
        made.start()
        shutil.copy(tiny(), made.root / "one.gguf")
        made.until(lambda stats: stats.models_added == 1)
        with pytest.raises(queue.Empty):
            made.scans.get(timeout=5 * SETTLE)
    finally:
        made.close()


def test_a_root_that_comes_later_is_scanned_when_it_comes(tmp_path: Path) -> None:
    made = Watched(tmp_path / "volume", tmp_path / "store")
    try:
        made.start()
        shutil.copytree(VENDORED, tmp_path / "arriving")
        (tmp_path / "arriving").rename(tmp_path / "volume")
        made.until(lambda stats: stats.models_added == 3)
    finally:
        made.close()


def test_without_watchfiles_the_message_says_what_to_install(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigurationError, match=r"modelshelf\[watch\]"):
        watched.start()
