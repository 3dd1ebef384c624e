from __future__ import annotations

import os
import sys

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf_lmdb.pages import META_BYTES, Meta, Page, PageRange, parse_meta, read_metas, small_records
from modelshelf_lmdb.tree import Leaf, TreeReader, after_prefix

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
            TreeReader(fetch_from(data), meta, tree, len(data)).check()
    environment.close()


def test_commits_that_come_between_the_reads_of_the_two_meta_pages_are_no_damage(tmp_path):
    environment = lmdb.open(os.fsencode(tmp_path), map_size=1 << 20)

    def commit(count):
        for number in range(count):
            with environment.begin(write=True) as txn:
                txn.put(b"key", b"%d" % number)

    commit(5)
    reads = []

    def fetch(offset, length):
        data = (tmp_path / "data.mdb").read_bytes()[offset : offset + length]
        reads.append(offset)
        if len(reads) == 1:
            commit(4)
        return data

    assert read_metas(fetch).revision == environment.info()["last_txnid"]
    assert len(reads) == 5
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
            TreeReader(fetch, meta, tree, len(data)).check()
    except StoreError:
        return
    assert meta.main.entries == 300


@pytest.fixture(scope="module")
def sound_data(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("sound")
    environment = lmdb.open(os.fsencode(folder), map_size=1 << 26, lib_version=0)
    with environment.begin(write=True) as txn:
        for number in range(300):
            txn.put(b"%04d" % number, bytes(6000) if number in (0, 90) else bytes(10 + number % 50))
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
            TreeReader(fetch_from(bytes(data)), meta, meta.main, len(data)).check()
        hidden += 1
    assert hidden


def places(reader: TreeReader) -> list[PageRange]:
    """Of each leaf page."""
    found: list[PageRange] = [(reader.tree.root, b"", None)]
    for _ in range(reader.tree.depth - 1):
        found = [child for place in found for child in reader.read_branch(*place).children()]
    return found


def records_of(reader: TreeReader, leaf: Leaf) -> list[tuple[bytes, bytes]]:
    return [(key, reader.value(leaf, index)) for index, key in enumerate(leaf.keys)]


def test_a_page_read_the_quick_way_holds_what_the_slow_one_finds(sound_data):
    meta = read_metas(fetch_from(sound_data))
    reader = TreeReader(fetch_from(sound_data), meta, meta.main, len(sound_data))
    quick = 0
    for place in places(reader):
        leaf = reader.read_leaf(*place)
        found = small_records(leaf.raw, meta.page_size, place)
        assert found == (None if leaf.large else records_of(reader, leaf))
        quick += found is not None
    assert quick


def test_a_changed_page_passes_the_quick_look_only_where_it_passes_the_slow_one(sound_data):
    """Each number of two bytes in each page's header, offsets and nodes is made another one, many ways."""
    meta = read_metas(fetch_from(sound_data))
    verdicts = set()
    for number, low, high in places(TreeReader(fetch_from(sound_data), meta, meta.main, len(sound_data))):
        raw = sound_data[number * 4096 : (number + 1) * 4096]
        offsets = Page(raw).offsets
        nodes = [offset + field for offset in offsets for field in (0, 2, 4, 6, 8)]
        fields = [*range(0, 16 + 2 * len(offsets), 2), *nodes]
        for at in fields:
            number_there = int.from_bytes(raw[at : at + 2], sys.byteorder)
            for value in {
                0,
                1,
                2,
                number_there ^ 1,
                number_there ^ 2,
                number_there ^ 256,
                number_there + 2,
                number_there - 2,
                *offsets[:2],
                4094,
                65535,
            }:
                changed = raw[:at] + (value & 65535).to_bytes(2, sys.byteorder) + raw[at + 2 :]
                verdicts.add(_both_ways(changed, (number, low, high), meta, sound_data))
        for bounds in ((low + b"\xff", high), (low, low), (b"", b""), (low + b"\0", None), (b"", None)):
            verdicts.add(_both_ways(raw, (number, *bounds), meta, sound_data))
    assert verdicts == {True, False}


def _both_ways(raw: bytes, place: PageRange, meta: Meta, data: bytes) -> bool:
    """Whether a page passes; asserts that both looks say so, and find the same."""
    start = place[0] * meta.page_size
    reader = TreeReader(
        fetch_from(data[:start] + raw + data[start + meta.page_size :]), meta, meta.main, len(data)
    )
    found = small_records(raw, meta.page_size, place)
    try:
        leaf = reader.read_leaf(*place)
    except DamagedStoreError:
        assert found is None
        return False
    assert found == (None if leaf.large else records_of(reader, leaf))
    return True


@given(start=st.integers(-2, 302), stop=st.integers(-2, 302) | st.none())
def test_records_of_a_range_are_those_of_all_that_lie_within(sound_data, start, stop):
    meta = read_metas(fetch_from(sound_data))
    reader = TreeReader(fetch_from(sound_data), meta, meta.main, len(sound_data))
    begin, end = b"%04d" % max(start, 0), None if stop is None else b"%04d" % max(stop, 0)
    wanted = [one for one in reader.records() if one[0] >= begin and (end is None or one[0] < end)]
    assert list(reader.records(begin, end)) == wanted
    assert reader.tree.entries == len(list(reader.records()))


@given(prefix=st.binary(max_size=5), key=st.binary(max_size=8))
def test_the_end_of_a_prefix_is_the_first_key_beyond_it(prefix, key):
    stop = after_prefix(prefix)
    assert key.startswith(prefix) == (key >= prefix and (stop is None or key < stop))
