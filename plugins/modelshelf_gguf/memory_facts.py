"""Keep what decides how much memory a model needs when it runs: header keys, and sizes of its parts.

An estimate reads these out of the record and opens no file. Layers of one size are kept as one run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelshelf_gguf import keys
from modelshelf_gguf.layout import INTEGERS, ValueType

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header, TensorInfo

_MOST_LAYERS = 4096
_KEYS = (
    "block_count",
    "context_length",
    "embedding_length",
    "vocab_size",
    "feed_forward_length",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "leading_dense_block_count",
    "nextn_predict_layers",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "attention.key_length_swa",
    "attention.value_length_swa",
    "attention.kv_lora_rank",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.shared_kv_layers",
    "attention.recurrent_layers",
    "attention.indexer.key_length",
    "attention.indexer.types",
    "full_attention_interval",
    "rope.dimension_count",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.group_count",
    "kda.head_dim",
    "wkv.head_size",
    "token_shift_count",
    "shortconv.l_cache",
)
_LISTED = INTEGERS | {ValueType.BOOL}
_BLOCK = re.compile(r"blk\.(\d{1,4})\.")
EXPERTS = re.compile(r"\.ffn_(?:up|down|gate_up|gate)(?:_(?:ch)?exps|\.\d+)\.")
"""A part of the names of tensors that are experts; older files have one of them a tensor."""

_INPUT = ("token_embd", "token_types", "position_embd", "per_layer_token_embd")


def memory_facts(headers: Sequence[Header]) -> dict[str, Any] | None:
    """Collect the facts of one model, the sizes over all its shards; None where no architecture is named."""
    first = headers[0]
    architecture = first.text(keys.ARCHITECTURE)
    if architecture is None or first.integer(f"{architecture}.block_count") is None:
        return None
    values = {key: _value(first, f"{architecture}.{key}") for key in _KEYS}
    if values["vocab_size"] is None:
        values["vocab_size"] = first.count(keys.TOKENS)
    facts: dict[str, Any] = {
        "architecture": architecture,
        "keys": {key: value for key, value in values.items() if value is not None},
    }
    sizes = None if any(one.fault for one in headers) else _sizes(headers)
    return facts if sizes is None else facts | {"bytes": sizes}


def _value(header: Header, key: str) -> int | bool | list[int] | None:
    """The number at a key, or one for each layer; one that all have in common is kept once."""
    field = header.fields.get(key)
    if field is None:
        return None
    if field.kind is ValueType.BOOL:
        return bool(field.value)
    number = header.integer(key)
    if number is not None:
        return number
    items = header.items(key, _LISTED)
    if not items or len(items) > _MOST_LAYERS or min(items) < 0:
        return None
    return [int(one) for one in items]


def _sizes(headers: Sequence[Header]) -> dict[str, Any] | None:
    parts = {"input": 0, "output": 0, "other": 0}
    layers: dict[int, list[int]] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.size is None:
                return None
            block = _BLOCK.match(tensor.name)
            if block is None:
                parts[_part(tensor)] += tensor.size
                continue
            sizes = layers.setdefault(int(block[1]), [0, 0])
            sizes[0] += tensor.size
            if EXPERTS.search(tensor.name):
                sizes[1] += tensor.size
    if not layers or max(layers) >= _MOST_LAYERS:
        return None
    return {**parts, "layers": _runs([layers.get(one, [0, 0]) for one in range(max(layers) + 1)])}


def _part(tensor: TensorInfo) -> str:
    if tensor.name.startswith(_INPUT):
        return "input"
    return "output" if tensor.name == "output.weight" else "other"


def _runs(layers: list[list[int]]) -> list[list[int]]:
    """Write equal neighbours as one: how many, bytes of each, bytes of its experts."""
    runs: list[list[int]] = []
    for sizes in layers:
        if runs and runs[-1][1:] == sizes:
            runs[-1][0] += 1
        else:
            runs.append([1, *sizes])
    return runs
