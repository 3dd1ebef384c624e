from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors.strict_json import MOST_NESTED, depth_of, parse, parse_at, scan, unescape

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
ODDITIES = st.text(st.sampled_from('"\\{}[]:,-+0129.eE \t\n\x00\x01'), max_size=3) | st.sampled_from(
    [
        "\\ud800",
        "\\ud83d\\ude00",
        "NaN",
        "1e999",
        "9" * 400,
        "1e-400",
        "-0",
        "true",
        "01",
        "\x7f",
        "é",
        "\x0b",
    ]
)


def as_dict(value):
    if isinstance(value, tuple):
        return {key: as_dict(one) for key, one in value}
    return [as_dict(one) for one in value] if isinstance(value, list) else value


def is_encodable(value) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(VALUES.filter(is_encodable), st.booleans())
@settings(deadline=None, max_examples=200)
def test_what_json_writes_is_read_as_json_reads_it(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert as_dict(parse(text)) == as_dict(scan(text, 0)[0]) == json.loads(text)
    assert parse_at(f" {text} ]", 1) == (parse(text), len(text) + 1)


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
        "{",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,',
        '{"a":1,}',
        "{}x",
    ],
)
def test_what_python_would_let_through_or_trip_over_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - every fault of the text is a ValueError
        parse(text)


def test_repeated_keys_are_seen():
    assert parse('{"a":1,"a":2}') == (("a", 1), ("a", 2))


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("[n]", False),
        ('{"a":1,2}', False),
        ('{"a":[1],2}', False),
        ("[1,]", False),
        ("[,1]", False),
        ("[1 2]", False),
        ("[1-1]", False),
        ("[1.e1]", False),
        ("[1e1.1]", False),
        ("[1e1e1]", False),
        ("[-]", False),
        ("[truefalse]", False),
        ("[1true]", False),
        ('["a""b"]', False),
        ('["a"1]', False),
        ("[0e00,-0.0E+0,1e-5]", True),
        ("[1e400]", False),
        ("[1e-400]", True),
        ("[" + "9" * 308 + "]", True),
        ("[" + "9" * 400 + "]", False),
        ('["\\\\u12"]', True),
        ('["\\u12"]', False),
        ('["\\ud83d\\ude00\\\\\\""]', True),
        ('["\\ude00\\ud83d"]', False),
        ('["\\u00\\n41"]', False),
        ("[[],{},[{}]]", True),
        ("[}", False),
        ("[[1}]", False),
    ],
)
def test_each_of_these_is_reported(text, sound):
    if sound:
        parse(text)
        return
    with pytest.raises(ValueError):  # noqa: PT011 - every fault of the text is a ValueError
        parse(text)


def outcome(read, text):
    try:
        return read(text)
    except (ValueError, StopIteration, RecursionError):
        return None


@given(VALUES.map(json.dumps), st.data())
@settings(deadline=None, max_examples=500)
def test_the_quick_reading_takes_all_that_the_exact_one_takes(text, data):
    for _ in range(data.draw(st.integers(0, 3))):
        at, cut = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 2))
        text = text[:at] + data.draw(ODDITIES) + text[at + cut :]
    exact = outcome(lambda text: parse_at(text, 0), text)
    quick = outcome(lambda text: scan(text, 0), text)
    assert exact is None or exact == with_exact_numbers(quick)
    if exact is None and quick is not None:
        assert "\\u" in text or any(len(digits) > MOST_DIGITS for digits in re.findall("[0-9]+", text))


MOST_DIGITS = 300  # of a number that surely fits a float


def with_exact_numbers(value):
    """The same with the floats that the exact reading, as the library, makes of integers past 64 bits."""
    if isinstance(value, dict):
        return {name: with_exact_numbers(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(with_exact_numbers, value))
    is_huge = type(value) is int and not -(2**63) <= value < 2**64
    return float(value) if is_huge else value


@pytest.mark.parametrize(("text", "depth"), [("1", 0), ("[]", 1), ('{"a":[1,[{}]]}', 4), ('"[["', 0)])
def test_depth_counts_arrays_and_objects(text, depth):
    assert depth_of(text) == depth


def depth_by_definition(value) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_by_definition, inner), default=0)


@given(VALUES.map(json.dumps), st.sampled_from([0, 1, 3, 5, 20]), st.integers(1, 3))
@settings(deadline=None, max_examples=300)
def test_depth_is_that_of_the_value(text, levels, times):
    text = f"[{','.join([text] * times)},{'[' * levels}{']' * levels}{'' if levels else 0}]"
    assert depth_of(text) == depth_by_definition(json.loads(text))


def test_depth_of_what_nests_at_the_limit_is_exact():
    for depth in (MOST_NESTED - 1, MOST_NESTED, MOST_NESTED + 1):
        assert depth_of("[" * depth + "]" * depth) == depth
        assert depth_of(",".join(['{"a":' * depth + "1" + "}" * depth] * 3)) == depth


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_escapes_are_read(text, ascii_only):
    assert unescape(json.dumps(text, ensure_ascii=ascii_only)[1:-1]) == text
