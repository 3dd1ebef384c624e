"""JSON told sound by rewriting it, against the parser that builds it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_safetensors import skim
from modelshelf_safetensors.reduction import (
    NotJSONError,
    depth_within,
    hide_escapes,
    is_open,
    letters_of,
    reduced,
)
from modelshelf_safetensors.skim import skim_value
from modelshelf_safetensors.strict_json import MOST_NESTED, depth_of, parse
from modelshelf_safetensors.text import HeaderText

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
ODDITIES = st.text(st.sampled_from('"\\{}[]:,-+0129.eE \t\n\x00\x01vkmw#tf'), max_size=3) | st.sampled_from(
    [
        "\\ud800",
        "\\ud83d\\ude00",
        "\\u00\\n41",
        "NaN",
        "1e999",
        "9" * 400,
        "1e-400",
        "-0",
        "true",
        "01",
        "\x7f",
        "é",
    ]
)


def is_sound(text: str) -> bool:
    """What the parser says, but for depth beyond the limit."""
    try:
        return depth_of(parse(text)) <= MOST_NESTED
    except ValueError:
        return False


def is_whole(text: str) -> bool:
    try:
        # As the one member of an object: side by side several values are taken together too.
        return reduced(b"{k" + letters_of(text.encode()) + b"}")[0] == b"v"
    except NotJSONError:
        return False


@st.composite
def texts(draw):
    text = json.dumps(
        draw(VALUES),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])),
    )
    for _ in range(draw(st.integers(0, 3))):
        at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text = text[:at] + draw(ODDITIES) + text[at + cut :]
    try:
        text.encode()
    except UnicodeEncodeError:
        return "1"
    return text


@given(texts())
@settings(deadline=None, max_examples=1000)
def test_what_reduces_to_one_value_is_what_the_parser_takes(text):
    assert is_whole(text) == is_sound(text)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("[n]", False),
        ("[v]", False),
        ("[#]", False),
        ("[k1]", False),
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
def test_each_of_these_is_told(text, sound):
    assert is_sound(text) == sound
    assert is_whole(text) == sound


@given(VALUES, st.data())
@settings(deadline=None, max_examples=300)
def test_pieces_of_sound_json_join_to_one_value(value, data):
    text = json.dumps(value).encode()
    state, rest = b"", text
    while rest:
        size = data.draw(st.integers(1, 12))
        cut = skim.structural_cut(rest[:size]) if size < len(rest) else len(rest)
        while not cut:
            size += 1
            cut = skim.structural_cut(rest[:size]) if size < len(rest) else len(rest)
        state, _ = reduced(state + letters_of(rest[:cut]))
        assert state == b"v" or is_open(state)
        rest = rest[cut:]
    assert state == b"v"


@given(VALUES)
@settings(deadline=None)
def test_levels_are_no_fewer_than_the_depth_and_the_exact_depth_is_told(value):
    text = json.dumps(value)
    assert reduced(letters_of(text.encode()))[1] >= depth_of(parse(text)) == depth_within(text.encode(), 0)


@pytest.mark.parametrize("text", [b'"\\\\"', b'"\\""', b'"\\\\\\""', b'"\\\\\\\\"'])
def test_quotes_that_are_left_are_those_that_count(text):
    hidden = hide_escapes(text)
    assert len(hidden) == len(text)
    assert [at for at, byte in enumerate(hidden) if byte == ord('"')] == [0, len(text) - 1]


@given(
    texts(),
    st.sampled_from(["}", "]", ',"a":[1]}', "}}", ' , "b" : {"c":[{}]} }', "],[1]"]),
    st.integers(1, 40),
)
@settings(deadline=None, max_examples=1000)
def test_a_value_is_stepped_over_whatever_follows(text, after, window):
    """In windows of any size, and exactly to its end."""
    whole = text.strip(" \t\n\r").encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(skim, "WINDOW", window)
        monkeypatch.setattr(skim, "_TEXT_WINDOW", max(window, 24))
        monkeypatch.setattr(skim, "_NEAR", 4)
        content = whole + after.encode()
        header = HeaderText(lambda at, count: content[at : at + count], len(content), "header")
        header.skip_white()
        try:
            skim_value(header, MOST_NESTED)
        except NotJSONError:
            assert not is_sound(text)
            return
        stepped = content[: header.base]
    assert is_sound(stepped.decode())
    if is_sound(text):
        assert stepped == whole
