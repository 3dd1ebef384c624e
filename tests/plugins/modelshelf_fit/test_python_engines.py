from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.model import MemoryRequest, ModelConfig
from modelshelf_companions.config import from_config
from modelshelf_fit import modelshelf_estimate_memory
from modelshelf_fit.config_families import MODEL_TYPES
from modelshelf_fit.python_engines import estimate

KIB = 1 << 10
ENGINES = ("transformers", "vllm", "mlx")

LLAMA_8B = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
LLAMA_70B = {**LLAMA_8B, "num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64}
LLAMA_405B = {**LLAMA_8B, "num_hidden_layers": 126, "hidden_size": 16384, "num_attention_heads": 128}
QWEN3_235B = {
    **LLAMA_8B,
    "model_type": "qwen3_moe",
    "num_hidden_layers": 94,
    "num_attention_heads": 64,
    "num_key_value_heads": 4,
    "head_dim": 128,
}
QWEN3_30B = {**QWEN3_235B, "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 32}
QWEN3_32B = {
    **QWEN3_235B,
    "model_type": "qwen3",
    "num_hidden_layers": 64,
    "hidden_size": 5120,
    "num_key_value_heads": 8,
}
DEEPSEEK_R1 = {
    **LLAMA_8B,
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
LLAMA_3B = {
    **LLAMA_8B,
    "num_hidden_layers": 28,
    "hidden_size": 3072,
    "num_attention_heads": 24,
    "head_dim": 128,
}
GLM_Z1 = {
    **LLAMA_8B,
    "model_type": "glm4",
    "num_hidden_layers": 61,
    "num_attention_heads": 48,
    "num_key_value_heads": 2,
    "head_dim": 128,
}
GEMMA3_27B = {
    **LLAMA_8B,
    "model_type": "gemma3_text",
    "num_hidden_layers": 62,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "sliding_window": 1024,
}
QWEN35_27B = {
    **LLAMA_8B,
    "model_type": "qwen3_5_text",
    "num_hidden_layers": 64,
    "hidden_size": 5120,
    "num_attention_heads": 24,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 48,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}
MODELS = [LLAMA_8B, QWEN3_30B, DEEPSEEK_R1, GEMMA3_27B, QWEN35_27B]


def metadata_of(config, **fields):
    stored = {"format": "safetensors", "quantization": "BF16", "size_bytes": 1000, **fields}
    return attrs.evolve(from_config(config, "config.json"), **stored)


def ask(config, engine, **request):
    return estimate(metadata_of(config), MemoryRequest(engine=engine, **request))


@pytest.mark.parametrize(
    ("config", "kib"),
    [
        (LLAMA_8B, 128),
        (LLAMA_70B, 320),
        (LLAMA_405B, 504),
        (QWEN3_235B, 188),  # 47 on each of four cards
        (DEEPSEEK_R1, 61 * (512 + 64) * 2 / KIB),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_token_takes_the_published_bytes(config, kib, engine):
    answer = ask(config, engine, context=16384)
    assert answer.kv_bytes == kib * KIB * 16384
    assert answer.unknown == ()


@pytest.mark.parametrize(
    ("config", "context", "mib"),
    [
        (DEEPSEEK_R1, 32768, 2196.00),
        (QWEN3_30B, 4096, 384.00),
        (QWEN3_30B, 32768, 3072.00),
        (QWEN3_235B, 32768, 6016.00),
        (QWEN3_32B, 8192, 2048.00),
        (QWEN3_32B, 40960, 10240.00),
        (GLM_Z1, 32768, 1952.00),
        (LLAMA_3B, 4096, 448.00),
        (LLAMA_8B, 131072, 16384.00),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_published_caches_are_met_by_every_engine(config, context, mib, engine):
    assert ask(config, engine, context=context).kv_bytes == mib * KIB * KIB


def test_windows_are_as_long_as_each_engine_makes_them():
    cells = {
        engine: {one.kind: (one.cells, one.layers) for one in ask(GEMMA3_27B, engine, context=32768).kv}
        for engine in ENGINES
    }
    assert {one["full"] for one in cells.values()} == {(32768, 10)}
    assert {engine: one["sliding window"] for engine, one in cells.items()} == {
        "transformers": (1023, 52),
        "vllm": (9216 + 16, 52),
        "mlx": (1024 + 2048, 52),
    }


def test_caches_of_windows_are_exact_where_no_setting_decides_them():
    answers = {engine: ask(GEMMA3_27B, engine, context=32768) for engine in ENGINES}
    assert [engine for engine, one in answers.items() if "kv" in one.exact] == ["transformers"]
    assert [engine for engine, one in answers.items() if "kv" in one.estimated] == ["vllm", "mlx"]


def test_the_state_of_hybrids_does_not_grow_with_the_context():
    short, long = (ask(QWEN35_27B, "transformers", context=one) for one in (4096, 262144))
    layer = (2 * 16 * 128 + 48 * 128) * 4 * 2 + 48 * 128 * 128 * 4
    assert (short.state_bytes, long.state_bytes) == (48 * layer, 48 * layer)
    assert long.kv_bytes == 16384 * KIB * KIB
    paged = ask(QWEN35_27B, "vllm", context=4096)
    assert paged.state_bytes >= 48 * 48 * 128 * 128 * 4
    assert {"kv", "state"} <= set(paged.estimated)


@pytest.mark.parametrize(("engine", "cells"), [("transformers", 5001), ("vllm", 5008), ("mlx", 5120)])
def test_contexts_are_rounded_as_the_engine_does(engine, cells):
    answer = ask(LLAMA_8B, engine, context=5001)
    assert (answer.context, answer.kv[0].cells) == (cells, cells)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_attention_heads": None}, "head_count"),
        ({"num_hidden_layers": None}, "block_count"),
        ({"hidden_size": None}, "embedding_length"),
        ({"vocab_size": None}, "vocab_size"),
        ({"intermediate_size": None}, "feed_forward_length"),
        ({"model_type": "qwen3", "head_dim": None}, "key_length"),
        ({"model_type": "qwen3", "head_dim": 128, "num_key_value_heads": None}, "head_count_kv"),
        ({"model_type": "gemma2", "head_dim": 256}, "sliding_window"),
        ({"sliding_window": 4096}, "sliding window"),
        ({"kv_lora_rank": 512}, "latent"),
        ({"layer_types": ["full_attention"] * 31}, "layer_types"),
        ({"layer_types": ["brandnew"] * 32}, "brandnew"),
        ({"model_type": "brandnew"}, "architecture"),
        ({"model_type": None}, "architecture"),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_fact_is_named_and_there_is_no_total(change, named, engine):
    config = {key: value for key, value in {**LLAMA_8B, **change}.items() if value is not None}
    answer = ask(config, engine, context=4096)
    assert answer.total_bytes is None
    assert named in " ".join(answer.unknown)


def test_a_type_that_nothing_names_is_unknown():
    config = {key: value for key, value in LLAMA_8B.items() if key != "torch_dtype"}
    answer = estimate(metadata_of(config, quantization="GPTQ-4bit"), MemoryRequest(context=4096))
    assert (answer.kv, answer.total_bytes) == (None, None)
    assert "type" in " ".join(answer.unknown)


def test_cache_types_of_another_engine_are_unknown():
    answer = ask(LLAMA_8B, "vllm", context=4096, cache_k="q8_0")
    assert answer.total_bytes is None
    assert "q8_0" in " ".join(answer.unknown)


def test_plain_weights_are_exact_in_the_type_that_they_are_loaded_in():
    config = {**LLAMA_8B, "torch_dtype": "float32"}
    plain = metadata_of(config, quantization="F32", parameters=1000, tensor_types={"F32": 3}, size_bytes=4100)
    sizes = {
        engine: estimate(plain, MemoryRequest(engine=engine, context=4096)).weights_bytes["device"]
        for engine in ENGINES
    }
    assert sizes == {"transformers": 4000, "vllm": 2000, "mlx": 4000}
    packed = estimate(metadata_of(LLAMA_8B, quantization="AWQ-4bit"), MemoryRequest(context=4096))
    assert packed.weights_bytes == {"device": 1000, "host": 0}
    assert "weights" in packed.estimated


def test_everything_lies_on_the_host_without_a_device():
    answer = ask(LLAMA_8B, "transformers", context=4096, device_layers=0)
    assert (answer.device_bytes, answer.host_bytes) == (0, answer.total_bytes)
    placed = ask(LLAMA_8B, "transformers", context=4096)
    assert (placed.device_bytes, placed.host_bytes) == (placed.total_bytes, 0)


def test_the_engine_goes_by_format_and_packing():
    def usual(**fields):
        model = ModelConfig(id="one", path="one.safetensors", metadata=metadata_of(LLAMA_8B, **fields))
        answer = modelshelf_estimate_memory(model, MemoryRequest(context=4096))
        return answer and answer.engine

    assert usual() == "transformers"
    assert usual(quantization="MLX-4bit") == "mlx"
    assert usual(format="gguf") == "llama.cpp"
    assert usual(format="onnx") is None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("config", MODELS, ids=lambda one: one["model_type"])
@given(
    contexts=st.tuples(st.integers(1, 1 << 20), st.integers(1, 1 << 20)),
    ubatches=st.tuples(st.integers(1, 16384), st.integers(1, 16384)),
    sequences=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    flash=st.booleans(),
)
def test_more_context_batch_or_sequences_never_need_less(
    engine, config, contexts, ubatches, sequences, flash
):
    small, large = (
        ask(
            config,
            engine,
            context=pick(contexts),
            ubatch=pick(ubatches),
            parallel=pick(sequences),
            unified=True,
            flash=flash,
        )
        for pick in (min, max)
    )
    for name in ("kv_bytes", "state_bytes", "compute_low_bytes", "compute_high_bytes", "total_bytes"):
        assert getattr(small, name) <= getattr(large, name), name
    assert small.compute_low_bytes <= small.compute_high_bytes


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(MODEL_TYPES))
def test_every_known_model_type_gets_numbers_or_a_reason(name, engine):
    answer = ask({**LLAMA_8B, "model_type": name}, engine, context=4096)
    assert (answer.total_bytes is None) == bool(answer.unknown)
    assert not set(answer.exact) & set(answer.estimated)
