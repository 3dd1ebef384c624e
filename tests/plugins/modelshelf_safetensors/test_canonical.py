from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from modelshelf.errors import FormatError
from modelshelf_safetensors.canonical import parse_canonical
from modelshelf_safetensors.layout import LONGEST_MEMBER
from tests.plugins.modelshelf_safetensors.raw import columns, strictly

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
SHAPES = st.lists(st.integers(0, 5), max_size=3)
TYPES = st.sampled_from([np.float32, np.float16, np.int64, np.uint8, np.bool_])
TENSORS = st.dictionaries(
    NAMES.filter(lambda name: name != "__metadata__"), st.tuples(SHAPES, TYPES), max_size=6
)


def text_of(file: bytes) -> str:
    return file[8 : 8 + int.from_bytes(file[:8], "little")].decode()


def both(text: str):
    raw = text.encode()
    return parse_canonical(raw), strictly(raw)


@given(TENSORS, st.none() | st.dictionaries(NAMES, NAMES, min_size=1, max_size=3))
@settings(deadline=None, max_examples=150)
def test_what_the_reference_writes_reads_the_same_both_ways(tensors, metadata):
    file = save({name: np.zeros(shape, kind) for name, (shape, kind) in tensors.items()}, metadata)
    fast, slow = both(text_of(file))
    if fast is not None:
        assert columns(fast) == columns(slow)


def test_the_reference_writer_is_read_without_a_json_parser():
    tensors = {f"layers.{at}.weight": np.zeros((2, at), np.float32) for at in range(40)}
    fast, slow = both(text_of(save(tensors, {"format": "pt"})))
    assert fast is not None
    assert columns(fast) == columns(slow)


def test_the_spaces_of_pythons_writer_are_taken_too():
    text = text_of(save({"a": np.zeros((2, 3), np.float32), "b, c: d": np.zeros(4)}, {"k, l": "v: w"}))
    spaced = json.dumps(json.loads(text))
    assert ", " in spaced.replace("b, c", "").replace("k, l", "")
    fast, slow = both(spaced)
    assert columns(fast) == columns(slow) == columns(both(text)[0])


@pytest.mark.parametrize(
    "written",
    [
        lambda header: json.dumps(header, indent=2, ensure_ascii=False),
        lambda header: json.dumps(header, indent="\t", ensure_ascii=False, separators=(" , ", "\r\n: ")),
        lambda header: json.dumps(header, ensure_ascii=False, separators=(",", " :")),
        lambda header: json.dumps(header, ensure_ascii=False, separators=(",", ":")).replace("}}", "} }\n"),
    ],
)
def test_white_space_is_taken_anywhere_and_kept_within_names(written):
    text = text_of(save({"a": np.zeros((2, 3), np.float32), "b ,é: d": np.zeros(4)}, {"k ,": "v : w"}))
    fast, slow = both(written(json.loads(text)))
    assert fast is not None
    assert set(fast.names) == {"a", "b ,é: d"}
    assert columns(fast) == columns(slow) == columns(both(text)[1])


def test_a_text_that_changes_its_white_space_midway_is_read():
    text = text_of(save({f"t{at}": np.zeros(at + 1, np.float32) for at in range(50)}))
    middle = text.index('"t2')
    text = text[:middle] + text[middle:].replace("[", "[ ")
    fast, slow = both(text)
    assert fast is not None
    assert columns(fast) == columns(slow)


GOOD = text_of(save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.uint8)}, {"k": "v"})).rstrip(" ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"a":', '"\\u0061":'),
        ('"a":', '"\x01":'),
        ('"b":', '"a":'),
        ('"b":', '"__metadata__":'),
        ("[0,24]", "[00,24]"),
        ("[0,24]", "[0,24,24]"),
        ("[0,24]", "[0,2 4]"),
        ("[0,24]", "[0,2\n4]"),
        ('"a":', '"a"\x0b:'),
        ('"a":', '"a"\xa0:'),
        ('"a":', '"a\t":'),
        ("[24,28]", "[25,29]"),
        ("[24,28]", "[24,28],[28,28]"),
        ("[2,3]", "[2,03]"),
        ("[2,3]", "[2,-3]"),
        ("[2,3]", "[6.0]"),
        ("[2,3]", "[2,3,]"),
        ('"F32"', '"F99"'),
        ('"F32"', '"f32"'),
        ("}}", "},}"),
        ('{"k":"v"}', '{"k":1}'),
        ('{"k":"v"}', '{"k":"v","k":"w"}'),
        ('{"k":"v"}', "null"),
        ('{"k":"v"}', '{"k":"\\ud800"}'),
    ],
)
def test_anything_else_is_left_to_the_strict_reader(old, new):
    assert parse_canonical(GOOD.encode()) is not None
    assert old in GOOD
    assert parse_canonical(GOOD.replace(old, new, 1).encode()) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"a"', f'"{"n" * LONGEST_MEMBER}"'),
        ("[2,3]", f"[2,3{',1' * (LONGEST_MEMBER // 2)}]"),
        ("[0,24]", f"[0,{' ' * LONGEST_MEMBER}24]"),
    ],
)
def test_an_entry_longer_than_is_judged_is_left_to_the_reader_that_says_so(old, new):
    text = GOOD.replace(old, new, 1)
    assert parse_canonical(text.encode()) is None
    with pytest.raises(FormatError, match="not judged") as caught:
        strictly(text.encode())
    assert caught.value.code == "long-tensor-entry"


def test_metadata_is_read_however_long_it_is():
    text = GOOD.replace('{"k":"v"}', json.dumps({f"k{at}": "v" * at for at in range(600)}))
    fast, slow = both(text)
    assert fast is not None
    assert columns(fast) == columns(slow)


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_no_mutation_reads_otherwise_than_by_the_strict_reader(data):
    good = data.draw(st.sampled_from([GOOD, json.dumps(json.loads(GOOD))]))
    at = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text(st.sampled_from('"\\{}[]:,0123456789abFU8_ \n-.e'), max_size=3))
    text = good[:at] + put + good[at + cut :]
    fast = parse_canonical(text.encode())
    if fast is not None:
        assert columns(fast) == columns(strictly(text.encode()))
