from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors.strict_json import Members, depth_of, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**63) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def plain(value):
    if isinstance(value, Members):
        return {key: plain(one) for key, one in value}
    return [plain(one) for one in value] if isinstance(value, list) else value


@given(VALUES, st.booleans())
@settings(deadline=None, max_examples=150)
def test_what_json_writes_is_read_as_json_reads_it(value, ascii_only):
    try:
        text = json.dumps(value, ensure_ascii=ascii_only)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert plain(parse(text)) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "-Infinity",
        "1e400",
        "9" * 5000,
        '"\\ud800"',
        '["\\udfff\\ud800"]',
        "[" * 10**5,
        '{"a":' * 10**5,
        "",
    ],
)
def test_what_python_would_let_through_or_trip_over_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every fault of the text is a ValueError
        parse(text)


def test_repeated_keys_are_seen():
    assert parse('{"a":1,"a":2}') == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(("text", "depth"), [("1", 0), ("[]", 1), ('{"a":[1,[{}]]}', 4)])
def test_depth_counts_arrays_and_objects(text, depth):
    assert depth_of(parse(text)) == depth
