from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors import columns
from modelshelf_safetensors.columns import Names, Tensors, repeated_hashes, texts_of
from modelshelf_safetensors.findings import MOST_NAMED, BoundedFindings
from tests.plugins.modelshelf_safetensors.long_headers import shapes_hashing_alike

ROWS_AT_ONCE = st.sampled_from([1, 2, 5, 1 << 17])


def few_at_once(monkeypatch, most):
    """Leave no room to sort or compare more rows at once."""
    monkeypatch.setattr(columns, "ROOM", 0)
    monkeypatch.setattr(columns, "_FEWEST", most)


def numbers_of(kinds, shapes):
    return [kinds.numbers[key] for key in columns.keys_of(("U8", shape) for shape in shapes)]


def tensors_of(names, spans):
    """Tensors of bytes, added in two parts where there are enough."""
    tensors = Tensors()
    sizes = dict.fromkeys(size for _, size in spans)
    tensors.kinds.add([("U8", [size]) for size in sizes] or [("U8", [0])])
    for part in (slice(0, 3), slice(3, None)):
        if names[part]:
            numbers = numbers_of(tensors.kinds, [[size] for _, size in spans[part]])
            begins, ends = zip(*((begin, begin + size) for begin, size in spans[part]), strict=True)
            tensors.add(names[part], numbers, begins, ends)
    return tensors


def gaps_by_definition(spans):
    """Each tensor in the order of its data that does not begin where the one before it ends."""
    due, gaps = 0, []
    for begin, end, row in sorted((begin, begin + size, row) for row, (begin, size) in enumerate(spans)):
        if begin != due:
            gaps.append(("tensor-overlap" if begin < due else "tensor-gap", f"'t{row}'", 100 + begin))
        due = end
    return gaps


def gaps_found(spans):
    findings = BoundedFindings("header")
    tensors_of([f"t{row}" for row in range(len(spans))], spans).find_gaps(100, findings)
    return [(one.code, one.message.split()[2], one.offset) for one in findings.all()]


SPANS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=8)


@st.composite
def nearly_covering(draw):
    at, spans = draw(st.sampled_from([0, 0, 2**32 - 3])), []
    for size in draw(st.lists(st.integers(0, 3), max_size=8)):
        spans.append((at, size))
        at += size
    spans = draw(st.permutations(spans))
    return spans[: draw(st.integers(0, len(spans)))] if draw(st.booleans()) else spans


@given(SPANS | nearly_covering(), ROWS_AT_ONCE)
@settings(deadline=None, max_examples=1000)
def test_gaps_and_overlaps_are_those_of_the_definition(spans, most):
    with pytest.MonkeyPatch.context() as monkeypatch:
        few_at_once(monkeypatch, most)
        assert gaps_found(spans) == gaps_by_definition(spans)


def test_many_gaps_are_counted():
    found = gaps_found([(at, 1) for at in range(0, 200, 2)])
    assert found[0] == ("tensor-gap", "'t1'", 102)
    assert len(found) == MOST_NAMED + 1


@given(st.lists(st.integers(0, 9).map("né{}\n".format), max_size=40), ROWS_AT_ONCE)
@settings(deadline=None, max_examples=500)
def test_of_equal_names_the_last_is_left_and_the_others_are_counted(names, most):
    spans = [(row, 1) for row in range(len(names))]
    findings = BoundedFindings("header")
    last = {name: row for row, name in enumerate(names)}
    with pytest.MonkeyPatch.context() as monkeypatch:
        few_at_once(monkeypatch, most)
        tensors = tensors_of(names, spans)
        assert bool(list(repeated_hashes([tensors.names]))) == (len(last) < len(names))
        tensors.drop_repeated(findings)
    assert dict(zip(tensors.names, tensors.begins, strict=True)) == last
    assert list(tensors.ends) == [row + 1 for row in sorted(last.values())]
    assert len(tensors.layouts) == len(last)
    assert tensors.counts is None or len(last) == len(names)
    repeated = len(names) - len(last)
    assert len(findings.all()) == min(repeated, MOST_NAMED + 1)
    assert repeated <= MOST_NAMED or f"{repeated - MOST_NAMED} more" in findings.all()[-1].message


NAMES = st.lists(st.text(st.characters(codec="utf-8"), max_size=5), min_size=1, max_size=5)


@given(st.lists(NAMES, max_size=5))
def test_names_are_a_sequence_whatever_is_in_them(blocks):
    names, expected = Names(), [name for block in blocks for name in block]
    for block in blocks:
        names.add(block)
    assert list(names) == expected
    assert [names[at] for at in range(len(names))] == expected
    assert names[1:3] == expected[1:3]
    assert "\n".join(texts_of(names)) == "\n".join(expected) == "\n".join(texts_of(expected))
    assert names.size <= sum(len(name.encode()) + 1 for name in expected)
    names.keep([at % 2 for at in range(len(expected))])
    assert list(names) == expected[1::2]
    assert [names[at] for at in range(len(names))] == expected[1::2]


def test_shapes_that_hash_alike_as_tuples_are_looked_up_by_what_does_not():
    shapes = list(islice(shapes_hashing_alike(), 1000))
    assert len(set(map(hash, map(tuple, shapes)))) == 1
    kinds = columns.Kinds()
    kinds.add([("U8", shape) for shape in shapes])
    assert len(set(map(hash, kinds.numbers))) == len(shapes)


def test_tensors_of_too_many_shapes_are_counted_and_their_shapes_are_not_kept(monkeypatch):
    monkeypatch.setattr(columns, "_FEW_KINDS", 1)
    tensors = Tensors(kinds=columns.Kinds(3))
    for at in range(9):
        tensors.kinds.add([("U8", [at, 2])])
        tensors.add([f"t{at}"], numbers_of(tensors.kinds, [[at, 2]]), [0], [0])
        assert (tensors.layouts is None) == (at >= 3)
    assert tensors.counts == {"U8": (9, sum(range(9)) * 2)}
