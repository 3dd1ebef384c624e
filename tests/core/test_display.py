from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.display import Cell, Column, cells, cut, lay_out, neutral, shorten, wrap

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)  # lone surrogates included

C0_DEL_C1 = [*range(0x20), 0x7F, *range(0x80, 0xA0)]
BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
SEPARATORS_AND_ZERO_WIDTH = [
    0x2028,
    0x2029,
    0x200B,
    0x200C,
    0x200D,
    0x2060,
    0xFEFF,
    0x00AD,
    0xE0041,
    0x3164,
    0xFE0F,
]


@pytest.mark.parametrize("code", [*C0_DEL_C1, *BIDI, *SEPARATORS_AND_ZERO_WIDTH])
def test_what_steers_a_terminal_or_hides_is_written_out(code):
    assert neutral(f"a{chr(code)}b") in {f"a\\x{code:02x}b", f"a\\u{code:04x}b", f"a\\U{code:08x}b"}


def test_a_byte_that_is_no_utf8_is_shown_as_that_byte():
    assert neutral(b"caf\xe9\xff".decode("utf-8", "surrogateescape")) == r"caf\xe9\xff"


def test_other_lone_surrogates_are_shown_as_their_code():
    assert neutral("\ud800") == r"\ud800"


def test_text_in_any_script_stays_as_it_is():
    for text in ("Llama-3.2-1B", "模型", "модель", "نموذج", "é", "e\u0301", "🦙"):
        assert neutral(text) == text


@given(ANY_TEXT)
@settings(deadline=None, max_examples=500)
def test_neutral_text_is_printable_encodable_and_stays_neutral(text):
    shown = neutral(text)
    assert shown.isprintable()
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()
    assert neutral(shown) == shown


def test_of_all_characters_there_are_none_reaches_the_screen_unseen():
    shown = neutral("".join(map(chr, range(sys.maxunicode + 1))))
    unseen = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
    assert shown.isprintable()
    assert {unicodedata.category(character) for character in set(shown)} & unseen == set()
    assert {character for character in set(shown) if character.isspace()} == {" "}


def test_wide_characters_take_two_cells_and_combining_ones_none():
    assert cells("模型") == 4
    assert cells("e\u0301") == 1


@given(ANY_TEXT.map(neutral), st.integers(0, 40))
@settings(deadline=None, max_examples=300)
def test_shortened_text_fits_and_is_left_alone_where_it_fitted(text, limit):
    for shortened in (shorten(text, limit), cut(text, limit)):
        assert cells(shortened) <= limit
        assert shortened == text or cells(text) > limit


def test_shortening_keeps_both_ends_of_a_name():
    assert shorten("Llama-3.2-1B-Instruct-Q4_K_M", 16) == "Llama-3.2-…4_K_M"


COLUMNS = (Column("ID", gives_way=True), Column("SIZE", right=True), Column("NOTE", optional=True))


def test_columns_are_aligned_numbers_to_the_right():
    assert [*lay_out(COLUMNS, [("a", "1 GB", ""), ("模型", "12.5 GB", "")])] == [
        "ID       SIZE",
        "a        1 GB",
        "模型  12.5 GB",
    ]


def test_an_optional_column_appears_with_its_first_cell():
    assert next(lay_out(COLUMNS, [("a", "1", ""), ("b", "2", "default")])) == "ID  SIZE  NOTE"


def test_the_column_that_gives_way_is_shortened_on_a_narrow_screen_only():
    rows = [("a-very-long-name-of-a-model-indeed", "1 GB", "")]
    assert rows[0][0] in [*lay_out(COLUMNS, rows)][1]
    narrow = [*lay_out(COLUMNS, rows, width=20)]
    assert max(map(cells, narrow)) <= 20
    assert "…" in narrow[1]


def test_every_cell_is_made_neutral():
    shown = "\n".join(lay_out(COLUMNS, [("a\x1b[2J", Cell("\x9b1m\n", "red"), "\u202e")], colour=False))
    assert shown.splitlines()[1] == r"a\x1b[2J  \x9b1m\x0a  \u202e"


def test_colour_does_not_change_the_alignment():
    rows = [("a", Cell("1", "red"), ""), ("b", Cell("22", "green"), "")]
    uncoloured = [*lay_out(COLUMNS, rows)]
    coloured = [*lay_out(COLUMNS, rows, colour=True)]
    assert "\x1b[31m1\x1b[0m" in coloured[1]
    for code in ("31", "32", "1", "0"):
        coloured = [line.replace(f"\x1b[{code}m", "") for line in coloured]
    assert coloured == uncoloured


def test_a_name_keeps_its_least_width_while_other_columns_can_go():
    columns = (
        Column("ID", gives_way=True, least=20),
        Column("KIND", gives_way=True),
        Column("FORMAT", gives_way=True, expendable=True),
        Column("SIZE", right=True),
    )
    row = ("organisation/model-name:Q4_K_M", "text-generation", "safetensors", "2.01 GB")
    heading, line = lay_out(columns, [row], width=42)
    assert "FORMAT" not in heading
    assert (len(line), line.partition("  ")[0]) == (42, "organisation/…Q4_K_M")
    assert max(map(len, lay_out(columns, [row], width=36))) <= 36


def test_expendable_columns_go_before_a_name_becomes_unreadable():
    columns = (Column("ID", gives_way=True), Column("VERSION", expendable=True), Column("SIZE", right=True))
    rows = [("a-very-long-name-of-a-model-indeed", "1.0.0", "1 GB")]
    assert next(lay_out(columns, rows, width=30)).split() == ["ID", "VERSION", "SIZE"]
    narrow = [*lay_out(columns, rows, width=20)]
    assert narrow[0].split() == ["ID", "SIZE"]
    assert max(map(cells, narrow)) <= 20


def test_the_widest_column_gives_way_first():
    columns = (Column("ID", gives_way=True), Column("ARCH", gives_way=True))
    _, row = lay_out(columns, [("a-name-of-16-chr", "x" * 500)], width=60)
    assert row.startswith("a-name-of-16-chr  x")


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), max_size=5), st.integers(1, 100))
@settings(deadline=None, max_examples=200)
def test_every_line_of_a_table_is_printable_and_the_columns_agree(rows, width):
    lines = [*lay_out(COLUMNS, rows, width=width)]
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)


def test_a_wrapping_column_goes_on_below_itself():
    columns = (Column("RULE"), Column("REASON", wraps=True))
    assert [*lay_out(columns, [("ending", "no model file ends in txt so it is not opened")], width=32)] == [
        "RULE    REASON",
        "ending  no model file ends in",
        "        txt so it is not opened",
    ]


@given(ANY_TEXT.map(neutral), st.integers(2, 40))
@settings(deadline=None, max_examples=300)
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text, limit):
    lines = wrap(text, limit)
    assert max(map(cells, lines)) <= limit
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
