from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelshelf.errors import StoreUnavailableError
from modelshelf_lmdb.store import LmdbStore
from tests.plugins.modelshelf_lmdb.kills import run

ROOT = Path(__file__).resolve().parents[3]
KILLS = int(os.environ.get("MODELSHELF_KILLS", "20"))


def commits(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    """A process that commits batches; it has opened the store when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.plugins.modelshelf_lmdb.commits", str(folder), name, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "ready\n", process.communicate()[1]
    return process


def batches(store: LmdbStore, name: str) -> dict[int, int]:
    """How many records of each batch are there."""
    found: dict[int, int] = {}
    for key, _ in store.view(lambda s: list(s.scan(name.encode() + b"/"))):
        number = int(key.split(b"/")[1])
        found[number] = found.get(number, 0) + 1
    return found


def in_child(work) -> int:
    """The exit status of a forked child that runs `work`: 0 when that gives True."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_two_writers_at_once_lose_nothing(opened, folder):
    store = opened()
    processes = [commits(folder, name, 150) for name in ("one", "two")]
    mine = 0
    while any(process.poll() is None for process in processes):
        store.update(lambda txn: txn.put(b"total", b"%d" % (int(txn.get(b"total") or b"0") + 1)))
        mine += 1
    for process in processes:
        assert process.wait() == 0
        process.communicate()
    assert batches(store, "one") == batches(store, "two") == dict.fromkeys(range(150), 2)
    assert store.view(lambda s: s.get(b"total")) == b"%d" % (300 + mine)
    assert list(store.check()) == []


def test_a_commit_of_another_process_changes_the_revision_and_the_next_view(opened, folder):
    store = opened()
    before = store.revision()
    process = commits(folder, "one", 1)
    process.communicate()
    assert store.revision() != before
    assert batches(store, "one") == {0: 2}


def test_a_map_that_another_process_has_grown_is_taken_over(opened, folder):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"1"))
    grow = (
        "import sys; from modelshelf_lmdb.store import LmdbStore\n"
        "store = LmdbStore.open(sys.argv[1])\n"
        "store.update(lambda t: [t.put(b'%03d' % i, b'x' * 1_000_000) for i in range(90)])\n"
    )
    subprocess.run([sys.executable, "-c", grow, str(folder)], check=True)
    assert len(store.view(lambda s: [key for key, _ in s.scan()])) == 91
    store.update(lambda txn: txn.put(b"b", b"2"))
    assert store.view(lambda s: s.get(b"b")) == b"2"


def test_killed_at_any_moment_the_store_is_what_the_acknowledged_commits_make(folder):
    result = run(folder, kills=KILLS, commits=20 * KILLS, seed=7)
    assert result["wrong"] == []
    assert result["kills"] >= KILLS


def test_a_forked_child_works_on_its_own_handle_and_leaves_the_parents_alone(opened):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"1"))

    def child():
        store.update(lambda txn: txn.put(b"b", txn.get(b"a") + b"2"))
        found = store.view(lambda s: dict(s.scan()))
        store.close()
        return found == {b"a": b"1", b"b": b"12"}

    before = store.revision()
    assert in_child(child) == 0
    assert store.revision() == before + 1
    assert store.view(lambda s: s.get(b"b")) == b"12"
    store.update(lambda txn: txn.put(b"c", b"3"))
    assert list(store.check()) == []


def test_parent_and_forked_children_write_at_once(opened):
    store = opened()
    children = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                for i in range(30):
                    store.update(lambda txn, i=i, n=number: txn.put(b"%d/%d" % (n, i), b"x"))
            finally:
                os._exit(0)
        children.append(pid)
    for i in range(30):
        store.update(lambda txn, i=i: txn.put(b"parent/%d" % i, b"x"))
    for pid in children:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(store.view(lambda s: list(s.scan()))) == 150


@pytest.mark.parametrize("outer", ["view", "update"])
def test_a_fork_inside_a_use_is_refused_in_the_child_and_harmless_to_the_parent(opened, outer):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"1"))

    def refused(state):
        for call in (lambda: state.get(b"a"), lambda: store.view(lambda s: s.get(b"a"))):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - its kind is what is asked
                if not isinstance(error, StoreUnavailableError) and "over" not in str(error):
                    return False
            else:
                return False
        return True

    def work(state):
        status = in_child(lambda: refused(state))
        return status, state.get(b"a")

    assert getattr(store, outer)(work) == (0, b"1")
    store.update(lambda txn: txn.put(b"b", b"2"))
    assert store.view(lambda s: dict(s.scan())) == {b"a": b"1", b"b": b"2"}


def test_a_fork_waits_for_the_update_of_another_thread(opened):
    store = opened()
    begun = threading.Event()

    def work(txn):
        txn.put(b"a", b"1")
        begun.set()
        time.sleep(0.1)

    thread = threading.Thread(target=store.update, args=(work,))
    thread.start()
    begun.wait()
    assert in_child(lambda: store.view(lambda s: s.get(b"a")) == b"1") == 0
    thread.join()


def test_a_fork_gets_its_turn_between_the_views_of_threads_that_never_pause(opened):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"1"))
    stop = threading.Event()

    def read_on():
        while not stop.is_set():
            store.view(lambda s: (s.get(b"a"), time.sleep(0.001)))

    threads = [threading.Thread(target=read_on) for _ in range(3)]
    for one in threads:
        one.start()
    try:
        assert [in_child(lambda: store.view(lambda s: s.get(b"a")) == b"1") for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        for one in threads:
            one.join()


def test_a_reader_that_was_killed_does_not_keep_the_file_growing(opened, folder):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"x" * 100_000))
    hold = (
        "import sys, time; from modelshelf_lmdb.store import LmdbStore\n"
        "LmdbStore.open(sys.argv[1]).view(lambda s: (print('in', flush=True), time.sleep(60)))\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", hold, str(folder)], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "in\n"
    reader.kill()
    reader.communicate()
    store.close()
    store = opened()
    for _ in range(40):
        store.update(lambda txn: txn.put(b"a", os.urandom(100_000)))
    assert (folder / "data.mdb").stat().st_size < 1_000_000


def test_memory_that_is_watched_tells_of_the_next_commit_of_any_process(opened, folder):
    store = opened()
    store.update(lambda txn: txn.put(b"a", b"1"))
    watched = store.watch(store.revision())
    if watched is None:
        pytest.skip("the place of the last commit in the lock file is not known for this system")
    word, beat = watched
    assert word[0] == beat == store.revision()
    assert store.view(lambda s: s.get(b"a")) == b"1"
    assert word[0] == beat
    commits(folder, "one", 1).communicate()
    assert word[0] != beat
    assert word[0] == store.revision() == store.view(lambda s: s.revision)


def test_memory_that_was_let_go_says_so_and_is_found_again(opened):
    store = opened()
    watched = store.watch(store.revision())
    if watched is None:
        pytest.skip("the place of the last commit in the lock file is not known for this system")
    assert in_child(lambda: store.revision() == watched[1]) == 0
    with pytest.raises(ValueError, match="released"):
        watched[0][0]
    store.view(lambda s: s.get(b"a"))
    word, beat = store.watch(store.revision())
    assert word[0] == beat
    store.close()
    with pytest.raises(ValueError, match="released"):
        word[0]


def test_the_locks_of_a_process_stand_while_it_reads_the_lock_file(opened, folder):
    stores = [opened(), opened(readonly=True)]
    stores.pop().close()
    line = (
        "import sys; from modelshelf_lmdb.environment import exclusive_access\n"
        "with exclusive_access(sys.argv[1]):\n    print('alone')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", line, str(folder)], capture_output=True, text=True, check=False
    )
    assert "has the store open" in ran.stderr
    stores.pop().close()
    subprocess.run([sys.executable, "-c", line, str(folder)], check=True)
