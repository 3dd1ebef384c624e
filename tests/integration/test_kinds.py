"""Models of each kind are shown as what they are, whichever format has them, and chosen by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import ModelConfig, ModelRegistry, Query
from modelshelf.model import Kind
from tests.kind_layouts import ADAPTERS, LAYOUTS, PICTURES, KindLayout, write

BY_NAMES = [one for one in (*PICTURES, *ADAPTERS) if not one.beside and not one.facts]
"""Layouts that the names of tensors tell alone, in safetensors and in a checkpoint of torch."""

VIDEO_DENOISERS = {"wan-gguf", "wan", "wan-diffusers", "ltx", "hunyuan-video"}
CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "select_kinds"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModelConfig]]:
    folder = tmp_path_factory.mktemp("kinds")
    for one in LAYOUTS:
        write(one, folder / "models")
    with ModelRegistry(folder / "models", folder / "store") as registry:
        assert registry.discover_models().errors == 0
        yield {Path(one.path).relative_to(folder / "models").parts[0]: one for one in registry}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModelConfig]]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for one in BY_NAMES:
        write(one, folder / "models", as_torch=True)
    with ModelRegistry(folder / "models", folder / "store") as registry:
        assert registry.discover_models().errors == 0
        yield {Path(one.path).relative_to(folder / "models").parts[0]: one for one in registry}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.name)
def test_a_model_is_of_its_kind(models: dict[str, ModelConfig], layout: KindLayout) -> None:
    metadata = models[layout.name].metadata
    assert metadata.kind == layout.kind
    assert {name: getattr(metadata, name) for name in layout.right} == layout.right
    assert {name: metadata.details.get(name) for name in layout.details} == layout.details


@pytest.mark.parametrize("layout", BY_NAMES, ids=lambda one: one.name)
def test_tensor_names_say_the_same_in_a_checkpoint(
    checkpoints: dict[str, ModelConfig], layout: KindLayout
) -> None:
    metadata = checkpoints[layout.name].metadata
    assert metadata.kind == layout.kind
    assert {name: getattr(metadata, name) for name in layout.right} == layout.right
    assert {name: metadata.details.get(name) for name in layout.details} == layout.details


def test_each_value_says_where_it_was_read(models: dict[str, ModelConfig]) -> None:
    for one in models.values():
        known = set(one.metadata.fields_set())
        for name in ("kind", "input_modalities", "output_modalities", "capabilities"):
            assert (name in known) == (name in one.metadata.provenance), (one.id, name)


def test_every_kind_is_among_the_layouts_or_beyond_a_header() -> None:
    assert {one.kind for one in LAYOUTS if one.kind} == set(Kind) - {Kind.OPTIMIZER_STATE}


def test_optimizer_state_is_no_model(tmp_path: Path) -> None:
    import torch

    weight = torch.nn.Parameter(torch.zeros(4, 4))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    (tmp_path / "run").mkdir()
    torch.save(optimizer.state_dict(), tmp_path / "run" / "optimizer.pt")
    with ModelRegistry(tmp_path / "run", tmp_path / "store") as registry:
        registry.discover_models()
        (model,) = registry
    assert model.metadata.kind == "optimizer-state"


def test_an_embedding_of_words_saved_by_a_trainer_is_a_textual_inversion(tmp_path: Path) -> None:
    import torch

    (tmp_path / "models").mkdir()
    saved = {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(2, 768)}, "name": "neg"}
    torch.save(saved, tmp_path / "models" / "neg.pt")
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        registry.discover_models()
        (model,) = registry
    assert (model.metadata.kind, model.metadata.architecture) == ("textual-inversion", "sd1")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(kind="RERANKER"), {"bge-reranker", "qwen3-reranker", "bge-reranker-st", "tag-against-class"}),
        (Query(capability="thinking"), {"chat", "own-template-file"}),
        (Query(capability="Vision"), {"sees-by-itself", "qwen3-vl", "gemma3"}),
        (Query(kind="text-generation", modality="audio"), {"qwen2-audio"}),
        (
            Query(kind="denoiser", modality="video"),
            VIDEO_DENOISERS,
        ),
    ],
)
def test_a_query_goes_by_kind_capability_and_modality(tmp_path: Path, query: Query, found: set[str]) -> None:
    for one in LAYOUTS:
        write(one, tmp_path / "models")
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        registry.discover_models()
        assert {one.id for one in registry.find(query)} == found
        assert {one.id for one in registry.find_summaries(query)} == found


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie outside of the checkout")
def test_of_a_chat_model_and_seven_other_things_the_chat_model_is_chosen(tmp_path: Path) -> None:
    with ModelRegistry(CASES, tmp_path / "store") as registry:
        registry.discover_models()
        assert registry.default_id() == "Chat-7B"
        for task in ("simple", "complex"):
            chosen = registry.select_best(task)
            assert chosen is not None
            assert chosen.id == "Chat-7B"
        assert len(registry.find(Query(kind="adapter"))) == 2
