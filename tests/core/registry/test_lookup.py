"""What the registry remembers goes by the state that was read."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from modelshelf import (
    HealthStatus,
    ModelConfig,
    ModelMetadata,
    ModelRegistry,
    ModelVersion,
    Query,
    RegistryClosedError,
)
from modelshelf.records import codec
from modelshelf.registry.lookup import ModelLookup
from modelshelf.store import Snapshot, Store

T = TypeVar("T")


class EarlyStore(Store):
    """A store that tells of a commit before views see it, as a writer's last step can be slow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.arriving = False

    def revision(self) -> int:
        return self._store.revision() + self.arriving

    def view(self, work: Callable[[Snapshot], T]) -> T:
        return self._store.view(work)


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        yield registry


def test_a_commit_that_is_reported_before_it_is_seen_is_seen_once_it_is_there(
    registry: ModelRegistry,
) -> None:
    early = EarlyStore(registry.store)
    lookup = ModelLookup(early)
    early.arriving = True
    assert (lookup.list_models(), lookup.get("new")) == ([], None)
    registry.register(ModelConfig(id="new"))
    early.arriving = False
    assert lookup.list_models() == ["new"]
    assert lookup.get("new") == registry.get("new")


class WatchedStore:
    """A store that offers a number in memory which another one follows with each commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = 0
        self.word = memoryview(bytearray(8)).cast("Q")

    def revision(self) -> int:
        self.asked += 1
        return self._store.revision()

    def view(self, work: Callable[[Snapshot], T]) -> T:
        self.asked += 1
        return self._store.view(work)

    def watch(self, _revision: int) -> tuple[memoryview, int]:
        return self.word, self.word[0]

    def close(self) -> None:
        """The registry of the fixture closes what is below."""


def test_a_look_up_asks_nothing_of_a_store_that_is_watched_and_did_not_change(
    registry: ModelRegistry,
) -> None:
    registry.register(ModelConfig(id="one"))
    watched = WatchedStore(registry.store)
    lookup = ModelLookup(watched)
    first = lookup.get("one")
    asked = watched.asked
    assert lookup.get("one") is first
    assert watched.asked == asked


def test_what_is_committed_to_a_watched_store_is_seen_by_the_next_look_up(registry: ModelRegistry) -> None:
    watched = WatchedStore(registry.store)
    lookup = ModelLookup(watched)
    assert lookup.get("one") is None
    registry.register(ModelConfig(id="one"))
    watched.word[0] += 1
    assert lookup.get("one") == registry.get("one")
    registry.update("one", display_name="One")
    watched.word[0] += 1
    assert lookup.get("one").display_name == "One"


def test_what_was_decoded_is_given_again_by_its_version_and_as_the_choice_for_a_task(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    sized = ModelMetadata(parameters=7)
    registry.register(ModelConfig(id="one", metadata=sized, health_status=HealthStatus.HEALTHY))
    lookup = ModelLookup(WatchedStore(registry.store))
    decoded = []
    decode = codec.decode_record
    monkeypatch.setattr(codec, "decode_record", lambda key, value: decoded.append(key) or decode(key, value))
    by_version = lookup.get_by_version("one", "1.0.0")
    assert lookup.get_by_version("one", ModelVersion(major=1)) is by_version
    assert lookup.select_best() is by_version
    assert len(decoded) == 1
    assert lookup.get("one") is by_version
    other = ModelLookup(WatchedStore(registry.store))
    assert other.get("one") is other.select_best()
    assert len(decoded) == 3  # one for `get`, which does not know the version before


def test_ids_and_versions_that_nobody_registered_are_not_cached(registry: ModelRegistry) -> None:
    registry.register(ModelConfig(id="one"))
    for number in range(100):
        assert registry.get(f"nobody-{number}") is None
        assert registry.get_by_version("one", f"2.0.{number}") is None
    state = registry._cached.current()
    assert (state.models, state.versions) == ({}, {})


def test_a_commit_of_another_handle_is_seen_by_the_next_look_up_of_a_version_and_choice(
    tmp_path: Path,
) -> None:
    healthy = ModelConfig(id="one", metadata=ModelMetadata(parameters=7), health_status=HealthStatus.HEALTHY)
    with (
        ModelRegistry(tmp_path / "models", tmp_path / "store") as writer,
        ModelRegistry(tmp_path / "models", tmp_path / "store") as reader,
    ):
        assert (reader.get_by_version("one", "1.0.0"), reader.select_best()) == (None, None)
        writer.register(healthy)
        for number in range(3):
            writer.update("one", display_name=f"name {number}")
            assert reader.get_by_version("one", "1.0.0").display_name == f"name {number}"
            assert reader.select_best().display_name == f"name {number}"
        writer.remove("one")
        assert (reader.get_by_version("one", "1.0.0"), reader.select_best()) == (None, None)


def test_a_store_that_let_go_of_the_watched_memory_is_asked_again(registry: ModelRegistry) -> None:
    registry.register(ModelConfig(id="one"))
    watched = WatchedStore(registry.store)
    lookup = ModelLookup(watched)
    lookup.get("one")
    watched.word.release()
    assert lookup.get("one") == registry.get("one")


def test_a_closed_look_up_refuses_whatever_it_watched(registry: ModelRegistry) -> None:
    registry.register(ModelConfig(id="one"))
    lookup = ModelLookup(WatchedStore(registry.store))
    with lookup:
        lookup.get("one")
    with pytest.raises(RegistryClosedError):
        lookup.get("one")
    lookup.close()


def test_decoding_many_leaves_the_garbage_collector_as_it_was(registry: ModelRegistry) -> None:
    registry.register(ModelConfig(id="one"))
    assert (registry.list_models(), gc.isenabled()) == (["one"], True)
    gc.disable()
    try:
        registry.register(ModelConfig(id="two"))
        assert (registry.list_models(), gc.isenabled()) == (["one", "two"], False)
    finally:
        gc.enable()


def test_an_id_with_several_versions_is_listed_once_as_the_version_that_it_stands_for(
    registry: ModelRegistry,
) -> None:
    for version in ("1.0.0", "10.0.0", "9.0.0"):
        registry.register(ModelConfig(id="many", version=ModelVersion.parse(version)))
    registry.register(ModelConfig(id="few"))
    assert [(one.id, one.version) for one in registry.summaries()] == [("few", "1.0.0"), ("many", "10.0.0")]
    registry.pin("many", "9.0.0")
    assert [(one.id, one.version) for one in registry.summaries()] == [("few", "1.0.0"), ("many", "9.0.0")]
    assert [str(one.version) for one in registry.find(Query(text="many"))] == ["9.0.0"]


def test_a_closed_registry_refuses_while_another_one_keeps_the_same_store_open(tmp_path: Path) -> None:
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as other:
        other.register(ModelConfig(id="one"))
        with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
            assert registry.get("one") == registry.get("one")
        with pytest.raises(RegistryClosedError):
            registry.get("one")


def test_a_commit_of_another_handle_is_seen_by_the_next_look_up(tmp_path: Path) -> None:
    with (
        ModelRegistry(tmp_path / "models", tmp_path / "store") as writer,
        ModelRegistry(tmp_path / "models", tmp_path / "store") as reader,
    ):
        for number in range(5):
            assert reader.get("one") == reader.get("one")
            if number:
                writer.update("one", display_name=f"name {number}")
            else:
                writer.register(ModelConfig(id="one"))
            assert reader.get("one") == writer.get("one")
            assert reader.list_models() == ["one"]
