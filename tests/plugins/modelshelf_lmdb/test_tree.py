"""The pages that a change is said to come by are all that LMDB needs of the tree."""

from __future__ import annotations

import os
import random
from pathlib import Path

import lmdb
import pytest

from modelshelf_lmdb.pages import read_metas
from modelshelf_lmdb.store import LmdbStore
from modelshelf_lmdb.tree import TreeReader

PAGE = 4096
ROUNDS = int(os.environ.get("MODELSHELF_CHANGES", "40"))


def grown(folder: Path, chance: random.Random) -> list[bytes]:
    """A tree with large and small nodes, nearly empty pages among them; the keys."""
    store = LmdbStore.open(str(folder))
    longest = chance.choice((20, 200, 460))
    keys = [b"%06d" % number + b"k" * chance.randrange(longest) for number in range(2500)]
    largest = chance.choice((10, 300, 1500))
    store.update(lambda txn: [txn.put(key, bytes(chance.randrange(largest))) for key in keys])
    for _ in range(chance.randrange(4)):
        begin, length = chance.randrange(len(keys)), chance.randrange(400)
        gone = [key for key in keys[begin : begin + length] if chance.random() < 0.9]
        store.update(lambda txn, gone=gone: [txn.delete(key) for key in gone])
        keys = sorted(set(keys) - set(gone))
    store.close()
    return keys


def open_tree(path: Path, fetched: set[int]) -> TreeReader:
    data = path.read_bytes()

    def fetch(offset: int, length: int) -> bytes:
        fetched.add(offset // PAGE)
        return data[offset : offset + length]

    meta = read_metas(fetch)
    return TreeReader(fetch, meta, meta.main, len(data))


def leaves_but(path: Path, kept: set[int]) -> set[int]:
    """The leaf pages of the newest state other than these."""
    reader = open_tree(path, set())
    pages = [(reader.tree.root, b"", None)]
    for _ in range(reader.tree.depth - 1):
        pages = [below for page in pages for below in reader.read_branch(*page).children()]
    return {number for number, _, _ in pages} - kept


def changed(folder: Path, doomed: list[bytes], fresh: list[bytes]) -> int:
    """How a process ends that makes the changes without a look at the file: 0 when LMDB was content."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            environment = lmdb.open(os.fsencode(folder), map_size=1 << 26, lib_version=0, sync=False)
            with environment.begin(write=True) as txn:
                found = [txn.delete(key) for key in doomed]
                added = [txn.put(key, b"v" * 700) for key in fresh]
            status = 0 if all(found) and all(added) else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("seed", range(4))
def test_lmdb_changes_keys_without_the_leaves_that_were_not_looked_over(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - data, no secrets
    spared = 0
    for number in range(ROUNDS // 4):
        folder = tmp_path / str(number)
        keys = grown(folder, chance)
        begin = chance.randrange(len(keys))
        step = chance.choice((1, 1, 2, 9))
        doomed = keys[begin : begin + chance.choice((1, 5, 60, 300)) * step : step]
        fresh = [key + b"+" for key in chance.sample(doomed, min(len(doomed), chance.choice((0, 3))))]
        fetched: set[int] = set()
        reader = open_tree(folder / "data.mdb", fetched)
        for key in doomed:
            reader.find_leaf(key)
            reader.check_neighbours(key)
        for key in fresh:
            reader.find_leaf(key)
        spare = leaves_but(folder / "data.mdb", fetched)
        with (folder / "data.mdb").open("r+b") as file:
            for page in spare:
                file.seek(page * PAGE)
                file.write(bytes(PAGE))
        assert changed(folder, doomed, fresh) == 0, number
        spared += len(spare)
    assert spared > ROUNDS


def test_many_changes_at_once_have_all_pages_looked_over_once(opened, monkeypatch):
    store = opened()
    store.update(lambda state: [state.put(b"m\0%05d" % number, bytes(200)) for number in range(400)])
    looked = []
    original = TreeReader.find_leaf
    monkeypatch.setattr(TreeReader, "find_leaf", lambda tree, key: looked.append(key) or original(tree, key))
    store.update(lambda state: [state.put(b"m\0%05d" % number, b"new") for number in range(2000)])
    assert 400 < len(looked) < 1000
    looked.clear()
    store.update(lambda state: state.put(b"m\0one more", b"new"))
    assert looked == []


def test_few_changes_at_a_time_are_each_looked_over(opened, monkeypatch):
    store = opened()
    looked = []
    original = TreeReader.find_leaf
    monkeypatch.setattr(TreeReader, "find_leaf", lambda tree, key: looked.append(key) or original(tree, key))
    for number in range(700):
        store.update(lambda state, key=b"m\0%05d" % number: state.put(key, b"new"))
    assert len(looked) == 700
