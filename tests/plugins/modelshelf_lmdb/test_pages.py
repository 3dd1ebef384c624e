from __future__ import annotations

import os

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf_lmdb.pages import META_BYTES, parse_meta, read_metas
from modelshelf_lmdb.tree import TreeLook, after_prefix

KEYS = st.binary(min_size=1, max_size=40) | st.binary(min_size=480, max_size=511)
VALUES = st.integers(0, 9000).map(bytes)


def fetch_from(data: bytes):
    return lambda offset, length: data[offset : offset + length]


@settings(deadline=None, max_examples=60)
@given(batches=st.lists(st.lists(st.tuples(KEYS, VALUES | st.none()), max_size=120), min_size=1, max_size=5))
def test_whatever_lmdb_writes_passes(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("pages")
    environment = lmdb.open(os.fsencode(folder), map_size=1 << 26, lib_version=0, sync=False)
    for batch in batches:
        with environment.begin(write=True) as txn:
            for key, value in batch:
                if value is None:
                    txn.delete(key)
                else:
                    txn.put(key, value)
        data = (folder / "data.mdb").read_bytes()
        meta = read_metas(fetch_from(data))
        assert (meta.revision, meta.main.entries) == (
            environment.info()["last_txnid"],
            environment.stat()["entries"],
        )
        for tree in (meta.main, meta.free):
            TreeLook(fetch_from(data), meta, tree, len(data)).check()
    environment.close()


@settings(max_examples=200)
@given(raw=st.binary(max_size=2 * META_BYTES), slot=st.integers(0, 1))
def test_a_meta_page_of_any_bytes_gives_a_store_error_at_most(raw, slot):
    with pytest.raises(StoreError):
        parse_meta(raw, slot)


@settings(deadline=None, max_examples=150)
@given(
    changes=st.lists(st.tuples(st.integers(0, 20 * 4096 - 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_change_of_any_bytes_gives_a_damaged_store_error_at_most(sound_data, changes):
    data = bytearray(sound_data)
    for offset, byte in changes:
        data[offset % len(data)] = byte
    fetch = fetch_from(bytes(data))
    try:
        meta = read_metas(fetch)
        for tree in (meta.main, meta.free):
            TreeLook(fetch, meta, tree, len(data)).check()
    except StoreError:
        return
    assert meta.main.entries == 300


@pytest.fixture(scope="module")
def sound_data(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    environment = lmdb.open(os.fsencode(folder), map_size=1 << 26, lib_version=0)
    with environment.begin(write=True) as txn:
        for number in range(300):
            txn.put(b"%04d" % number, bytes(10 + number % 50) if number % 90 else bytes(6000))
    environment.close()
    return (folder / "data.mdb").read_bytes()


def test_a_record_that_a_header_hides_is_noticed(sound_data):
    fetch = fetch_from(sound_data)
    meta = read_metas(fetch)
    hidden = 0
    for page in range(2, len(sound_data) // 4096):
        data = bytearray(sound_data)
        lower = page * 4096 + 12
        if data[page * 4096 + 10] != 2:  # no leaf
            continue
        data[lower : lower + 2] = (int.from_bytes(data[lower : lower + 2], "little") - 2).to_bytes(
            2, "little"
        )
        with pytest.raises(DamagedStoreError, match=f"page {page}"):
            TreeLook(fetch_from(bytes(data)), meta, meta.main, len(data)).check()
        hidden += 1
    assert hidden


@given(prefix=st.binary(max_size=5), key=st.binary(max_size=8))
def test_the_end_of_a_prefix_is_the_first_key_beyond_it(prefix, key):
    stop = after_prefix(prefix)
    assert key.startswith(prefix) == (key >= prefix and (stop is None or key < stop))
