"""Tensor types that other programs write under numbers of their own, mixtures, shards and experts."""

from __future__ import annotations

import pytest

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, tensor, verdict, write_llama


def model(tmp_path, architecture, file_type, kind, size, *fields, name="model.gguf", shape=(256, 64)):
    tensors = [tensor(b"blk.0.ffn_up.weight", shape, kind, 0)]
    head = [
        pair(b"general.architecture", forge.STRING, architecture),
        pair(b"general.file_type", forge.U32, file_type),
        *fields,
    ]
    return verdict(save(tmp_path, file(head, tensors, b"\1" * size), name))


def test_ollamas_own_number_of_mxfp4_is_read_as_that(tmp_path):
    result = model(tmp_path, b"gptoss", 4, 4, 256 * 64 // 32 * 17)
    assert (result.status, result.metadata.quantization) == (HealthStatus.HEALTHY, "MXFP4")
    assert result.metadata.bits_per_weight == 4.25


def test_the_same_number_of_another_architecture_was_removed(tmp_path):
    result = model(tmp_path, b"llama", 4, 4, 256 * 64 // 32 * 17)
    assert result.codes >= {"removed-tensor-type"}


@pytest.mark.parametrize("architecture", [b"bitnet-b1.58", b"bitnet-25", b"llama"])
def test_bitnets_own_types_are_named_without_advice_to_quantize_anew(tmp_path, architecture):
    result = model(tmp_path, architecture, 40, 36, 256 * 64 // 4 + 32)
    assert (result.status, result.metadata.quantization) == (HealthStatus.HEALTHY, "I2_S")
    assert result.codes == {"other-programs-type"}
    assert "anew" not in result.findings[0].message


def test_a_file_of_bitnets_that_was_cut_is_unhealthy(tmp_path):
    assert "truncated" in model(tmp_path, b"bitnet-b1.58", 40, 36, 256 * 64 // 4 - 32).codes


def test_numbers_of_forks_are_not_mapped_and_not_called_broken(tmp_path):
    result = model(tmp_path, b"llama", 140, 139, 4096)
    assert (result.metadata.quantization, result.metadata.parameters) == (None, 256 * 64)
    assert result.codes == {"not-judged"}
    assert "ik_llama.cpp" in result.findings[0].message


@pytest.mark.parametrize(
    ("name", "kind", "quantization"),
    [
        ("Qwen3-8B-UD-Q4_K_XL.gguf", 12, "UD-Q4_K_XL"),
        ("Qwen3-8B-UD-IQ4_XS-00001-of-00001.gguf", 12, "UD-IQ4_XS"),
        ("Llama-3-Q4_K_L.gguf", 12, "Q4_K_L"),
        ("Llama-3-Q4_K_M.gguf", 12, "Q4_K_M"),
        ("Llama-3-UD-Q2_K_XL.gguf", 12, "Q4_K_M"),
        ("Llama-3-UD-Q8_K_XL.gguf", 12, "Q4_K_M"),
    ],
)
def test_a_mixture_without_a_number_goes_by_the_name_where_its_bits_fit(tmp_path, name, kind, quantization):
    size = 256 * 64 // 256 * 144
    result = model(tmp_path, b"llama", 15, kind, size, name=name)
    assert result.metadata.quantization == quantization
    assert "file-type-contradicted" not in result.codes


def test_of_a_model_that_lacks_a_shard_nothing_is_summed(tmp_path):
    path = write_llama(tmp_path / "m-00001-of-00002.gguf")
    result = verdict(path, missing=("m-00002-of-00002.gguf",))
    metadata = result.metadata
    assert (metadata.parameters, metadata.tensor_count, metadata.bits_per_weight) == (None, None, None)
    assert metadata.quantization == "Q8_0"


def test_of_shards_that_were_joined_nothing_is_summed(tmp_path):
    result = model(tmp_path, b"llama", 1, 1, 256 * 64 * 2, pair(b"split.count", forge.U16, 3))
    assert result.metadata.parameters is None


@pytest.mark.parametrize("name", ["m.gguf.part1of2", "m.gguf.001", "m.gguf-split-a"])
def test_of_a_piece_of_a_file_nothing_is_summed(tmp_path, name):
    assert model(tmp_path, b"llama", 1, 1, 256 * 64 * 2, name=name).metadata.parameters is None


def test_experts_that_a_token_does_not_use_are_not_active(tmp_path):
    head = [
        pair(b"general.architecture", forge.STRING, b"qwen3moe"),
        pair(b"qwen3moe.expert_count", forge.U32, 8),
        pair(b"qwen3moe.expert_used_count", forge.U32, 2),
    ]
    tensors = [
        tensor(b"token_embd.weight", (32, 10), 1, 0),
        tensor(b"blk.0.ffn_up_exps.weight", (32, 16, 8), 1, 640),
    ]
    result = verdict(save(tmp_path, file(head, tensors, b"\1" * (640 + 8192))))
    assert result.metadata.parameters == 320 + 4096
    assert result.metadata.details["active_parameters"] == 320 + 1024
