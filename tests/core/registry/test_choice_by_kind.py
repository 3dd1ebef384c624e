"""The default that a scan chooses, and `select_best`, go by what models are for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import EventKind, HealthStatus, ModelConfig, ModelMetadata, ModelRegistry, Query
from modelshelf.model import ModelEvent
from modelshelf.scan import batches
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class Watcher(ToyFormat):
    """The toy format, and the events of the default."""

    def __init__(self) -> None:
        super().__init__()
        self.defaults: list[tuple[str, object]] = []

    def modelshelf_model_changed(self, event: ModelEvent) -> None:
        if event.kind is EventKind.DEFAULT_CHANGED:
            self.defaults.append((event.model_id, event.details.get("old")))


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def registry(tmp_path: Path, watcher: Watcher) -> Iterator[ModelRegistry]:
    models = tmp_path / "models"
    models.mkdir()
    with ModelRegistry(models, tmp_path / "data", plugins=[watcher], blocked=BUILTIN_FORMATS) as made:
        yield made


def put(registry: ModelRegistry, name: str, **facts: object) -> None:
    write_toy(Path(registry.model_base_path) / name / "m.toy", title=name, **facts)


def test_the_least_healthy_text_generation_model_of_a_scan_becomes_the_default(
    registry: ModelRegistry, watcher: Watcher
) -> None:
    put(registry, "a-adapter", kind="adapter")
    put(registry, "b-sick", note="odd")
    put(registry, "c-unknown", kind=None)
    put(registry, "d-writer")
    put(registry, "e-writer")
    registry.discover_models()
    assert registry.default_id() == "d-writer"
    assert watcher.defaults == [("d-writer", None)]
    put(registry, "a-writer")
    registry.discover_models()
    assert registry.default_id() == "d-writer"  # it was set before


def test_the_least_id_becomes_it_whatever_the_batches(
    registry: ModelRegistry, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_COMMIT", 1)
    for name in ("m", "z", "b"):
        put(registry, name)
    registry.discover_models()
    assert registry.default_id() == "b"
    assert watcher.defaults[-1][0] == "b"


def test_without_a_text_generation_model_there_is_no_default_until_there_is_one(
    registry: ModelRegistry,
) -> None:
    put(registry, "a", kind="embedding")
    put(registry, "b", kind=None)
    registry.discover_models()
    assert registry.default_id() is None
    put(registry, "c")
    registry.discover_models()
    assert registry.default_id() == "c"


def test_a_default_that_was_set_outlives_a_scan(registry: ModelRegistry) -> None:
    put(registry, "b", kind="embedding")
    registry.discover_models()
    registry.set_default("b")
    put(registry, "a")
    registry.discover_models()
    assert registry.default_id() == "b"


def test_the_first_that_a_program_registers_becomes_the_default_of_whatever_kind(
    registry: ModelRegistry,
) -> None:
    registry.register(ModelConfig(id="x", metadata=ModelMetadata(kind="vae")))
    put(registry, "a")
    registry.discover_models()
    assert registry.default_id() == "x"


def test_a_task_chooses_among_models_that_write_text(registry: ModelRegistry) -> None:
    put(registry, "tiny-adapter", kind="adapter", parameters=1)
    put(registry, "small", parameters=10)
    put(registry, "large", parameters=1000)
    put(registry, "unknown", kind=None, parameters=5)
    put(registry, "huge-denoiser", kind="denoiser", parameters=10**9)
    registry.discover_models()
    chosen = [registry.select_best(task) for task in ("simple", "complex")]
    assert [one and one.id for one in chosen] == ["small", "large"]


def test_kind_capability_and_modality_narrow_the_choice(registry: ModelRegistry) -> None:
    put(registry, "a-blind", parameters=10, capabilities=["tools"])
    put(registry, "b-seeing", parameters=1000, input_modalities=["text", "image"])
    put(registry, "c-embedding", kind="embedding", parameters=5)
    put(registry, "d-reranker", kind="reranker", parameters=6)
    registry.discover_models()

    def chosen(**asked: object) -> str | None:
        model = registry.select_best("simple", **asked)  # type: ignore[arg-type]
        return model and model.id

    assert chosen() == "a-blind"
    assert chosen(modality="image") == chosen(capability="Vision") == "b-seeing"
    assert chosen(kind="embedding") == chosen(capability="embedding") == "c-embedding"
    assert chosen(capability="rerank") == chosen(query=Query(kind="reranker")) == "d-reranker"
    assert chosen(capability="thinking") is None  # the default cannot do it either
    assert chosen(kind="upscaler") is None


def test_models_of_programs_that_name_no_kind_are_chosen_where_no_other_writes_text(
    registry: ModelRegistry,
) -> None:
    healthy = HealthStatus.HEALTHY
    registry.register(ModelConfig(id="mine", metadata=ModelMetadata(parameters=7), health_status=healthy))
    assert (best := registry.select_best()) is not None
    assert best.id == "mine"
    put(registry, "scanned", parameters=10)
    registry.discover_models()
    assert (best := registry.select_best()) is not None
    assert best.id == "scanned"


def test_after_a_removal_the_heir_writes_text(registry: ModelRegistry) -> None:
    put(registry, "b")
    put(registry, "c")
    put(registry, "a", kind="projector")
    registry.discover_models()
    registry.remove("b")
    assert registry.default_id() == "c"
    registry.remove("c")
    assert registry.default_id() is None


def test_a_kind_that_a_person_set_outlives_a_scan_and_decides(registry: ModelRegistry) -> None:
    put(registry, "a", kind=None, parameters=3)
    registry.discover_models()
    registry.update("a", kind="text-generation", capabilities=["chat"])
    registry.discover_models(force=True)
    model = registry.get("a")
    assert model is not None
    assert (model.metadata.kind, model.metadata.capabilities) == ("text-generation", ("chat",))
    assert registry.select_best() == model
