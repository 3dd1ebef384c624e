from __future__ import annotations

import pytest

from modelshelf_gguf.parse import parse_header
from tests.plugins.modelshelf_gguf.forge import file, tensor
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
