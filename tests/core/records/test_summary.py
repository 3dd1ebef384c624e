"""Summaries decoded in bulk are those decoded one by one, and what a query picks out misses nothing."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf import ModelConfig, ModelMetadata, ModelRegistry, ModelVersion, Query
from modelshelf.errors import DamagedStoreError
from modelshelf.model import Origin
from modelshelf.records.codec import encode_record
from modelshelf.records.query import matches, needle
from modelshelf.records.summary import current_version, decode_summary, summaries
from modelshelf.records.tables import record_key

FORMATS = (
    "gguf",
    "GGUF",
    "PyTorch",
    "PYTORCH",
    "\ufb01sk",
    "fisk",
    "FI\u017f\u212a",
    "Straße",
    "strasse",
    None,
)


def stored(config: ModelConfig) -> tuple[bytes, bytes]:
    key = record_key(config.id, config.version)
    return key, encode_record(key, config)


def model(name: str, version: int = 1, **values: object) -> ModelConfig:
    return ModelConfig(
        id=name,
        version=ModelVersion.parse(f"{version}.0.0"),
        metadata=ModelMetadata.partial(Origin.HEADER, "test", **values),
    )


def several(count: int = 700) -> list[tuple[bytes, bytes]]:
    """Records of models with one to three versions, so that models lie across the ends of batches."""
    made = [
        stored(model(f"model-{number:04d}", version, quantization="IQ2_XXS" if number % 40 == 0 else "F16"))
        for number in range(count)
        for version in range(1, 2 + number % 3)
    ]
    return sorted(made)


def test_all_at_once_are_those_one_by_one():
    records = several()
    assert list(summaries(records)) == [decode_summary(*record) for record in records]


def test_a_needle_gives_every_version_of_the_models_that_contain_it():
    records = several()
    wanted = {one.id for one in summaries(records) if one.quantization == "IQ2_XXS"}
    found = list(summaries(records, needle=b"q2_xx"))
    assert found == [one for one in summaries(records) if one.id in wanted]


@pytest.mark.parametrize("part", [b"", b"q2_xx"])
def test_a_damaged_record_is_named_whatever_is_looked_for_and_the_others_are_given(part):
    records = several()
    key, value = records[301]  # one of three versions
    records[301] = (key, value[:-1] + bytes([value[-1] ^ 1]))
    damage: list[DamagedStoreError] = []
    found = {one.id for one in summaries(records, damage.append, part)}
    assert len(damage) == 1
    assert {one.id for one in summaries(several(), needle=part)} <= found
    with pytest.raises(DamagedStoreError):
        list(summaries(records, needle=part))


def test_no_letter_outside_of_ascii_folds_to_one_in_a_needle():
    folded = {chr(code).casefold() for code in range(0x80, sys.maxunicode + 1)}
    letters = {letter for text in folded if text.isascii() for letter in text}
    assert letters
    for letter in letters:
        assert needle(Query(format=letter)) == b""


@settings(deadline=None)
@given(
    texts=st.lists(st.sampled_from(FORMATS) | st.text(max_size=4), min_size=1, max_size=12),
    wanted=st.sampled_from(FORMATS[:-1]) | st.text(min_size=1, max_size=4),
)
def test_what_a_query_picks_out_contains_all_that_meets_it(texts, wanted):
    records = sorted(stored(model(f"m{number}", format=text)) for number, text in enumerate(texts))
    query = Query(format=wanted)
    everything = [one for one in summaries(records) if matches(query, one)]
    picked = [one for one in summaries(records, needle=needle(query)) if matches(query, one)]
    assert picked == everything


def test_a_query_of_a_state_that_was_just_read_finds_what_the_next_one_does(tmp_path):
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        for number in range(30):
            registry.register(model(f"model-{number}", format="gguf" if number % 3 else "PyTorch"))
        registry.register(model("model-1", 2, format="pytorch"))
        for query in (Query(format="gguf"), Query(format="pytorch"), Query(health="unknown", format="gguf")):
            registry.update("model-2", display_name=query.format)  # a new state
            first, second, third = (registry.find(query) for _ in range(3))
            assert first == second == third
            assert first
        assert "model-1" not in {one.id for one in registry.find(Query(format="gguf"))}


NUMBERS = st.integers(0, 12) | st.sampled_from([10**18, 10**25])
VERSIONS = st.builds(
    ModelVersion,
    major=NUMBERS,
    minor=NUMBERS,
    patch=NUMBERS,
    prerelease=st.none() | st.none() | st.sampled_from(["rc.1", "alpha", "10"]),
    build=st.none() | st.none() | st.sampled_from(["a", "b"]),
)


@given(
    versions=st.lists(
        st.tuples(VERSIONS, st.booleans()), min_size=1, max_size=6, unique_by=lambda one: one[0]
    )
)
def test_the_current_version_is_the_newest_that_is_there_by_semver(versions):
    found = [
        decode_summary(*stored(model("m")))._replace(version=str(version), missing=missing)
        for version, missing in versions
    ]
    newest = max(versions, key=lambda one: (not one[1], one[0]))
    assert current_version(found, None).version == str(newest[0])
    assert current_version(found, str(versions[0][0])).version == str(versions[0][0])
