"""The table of models: the quick way for columns of ASCII gives what the careful way gives."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf import display
from modelshelf.display import Cell, Column, lay_out

ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
ANY = st.one_of(
    ASCII, st.text(max_size=20), st.sampled_from(["模型", "e\u0301", "\x1b[2J", "\u202e", "-" * 40])
)
CELLS = st.builds(Cell, ANY, st.none() | st.sampled_from(["dim", "red"])) | ANY
COLUMNS = st.builds(
    Column,
    ASCII,
    right=st.booleans(),
    gives_way=st.booleans(),
    optional=st.just(value=False),
    wraps=st.just(value=False),
    expendable=st.booleans(),
)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_table_is_the_same_whether_its_cells_are_looked_at_together_or_one_by_one(data):
    columns = data.draw(st.lists(COLUMNS, min_size=1, max_size=4))
    rows = data.draw(st.lists(st.tuples(*(data.draw(st.sampled_from([ASCII, CELLS])) for _ in columns))))
    width, colour = data.draw(st.none() | st.integers(1, 90)), data.draw(st.booleans())
    together = list(lay_out(columns, rows, width=width, colour=colour))
    with mock.patch.object(display, "_is_printable_ascii", return_value=False):
        assert list(lay_out(columns, rows, width=width, colour=colour)) == together
