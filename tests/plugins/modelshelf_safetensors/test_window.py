from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import FormatError
from modelshelf_safetensors import window
from modelshelf_safetensors.window import Window

PIECES = st.sampled_from([1, 2, 3, 7, 16, 100, 1 << 20])


def window_of(raw: bytes) -> Window:
    return Window(lambda at, count: raw[at : at + count], len(raw), "header")


def serde_refuses(text: str) -> bool:
    """Whether JSON of a text is not valid; Python's parser takes half of a surrogate pair."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except ValueError:
        return True
    return False


INSIDE = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters='"\\'), max_size=4)
    | st.sampled_from(
        [
            "\\n",
            '\\"',
            "\\\\",
            "\\u0041",
            "\\ud83d\\ude00",
            "\\ud83d",
            "\\ude00",
            "\\x",
            "\\u12",
            "\x00",
            "\\",
        ]
    ),
    max_size=8,
).map("".join)


@given(INSIDE, st.sampled_from(["", ":1", '"', ' , "b"']), st.integers(1, 40), PIECES)
@settings(deadline=None, max_examples=1500)
def test_a_text_is_read_as_json_reads_it_whatever_its_length(inside, after, longest, piece):
    raw = f'"{inside}"{after}'.encode()
    # Where the text ends: at the first quote that no backslash escapes.
    spelled, at = f'"{inside}"{after}', 1
    while at < len(spelled) and spelled[at] != '"':
        at += 2 if spelled[at] == "\\" else 1
    text = spelled[: at + 1]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(window, "PIECE", piece)
        reader = window_of(raw)
        if serde_refuses(text):
            with pytest.raises(FormatError):
                reader.read_text(longest)
            return
        value, whole = reader.read_text(longest)
        assert reader.place == len(text)
        assert reader.offset == 8 + len(text.encode())
    assert whole == (len(text) - 2 <= longest)
    assert json.loads(text) == value if whole else json.loads(text).startswith(value)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=4), st.integers() | st.text(max_size=9), max_size=9
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t"), ("," + " " * 99, ": ")]),
    st.booleans(),
    st.sampled_from([1, 20, 1 << 14]),
    PIECES,
)
@settings(deadline=None, max_examples=300)
def test_members_are_those_that_json_reads(members, separators, ascii_only, most, piece):
    text = json.dumps(members, separators=separators, ensure_ascii=ascii_only)
    if serde_refuses(text):
        return
    found = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(window, "PIECE", piece)
        monkeypatch.setattr(window, "LONGEST_MEMBER", 200)
        reader = window_of(text.encode())
        assert reader.take("{")
        more = not reader.take("}")
        while more:
            read = reader.read_members(most)
            if not read.names:
                start = reader.place
                name, whole = reader.read_key(200)
                assert whole
                read = reader.read_member(name, start)
            found.update(zip(read.names, read.values, strict=True))
            for value, (begin, end) in zip(read.values, read.spans(), strict=True):
                assert json.loads(read.text[begin:end]) == value
            more = reader.next_member()
        assert reader.ended()
    assert found == members


@pytest.mark.parametrize(
    ("raw", "offset"),
    [
        (b'"abc', 8),
        (b'"a\x01c"', 10),
        ('"é\x01"'.encode(), 11),
        (b'"a\\xc"', 10),
        (b'"a\\u00zz"', 10),
        (b"abc", 8),
    ],
)
@pytest.mark.parametrize("longest", [1, 1000])
@pytest.mark.parametrize("before", [0, 300])
def test_a_fault_in_a_text_is_reported_with_its_byte(monkeypatch, raw, offset, longest, before):
    monkeypatch.setattr(window, "PIECE", 5)
    reader = window_of(b" " * before + raw)
    reader.skip_white()
    with pytest.raises(FormatError) as caught:
        reader.read_text(longest)
    assert caught.value.offset in {offset + before, offset + before + 1, offset + before + 2}


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.binary(min_size=1, max_size=3), PIECES)
@settings(deadline=None, max_examples=300)
def test_a_bad_byte_is_reported_with_its_place_wherever_pieces_end(text, bad, piece):
    raw = text.encode() + bad + b"  "
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        place = error.start
    else:
        return
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(window, "PIECE", piece)
        with pytest.raises(FormatError, match="UTF-8") as caught:
            window_of(raw).check_rest()
    assert caught.value.offset == 8 + place
