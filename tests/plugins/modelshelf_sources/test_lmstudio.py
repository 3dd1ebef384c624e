from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf_sources.lmstudio import LMStudioSource
from tests.plugins.modelshelf_sources.stores import (
    gguf_bytes,
    listed,
    machine,
    put,
    safetensors_bytes,
    snapshot_of,
)

VIRTUAL = """\
model: qwen/qwen3-8b
base:
  - key: lmstudio-community/qwen3-8b-gguf
    sources:
      - type: huggingface
        user: lmstudio-community
        repo: Qwen3-8B-GGUF
metadataOverrides:
  domain: llm
"""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / ".lmstudio/models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> LMStudioSource:
    return LMStudioSource(machine=machine(tmp_path))


def test_models_are_named_by_publisher_and_model(models: Path, source: LMStudioSource) -> None:
    put(models / "google/gemma-GGUF/gemma-Q4_K_M.gguf", gguf_bytes("4"))
    put(models / "google/gemma-GGUF/gemma-Q8_0.gguf", gguf_bytes("8"))
    put(models / "mlx/phi-4bit/model.safetensors", safetensors_bytes())
    put(models / "mlx/phi-4bit/config.json", "{}")
    found = listed(source)
    assert found.ids == ["google/gemma-GGUF:Q4_K_M", "google/gemma-GGUF:Q8_0", "mlx/phi-4bit"]
    assert found["mlx/phi-4bit"].facts == {"publisher": "mlx"}


def test_a_projector_belongs_to_the_model_beside_it(models: Path, source: LMStudioSource) -> None:
    put(models / "google/gemma-GGUF/gemma-Q4_K_M.gguf", gguf_bytes())
    put(models / "google/gemma-GGUF/mmproj-model-f16.gguf", gguf_bytes("eye"))
    (model,) = listed(source).artifacts
    assert [one.name for one in model.companions] == ["mmproj-model-f16.gguf"]


def test_models_at_another_depth_are_found_too(models: Path, source: LMStudioSource) -> None:
    put(models / "loose.gguf", gguf_bytes("a"))
    put(models / "one/loose.gguf", gguf_bytes("b"))
    put(models / "one/two/three/deep.gguf", gguf_bytes("c"))
    assert sorted(listed(source).ids) == ["loose", "one", "one/two/three"]


def test_unfinished_downloads_are_listed(models: Path, source: LMStudioSource) -> None:
    put(models / "google/gemma-GGUF/downloading_gemma-Q4_K_M.gguf.part", b"x" * 10)
    put(models / "google/gemma-GGUF/gemma-Q8_0.gguf.part", b"x" * 20)
    found = listed(source)
    assert sorted(one.size for one in found.unfinished) == [10, 20]
    assert not found.artifacts


@pytest.mark.parametrize("place", ["hub/models/qwen/qwen3-8b", "models/qwen/qwen3-8b"])
def test_a_virtual_model_is_a_fact_of_its_base(models: Path, source: LMStudioSource, place: str) -> None:
    put(models / "lmstudio-community/Qwen3-8B-GGUF/q-Q4_K_M.gguf", gguf_bytes())
    put(models.parent / place / "model.yaml", VIRTUAL)
    found = listed(source)
    assert found.artifacts[0].facts["virtual_models"] == ["qwen/qwen3-8b"]
    assert not found.problems


def test_a_virtual_model_without_a_base_here_is_named(models: Path, source: LMStudioSource) -> None:
    put(models.parent / "hub/models/qwen/qwen3-8b/model.yaml", VIRTUAL)
    put(models.parent / "hub/models/a/b/model.yaml", "model: a/b\nbase: c/d\n")
    found = listed(source)
    assert found.codes == ["no-weights-here"] * 2
    assert sorted(one.message.split(":")[0] for one in found.problems) == ["a/b", "qwen/qwen3-8b"]


@pytest.mark.parametrize("content", ["[", "a: &x 1\nb: *x\n", "- a\n", b"\xff"])
def test_a_broken_virtual_model_is_named_and_costs_no_other(
    models: Path, source: LMStudioSource, content: str | bytes
) -> None:
    put(models / "google/gemma-GGUF/gemma.gguf", gguf_bytes())
    put(models.parent / "hub/models/x/y/model.yaml", content)
    put(models.parent / "hub/models/x/empty/model.yaml", "base:\n  - 1\n  - key: [a]\n")
    found = listed(source)
    assert (found.ids, found.codes) == (["google/gemma-GGUF"], ["unreadable-settings"])


def test_lm_studios_home_can_be_named(models: Path, source: LMStudioSource, tmp_path: Path) -> None:
    put(models / "google/gemma-GGUF/gemma.gguf", gguf_bytes())
    put(models.parent / "settings.json", "{}")
    (models.parent / "hub").mkdir()
    other = LMStudioSource(machine=machine(tmp_path / "other"))
    assert other.claims(str(models.parent))
    assert listed(other, models.parent).ids == ["google/gemma-GGUF"]
    assert listed(source, tmp_path / "gone").codes == ["absent"]


def test_nothing_is_written(models: Path, source: LMStudioSource, tmp_path: Path) -> None:
    put(models / "google/gemma-GGUF/gemma.gguf", gguf_bytes())
    before = snapshot_of(tmp_path)
    listed(source)
    assert snapshot_of(tmp_path) == before
