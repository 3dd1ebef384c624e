"""Another program's LMDB file is told from a store and never written into; a store of 0.1 is recognised."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from modelshelf.errors import DamagedStoreError, StoreError, StoreUnavailableError
from modelshelf.records.frame import decode_value, encode_value
from modelshelf.store import RemnantState
from modelshelf_lmdb.identity import KEY, MARK
from modelshelf_lmdb.repair import replace, salvage
from modelshelf_lmdb.store import LmdbStore

PAGE = 4096


def few(folder: Path) -> None:
    with lmdb.open(str(folder)) as opened, opened.begin(write=True) as txn:
        txn.put(b"name", b"somebody else's")


def many(folder: Path) -> None:
    with lmdb.open(str(folder), map_size=1 << 28) as opened, opened.begin(write=True) as txn:
        for number in range(20_000):
            txn.put(b"%08d" % number, b"\x01 value %d" % number)


def like_tables(folder: Path) -> None:
    with lmdb.open(str(folder), map_size=1 << 26) as opened, opened.begin(write=True) as txn:
        txn.put(b"m\0model", b"no frame")
        txn.put(b"s\0store", b"modelshelf store 1")


def named_databases(folder: Path) -> None:
    with lmdb.open(str(folder), max_dbs=3) as opened:
        for name in (b"m\0one", b"two"):
            with opened.begin(write=True, db=opened.open_db(name)) as txn:
                txn.put(b"key", b"value")


def several_values(folder: Path) -> None:
    with lmdb.open(str(folder), max_dbs=1) as opened:
        database = opened.open_db(b"m\0", dupsort=True)
        with opened.begin(write=True, db=database) as txn:
            for number in range(3000):
                txn.put(b"key", b"%06d" % number)


def numbers(folder: Path) -> None:
    with lmdb.open(str(folder), map_size=1 << 28) as opened, opened.begin(write=True) as txn:
        for number in range(300):
            txn.put(struct.pack("<I", number), struct.pack("<IQ", 1, number))


def large_values(folder: Path) -> None:
    with lmdb.open(str(folder), map_size=1 << 28) as opened, opened.begin(write=True) as txn:
        txn.put(b"a", bytes(3 << 20))
        txn.put(b"b", os.urandom(50_000))


def empty(folder: Path) -> None:
    lmdb.open(str(folder)).close()


def emptied(folder: Path) -> None:
    few(folder)
    with lmdb.open(str(folder)) as opened, opened.begin(write=True) as txn:
        txn.delete(b"name")


FOREIGN = (few, many, like_tables, named_databases, several_values, numbers, large_values, empty, emptied)


@pytest.fixture(params=FOREIGN, ids=lambda one: one.__name__)
def foreign(request, tmp_path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    request.param(folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


@pytest.mark.parametrize("locked", [True, False], ids=["with its lock file", "without"])
def test_another_programs_file_is_refused_and_left_as_it_is(foreign, locked):
    if not locked:
        (foreign / "lock.mdb").unlink()
    before, mode = content(foreign), foreign.stat().st_mode
    for readonly in (True, False):
        with pytest.raises(StoreUnavailableError, match="of another program"):
            LmdbStore.open(str(foreign), readonly=readonly)
    assert (content(foreign), foreign.stat().st_mode) == (before, mode)


def test_another_programs_file_is_no_store_to_repair(foreign):
    before = content(foreign)
    filled = []
    with pytest.raises(StoreUnavailableError, match="of another program"):
        replace(str(foreign), filled.append)
    assert not filled
    assert content(foreign) == before


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("make", [few, many, numbers])
def test_another_programs_damaged_file_is_no_store_to_repair(tmp_path, make, page):
    make(tmp_path)
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.seek(page * PAGE)
        file.write(bytes(PAGE))
    before = content(tmp_path)
    with pytest.raises(DamagedStoreError):
        LmdbStore.open(str(tmp_path))
    with pytest.raises(StoreUnavailableError, match="of another program"):
        replace(str(tmp_path), lambda _store: list(salvage(str(tmp_path))))
    assert content(tmp_path) == before


def test_a_store_bears_its_mark_and_no_scan_gives_it(opened, folder):
    store = opened()
    assert store.view(lambda state: list(state.scan())) == []
    store.update(lambda state: state.put(b"s\0default", b"1"))
    for prefix in (b"", b"s", b"s\0", b"s\0store"):
        wanted = [] if prefix == KEY else [(b"s\0default", b"1")]
        assert store.view(lambda state, prefix=prefix: list(state.scan(prefix))) == wanted
        assert store.update(lambda state, prefix=prefix: list(state.scan(prefix))) == wanted
    found = [one.key for one in salvage(str(folder)) if one.state is RemnantState.CURRENT]
    assert found == [b"s\0default"]
    for change in (lambda state: state.put(KEY, b""), lambda state: state.delete(KEY)):
        with pytest.raises(StoreError, match="own"):
            store.update(change)
    store.close()
    with lmdb.open(str(folder)) as plain, plain.begin() as txn:
        assert txn.get(KEY) == MARK


def test_the_mark_is_a_record_as_the_registry_writes_them():
    assert encode_value(KEY, decode_value(KEY, MARK)) == MARK


@pytest.fixture
def of_0_1(tmp_path) -> Path:
    """A store as release 0.1 left it: without a mark."""
    folder = tmp_path / "older"
    folder.mkdir(mode=0o700)
    opened = lmdb.open(str(folder), map_size=1 << 26, create=False, mode=0o700)
    with opened, opened.begin(write=True) as txn:
        for number in range(2000):
            key = b"m\0lab/%05d\x001.0.0" % number
            txn.put(key, encode_value(key, {"id": f"lab/{number}", "text": "x" * 90}))
    return folder


def test_a_store_of_0_1_is_read_as_it_is_and_marked_by_its_first_update(of_0_1):
    before = (of_0_1 / "data.mdb").read_bytes()
    for readonly in (True, False):
        store = LmdbStore.open(str(of_0_1), readonly=readonly)
        assert len(store.view(lambda state: list(state.scan()))) == 2000
        store.close()
    store = LmdbStore.open(str(of_0_1))
    store.update(lambda state: state.get(b"a"))  # it changes nothing
    assert (of_0_1 / "data.mdb").read_bytes() == before
    store.update(lambda state: state.put(b"s\0default", encode_value(b"s\0default", "lab/1")))
    assert len(store.view(lambda state: list(state.scan()))) == 2001
    store.close()
    with lmdb.open(str(of_0_1)) as plain, plain.begin() as txn:
        assert txn.get(KEY) == MARK


def test_a_store_of_0_1_whose_first_pages_are_damaged_is_recognised(of_0_1):
    data = bytearray((of_0_1 / "data.mdb").read_bytes())
    first = data.index(b"m\0lab/00000")
    page = first // PAGE * PAGE
    data[page : page + PAGE] = bytes(PAGE)
    (of_0_1 / "data.mdb").write_bytes(data)
    store = LmdbStore.open(str(of_0_1))
    assert store.view(lambda state: state.get(b"m\0lab/01999\x001.0.0"))
    store.close()


def test_an_empty_store_of_0_1_is_used(tmp_path):
    folder = tmp_path / "older"
    folder.mkdir(mode=0o700)
    lmdb.open(str(folder), map_size=1 << 26, create=False, mode=0o700).close()
    store = LmdbStore.open(str(folder))
    store.update(lambda state: state.put(b"a", b"1"))
    store.close()
    with lmdb.open(str(folder)) as plain, plain.begin() as txn:
        assert txn.get(KEY) == MARK


def test_a_damaged_mark_is_found_and_the_store_stays_one(of_0_1):
    store = LmdbStore.open(str(of_0_1))
    store.update(lambda state: state.put(b"s\0default", encode_value(b"s\0default", "lab/1")))
    store.close()
    data = (of_0_1 / "data.mdb").read_bytes()
    (of_0_1 / "data.mdb").write_bytes(data.replace(b"modelshelf store 1", b"modelshelf st\0re 1"))
    store = LmdbStore.open(str(of_0_1), readonly=True)
    shown = dict(store.view(lambda state: list(state.scan(b"s\0"))))
    assert set(shown) == {b"s\0default", KEY}
    with pytest.raises(DamagedStoreError):
        decode_value(KEY, shown[KEY])
    store.close()


MAKER = "import sys; from modelshelf_lmdb.store import LmdbStore; LmdbStore.open(sys.argv[1]).close()"


def test_whoever_is_killed_while_making_a_store_leaves_none_or_a_whole_one(tmp_path):
    """Killed at any call that changes a file; the next one makes it, and nothing is left over."""
    program = """
import os, signal, sys
import lmdb
from modelshelf_lmdb.store import LmdbStore
left = int(sys.argv[2])
def watch(event, arguments):
    global left
    changes = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod")
    if event in changes and sys.argv[1] in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
LmdbStore.open(sys.argv[1]).close()
"""
    for calls in range(9):
        folder = tmp_path / str(calls)
        ran = subprocess.run([sys.executable, "-c", program, folder, str(calls)], check=False)
        files = [one.name for one in folder.iterdir()] if folder.exists() else []
        assert ("data.mdb" in files) <= (
            (folder / "data.mdb").exists() and MARK in (folder / "data.mdb").read_bytes()
        )
        store = LmdbStore.open(str(folder))
        store.update(lambda state: state.put(b"a", b"1"))
        store.close()
        if ran.returncode == 0:
            assert calls > 3
            break
        assert ran.returncode == -signal.SIGKILL
    else:
        pytest.fail("it was never made")
    assert sorted(one.name for one in folder.iterdir()) == ["data.mdb", "lock.mdb"]


def test_many_processes_that_make_one_store_agree(tmp_path):
    folder = tmp_path / "data"
    program = MAKER.replace(".close()", ".update(lambda s: s.put(sys.argv[2].encode(), b'1'))")
    running = [subprocess.Popen([sys.executable, "-c", program, folder, str(number)]) for number in range(4)]
    assert [one.wait() for one in running] == [0] * 4
    store = LmdbStore.open(str(folder), readonly=True)
    assert len(store.view(lambda state: list(state.scan()))) == 4
    store.close()
