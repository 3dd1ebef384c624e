from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelshelf_lmdb.store import LmdbStore

SMAPS = Path("/proc/self/smaps")
VALUE = b"v" * 1000
MEGABYTE = 1 << 20


def resident_bytes(store: LmdbStore) -> int:
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
        most = max(most, resident_bytes(store))
    assert (folder / "data.mdb").stat().st_size > 60 * MEGABYTE
    assert most < 10 * MEGABYTE
    assert store.view(lambda snapshot: sum(1 for _ in snapshot.scan())) == 60_000


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell what is mapped")
def test_pages_stay_while_a_view_of_another_thread_reads_them(opened):
    store = opened()
    fill(store, 1)
    inside, may_end = threading.Event(), threading.Event()
    values = set()

    def read(snapshot: object) -> None:
        inside.set()
        while not may_end.is_set():
            values.update(snapshot.get(b"%d-0" % number) for number in range(2_000))

    reader = threading.Thread(target=store.view, args=(read,), daemon=True)
    reader.start()
    assert inside.wait(10)
    try:
        fill(store, 3, start=1)  # no more: to grow, the store would wait for the reader
        during = resident_bytes(store)
    finally:
        may_end.set()
        reader.join()
    assert values == {VALUE}
    fill(store, 1, start=4)
    assert during > 4 * resident_bytes(store)


NO_ROOM = """
import os, resource, sys
from modelshelf.errors import StoreUnavailableError
from modelshelf_lmdb.store import LmdbStore

store = LmdbStore.open(sys.argv[1])
store.update(lambda txn: txn.put(b"kept", b"1"))
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (40 << 20), resource.RLIM_INFINITY))
try:
    for number in range(90):  # megabytes; the first map has 64
        store.update(lambda txn: txn.put(b"%d" % number, b"x" * 1_000_000))
except StoreUnavailableError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.update(lambda txn: txn.put(b"later", b"2"))
print(*store.view(lambda snapshot: (snapshot.get(b"kept"), snapshot.get(b"later"))))
"""


@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell how large a process is")
def test_a_store_that_found_no_room_to_grow_is_of_use_again_once_there_is_some(folder):
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, folder], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.stderr == ""
    message, values = done.stdout.splitlines()
    assert "growing failed: not enough memory or address space" in message
    assert values == "b'1' b'2'"
