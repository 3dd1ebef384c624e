"""Small inputs of the nature of public reports: what a scan shows of each is what is right.

Every test here skips where the folder of cases lies not beside the checkout.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.model import ModelConfig
from tests.support import CORPUS

CASES = CORPUS.parent / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the cases lie outside of the checkout")


def rows() -> list[dict[str, str]]:
    """What is right, by case."""
    try:
        with (CASES / "right.tsv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))
    except OSError:
        return []


def listed(folder: Path, tmp_path: Path) -> dict[str, ModelConfig]:
    """The models that a scan of a folder lists."""
    with ModelRegistry(str(folder), str(tmp_path / "store")) as registry:
        registry.discover_models(workers=1)
        return {one: registry.get(one) for one in registry.list_models()}


@pytest.mark.parametrize("right", rows(), ids=lambda row: row["case"])
def test_parameters_and_quantization_are_right_or_unknown_where_that_is_allowed(
    right: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CASES / right["case"]
    if (folder / "manifests").is_dir():
        monkeypatch.setenv("OLLAMA_MODELS", str(folder))
    (model,) = listed(folder, tmp_path).values()
    metadata = model.metadata
    wanted = {int(right["parameters"])} if right["parameters"] else set()
    if right["unknown"] == "wanted":
        assert metadata.parameters is None
    elif wanted:
        assert metadata.parameters in (wanted if right["unknown"] == "no" else wanted | {None})
    assert right["quantization"].lower() in (metadata.quantization or "").lower()


def test_an_optimizers_partition_is_not_of_the_type_in_its_files_name(tmp_path: Path) -> None:
    models = listed(CASES / "pt_deepspeed_f32named_bf16", tmp_path)
    assert all(one.metadata.quantization != "BF16" for one in models.values())


def test_models_of_many_blobs_take_their_dimensions_from_the_config_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(CASES / "oll_int4"))
    (model,) = listed(CASES / "oll_int4", tmp_path).values()
    assert (model.metadata.architecture, model.metadata.context_length) == ("gemma4", 262144)


def test_types_in_contradiction_to_the_header_are_an_info(tmp_path: Path) -> None:
    (model,) = listed(CASES / "gg_f16_emb_q4", tmp_path).values()
    assert "file-type-contradicted" in {one.code for one in model.findings}


CONTEXT = {
    "roberta-large": 512,
    "longformer-base-4096": 4096,
    "bge-m3": 8192,
    "whisper-small": 448,
    "bloom-560m": 2048,
    "llama4": 10485760,
    "qwen2.5-omni": 32768,
    "internvl": 32768,
    "mistral-small-v3.1": 131072,
    "clip": 77,
}
KV_HEADS = {
    "falcon-7b": 1,
    "starcoder": 1,
    "mpt-30b-gqa": 8,
    "mpt-7b": 32,
    "dbrx": 8,
    "chatglm3-6b": 2,
    "qwen2.5-omni": 4,
}


def test_values_of_a_config_are_those_that_engines_use(tmp_path: Path) -> None:
    models = listed(CASES / "cfg_context", tmp_path)
    by_folder = {Path(one.path).parent.name: one.metadata for one in models.values()}
    assert {name: by_folder[name].context_length for name in CONTEXT} == CONTEXT
    assert {name: by_folder[name].head_count_kv for name in KV_HEADS} == KV_HEADS
