from __future__ import annotations

import pytest

from modelshelf_companions.config import from_config


def read(**config):
    return from_config(config, "config.json")


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 8194}, 8192),
        ({"model_type": "longformer", "max_position_embeddings": 4098, "pad_token_id": 1}, 4096),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 0}, 513),
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "whisper", "max_target_positions": 448, "max_source_positions": 1500}, 448),
        ({"thinker_config": {"text_config": {"max_position_embeddings": 32768}}}, 32768),
    ],
)
def test_a_context_is_what_an_engine_can_fill(config, context):
    assert read(**config).context_length == context


@pytest.mark.parametrize(
    ("config", "heads"),
    [
        ({"model_type": "falcon", "num_attention_heads": 71, "num_kv_heads": 71, "multi_query": True}, 1),
        ({"model_type": "falcon", "num_kv_heads": 8, "new_decoder_architecture": True}, 8),
        ({"model_type": "falcon", "num_attention_heads": 64, "multi_query": False}, 64),
        ({"model_type": "RefinedWebModel", "n_head": 71, "multi_query": True}, 1),
        ({"model_type": "gpt_bigcode", "n_head": 48}, 1),
        ({"model_type": "gpt_bigcode", "n_head": 48, "multi_query": False}, 48),
        ({"model_type": "mpt", "n_heads": 32, "attn_config": {"kv_n_heads": 8}}, 8),
        ({"model_type": "mpt", "n_heads": 32, "attn_config": {"attn_type": "multiquery_attention"}}, 1),
        ({"model_type": "mpt", "n_heads": 32}, 32),
        ({"model_type": "dbrx", "n_heads": 48, "attn_config": {"kv_n_heads": 8}}, 8),
        ({"model_type": "chatglm", "multi_query_attention": True, "multi_query_group_num": 2}, 2),
        ({"model_type": "chatglm", "num_attention_heads": 32, "multi_query_group_num": 2}, 32),
        ({"model_type": "mpt", "attn_config": "x"}, None),
    ],
)
def test_key_value_heads_are_those_that_a_cache_has(config, heads):
    assert read(**config).head_count_kv == heads


@pytest.mark.parametrize(
    ("config", "details"),
    [
        (
            {"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64},
            {"kv_lora_rank": 512, "q_lora_rank": 1536, "key_length": 192, "rope_dimension_count": 64},
        ),
        ({"head_dim": 256}, {"key_length": 256, "value_length": 256}),
        ({"sliding_window": 4096, "use_sliding_window": False}, {}),
        ({"sliding_window": 4096, "model_type": "qwen2"}, {}),
        ({"sliding_window": 4096, "model_type": "mistral"}, {"sliding_window": 4096}),
        (
            {"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True, "max_window_layers": 2},
            {"sliding_window": 8, "max_window_layers": 2},
        ),
        (
            {"sliding_window": 512, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]},
            {"sliding_window": 512, "layer_types": [[5, "sliding_attention"], [1, "full_attention"]]},
        ),
        (
            {"n_routed_experts": 256, "num_experts_per_tok": 8, "num_nextn_predict_layers": 1},
            {"expert_count": 256, "expert_used_count": 8, "nextn_predict_layers": 1},
        ),
        (
            {"ffn_config": {"moe_num_experts": 16, "moe_top_k": 4}},
            {"expert_count": 16, "expert_used_count": 4},
        ),
        ({"mamba_d_state": 128, "mamba_d_conv": 4}, {"ssm_state_size": 128, "ssm_conv_kernel": 4}),
        ({"text_config": {"num_local_experts": 8}}, {"expert_count": 8}),
        ({"layer_types": [1], "head_dim": "x"}, {}),
    ],
)
def test_what_decides_memory_is_a_detail(config, details):
    found = dict(read(**config).details)
    found.pop("likely_kind", None)  # which goes by the model type alone
    assert found == details
