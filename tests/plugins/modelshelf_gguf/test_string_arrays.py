from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelshelf.errors import TruncatedFileError
from modelshelf_gguf import string_arrays
from modelshelf_gguf.parse_state import WINDOW, Cursor
from modelshelf_gguf.string_arrays import skip_strings, walk_strings, walk_strings_with_numpy
from tests.plugins.modelshelf_gguf.forge import save, string
from tests.support import reader_of

PREFIX = struct.Struct("<Q")

ordinary = st.binary(min_size=1, max_size=12)

exceptional = st.one_of(
    st.just(b""),
    st.integers(1, 20).map(bytes),
    st.integers(250, 600).map(lambda size: b"x" * size),
    st.integers(65530, 65540).map(lambda size: b"\1" * size),
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\1", b"\0")),
)

chains = st.lists(st.one_of(ordinary, ordinary, ordinary, exceptional), max_size=200)


@settings(deadline=None, max_examples=300)
@given(chain=chains, before=st.binary(max_size=9), after=st.binary(max_size=20), data=st.data())
@example(chain=[b""] * 100, before=b"", after=b"", data=None)
@example(chain=[b"\0" * 7] * 100, before=b"abc", after=b"", data=None)
@example(chain=[b"a" * 255, b"b" * 256] * 40, before=b"a", after=b"\0" * 20, data=None)
def test_leaping_and_walking_agree_on_every_chain(chain, before, after, data):
    window = before + b"".join(map(string, chain)) + after
    count = data.draw(st.integers(0, len(chain))) if data else len(chain)
    assert walk_strings_with_numpy(window, len(before), count) == walk_strings(
        window, len(before), count, PREFIX
    )


@settings(deadline=None, max_examples=300)
@given(window=st.binary(min_size=8, max_size=400), count=st.integers(1, 60))
@example(window=b"\0" * 400, count=60)
@example(window=b"\xff" * 16, count=2)
def test_leaping_and_walking_agree_on_any_bytes(window, count):
    assert walk_strings_with_numpy(window, 0, count) == walk_strings(window, 0, count, PREFIX)


@settings(deadline=None, max_examples=300)
@given(chain=st.lists(st.one_of(ordinary, exceptional), max_size=60), cut=st.integers(1, 30))
def test_leaping_and_walking_agree_on_a_window_that_ends_within_a_string(chain, cut):
    window = b"".join(map(string, [*chain, b"end"]))[:-cut]
    assert walk_strings_with_numpy(window, 0, len(chain) + 1) == walk_strings(
        window, 0, len(chain) + 1, PREFIX
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", ["I", "Q"])
@pytest.mark.parametrize("numpy_from", [0, 10**9])
def test_any_width_and_order_is_followed_over_many_windows(tmp_path, monkeypatch, order, count, numpy_from):
    monkeypatch.setattr(string_arrays, "NUMPY_FROM", numpy_from)
    vocabulary = [b"", b"token", b"\0\0", b"x" * 300, b"long" * WINDOW, b"y"] + [b"merge of two"] * 30_000
    chain = b"".join(string(one, order, count) for one in vocabulary)
    with reader_of(save(tmp_path, chain + b"rest")) as reader:
        cursor = Cursor(reader.file())
        skip_strings(cursor, len(vocabulary), struct.Struct(order + count))
        assert cursor.position == len(chain)
        assert cursor.read(4) == b"rest"


@pytest.mark.parametrize("numpy_from", [0, 10**9])
@pytest.mark.parametrize("length", [100, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("before", [0, 50, 40_000])
def test_a_string_that_reaches_past_the_end_of_the_file_is_named_by_its_own_place(
    tmp_path, monkeypatch, numpy_from, length, before
):
    monkeypatch.setattr(string_arrays, "NUMPY_FROM", numpy_from)
    good = string(b"good") * before
    chain = good + struct.pack("<Q", length) + b"short"
    with reader_of(save(tmp_path, chain)) as reader, pytest.raises(TruncatedFileError) as caught:
        skip_strings(Cursor(reader.file()), before + 10, PREFIX)
    assert (caught.value.file, caught.value.offset) == ("model.gguf", len(good))


def test_long_strings_are_jumped_over_unread(tmp_path):
    chain = string(b"x" * 1_000_000) * 10
    with reader_of(save(tmp_path, chain)) as reader:
        skip_strings(Cursor(reader.file()), 10, PREFIX)
        assert reader.bytes_read < len(chain) / 5
