from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_gguf.layout import layout_of
from modelshelf_gguf.parse import parse_header
from modelshelf_gguf.tensor_table import TensorTable
from tests.plugins.modelshelf_gguf.forge import file, read_table, tensor
from tests.plugins.modelshelf_gguf.variants import Near


def entries(count, order="<", width="Q"):
    """Entries of every name's length and number of dimensions."""
    return [
        tensor(b"%d" % at + b"x" * (at % 59), (1,) * (at % 5), 24, 32 * at, order, width)
        for at in range(count)
    ]


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (2, "<"), (3, "<"), (3, ">")])
def test_a_table_longer_than_many_windows_is_read_whole(version, order):
    count = 6_000
    content = file([], entries(count, order, "I" if version == 1 else "Q"), version=version, order=order)
    assert len(content) > 2 * 120 * 1024
    header = parse_header(Near(content))
    assert header.fault is None
    assert [one.offset for one in header.tensors] == [32 * at for at in range(count)]
    assert [len(one.shape) for one in header.tensors] == [at % 5 for at in range(count)]
    assert all(one.name.startswith(str(at)) for at, one in enumerate(header.tensors))
    starts = [one.entry for one in header.tensors]
    assert starts[0] == (16 if version == 1 else 24)
    assert starts == sorted(set(starts))
    assert 0 <= len(content) - header.end < 32


def test_a_table_cut_anywhere_keeps_what_stands_before_and_names_the_entry():
    written = entries(12)
    content = file([], written, alignment=1)
    ends = [24 + sum(map(len, written[: at + 1])) for at in range(len(written))]
    for length in range(24 + 24 * len(written), len(content)):
        header = parse_header(Near(content[:length]))
        whole = sum(end <= length for end in ends)
        assert len(header.tensors) == whole
        assert header.end == (ends[whole - 1] if whole else 24)
        assert header.fault is not None
        assert (header.fault.code, header.fault.offset) == ("truncated", header.end)
        assert f"tensor entry {whole + 1} of 12" in str(header.fault)


class StrictTensorTable(TensorTable):
    """Reads every entry with every check."""

    def read_fast(self):
        pass


names = st.one_of(
    st.integers(0, 40).map(lambda at: b"blk.%d.weight" % at),
    st.sampled_from([b"", b"\xff", b"a\x1b", b"x" * 63, b"x" * 64, "größe".encode(), "\u202e".encode()]),
)
dimensions = st.one_of(st.sampled_from([32, 256, 1, 0, 33]), st.integers(0, 2**64 - 1))
rows = st.tuples(
    names,
    st.lists(dimensions, max_size=5).map(tuple),
    st.one_of(st.sampled_from([0, 1, 2, 12]), st.integers(0, 2**32 - 1)),
    st.one_of(st.just(0), st.integers(0, 2**64 - 1)),
)


@settings(deadline=None, max_examples=400)
@given(
    table=st.lists(rows, max_size=30),
    order=st.sampled_from("<>"),
    repeated=st.integers(0, 600),
    cut=st.integers(0, 60),
    more=st.integers(0, 3),
    flips=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 7)), max_size=3),
)
def test_whole_windows_are_read_as_one_entry_after_another(table, order, repeated, cut, more, flips):
    sound = [tensor(b"t%d" % at, (32, at + 1), at % 3, at, order) for at in range(repeated)]
    content = bytearray(b"".join([*sound, *(tensor(*row, order) for row in table)]))
    for at, bit in flips if content else ():
        content[at % len(content)] ^= 1 << bit
    content = bytes(content[: len(content) - cut])
    count = repeated + len(table) + more
    layout = layout_of(3, order)
    by_windows = read_table(TensorTable, Near(content), count, layout)
    assert by_windows == read_table(StrictTensorTable, Near(content), count, layout)
    assert all(type(one).__name__ == "TensorInfo" for _, one in by_windows[0])
