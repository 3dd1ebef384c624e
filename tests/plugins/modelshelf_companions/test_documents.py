from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_companions.documents import count_of, parse_json, text_of, texts_of


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b"[" * 100_000, "too deep"),
        (b'{"a":' * 100_000, "too deep"),
        (b'{"a":%s}' % (b"1" * 5000), "not JSON"),
    ],
)
def test_what_is_no_object_is_a_value_error_that_says_why(raw, fault):
    with pytest.raises(ValueError, match=fault):
        parse_json(raw)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_pythons_dialect_is_read_and_reported(constant):
    document = parse_json(b'{"limit": [0.0, %s], "model_type": "mamba2"}' % constant.encode())
    assert document.members["model_type"] == "mamba2"
    assert not document.strict


def test_a_byte_order_mark_does_not_matter():
    assert parse_json(b'\xef\xbb\xbf{"a": 1}').members == {"a": 1}


@given(
    st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.integers() | st.text(), max_size=4)
)
@settings(deadline=None, max_examples=100)
def test_what_json_writes_is_read(members):
    document = parse_json(json.dumps(members).encode())
    assert (document.members, document.strict) == (members, True)


def test_what_a_record_cannot_keep_is_none():
    assert [text_of(one) for one in ("a", " a ", "", "\ud800", "x" * 257, 1, None)] == ["a", "a", *[None] * 5]
    assert [count_of(one) for one in (1, 0, -1, 1.0, True, "1", 2**63, None)] == [1, *[None] * 7]
    assert texts_of(["a", "b", "a", 1, None]) == ("a", "b")
    assert texts_of("a") == ("a",)
    assert (texts_of([]), texts_of(None), texts_of({"a": 1})) == (None, None, None)
    assert len(texts_of([str(at) for at in range(1000)]) or ()) == 64
