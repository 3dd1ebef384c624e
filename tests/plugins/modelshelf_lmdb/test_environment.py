from __future__ import annotations

import threading
from pathlib import Path

import pytest

from modelshelf_lmdb.store import LmdbStore

SMAPS = Path("/proc/self/smaps")
VALUE = b"v" * 1000
MEGABYTE = 1 << 20


def held(store: LmdbStore) -> int:
    """Bytes of the store's map that count as this process's memory."""
    file, total, inside = f"{store.location}/data.mdb", 0, False
    for line in SMAPS.read_text().splitlines():
        key, *rest = line.split()
        if not key.endswith(":"):
            inside = bool(rest) and rest[-1] == file
        elif inside and key == "Rss:":
            total += int(rest[0]) * 1024
    return total


def fill(store: LmdbStore, batches: int, start: int = 0) -> None:
    """Put 2,000 records of a kilobyte a batch, each batch between all records of those before."""
    for batch in range(start, start + batches):
        keys = [b"%d-%d" % (number, batch) for number in range(2_000)]
        store.update(lambda txn, keys=keys: [txn.put(key, VALUE) for key in keys])


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell what is mapped")
def test_the_pages_of_many_changes_do_not_stay_this_process_s_memory(opened, folder):
    store = opened()
    most = 0
    for batch in range(30):
        fill(store, 1, batch)
        most = max(most, held(store))
    assert (folder / "data.mdb").stat().st_size > 60 * MEGABYTE
    assert most < 10 * MEGABYTE
    assert store.view(lambda snapshot: sum(1 for _ in snapshot.scan())) == 60_000


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell what is mapped")
def test_pages_stay_while_a_view_of_another_thread_reads_them(opened):
    store = opened()
    fill(store, 1)
    inside, may_end = threading.Event(), threading.Event()
    seen = set()

    def read(snapshot: object) -> None:
        inside.set()
        while not may_end.is_set():
            seen.update(snapshot.get(b"%d-0" % number) for number in range(2_000))

    reader = threading.Thread(target=store.view, args=(read,), daemon=True)
    reader.start()
    assert inside.wait(10)
    try:
        fill(store, 3, start=1)  # no more: to grow, the store would wait for the reader
        during = held(store)
    finally:
        may_end.set()
        reader.join()
    assert seen == {VALUE}
    fill(store, 1, start=4)
    assert during > 4 * held(store)
