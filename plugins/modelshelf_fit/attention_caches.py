"""Caches of keys and values: how many cells, in which layers, and how wide.

Source: llama.cpp `llama_kv_cache`, `llama_kv_cache_iswa`, `llama_hparams` and each model's hyperparameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from modelshelf.model import CacheMemory, MemoryRequest
from modelshelf_fit.architectures import CACHELESS, ENCODERS, HYBRID, INDEXER, RECURRENT, WINDOWS
from modelshelf_fit.recurrent_state import recurrent_layers
from modelshelf_fit.shape import Facts, UnknownMemoryError

_BLOCKS = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "iq4_nl": (32, 18),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
}
"""Elements and bytes of one block, by type."""

_PAD = 256
_GEMMA3N_OWN_LAYERS = 20


@frozen(kw_only=True)
class CachedLayers:
    """Layers whose parts of a cache are alike.

    Attributes:
        kind: ``full``, ``sliding window`` or ``indexer``.
        k_width: Elements of keys for each token and layer.
        v_width: Elements of values.
        layers: The layers' numbers.
    """

    kind: str
    k_width: int
    v_width: int
    layers: tuple[int, ...]


@frozen(kw_only=True)
class Attention:
    """What is cached, whatever the request.

    Attributes:
        groups: The layers that have a cache.
        window: Tokens that layers with a sliding window see.
    """

    groups: tuple[CachedLayers, ...] = ()
    window: int = 0


def padded(cells: int) -> int:
    """Round up to a multiple of 256, as the engine does."""
    return -(-cells // _PAD) * _PAD


def row_bytes(cache_type: str, width: int) -> int:
    """Bytes of so many elements.

    Raises:
        UnknownMemoryError: They are no whole number of the type's blocks.
    """
    block, size = _BLOCKS[cache_type]
    if width % block:
        raise UnknownMemoryError(f"rows of {width} elements are no whole blocks of {cache_type}; choose f16")
    return width // block * size


def attention_of(facts: Facts) -> Attention:
    """Find out which layers cache what.

    Raises:
        UnknownMemoryError: The header lacks what decides it.
    """
    if facts.architecture in ENCODERS | CACHELESS | RECURRENT:
        return Attention()
    window, sliding = _sliding(facts)
    widths = _latent_widths(facts) if facts.latent else _widths(facts, sliding)
    owning = _owning(facts)
    found: dict[tuple[str, int, int], list[int]] = {}
    for layer in owning:
        kind = "sliding window" if sliding[layer] else "full"
        k_width, v_width = widths[layer]
        if k_width or v_width:
            found.setdefault((kind, k_width, v_width), []).append(layer)
    groups = [_group(*key, layers) for key, layers in found.items()]
    if facts.architecture in INDEXER:
        groups.append(_indexer(facts, owning))
    return Attention(groups=tuple(groups), window=window)


def caches(attention: Attention, request: MemoryRequest, context: int, first: int) -> list[CacheMemory]:
    """Size the caches for a request.

    Args:
        attention: What is cached.
        request: How the model is to be run.
        context: Tokens of all sequences together, padded.
        first: The first layer that lies on the device.

    Raises:
        UnknownMemoryError: A row is no whole number of the cache type's blocks.
    """
    streams = 1 if request.unified else request.parallel
    cells = context if request.unified else padded(context // request.parallel)
    sizes = {"full": cells, "indexer": cells, "sliding window": cells}
    if not request.swa_full:
        together = request.parallel if request.unified else 1
        ubatch = min(request.ubatch, context)
        sizes["sliding window"] = padded(min(cells, attention.window * together + ubatch))
    widest = _widest_values(attention.groups)
    made: dict[str, CacheMemory] = {}
    for group in attention.groups:
        rows = sizes[group.kind] * streams
        v_width = group.v_width if request.flash or not group.v_width else widest[group.kind]
        k_layer = rows * row_bytes(request.cache_k, group.k_width)
        v_layer = rows * row_bytes(request.cache_v, v_width)
        on_device = sum(1 for layer in group.layers if layer >= first)
        one = CacheMemory(
            kind=group.kind,
            cells=sizes[group.kind],
            streams=streams,
            layers=len(group.layers),
            k_bytes=k_layer * len(group.layers),
            v_bytes=v_layer * len(group.layers),
            device_bytes=(k_layer + v_layer) * on_device,
        )
        made[group.kind] = _joined(made[group.kind], one) if group.kind in made else one
    return list(made.values())


def _joined(one: CacheMemory, other: CacheMemory) -> CacheMemory:
    return CacheMemory(
        kind=one.kind,
        cells=one.cells,
        streams=one.streams,
        layers=one.layers + other.layers,
        k_bytes=one.k_bytes + other.k_bytes,
        v_bytes=one.v_bytes + other.v_bytes,
        device_bytes=one.device_bytes + other.device_bytes,
    )


def _widest_values(groups: Iterable[CachedLayers]) -> Counter[str]:
    """Without flash attention each row of values is as wide as the widest layer's."""
    widest: Counter[str] = Counter()
    largest = max((one.v_width for one in groups), default=0)
    for one in groups:
        widest[one.kind] = largest
    return widest


def _group(kind: str, k_width: int, v_width: int, layers: list[int]) -> CachedLayers:
    return CachedLayers(kind=kind, k_width=k_width, v_width=v_width, layers=tuple(layers))


def _owning(facts: Facts) -> list[int]:
    """The layers that have a cache of their own."""
    layers = facts.layers
    owning = range(layers)
    if facts.has("attention.shared_kv_layers"):  # so many at the end use the cache of one before
        owning = range(max(layers - facts.number("attention.shared_kv_layers"), 0))
    elif facts.architecture == "gemma3n":
        owning = range(min(layers, _GEMMA3N_OWN_LAYERS))
    if facts.architecture in HYBRID and facts.architecture != "falcon-h1":
        recurrent = set(recurrent_layers(facts))
        return [layer for layer in owning if layer not in recurrent]
    return list(owning)


def _latent_widths(facts: Facts) -> list[tuple[int, int]]:
    """One latent vector and the rotated part of the key; values are computed from it."""
    width = facts.number("attention.kv_lora_rank") + facts.number("rope.dimension_count")
    return [(width, 0)] * facts.layers


def _widths(facts: Facts, sliding: list[bool]) -> list[tuple[int, int]]:
    layers = facts.layers
    heads = facts.per_layer("attention.head_count", layers)
    named = facts.has("attention.head_count_kv")
    heads_kv = facts.per_layer("attention.head_count_kv", layers) if named else heads
    first = next((one for one in heads if one), 0)
    usual = facts.number("embedding_length") // first if first else 0
    key, value = facts.number("attention.key_length", usual), facts.number("attention.value_length", usual)
    key_window = facts.number("attention.key_length_swa", key)
    value_window = facts.number("attention.value_length_swa", value)
    return [
        (key_window * one, value_window * one) if windowed else (key * one, value * one)
        for one, windowed in zip(heads_kv, sliding, strict=True)
    ]


def _sliding(facts: Facts) -> tuple[int, list[bool]]:
    """The window's tokens, and which layers have one."""
    layers, rule = facts.layers, WINDOWS.get(facts.architecture)
    nowhere = (0, [False] * layers)
    if rule is None or (rule.blocks is not None and rule.blocks != facts.number("block_count")):
        return nowhere
    named = facts.has("attention.sliding_window")
    window = facts.number("attention.sliding_window", 0 if rule.fixed else rule.size)
    if not window:
        return nowhere
    window = rule.size if rule.fixed and named else window
    pattern = facts.keys.get("attention.sliding_window_pattern")
    if isinstance(pattern, list | tuple):
        flags = facts.per_layer("attention.sliding_window_pattern", layers)
        return window, [bool(one) for one in flags]
    if pattern is None and rule.period is None:
        raise UnknownMemoryError("the header does not say which layers have a sliding window")
    period = facts.number("attention.sliding_window_pattern", rule.period)
    if not period:
        return window, [True] * layers
    whole = 0 if rule.dense_first else period - 1
    return window, [layer % period != whole for layer in range(layers)]


def _indexer(facts: Facts, owning: list[int]) -> CachedLayers:
    """One more head of keys in each layer that has an indexer."""
    layers = owning
    types = facts.keys.get("attention.indexer.types")
    if isinstance(types, list | tuple):
        flags = facts.per_layer("attention.indexer.types", facts.layers)
        layers = [layer for layer in owning if flags[layer]]
    return _group("indexer", facts.number("attention.indexer.key_length"), 0, layers)
