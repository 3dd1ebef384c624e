"""Recurrent state: what layers keep for each sequence, however long it is; always as 32-bit floats.

Source: llama.cpp `llama_hparams::n_embd_r`, `n_embd_s` and `is_recurrent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf_fit.architectures import HYBRID, INTERVAL, RECURRENT, RWKV

if TYPE_CHECKING:
    from modelshelf_fit.shape import Facts

_FLOAT = 4
_DEFAULT_INTERVAL = 4


def recurrent_layers(facts: Facts) -> list[int]:
    """The layers that keep a state.

    Raises:
        UnknownMemoryError: The header does not say which.
    """
    layers = facts.layers
    if facts.architecture in RECURRENT or facts.architecture == "falcon-h1":
        return list(range(layers))
    if facts.architecture not in HYBRID:
        return []
    if facts.has("attention.recurrent_layers"):
        flags = facts.per_layer("attention.recurrent_layers", layers)
        return [layer for layer in range(layers) if flags[layer]]
    if facts.architecture in INTERVAL:
        interval = facts.number("full_attention_interval", _DEFAULT_INTERVAL) or _DEFAULT_INTERVAL
        return [layer for layer in range(layers) if (layer + 1) % interval]
    heads = facts.per_layer("attention.head_count_kv", layers)
    if facts.architecture.startswith("nemotron_h"):  # a layer of experts alone has neither
        widths = facts.per_layer("feed_forward_length", layers)
        return [layer for layer in range(layers) if not heads[layer] and not widths[layer]]
    return [layer for layer in range(layers) if not heads[layer]]


def state_bytes_per_layer(facts: Facts) -> int:
    """Bytes that one layer keeps for one sequence.

    Raises:
        UnknownMemoryError: The header lacks a size.
    """
    width = facts.number("embedding_length")
    if facts.architecture in RWKV:
        shifts = facts.number("token_shift_count", 2)
        return _FLOAT * width * (shifts + facts.number("wkv.head_size"))
    if facts.has("shortconv.l_cache"):
        return _FLOAT * width * max(facts.number("shortconv.l_cache") - 1, 0)
    if facts.has("kda.head_dim"):
        head, heads = facts.number("kda.head_dim"), facts.number("attention.head_count")
        before = max(facts.number("ssm.conv_kernel") - 1, 0)
        return _FLOAT * (3 * before * heads * head + head * head * heads)
    inner, state = facts.number("ssm.inner_size"), facts.number("ssm.state_size")
    before = max(facts.number("ssm.conv_kernel") - 1, 0)
    groups = facts.number("ssm.group_count", 0)
    return _FLOAT * (before * (inner + 2 * groups * state) + state * inner)
