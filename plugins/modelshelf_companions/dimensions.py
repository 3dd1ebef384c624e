"""A language model's dimensions as engines use them, out of the many ways in which configs write them.

Sources: the configuration classes of transformers, and what llama.cpp's ``convert_hf_to_gguf.py`` takes from
them. Names of details are those that GGUF headers have for the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelshelf_companions.documents import count_of, text_of

Members = Mapping[str, Any]
Found = tuple[str, int]  # the key, and its value

_OFFSET_POSITIONS = frozenset(
    {
        "bridgetower_text_model",
        "camembert",
        "data2vec-text",
        "esm",
        "ibert",
        "layoutlmv3",
        "lilt",
        "longformer",
        "luke",
        "markuplm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Model types whose positions begin behind the padding's index: the table has more rows than tokens."""

_USUAL_PADDING = 1
_MOST_LAYERS = 1024

DETAILS: dict[str, tuple[str, ...]] = {
    "feed_forward_length": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"),
    "key_length": ("head_dim", "kv_channels", "attention_head_dim"),
    "value_length": ("v_head_dim", "head_dim", "kv_channels"),
    "sliding_window_pattern": ("sliding_window_pattern", "_sliding_window_pattern"),
    "kv_lora_rank": ("kv_lora_rank",),
    "q_lora_rank": ("q_lora_rank",),
    "rope_dimension_count": ("qk_rope_head_dim", "rotary_dim"),
    "expert_count": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "expert_used_count": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "moe_top_k",
        "top_k_experts",
        "moe_topk",
    ),
    "expert_shared_count": ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"),
    "expert_feed_forward_length": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "leading_dense_block_count": ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"),
    "nextn_predict_layers": ("num_nextn_predict_layers", "mtp_num_hidden_layers", "mtp_num_layers"),
    "full_attention_interval": ("full_attention_interval", "attn_layer_period"),
    "shared_kv_layers": ("num_kv_shared_layers",),
    "ssm_state_size": ("mamba_d_state", "ssm_state_size", "state_size"),
    "ssm_conv_kernel": ("mamba_d_conv", "linear_conv_kernel_dim", "conv_kernel", "conv_L_cache"),
    "ssm_inner_size": ("mamba_d_ssm", "mamba_intermediate_size"),
    "ssm_head_count": ("mamba_n_heads", "mamba_num_heads"),
    "ssm_head_length": ("mamba_d_head", "mamba_head_dim"),
    "ssm_group_count": ("mamba_n_groups", "n_groups"),
    "ssm_expansion": ("mamba_expand", "expand"),
    "linear_key_heads": ("linear_num_key_heads",),
    "linear_value_heads": ("linear_num_value_heads",),
    "linear_key_length": ("linear_key_head_dim",),
    "linear_value_length": ("linear_value_head_dim",),
    "recurrence_width": ("lru_width", "attention_hidden_size"),
}
"""What decides memory and has no field of its own: names of details, and the keys of each."""

_NESTED_DETAILS = {
    "expert_count": "moe_num_experts",
    "expert_used_count": "moe_top_k",
    "feed_forward_length": "ffn_hidden_size",
}


def context_of(parts: list[Members]) -> Found | None:
    """Find a context length where it is not what the usual key says."""
    for part in parts:
        kind = text_of(part.get("model_type"))
        positions = count_of(part.get("max_position_embeddings"))
        if kind in _OFFSET_POSITIONS and positions is not None:
            padding = part.get("pad_token_id", _USUAL_PADDING)
            offset = padding + 1 if type(padding) is int and padding >= 0 else _USUAL_PADDING + 1
            return ("max_position_embeddings", positions - offset) if positions > offset else None
        targets = count_of(part.get("max_target_positions"))
        if targets is not None:  # speech: what the decoder writes
            return "max_target_positions", targets
    return None


def kv_heads_of(parts: list[Members]) -> Found | None:
    """Find the number of key-value heads where it is not what the usual key says."""
    for part in parts:
        rule = _KV_HEADS.get(text_of(part.get("model_type")) or "")
        if rule is not None and (found := rule(part)) is not None:
            return found
    return None


def _heads(part: Members) -> int | None:
    return next(
        (one for key in ("num_attention_heads", "n_head", "n_heads") if (one := count_of(part.get(key)))),
        None,
    )


def _falcon(part: Members) -> Found | None:
    if part.get("new_decoder_architecture") is True:
        key = "num_kv_heads" if "num_kv_heads" in part else "n_head_kv"
        value = count_of(part.get(key))
    elif part.get("multi_query", True) is True:
        key, value = "multi_query", 1
    else:
        key, value = "multi_query", _heads(part)
    return None if value is None else (key, value)


def _big_code(part: Members) -> Found | None:
    value = 1 if part.get("multi_query", True) is True else _heads(part)
    return None if value is None else ("multi_query", value)


def _mpt(part: Members) -> Found | None:
    settings = part.get("attn_config")
    settings = settings if isinstance(settings, dict) else {}
    kind = settings.get("attn_type", "multihead_attention")
    heads = count_of(settings.get("kv_n_heads"))
    if heads is None and kind in {"multiquery_attention", "multihead_attention"}:
        heads = 1 if kind == "multiquery_attention" else _heads(part)
    return None if heads is None else ("attn_config.kv_n_heads", heads)


def _chatglm(part: Members) -> Found | None:
    grouped = part.get("multi_query_attention") is True
    value = count_of(part.get("multi_query_group_num")) if grouped else _heads(part)
    return None if value is None else ("multi_query_group_num" if grouped else "num_attention_heads", value)


_KV_HEADS: dict[str, Callable[[Members], Found | None]] = {
    "falcon": _falcon,
    "RefinedWeb": _falcon,
    "RefinedWebModel": _falcon,
    "gpt_bigcode": _big_code,
    "mpt": _mpt,
    "dbrx": _mpt,
    "chatglm": _chatglm,
}


def memory_details(parts: list[Members]) -> dict[str, Any]:
    """Collect what decides the memory of a model and has no field of its own."""
    details: dict[str, Any] = {}
    for name, keys in DETAILS.items():
        value = next((one for part in parts for key in keys if (one := count_of(part.get(key)))), None)
        if value is not None:
            details[name] = value
    for part in parts:
        details = {**_nested(part), **_low_rank_heads(part), **_windows(part), **details}
    return details


def _nested(part: Members) -> dict[str, int]:
    inner = part.get("ffn_config")
    if not isinstance(inner, dict):
        return {}
    return {name: value for name, key in _NESTED_DETAILS.items() if (value := count_of(inner.get(key)))}


def _low_rank_heads(part: Members) -> dict[str, int]:
    """Key lengths of attention with low-rank keys, which is a sum."""
    plain, turned = count_of(part.get("qk_nope_head_dim")), count_of(part.get("qk_rope_head_dim"))
    return {} if plain is None or turned is None else {"key_length": plain + turned}


def _windows(part: Members) -> dict[str, Any]:
    """The sliding window where it is used, and which layers have what kind of attention."""
    found: dict[str, Any] = {}
    window = count_of(part.get("sliding_window")) or count_of(part.get("attention_window"))
    used = part.get("use_sliding_window", not (text_of(part.get("model_type")) or "").startswith("qwen"))
    if window is not None and used is not False:
        found["sliding_window"] = window
        first = count_of(part.get("max_window_layers"))
        if first is not None and part.get("layer_types") is None:  # the layers before it see everything
            found["max_window_layers"] = first
    types = part.get("layer_types")
    if isinstance(types, list) and len(types) <= _MOST_LAYERS and all(map(text_of, types)):
        found["layer_types"] = _runs(types)
    pattern = text_of(part.get("hybrid_override_pattern"))
    if pattern is not None:
        found["layer_pattern"] = pattern
    return found


def _runs(types: list[str]) -> list[list[Any]]:
    """Write equal neighbours as one: how many, and which."""
    runs: list[list[Any]] = []
    for one in types:
        if runs and runs[-1][1] == one:
            runs[-1][0] += 1
        else:
            runs.append([1, one])
    return runs
