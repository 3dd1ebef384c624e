from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_sources.documents import (
    UnusableDocumentError,
    count_of,
    parse_json,
    read_bytes,
    read_head,
    read_mapping,
    read_object,
    text_of,
    texts_of,
)
from tests.plugins.modelshelf_sources.stores import put


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path: Path) -> None:
    assert read_object(str(put(tmp_path / "s.json", b'\xef\xbb\xbf{"a": 1}'))) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON"),
        (b"[1]", "is no JSON object"),
        (b'{"a": ', "is not JSON"),
        (b'"\xff"', "is not JSON"),
        (b'{"a":' * 200_000, "nests arrays or objects too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_what_is_no_json_object_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = put(tmp_path / "s.json", content)
    with pytest.raises(UnusableDocumentError, match=says) as caught:
        read_object(str(path))
    assert str(path) in str(caught.value)


def test_a_document_over_its_limit_is_not_read(tmp_path: Path) -> None:
    path = str(put(tmp_path / "big.json", b"x" * 101))
    with pytest.raises(UnusableDocumentError, match="has 101 bytes, more than the 100 that are read"):
        read_bytes(path, 100)
    assert read_head(path, 10) == b"x" * 10


def test_a_pipe_in_place_of_a_document_neither_hangs_nor_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_bytes, read_head):
        with pytest.raises(UnusableDocumentError, match="is not a regular file"):
            read(str(tmp_path / "pipe"), 10)


def test_an_absent_document_and_an_impossible_name_are_named(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none"), "a\0b"):
        with pytest.raises(UnusableDocumentError, match="cannot be opened"):
            read_bytes(path)
        with pytest.raises(UnusableDocumentError, match="cannot be opened"):
            read_head(path, 1)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("- a\n- b\n", "is no YAML mapping"),
        ("a: [\n", "is not YAML"),
        ("a: &x [1]\nb: *x\n", "uses YAML aliases"),
        ("a: " + "[" * 40 + "]" * 40, "nests too deep"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_what_is_no_plain_yaml_mapping_is_named(tmp_path: Path, content: str | bytes, says: str) -> None:
    with pytest.raises(UnusableDocumentError, match=says):
        read_mapping(str(put(tmp_path / "s.yaml", content)))


def test_yaml_builds_text_and_nothing_else(tmp_path: Path) -> None:
    path = put(tmp_path / "s.yaml", "a: !!python/object/apply:os.system [ls]\nb: no\nc: 1.0\nd:\n")
    assert read_mapping(str(path)) == {"a": ["ls"], "b": "no", "c": "1.0", "d": ""}
    assert read_mapping(str(put(tmp_path / "e.yaml", ""))) == {}


def test_text_is_kept_short_and_whole() -> None:
    assert text_of("  a b \n") == "a b"
    assert text_of("x" * 20, 10) == "x" * 10 + "…"
    assert text_of("\ud800") == "?"
    assert [text_of(one) for one in (None, 1, "", "  ", ["a"])] == [None] * 5
    assert texts_of(["a", 1, "", "b"]) == ("a", "b")
    assert texts_of("a") == ()
    assert [count_of(one) for one in (1, 0, -1, True, 1.0, "1", 1 << 63)] == [1, *[None] * 6]


@given(st.binary(max_size=200))
def test_no_bytes_get_anything_but_a_named_fault_out_of_the_reader(data: bytes) -> None:
    with contextlib.suppress(UnusableDocumentError):
        parse_json(data, "x")


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=5), kids, max_size=3),
    max_leaves=10,
)


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value).encode(), "x") == value
