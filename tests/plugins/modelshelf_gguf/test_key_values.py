from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_gguf.key_values import FieldTable
from modelshelf_gguf.layout import layout_of
from modelshelf_gguf.parse_state import HeaderBudget
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import pair, read_table, string
from tests.plugins.modelshelf_gguf.variants import Near


class StrictFieldTable(FieldTable):
    """Reads every pair with every check."""

    def read_fast(self):
        pass


def read(table, content, count, order, width, text_bytes):
    layout = layout_of(1 if width == "I" else 3, order)
    entries, *rest = read_table(table, Near(content), count, layout, HeaderBudget(text_bytes=text_bytes))
    return repr(entries), *rest  # as text, because a NaN is no NaN's equal


names = st.one_of(
    st.integers(0, 60).map(lambda at: b"llama.number_%d" % at),
    st.sampled_from([b"", b"\xff", b"a b", b"Upper.key", b"GGUF.a", b"...", "größe".encode(), b"k" * 300]),
)

texts = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"", b"llama", "模".encode(), b"t" * 20_000, b"u" * 70_000])
)

values = st.one_of(
    st.tuples(st.just(forge.STRING), texts),
    st.tuples(st.sampled_from([forge.U8, forge.BOOL]), st.integers(0, 255)),
    st.tuples(st.sampled_from([forge.U32, forge.F32]), st.integers(0, 2**32 - 1)),
    st.tuples(st.sampled_from([forge.U64, forge.I64]), st.integers(0, 2**63 - 1)),
    st.tuples(st.just(forge.ARRAY), st.tuples(st.just(forge.STRING), st.lists(texts, max_size=3))),
    st.tuples(st.just(forge.ARRAY), st.tuples(st.just(forge.I32), st.lists(st.integers(0, 9), max_size=3))),
)


@settings(deadline=None, max_examples=500)
@given(
    pairs=st.lists(st.tuples(names, values), max_size=25),
    order=st.sampled_from("<>"),
    width=st.sampled_from("IQ"),
    lacking=st.tuples(st.one_of(st.just(0), st.integers(0, 60)), st.integers(0, 2)),
    flips=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 7)), max_size=3),
    text_bytes=st.sampled_from([16 * 1024 * 1024, 16 * 1024 * 1024, 90_000, 60]),
)
def test_whole_windows_are_read_as_one_pair_after_another(pairs, order, width, lacking, flips, text_bytes):
    cut, more = lacking
    content = bytearray(
        b"".join(pair(key, kind, value, order, width) for key, (kind, value) in pairs) + bytes(7)
    )
    for at, bit in flips:
        content[at % len(content)] ^= 1 << bit
    content = bytes(content[: len(content) - 7 - cut]) if cut else bytes(content)
    arguments = content, len(pairs) + more, order, width, text_bytes
    assert read(FieldTable, *arguments) == read(StrictFieldTable, *arguments)


def test_pairs_over_many_windows_are_all_read():
    pairs = [pair(b"key_%d" % at, forge.STRING, b"v" * (at % 3000)) for at in range(400)]
    content = b"".join(pairs) + string(b"no.type") + struct.pack("<I", 13)
    one, other = (read(kind, content, 401, "<", "Q", 2**24) for kind in (FieldTable, StrictFieldTable))
    assert one == other
    assert one[-1][1] == "unknown-value-type"
