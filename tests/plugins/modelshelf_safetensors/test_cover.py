from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors import compact, cover
from modelshelf_safetensors.compact import Layouts, Names, all_distinct, kind_of, repeated, texts_of
from modelshelf_safetensors.cover import find_gaps
from modelshelf_safetensors.findings import BoundedFindings
from modelshelf_safetensors.layout import lay_out


def gaps_by_definition(begins, ends):
    """Each tensor in the order of its data that does not begin where the one before it ends."""
    due, told = 0, []
    for row in sorted(range(len(begins)), key=lambda row: (begins[row], ends[row])):
        if begins[row] != due:
            told.append(
                ("tensor-overlap" if begins[row] < due else "tensor-gap", f"'t{row}'", 100 + begins[row])
            )
        due = ends[row]
    return told


def gaps_found(begins, ends):
    findings = BoundedFindings("header")
    find_gaps([f"t{row}" for row in range(len(begins))], begins, ends, 100, findings)
    return [(one.code, one.message.split()[2], one.offset) for one in findings.all()]


SPANS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=8)


@st.composite
def nearly_covering(draw):
    at, spans = 0, []
    for size in draw(st.lists(st.integers(0, 3), max_size=8)):
        spans.append((at, size))
        at += size
    spans = draw(st.permutations(spans))
    return spans[: draw(st.integers(0, len(spans)))] if draw(st.booleans()) else spans


@given(SPANS | nearly_covering(), st.sampled_from([1, 2, 1 << 20]), st.booleans())
@settings(deadline=None, max_examples=1000)
def test_gaps_and_overlaps_are_those_of_the_definition(spans, part, as_array):
    begins, ends = [begin for begin, _ in spans], [begin + size for begin, size in spans]
    column = (lambda values: array("Q", values)) if as_array else list
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(cover, "_PART", part)
        assert gaps_found(column(begins), column(ends)) == gaps_by_definition(begins, ends)


def test_many_gaps_are_counted():
    found = gaps_found(list(range(0, 200, 2)), list(range(1, 201, 2)))
    assert found[0] == ("tensor-gap", "'t1'", 102)
    assert len(found) == 21


@given(st.lists(st.integers(-3, 9), max_size=40), st.sampled_from([1, 3, 1 << 18]), st.integers(0, 5))
@settings(deadline=None, max_examples=500)
def test_rows_that_stood_before_are_found_in_any_number_of_parts(values, part, most):
    seen, rows = set(), []
    for row, value in enumerate(values):
        if value in seen:
            rows.append(row)
        seen.add(value)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(compact, "_PART", part)
        column = array("q", values)
        assert all_distinct(column) == (not rows)
        told = repeated(column, most)
    assert told.count == len(rows)
    assert told.first == rows[:most]
    assert list(told.kept) == [row not in rows for row in range(len(values))]
    first = {value: values.index(value) for value in seen}
    last = {value: len(values) - 1 - values[::-1].index(value) for value in seen}
    assert dict(zip(*told.standing, strict=True)) == {
        first[value]: last[value] for value in seen if first[value] != last[value]
    }


NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=5)


@given(st.lists(NAMES, max_size=5))
def test_names_are_a_sequence_whatever_is_in_them(blocks):
    names, plain = Names(), [name for block in blocks for name in block]
    for block in blocks:
        names.add([name.encode() for name in block])
    assert list(names) == plain
    assert [names[at] for at in range(len(names))] == plain
    assert names[1:3] == plain[1:3]
    assert names == plain
    assert "\n".join(texts_of(names)) == "\n".join(plain)
    names.keep([at % 2 for at in range(len(plain))])
    assert list(names) == plain[1::2]


def test_layouts_are_kept_as_text_and_moved():
    layouts = Layouts()
    told = [lay_out("F32", (2, 3)), lay_out("U8", ()), lay_out("Q9", (7,))]
    layouts.add([kind_of(one) for one in told[:2]])
    layouts.add([kind_of(told[2])])
    assert list(layouts) == told
    layouts.move({0: 2})
    assert list(layouts) == [told[2], told[1], told[2]]
