"""Directories parsed many entries at a time, and the same entry by entry: the results are equal."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import ReadError
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.zip.check import (
    archive_issues,
    data_issues,
    directory_issues,
    entry_issues,
    is_ordinary,
    local_issues,
    member_issues,
)
from modelshelf_pytorch.zip.directory import parse
from modelshelf_pytorch.zip.read import read_directory, read_local_headers
from tests.plugins.modelshelf_pytorch.forge import Entry, archive, saved

SAVED = saved({f"weight.{number}": torch.ones(2) for number in range(60)})
WHOLE = read_directory(BytesReader(SAVED))
CENTRAL = SAVED[
    WHOLE.start : SAVED.rindex(b"PK\x06\x06") if b"PK\x06\x06" in SAVED else SAVED.rindex(b"PK\x05\x06")
]


def entries(data: bytes, count: int, *, bulk: bool):
    try:
        found = parse(BytesReader(data), data, WHOLE.start, count, bulk=bulk)
    except ReadError as error:
        return error.code, str(error), error.offset
    return found.members and [
        (
            one.name,
            one.raw_name,
            one.flags,
            one.method,
            one.crc,
            one.compressed_size,
            one.size,
            one.header_offset,
            one.external_attributes,
        )
        for one in found.members
    ]


def issues(find):
    try:
        return list(find())
    except ReadError as error:
        return error.code, str(error), error.offset


def test_what_torch_saves_is_ordinary_and_read_alike():
    assert is_ordinary(WHOLE)
    assert list(entry_issues(WHOLE)) == []
    assert entries(CENTRAL, len(WHOLE.names), bulk=True) == entries(CENTRAL, len(WHOLE.names), bulk=False)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(-2, 2),
)
def test_mutated_directories_are_read_alike(changes, more):
    data = bytearray(CENTRAL)
    for place, byte in changes:
        data[place % len(data)] = byte
    count = len(WHOLE.names) + more
    assert entries(bytes(data), count, bulk=True) == entries(bytes(data), count, bulk=False)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_directory_taken_for_ordinary_has_no_issue_entry_by_entry(changes):
    data = bytearray(SAVED)
    for place, byte in changes:
        data[WHOLE.start + place % len(CENTRAL)] = byte
    try:
        directory = read_directory(BytesReader(bytes(data)))
    except ReadError:
        return
    assert not is_ordinary(directory) or not list(entry_issues(directory))
    assert list(directory_issues(directory)) == list(entry_issues(directory))


LOCAL_PLACES = [header + place for header in WHOLE.header_offsets for place in range(46)]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(LOCAL_PLACES), st.integers(0, 255)), min_size=1, max_size=3))
def test_local_headers_are_judged_alike_together_and_each_by_itself(changes):
    data = bytearray(SAVED)
    for place, byte in changes:
        data[place] = byte
    file = BytesReader(bytes(data))
    directory = read_directory(file)
    together = issues(lambda: local_issues(file, directory, read_local_headers(file, directory)))
    apart = issues(lambda: [issue for one in directory.members for issue in member_issues(file, one)])
    assert together == apart


PLACES = [*LOCAL_PLACES, *range(WHOLE.start, WHOLE.start + len(CENTRAL))]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.integers(0, 255)), min_size=1, max_size=3))
def test_an_archive_is_judged_alike_as_a_whole_and_step_by_step(changes):
    data = bytearray(SAVED)
    for place, byte in changes:
        data[place] = byte
    file = BytesReader(bytes(data))
    try:
        directory = read_directory(file)
    except ReadError:
        return

    def apart():
        yield from entry_issues(directory)
        for one in directory.members:
            yield from member_issues(file, one)
        yield from data_issues(directory, read_local_headers(file, directory))

    assert issues(lambda: archive_issues(file, directory)) == issues(apart)


@pytest.mark.parametrize("place", [0, 30, 59])
def test_a_storage_whose_own_header_has_another_name_is_found(place):
    header = WHOLE.header_offsets[4 + place]
    data = bytearray(SAVED)
    data[header + 30] ^= 1
    file = BytesReader(bytes(data))
    directory = read_directory(file)
    (issue,) = local_issues(file, directory, read_local_headers(file, directory))
    assert (issue.code, issue.offset) == ("zip-name-mismatch", header)


@pytest.mark.parametrize("odd", [False, True])
def test_a_name_whose_length_is_that_of_another_member_is_found(odd):
    data = bytearray(SAVED)
    header = WHOLE.header_offsets[WHOLE.names.index("archive/data/12")]
    assert data[header + 26] == len("archive/data/12")
    data[header + 26] -= 1  # as in the headers of data/0 to data/9
    if odd:
        data[WHOLE.header_offsets[WHOLE.names.index("archive/version")] + 4] ^= 1  # judged one by one
    file = BytesReader(bytes(data))
    directory = read_directory(file)
    (issue,) = local_issues(file, directory, read_local_headers(file, directory))
    assert (issue.code, issue.offset) == ("zip-name-mismatch", header)


def test_members_without_a_name_at_the_end_of_the_file_are_no_exception():
    ending = struct.pack("<4s5H3L2H", b"PK\x03\x04", 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)[:29]
    data = bytearray(archive(*(Entry(name=b"", content=b"") for _ in range(2))) + ending)
    data[-len(ending) - 2 : -len(ending)] = struct.pack("<H", len(ending))  # it is the archive's comment
    whole = read_directory(BytesReader(bytes(data)))
    for header in (len(data) - len(ending), len(data) - 3):
        struct.pack_into("<L", data, whole.start + 46 + 42, header)
        found = issues(
            lambda: archive_issues(BytesReader(bytes(data)), read_directory(BytesReader(bytes(data))))
        )
        assert found


def test_names_are_found_in_the_listing_as_in_the_index():
    names = [b"a/X", b"a/x", b"b/\xc3\x89", b"a/x/", b"xa/x", b"a/"]
    directory = read_directory(BytesReader(archive(*(Entry(name=name, content=b"1") for name in names))))
    asked = ["a/x", "A/X", "b/\u00c9", "b/\u00e9", "x", "a/", "a", "", "a/X\0a/x"]
    few = [directory.find(name) for name in asked]
    many = [directory.find(name) for _ in range(9) for name in asked]
    assert few * 9 == many
    assert directory.find("a/x") is directory.member(1)


@given(st.lists(st.text("ab/\0A", max_size=3), max_size=6), st.text("a/\0", max_size=2), st.data())
def test_a_run_of_members_has_the_very_names_and_sizes(names, folder, data):
    directory = read_directory(
        BytesReader(archive(*(Entry(name=name.encode(), content=b"x" * len(name)) for name in names)))
    )
    first = data.draw(st.integers(0, len(names)))
    chosen = names[first : data.draw(st.integers(first, len(names)))]
    keys = data.draw(
        st.sampled_from([[name.removeprefix(folder) for name in chosen], [*chosen, "a"], chosen[::-1]])
    )
    found = directory.find_run(folder, keys, [len(folder + key) for key in keys])
    if found is not None:
        assert [directory.names[place] for place in found] == [folder + key for key in keys]
    elif keys and all(name.startswith(folder) for name in chosen) and len(set(names)) == len(names):
        assert "\0" in "".join(names) or [folder + key for key in keys] != chosen


def test_a_name_with_a_nul_in_it_keeps_the_names_apart():
    data = archive(*(Entry(name=b"a/%c%d" % (0, number), content=b"x") for number in range(9)))
    directory = read_directory(BytesReader(data))
    assert directory.names == [f"a/\0{number}" for number in range(9)]
    assert {one.code for one in directory_issues(directory)} == {"zip-unsafe-path"}


def test_a_directory_that_is_tried_in_vain_costs_no_more_than_its_entries():
    entry = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 1, 1, 3, 0, 0, 0, 0, 0, 0)
        + b"abc"
    )
    odd = (
        struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 1, 1, 3, 0, 0, 0, 1, 0, 0)
        + b"abc"
    )
    data = (entry * 5 + odd) * 500
    assert entries(data, 3000, bulk=True) == entries(data, 3000, bulk=False)
