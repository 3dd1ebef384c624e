from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelshelf.model import MemoryRequest
from modelshelf_fit.architectures import ARCHITECTURES, ENCODERS
from modelshelf_fit.llama_cpp import estimate
from tests.plugins.modelshelf_fit.truth import MIB

BYTES = {"input": 1000, "output": 0, "other": 10, "layers": [[2, 100, 60], [2, 200, 0]]}


def facts(architecture="llama", **keys):
    usual = {
        "block_count": 4,
        "context_length": 8192,
        "embedding_length": 512,
        "vocab_size": 32000,
        "feed_forward_length": 2048,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
    }
    given_keys = {name.replace("__", "."): value for name, value in keys.items()}
    kept = {name: value for name, value in {**usual, **given_keys}.items() if value is not None}
    return {"architecture": architecture, "keys": kept, "bytes": BYTES}


def kv_mib(memory, **request):
    answer = estimate(memory, MemoryRequest(**request))
    assert answer.unknown == ()
    return answer.kv_bytes / MIB


@pytest.mark.parametrize("architecture", ["brandnew", "", None, 7, ["llama"][0] + "2"])
def test_an_unknown_architecture_gives_no_number_and_says_why(architecture):
    answer = estimate(facts(architecture), MemoryRequest(context=4096))
    numbers = [getattr(answer, one.name) for one in attrs.fields(type(answer)) if one.name.endswith("_bytes")]
    assert [one for one in numbers if one] == []
    assert (answer.total_bytes, answer.kv, answer.context) == (None, None, None)
    assert "architecture" in answer.unknown[0]


def test_a_record_of_before_is_unknown_and_names_the_scan_that_helps():
    answer = estimate(None, MemoryRequest(context=4096))
    assert answer.total_bytes is None
    assert "modelshelf scan" in answer.unknown[0]


@pytest.mark.parametrize("key", ["attention__head_count", "embedding_length", "block_count"])
def test_a_missing_key_is_named_and_there_is_no_total(key):
    answer = estimate(facts(**{key: None}), MemoryRequest(context=4096))
    assert answer.total_bytes is None
    assert key.replace("__", ".") in " ".join(answer.unknown)


@pytest.mark.parametrize("lie", [-1, True and "x", 2**60, 1.5, [], {}])
@pytest.mark.parametrize("key", ["block_count", "attention__head_count_kv", "embedding_length", "vocab_size"])
def test_a_lying_header_costs_items_and_raises_nothing(key, lie):
    assert estimate(facts(**{key: lie}), MemoryRequest(context=4096)).total_bytes is None


DEEPSEEK_R1 = facts(
    "deepseek2",
    block_count=61,
    embedding_length=7168,
    attention__head_count=128,
    attention__head_count_kv=1,
    attention__key_length=576,
    attention__value_length=512,
    attention__kv_lora_rank=512,
    attention__key_length_mla=192,
    attention__value_length_mla=128,
    rope__dimension_count=64,
)
QWEN3_235B = facts(
    "qwen3moe",
    block_count=94,
    embedding_length=4096,
    attention__head_count=64,
    attention__head_count_kv=4,
    attention__key_length=128,
    attention__value_length=128,
)
QWEN3_32B = facts(
    "qwen3",
    block_count=64,
    embedding_length=5120,
    attention__head_count=64,
    attention__head_count_kv=8,
    attention__key_length=128,
    attention__value_length=128,
)
R1_PLAIN = facts(
    "deepseek2",
    block_count=61,
    embedding_length=7168,
    attention__head_count=128,
    attention__head_count_kv=128,
    attention__key_length=192,
    attention__value_length=128,
)


@pytest.mark.parametrize(
    ("memory", "request_", "mib"),
    [
        (DEEPSEEK_R1, {"context": 32768, "cache_k": "q8_0"}, 1166.62),
        (DEEPSEEK_R1, {"context": 32768}, 2196.00),
        (DEEPSEEK_R1, {"context": 131072, "cache_k": "q8_0"}, 4666.50),
        (DEEPSEEK_R1, {"context": 163840, "cache_k": "q8_0"}, 5833.12),
        (DEEPSEEK_R1, {"context": 65536, "cache_k": "q8_0"}, 2333.25),
        (R1_PLAIN, {"context": 2048, "flash": False}, 9760.00),
        (QWEN3_235B, {"context": 40960, "cache_k": "q8_0", "cache_v": "q8_0", "ubatch": 4096}, 3995.00),
        (QWEN3_235B, {"context": 32768}, 6016.00),
        (QWEN3_235B, {"context": 8192, "cache_k": "q8_0"}, 1151.50),
        (QWEN3_235B, {"context": 65536, "cache_k": "q8_0", "cache_v": "q8_0"}, 6392.00),
        (QWEN3_32B, {"context": 8192, "ubatch": 1024}, 2048.00),
        (QWEN3_32B, {"context": 40960, "flash": False}, 10240.00),
        (QWEN3_32B, {"context": 16896, "cache_k": "q8_0", "cache_v": "q8_0"}, 2244.00),
    ],
)
def test_published_sizes_of_caches_are_met(memory, request_, mib):
    assert kv_mib(memory, **request_) == pytest.approx(mib, abs=0.01)


def test_heads_may_differ_by_layer_and_a_layer_without_heads_keeps_nothing():
    memory = facts("deci", attention__head_count_kv=[2, 0, 1, 1])
    assert kv_mib(memory, context=1024) == 1024 * 64 * (2 + 1 + 1) * 2 * 2 / MIB


def test_values_are_padded_to_the_widest_layer_without_flash_attention():
    memory = facts("deci", attention__head_count_kv=[2, 1, 1, 1])
    assert kv_mib(memory, context=1024, flash=False) == 1024 * 64 * (5 + 8) * 2 / MIB


def test_the_last_layers_may_use_the_cache_of_one_before():
    memory = facts("gemma4", attention__sliding_window=512, attention__shared_kv_layers=2)
    memory["keys"]["attention.sliding_window_pattern"] = [1, 0, 1, 0]
    answer = estimate(memory, MemoryRequest(context=8192))
    assert {one.kind: (one.cells, one.layers) for one in answer.kv} == {
        "full": (8192, 1),
        "sliding window": (1024, 1),
    }


def test_windows_that_the_header_must_place_are_unknown_without_it():
    answer = estimate(facts("gemma4", attention__sliding_window=512), MemoryRequest(context=8192))
    assert (answer.kv, answer.total_bytes) == (None, None)
    assert "sliding window" in " ".join(answer.unknown)


def test_sequences_that_share_a_cache_widen_its_window():
    memory = facts("gpt-oss", attention__sliding_window=128)
    apart, shared = (
        estimate(memory, MemoryRequest(context=8192, parallel=4, unified=one)).kv for one in (False, True)
    )
    assert [(one.cells, one.streams) for one in apart] == [(768, 4), (2048, 4)]
    assert [(one.cells, one.streams) for one in shared] == [(1024, 1), (8192, 1)]


def test_rwkv_keeps_a_state_of_heads_and_no_cache():
    answer = estimate(facts("rwkv7", wkv__head_size=64), MemoryRequest(context=4096, parallel=2))
    assert answer.kv == ()
    assert answer.state_bytes == 4 * 2 * 4 * 512 * (2 + 64)


def test_layers_go_to_the_device_from_the_back_and_a_tied_output_is_copied_there():
    of = {
        placed: estimate(facts(), MemoryRequest(context=1024, device_layers=placed)).weights_bytes
        for placed in (0, 1, 2, None)
    }
    assert of[0] == {"device": 0, "host": 1000 + 10 + 600}
    assert of[1] == {"device": 1000 + 10, "host": 1000 + 600}
    assert of[2] == {"device": 1000 + 10 + 200, "host": 1000 + 400}
    assert of[None] == {"device": 1000 + 10 + 600, "host": 1000}


def test_caches_lie_beside_their_layers():
    half = estimate(facts(), MemoryRequest(context=1024, device_layers=3)).kv[0]
    assert half.device_bytes * 2 == half.k_bytes + half.v_bytes


CASES = [
    facts(),
    facts("gemma3", attention__sliding_window=512),
    facts("lfm2", shortconv__l_cache=3, attention__head_count_kv=[0, 2, 0, 2]),
    facts("mamba", ssm__conv_kernel=4, ssm__inner_size=1024, ssm__state_size=16),
    facts("bert"),
    facts("dream"),
    {**DEEPSEEK_R1},
    facts("qwen3moe", expert_count=8, expert_used_count=2, expert_feed_forward_length=256),
]


@pytest.mark.parametrize("memory", CASES, ids=lambda one: one["architecture"])
@given(
    contexts=st.tuples(st.integers(1, 1 << 20), st.integers(1, 1 << 20)),
    ubatches=st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
    sequences=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    flash=st.booleans(),
    full=st.booleans(),
)
def test_more_context_batch_or_sequences_never_need_less(memory, contexts, ubatches, sequences, flash, full):
    small, large = (
        estimate(
            memory,
            MemoryRequest(
                context=pick(contexts),
                ubatch=pick(ubatches),
                parallel=pick(sequences),
                unified=True,
                flash=flash,
                swa_full=full,
            ),
        )
        for pick in (min, max)
    )
    for name in ("kv_bytes", "state_bytes", "compute_low_bytes", "compute_high_bytes", "total_bytes"):
        assert getattr(small, name) <= getattr(large, name), name


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_known_architecture_gets_numbers_or_a_reason(architecture):
    answer = estimate(facts(architecture), MemoryRequest(context=4096))
    assert (answer.total_bytes is None) == bool(answer.unknown)
    if architecture in ENCODERS:
        assert answer.kv == ()
