"""There is one list of tables, and nothing else knows a prefix."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelshelf
from modelshelf.records import tables
from modelshelf.records.tables import PREFIX_BYTES, TABLES, Table, after, table_of

CORE = Path(modelshelf.__file__).parent
LETTERS = {one.prefix[:1] for one in TABLES}


def test_every_table_is_in_the_list_and_has_a_prefix_and_a_name_of_its_own():
    assert set(TABLES) == {one for one in vars(tables).values() if isinstance(one, Table)}
    assert len({one.prefix for one in TABLES}) == len({one.name for one in TABLES}) == len(TABLES)
    for one in TABLES:
        assert len(one.prefix) == PREFIX_BYTES
        assert one.prefix.endswith(b"\0")
        assert one.key
        assert one.value
        assert table_of(one.prefix + b"any") is one
    assert table_of(b"z\0") is None
    assert table_of(b"") is None


def modules() -> list[Path]:
    found = [*CORE.rglob("*.py")]
    return [one for one in found if one != CORE / "records" / "tables.py" and "testing" not in one.parts]


def prefixes_in(source: str) -> list[bytes]:
    """Bytes in the source that begin a table's keys, or are its letter."""
    literals = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    found = [one for one in literals if isinstance(one, bytes)]
    return [one for one in found if one[:1] in LETTERS and one[1:2] in (b"", b"\0")]


def test_no_other_module_has_a_prefix_of_a_table():
    assert [str(one) for one in modules() if prefixes_in(one.read_text("utf-8"))] == []
    assert len(modules()) > 100


@pytest.mark.parametrize("source", ['b"m\\0"', 'b"s\\0default"', 'f(b"u")', 'b"t\\x00" + root'])
def test_such_a_prefix_would_be_found(source: str):
    assert prefixes_in(source)


@given(prefix=st.binary(max_size=4).map(b"m".__add__), rest=st.binary(max_size=4))
def test_what_is_after_a_prefix_comes_behind_all_that_begin_with_it(prefix: bytes, rest: bytes):
    assert prefix + rest < after(prefix)
    assert after(prefix) <= prefix[:-1] + bytes([prefix[-1] + 1]) if prefix[-1] < 255 else True
