from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors.strict_json import Members, depth_of, members_of, parse, value_at

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


def member_by_member(text):
    return Members((name, value_at(text, begin)) for name, _, begin, _ in members_of(text))


def outcome(read, text):
    """The members that a reader gives, or None where it refuses or there is no object."""
    try:
        value = read(text)
    except ValueError:
        return None
    return value if isinstance(value, Members) else None


OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4).map(json.dumps)
ODDITIES = st.text(st.sampled_from('"\\{}[]:,-0129.eu\t\n\x00é'), max_size=3) | st.sampled_from(
    ["\\ud800", "\\ud83d\\ude00", "NaN", "1e999", "-0", "null", "9" * 25, '{"a":1}', "\x0b"]
)


@given(OBJECTS, st.data())
@settings(deadline=None, max_examples=500)
def test_member_by_member_an_object_reads_as_it_does_at_once(text, data):
    for _ in range(data.draw(st.integers(0, 3))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 2))
        text = text[:at] + data.draw(ODDITIES) + text[at + cut :]
    assert outcome(member_by_member, text) == outcome(parse, text)


@pytest.mark.parametrize(
    "text", ["", " ", "[]", "1", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{}x"]
)
def test_what_is_no_whole_object_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every fault of the text is a ValueError
        member_by_member(text)


def test_a_quick_look_tells_an_object_from_an_array():
    told = {name: quick for name, quick, _, _ in members_of('{"a":{"b":[1]},"c":[["b",[1]]]}')}
    assert told == {"a": (("b", [1]),), "c": [["b", [1]]]}
