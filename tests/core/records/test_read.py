"""Reading records: what is damaged is named or done without, never overlooked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf import ArtifactFile, HealthStatus, Location, ModelConfig, ModelVersion
from modelshelf.errors import DamagedStoreError
from modelshelf.model import Depth
from modelshelf.records.codec import encode_record
from modelshelf.records.frame import encode_value
from modelshelf.records.read import RecordReader
from modelshelf.records.summary import summaries
from modelshelf.records.tables import (
    CACHED_ROOTS,
    FOLDER_CACHES,
    LOCATIONS,
    RECORDS,
    REJECTIONS,
    SHARD_INDEXES,
    UNHEALTHY,
    Table,
    changed_prefix,
    path_key,
    record_key,
)
from modelshelf.records.write import Records


class State:
    """One state of a store whose engine does not check the keys that it reads."""

    revision = 1

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self.entries = entries
        self.scanned: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        self.scanned.append(prefix)
        yield from (one for one in sorted(self.entries.items()) if one[0].startswith(prefix))

    def around(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        before = [one for one in sorted(self.entries.items()) if one[0] < start]
        behind = [one for one in sorted(self.entries.items()) if one[0] >= stop]
        return [*before[-1:], *behind[:1]]

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def delete(self, key: bytes) -> bool:
        return self.entries.pop(key, None) is not None


def model(name: str, version: int = 1, status: HealthStatus = HealthStatus.HEALTHY) -> ModelConfig:
    return ModelConfig(
        id=name,
        version=ModelVersion(major=version),
        path=f"/models/{name}/m.gguf",
        locations=(Location(path=f"/models/{name}/m.gguf", folder=f"/models/{name}", fingerprint=b"f"),),
        health_status=status,
    )


@pytest.fixture
def state() -> State:
    """Three models, one of them unhealthy; a rejection, an index, and a cache of their folder."""
    made = State({})
    records = Records(made)
    for name, status in (
        ("a", HealthStatus.HEALTHY),
        ("b", HealthStatus.UNHEALTHY),
        ("c", HealthStatus.HEALTHY),
    ):
        records.put(model(name, status=status))
    records.pin("a", ModelVersion(major=1))
    records.reject("/models/x/x.bin", b"f", "no-format", "no model")
    records.reject("/models/y/y.bin", b"f", "no-format", "no model")
    for name in ("i", "j"):
        records.save_shard_index(
            f"/models/{name}", ArtifactFile(name=name, size=1, mtime_ns=2), ["one", "two"]
        )
    records.save_folder_cache("/models", ["rules", b"cache"])
    records.mark_changed("/models/a/m.gguf")
    return made


def flip_value(state: State, key: bytes) -> None:
    value = state.entries[key]
    state.entries[key] = value[:-1] + bytes([value[-1] ^ 1])


def flip_key(state: State, key: bytes, at: int, bit: int = 2) -> None:
    damaged = bytearray(key)
    damaged[at] ^= bit
    state.entries[bytes(damaged)] = state.entries.pop(key)


def last(state: State, prefix: bytes) -> bytes:
    return max(key for key in state.entries if key.startswith(prefix))


def test_a_location_of_before_depths_were_kept_was_looked_at_by_its_headers():
    key = path_key(LOCATIONS, "/path")
    for depth, entry in (
        (Depth.HEADER, [b"f", "id", "1.0.0", False, b"/path"]),
        (Depth.FULL, [b"f", "id", "1.0.0", False, "full", b"/path"]),
    ):
        found = RecordReader(State({key: encode_value(key, entry)})).location("/path")
        assert found is not None
        assert (found.model_id, found.depth, found.missing) == ("id", depth, False)


@pytest.mark.parametrize("table", [REJECTIONS, SHARD_INDEXES])
def test_a_damaged_entry_that_only_spares_work_is_left_out(state: State, table: Table):
    flip_value(state, last(state, table.prefix))
    records = RecordReader(state)
    assert records.rejection("/models/x/x.bin") is not None
    assert (records.rejection("/models/y/y.bin") is None) == (table is REJECTIONS)
    assert set(records.path_entries_below("/models")) >= {f"/models/{name}/m.gguf" for name in "abc"}
    assert ("/models/y/y.bin" in records.path_entries_below("/models")) == (table is not REJECTIONS)
    assert len(records.shard_indexes_below("/models")) == 2 - (table is SHARD_INDEXES)
    assert (records.shard_index("/models/j") is None) == (table is SHARD_INDEXES)


def test_a_damaged_location_is_refused(state: State):
    flip_value(state, path_key(LOCATIONS, "/models/b/m.gguf"))
    for read in (
        lambda records: records.path_entries_below("/models"),
        lambda records: records.location("/models/b/m.gguf"),
        lambda records: list(records.models_below("/models")),
    ):
        with pytest.raises(DamagedStoreError, match="doctor --repair"):
            read(RecordReader(state))


@pytest.mark.parametrize("damage", ["value", "end of the key", "NUL in the key", "letter of the key"])
def test_unhealthy_models_are_found_without_their_table(state: State, damage: str):
    key = path_key(UNHEALTHY, "/models/b/m.gguf")
    sound = list(RecordReader(state).unhealthy_below("/models"))
    assert sound == [("b", "1.0.0", "unhealthy")]
    if damage == "value":
        flip_value(state, key)
    elif damage == "letter of the key":
        del state.entries[path_key(FOLDER_CACHES, "/models")]  # else the order would tell
        flip_key(state, key, at=0)
        assert path_key(FOLDER_CACHES, "/models/b/m.gguf") in state.entries
    else:
        flip_key(state, key, at=1 if damage.startswith("NUL") else len(key) - 1)
    assert list(RecordReader(state).unhealthy_below("/models")) == sound


@pytest.mark.parametrize(
    "key",
    [
        path_key(FOLDER_CACHES, "/models"),
        changed_prefix(b"/models") + b"/models/a/m.gguf",
        CACHED_ROOTS,
    ],
)
@pytest.mark.parametrize("damage", ["value", "end of the key", "NUL in the key"])
def test_a_folder_cache_counts_only_with_all_that_changed_since(state: State, key: bytes, damage: str):
    assert RecordReader(state).folder_cache("/models") == ["rules", b"cache"]
    if damage == "value":
        flip_value(state, key)
    else:
        flip_key(state, key, at=1 if damage.startswith("NUL") else len(key) - 1)
    assert RecordReader(state).folder_cache("/models") is None


def test_a_cache_that_the_list_of_roots_does_not_name_does_not_count(state: State):
    del state.entries[CACHED_ROOTS]  # nobody would note what changes below it
    assert RecordReader(state).folder_cache("/models") is None


def test_a_damaged_list_of_roots_does_not_keep_records_from_being_written(state: State):
    flip_value(state, CACHED_ROOTS)
    records = Records(state)
    records.put(model("d"))
    records.save_folder_cache("/models", ["rules", b"newer"])
    assert RecordReader(state).folder_cache("/models") == ["rules", b"newer"]


def test_damaged_changed_paths_are_cleared_with_the_others(state: State):
    prefix = changed_prefix(b"/models")
    flip_value(state, last(state, prefix))
    Records(state).clear_changed("/models")
    assert not [key for key in state.entries if key.startswith(prefix)]


@pytest.mark.parametrize("at", [0, 1])
def test_a_listing_names_a_record_whose_key_left_the_table(state: State, at: int):
    flip_key(state, record_key("c", "1.0.0"), at)
    damage: list[DamagedStoreError] = []
    assert [one.id for one in RecordReader(state, damage.append).summaries()] == ["a", "b"]
    assert ["doctor --repair" in str(one) for one in damage] == [True]
    with pytest.raises(DamagedStoreError):
        list(RecordReader(state).summaries())


def test_a_listing_names_the_first_record_where_its_key_moved_to_the_table_before(state: State):
    flip_key(state, record_key("a", "1.0.0"), 0, bit=1)
    with pytest.raises(DamagedStoreError, match="doctor --repair"):
        list(RecordReader(state).summaries())


def test_damage_beside_the_records_does_not_end_a_listing_of_them(state: State):
    flip_value(state, last(state, LOCATIONS.prefix))
    assert [one.id for one in RecordReader(state).summaries()] == ["a", "b", "c"]


def test_damage_in_the_last_record_does_not_end_the_reading_of_pins(state: State):
    flip_value(state, last(state, RECORDS.prefix))
    assert RecordReader(state).pins() == {b"a": "1.0.0"}


def test_a_pin_whose_key_left_the_table_is_named(state: State):
    flip_key(state, b"p\0a", 1)
    with pytest.raises(DamagedStoreError, match="doctor --repair"):
        RecordReader(state).pins()


@given(
    ids=st.lists(
        st.text("ab/é\udc80", min_size=1, max_size=4)
        | st.builds(str.__mul__, st.text("aé", min_size=1, max_size=3), st.integers(80, 160)),
        min_size=1,
        max_size=10,
        unique=True,
    ),
    end=st.integers(0, 400),
)
def test_ids_that_begin_so_are_those_of_all_and_no_others_are_scanned(ids: list[str], end: int):
    made = [model(name, version) for name in ids for version in (1, 2)]
    keys = [record_key(one.id, one.version) for one in made]
    state = State({key: encode_record(key, one) for key, one in zip(keys, made, strict=True)})
    everything = list(summaries(state.scan()))
    for beginning in {name[:end] for name in ids}:
        state.scanned.clear()
        wanted = sorted({one.id for one in everything if one.id.startswith(beginning)})
        assert RecordReader(state).ids(beginning) == wanted
        assert state.scanned == [RECORDS.prefix + beginning.encode("utf-8", "surrogatepass")[:266]]
