"""What becomes of other tools' models in the registry, as their stores change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelRegistry
from tests.plugins.modelshelf_sources.stores import (
    OTHER_COMMIT,
    HubCache,
    OllamaStore,
    gguf_bytes,
    safetensors_bytes,
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(tmp_path, tmp_path / "store") as registry:
        yield registry


@pytest.fixture
def ollama(tmp_path: Path) -> OllamaStore:
    return OllamaStore(tmp_path / "ollama")


@pytest.fixture
def hub(tmp_path: Path) -> HubCache:
    return HubCache(tmp_path / "hub")


def test_a_model_of_one_blob_a_tensor_is_read_whole(ollama: OllamaStore, registry: ModelRegistry) -> None:
    tensors = [ollama.layer("tensor", safetensors_bytes(n, f"t{n}"), name=f"t{n}") for n in range(5)]
    ollama.manifest("flux", tensors, {"model_format": "safetensors", "model_family": "flux"})
    registry.discover_models(ollama.root)
    model = registry.get("flux")
    assert model is not None
    assert model.health_status is HealthStatus.HEALTHY
    assert (model.metadata.format, model.metadata.tensor_count) == ("safetensors", 5)
    assert (model.metadata.architecture, str(model.metadata.provenance["architecture"])) == (
        "flux",
        "source: ollama",
    )
    assert registry.check(["flux"])["flux"].status is HealthStatus.HEALTHY


def test_an_adapter_and_its_base_are_two_models(ollama: OllamaStore, registry: ModelRegistry) -> None:
    layers = [ollama.layer("model", gguf_bytes()), ollama.layer("adapter", gguf_bytes("lora"))]
    ollama.manifest("mario", layers)
    registry.discover_models(ollama.root)
    assert registry.list_models() == ["mario", "mario:latest/base"]


def test_a_new_pull_of_a_tag_is_its_next_version(ollama: OllamaStore, registry: ModelRegistry) -> None:
    old = ollama.layer("model", gguf_bytes("old"))
    ollama.manifest("tiny", [old])
    registry.discover_models(ollama.root)
    ollama.path_of(old["digest"]).unlink()
    ollama.manifest("tiny", [ollama.layer("model", gguf_bytes("new"))])
    registry.discover_models(ollama.root)
    assert [str(one) for one in registry.get_versions("tiny")] == ["1.0.1", "1.0.0"]
    assert registry.get_by_version("tiny", "1.0.0").missing
    assert registry.get("tiny").metadata.title == "new"


def test_a_new_tag_on_a_known_blob_is_an_alias(ollama: OllamaStore, registry: ModelRegistry) -> None:
    weights = ollama.layer("model", gguf_bytes())
    ollama.manifest("tiny", [weights])
    registry.discover_models(ollama.root)
    ollama.manifest("zebra", [weights])
    registry.discover_models(ollama.root)
    assert registry.list_models() == ["tiny"]
    assert registry.get("zebra").id == "tiny"


def test_a_new_commit_of_a_repository_is_its_next_version(hub: HubCache, registry: ModelRegistry) -> None:
    hub.add("org/name", {"model.safetensors": safetensors_bytes(1)})
    registry.discover_models(hub.root)
    hub.add("org/name", {"model.safetensors": safetensors_bytes(2)}, commit=OTHER_COMMIT)
    stats = registry.discover_models(hub.root)
    assert (stats.models_missing, stats.errors) == (0, 0)
    assert registry.list_models() == ["org/name"]
    assert len(registry.get_versions("org/name")) == 2


def test_one_blob_in_two_snapshots_is_one_model_in_two_places(hub: HubCache, registry: ModelRegistry) -> None:
    hub.add("org/name", {"model.safetensors": safetensors_bytes()}, commit=OTHER_COMMIT, ref="v1")
    hub.add("org/name", {"model.safetensors": safetensors_bytes()})
    registry.discover_models(hub.root)
    assert registry.list_models() == ["org/name"]
    assert len(registry.get("org/name").locations) == 2


def test_a_store_that_is_away_for_a_while_keeps_its_models(
    hub: HubCache, registry: ModelRegistry, tmp_path: Path
) -> None:
    hub.add("org/name", {"model.safetensors": safetensors_bytes()})
    registry.discover_models(hub.root)
    hub.root.rename(tmp_path / "away")
    registry.discover_models(hub.root)
    assert not registry.get("org/name").missing
