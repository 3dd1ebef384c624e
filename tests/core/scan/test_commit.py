"""What an examined artifact does to the registry, by rules that need no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.model import Artifact, ArtifactFile, ModelMetadata
from modelshelf.records.write import Records
from modelshelf.scan.commit import Committed, commit, commit_artifact, mark_missing
from modelshelf.scan.examine import Examination
from modelshelf.scan.volumes import Volumes
from modelshelf.store import Store, Transaction

NOW = 1_700_000_000


class Desk:
    """A registry to which artifacts are committed as if they had been examined."""

    def __init__(self, registry: ModelRegistry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder

    def commit(
        self, model_id: str, name: str, content: bytes, *, sha256: str | None = None, **fields: Any
    ) -> Committed:
        (self.folder / name).write_bytes(content)
        one = ArtifactFile(name=name, size=len(content), mtime_ns=len(content), sha256=sha256)
        artifact = Artifact(folder=str(self.folder), primary=name, files=(one,), model_id=model_id, **fields)
        examination = Examination(
            format="toy", content_digest=content.ljust(16, b"\0"), metadata=ModelMetadata(format="toy")
        )
        return self.change(lambda records: commit_artifact(records, artifact, examination, NOW))

    def change(self, work: Callable[[Records], Any]) -> Any:
        return self.registry.store.update(lambda state: work(Records(state)))

    def gone(self, name: str, *, offline: bool = False) -> None:
        path = str(self.folder / name)
        self.change(lambda records: mark_missing(records, [path], NOW, offline=offline))

    def model(self, model_id: str) -> ModelConfig:
        found = self.registry.get(model_id)
        assert found is not None
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ModelRegistry(tmp_path, tmp_path / "store") as registry:
        yield Desk(registry, tmp_path)


def test_further_names_of_a_source_become_aliases(desk: Desk) -> None:
    desk.commit("llama:1b", "a", b"one", source="ollama", aliases=("llama:latest", "mine:latest"))
    assert desk.model("llama:latest").id == "llama:1b"
    desk.commit("llama:1b", "a", b"one", source="ollama", aliases=("llama:latest", "new:tag"))
    assert desk.model("new:tag").aliases == ("llama:latest", "mine:latest", "new:tag")


def test_a_copy_answers_to_the_name_that_its_tool_gives_it(desk: Desk) -> None:
    desk.commit("meta/Llama-GGUF", "a", b"one", source="huggingface")
    desk.commit("llama:1b", "b", b"one", source="ollama", aliases=("llama:latest",))
    desk.commit("folder", "c", b"one")
    assert desk.registry.list_models() == ["meta/Llama-GGUF"]
    assert desk.model("llama:1b").aliases == ("llama:1b", "llama:latest")


def test_an_alias_that_is_another_models_name_is_left_to_it(desk: Desk) -> None:
    desk.commit("first", "a", b"one", aliases=("shared",))
    desk.commit("second", "b", b"two", aliases=("shared", "first", "second"))
    assert (desk.model("second").aliases, desk.model("shared").id) == ((), "first")


def test_aliases_that_a_person_set_stay_beside_those_of_a_tool(desk: Desk) -> None:
    desk.commit("first", "a", b"one")
    desk.registry.update("first", aliases=["mine"])
    desk.commit("first", "a", b"one", aliases=("theirs",))
    assert desk.model("first").aliases == ("mine", "theirs")
    desk.registry.update("first", aliases=["ours"])
    assert desk.model("first").aliases == ("ours", "theirs")
    assert desk.registry.get("mine") is None


def test_a_newer_pull_of_a_tools_model_is_its_next_version(desk: Desk) -> None:
    desk.commit("llama:1b", "a", b"old", source="ollama")
    desk.commit("llama:1b", "b", b"new", source="ollama")
    assert [str(one) for one in desk.registry.get_versions("llama:1b")] == ["1.0.1", "1.0.0"]
    assert desk.model("llama:1b").path.endswith("/b")


def test_other_content_in_plain_folders_is_another_model(desk: Desk) -> None:
    desk.commit("llama", "a", b"old")
    desk.commit("llama", "b", b"new")
    assert len(desk.registry.list_models()) == 2


def test_another_tools_model_of_the_same_name_is_another_model(desk: Desk) -> None:
    desk.commit("llama", "a", b"old", source="ollama")
    desk.commit("llama", "b", b"new", source="huggingface")
    assert len(desk.registry.list_models()) == 2


def test_equal_samples_with_other_sha256_are_two_models(desk: Desk) -> None:
    desk.commit("llama", "a", b"same", sha256="a" * 64)
    desk.commit("other", "b", b"same", sha256="b" * 64)
    desk.commit("third", "c", b"same", sha256="b" * 64)
    assert desk.registry.list_models() == ["llama", "other"]
    assert len(desk.model("other").locations) == 2


def test_a_place_without_sha256_joins_by_its_samples(desk: Desk) -> None:
    desk.commit("llama", "a", b"same", sha256="a" * 64)
    desk.commit("other", "b", b"same")
    assert desk.registry.list_models() == ["llama"]


def test_a_model_on_a_volume_that_went_is_offline_and_one_that_was_removed_is_missing(desk: Desk) -> None:
    desk.commit("away", "a", b"one")
    desk.commit("gone", "b", b"two")
    desk.gone("a", offline=True)
    desk.gone("b")
    states = {one.id: (one.missing, one.offline) for one in desk.registry.summaries()}
    assert states == {"away": (True, True), "gone": (True, False)}


def test_a_copy_on_a_volume_that_went_is_not_forgotten(desk: Desk) -> None:
    desk.commit("llama", "a", b"one", sha256="a" * 64)
    desk.gone("a", offline=True)
    (desk.folder / "a").unlink()
    desk.commit("llama", "b", b"one", sha256="a" * 64)
    found = desk.model("llama")
    assert [(one.path[-1], one.offline) for one in found.locations] == [("b", False), ("a", True)]
    assert (found.path[-1], found.missing, found.offline) == ("b", False, False)


def test_a_copy_out_of_reach_is_joined_by_its_sha256_alone(desk: Desk) -> None:
    desk.commit("llama", "a", b"one")
    desk.gone("a", offline=True)
    (desk.folder / "a").unlink()
    desk.commit("other", "b", b"one")
    assert desk.registry.list_models() == ["llama", "other"]


def test_what_was_offline_and_is_found_deleted_is_missing(desk: Desk) -> None:
    desk.commit("llama", "a", b"one")
    desk.gone("a", offline=True)
    desk.gone("a")
    assert (desk.model("llama").missing, desk.model("llama").offline) == (True, False)


class _Growing(Store):
    """Runs each update twice, as a store does that has to grow at its end."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def view(self, work: Callable[[Any], Any]) -> Any:
        return self._store.view(work)

    def update(self, work: Callable[[Transaction], Any]) -> Any:
        class FullError(Exception):
            pass

        def try_in_vain(state: Transaction) -> None:
            work(state)
            raise FullError

        with pytest.raises(FullError):
            self._store.update(try_in_vain)
        return self._store.update(work)


def test_a_default_is_chosen_also_where_the_store_has_to_grow(desk: Desk) -> None:
    one = ArtifactFile(name="m.toy", size=1, mtime_ns=1)
    artifact = Artifact(folder=str(desk.folder), primary="m.toy", files=(one,), model_id="writer")
    metadata = ModelMetadata(format="toy", kind="text-generation")
    examination = Examination(format="toy", content_digest=b"1" * 16, metadata=metadata)
    commit(_Growing(desk.registry.store), [(artifact, examination)], Volumes(()), lambda *_: None)
    assert desk.registry.default_id() == "writer"
