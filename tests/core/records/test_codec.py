from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf.model import (
    Artifact,
    Depth,
    Detection,
    Finding,
    Location,
    ModelConfig,
    ModelMetadata,
    ModelVersion,
    Problem,
    Severity,
)
from modelshelf.records import frame
from modelshelf.records.codec import converter, decode_record, encode_record, summary_of
from modelshelf.records.frame import (
    decode_frame,
    decode_value,
    encode_frame,
    encode_value,
    is_intact,
    pack,
    unchecked_summary,
    unpack,
)
from modelshelf.records.summary import decode_summary
from tests.core.record_strategies import CONFIGS, DETAILS, FILES, PATHS, SCALARS, TEXT

KEY = b"m\0org/model\x001.0.0"


def same(one: object, other: object) -> bool:
    """Equal, with NaN equal to NaN."""
    return repr(one) == repr(other)


@settings(deadline=None, max_examples=200)
@given(config=CONFIGS, key=st.binary(max_size=30))
def test_a_record_comes_back_as_it_was(config, key):
    value = encode_record(key, config)
    back = decode_record(key, value)
    for field in attrs.fields(ModelConfig):
        if field.name != "metadata":
            assert getattr(back, field.name) == getattr(config, field.name), field.name
    for field in attrs.fields(ModelMetadata):
        mine, theirs = getattr(config.metadata, field.name), getattr(back.metadata, field.name)
        assert mine == theirs or same(mine, theirs), field.name
    assert same(decode_summary(key, value), summary_of(config))


@settings(deadline=None, max_examples=60)
@given(
    value=st.builds(
        Artifact, folder=PATHS, primary=PATHS, files=st.lists(FILES, max_size=2).map(tuple), facts=DETAILS
    )
    | st.builds(Detection, format=TEXT, confidence=st.floats(0, 1), evidence=TEXT)
    | st.builds(Problem, code=TEXT, message=TEXT, path=st.none() | PATHS, plugin=st.none() | TEXT)
    | CONFIGS
)
def test_any_value_comes_through_the_converter_as_it_was(value):
    sent = pack(converter().unstructure(value))
    back = converter().structure(unpack(sent), type(value))
    if isinstance(value, ModelConfig):
        assert encode_record(KEY, back) == encode_record(KEY, value)
    else:
        assert same(back, value)


@settings(max_examples=150)
@given(
    content=st.recursive(
        SCALARS | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_plain_value_comes_back_as_it_was(content):
    assert same(decode_value(KEY, encode_value(KEY, content)), content)


RECORD = ModelConfig(
    id="org/model",
    path="/m/model.gguf",
    metadata=ModelMetadata(tags=("a", "b"), parameters=3),
    locations=(
        Location(
            path="/m/model.gguf",
            folder="/m",
            findings=(Finding(code="flaw", severity=Severity.ERROR, message="is flawed", offset=7),),
            proposed_id="m",
        ),
    ),
    added_at=1,
    updated_at=1,
)


def test_every_flipped_bit_of_a_value_is_damage_that_names_the_key():
    value = encode_record(KEY, RECORD)
    for position in range(len(value) * 8):
        flipped = bytearray(value)
        flipped[position // 8] ^= 1 << position % 8
        for read in (decode_record, decode_summary):
            with pytest.raises(DamagedStoreError, match=r"org/model 1\.0\.0"):
                read(KEY, bytes(flipped))


def test_a_value_under_another_key_and_a_short_value_are_damage():
    value = encode_record(KEY, RECORD)
    with pytest.raises(DamagedStoreError, match="checksum"):
        decode_record(KEY + b"1", value)
    for length in range(len(value)):
        with pytest.raises(DamagedStoreError):
            decode_record(KEY, value[:length])


@given(value=st.binary(max_size=60))
def test_any_bytes_are_damage_and_nothing_worse(value):
    for read in (decode_record, decode_summary, decode_value):
        with pytest.raises(DamagedStoreError):
            read(KEY, value)


@pytest.mark.parametrize("content", [[], 5, {"id": 3}, {"id": ""}, {"version": [1]}, None])
def test_content_that_is_no_record_is_damage(content):
    with pytest.raises(DamagedStoreError):
        decode_record(KEY, encode_frame(KEY, pack(content)))
    with pytest.raises(DamagedStoreError, match="summary"):
        decode_summary(KEY, encode_frame(KEY, pack(content), pack(3)))


def test_a_record_of_a_newer_schema_says_to_upgrade(monkeypatch):
    monkeypatch.setattr(frame, "SCHEMA", 9)
    monkeypatch.setattr(frame, "_SCHEMA_BYTE", bytes([9]))
    value = encode_record(KEY, RECORD)
    monkeypatch.undo()
    for read in (decode_record, decode_summary, decode_value):
        with pytest.raises(StoreError, match=r"newer modelshelf.*upgrade") as caught:
            read(KEY, value)
        assert not isinstance(caught.value, DamagedStoreError)


def test_a_record_of_an_older_schema_is_brought_up_step_by_step(monkeypatch):
    value = encode_record(KEY, RECORD)

    def second(summary, content):
        return [*summary[:2], "renamed", *summary[3:]], {**content, "display_name": "renamed"}

    def third(summary, content):
        return summary, {**content, "aliases": [content["display_name"]]}

    monkeypatch.setattr(frame, "SCHEMA", 3)
    monkeypatch.setattr(frame, "UPGRADES", {1: second, 2: third})
    assert decode_record(KEY, value) == attrs.evolve(RECORD, display_name="renamed", aliases=("renamed",))
    assert decode_summary(KEY, value).display_name == "renamed"


def test_a_place_of_before_depths_were_kept_was_looked_at_by_its_headers():
    deep = attrs.evolve(RECORD, locations=(attrs.evolve(RECORD.locations[0], depth=Depth.FULL),))
    _, summary, content = decode_frame(KEY, encode_record(KEY, deep))
    earlier = unpack(content)
    assert [earlier["locations"][0].pop() for _ in range(3)] == ["m", None, None]
    assert earlier["locations"][0].pop() == [["flaw", "error", "is flawed", None, 7]]
    assert earlier["locations"][0].pop() == "full"
    place = attrs.evolve(RECORD.locations[0], findings=(), proposed_id="")
    unjudged = attrs.evolve(RECORD, locations=(place,))
    assert decode_record(KEY, encode_frame(KEY, pack(earlier), summary)) == unjudged


def test_fields_of_a_later_minor_release_are_left_out():
    _, summary, content = decode_frame(KEY, encode_record(KEY, RECORD))
    later = unpack(content)
    later["future"] = 1
    later["metadata"]["future"] = {"a": 1}
    later["locations"][0] += [None, None, "future"]
    value = encode_frame(KEY, pack(later), pack([*unpack(summary), "future"]))
    assert decode_record(KEY, value) == RECORD
    assert decode_summary(KEY, value) == summary_of(RECORD)


@given(value=st.binary(max_size=60))
def test_any_bytes_have_a_list_for_a_summary_and_none_is_intact(value):
    assert isinstance(unchecked_summary(value), list)
    assert not is_intact(KEY, value)


def test_a_value_that_cannot_be_stored_is_a_store_error():
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    for odd in (object(), deep):
        config = attrs.evolve(RECORD, metadata=ModelMetadata(details={"odd": odd}))
        with pytest.raises(StoreError, match="cannot be stored"):
            encode_record(KEY, config)


def test_versions_keep_every_part():
    version = ModelVersion.parse("1.2.3-rc.1+build.5")
    assert decode_record(KEY, encode_record(KEY, attrs.evolve(RECORD, version=version))).version == version


def test_reading_summaries_needs_neither_attrs_nor_cattrs():
    program = "import sys, modelshelf.records.read; print(*{'attr', 'cattrs'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
