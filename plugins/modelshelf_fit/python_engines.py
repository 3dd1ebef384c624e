"""Put the items together as transformers, vLLM and mlx-lm do, for models with a ``config.json``.

Sources: `cache_utils.py` of transformers 5.24, `vllm/v1/kv_cache_interface.py`, `mlx_lm/models/cache.py`.
Weights and caches follow their rules; buffers and what is kept free are estimates with a low and a high end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from modelshelf.model import CacheMemory, MemoryEstimate, MemoryRequest, ModelMetadata
from modelshelf_fit.config_families import MAMBA
from modelshelf_fit.config_shape import ConfigFacts, attention_of, state_of
from modelshelf_fit.shape import UnknownMemoryError

if TYPE_CHECKING:
    from modelshelf_fit.attention_caches import Attention, CachedLayers

T = TypeVar("T")

_FLOAT = 4
_FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
_CUDA = 512 << 20  # bytes that a process takes of a card before it computes anything
_CACHE_BYTES = {"f32": 4, "bf16": 2}


@frozen(kw_only=True)
class _Engine:
    """How an engine lays out memory.

    Attributes:
        step: Caches grow by so many tokens.
        batch: Most tokens of one computation that it takes by itself; None means the whole prompt.
        sequences: Sequences that it reserves logits for, whatever is asked for.
        newest: Tokens of a window that are not cached, for they are being computed.
    """

    step: int
    batch: int | None
    sequences: int
    newest: int


_ENGINES = {
    "transformers": _Engine(step=1, batch=None, sequences=1, newest=1),
    "vllm": _Engine(step=16, batch=8192, sequences=256, newest=1),
    "mlx": _Engine(step=256, batch=2048, sequences=1, newest=0),
}


def estimate(metadata: ModelMetadata, request: MemoryRequest) -> MemoryEstimate:
    """Estimate what a model needs.

    Args:
        metadata: What the record keeps of it.
        request: How it is to be run; without an engine mlx runs what is packed for it, transformers the rest.
    """
    packed_for_mlx = (metadata.quantization or "").startswith("MLX")
    name = request.engine or ("mlx" if packed_for_mlx else "transformers")
    facts = _try(lambda: ConfigFacts.of(metadata, name))
    if isinstance(facts, str):
        return MemoryEstimate(engine=name, unknown=(facts,))
    trained = metadata.context_length
    wanted = request.context or trained
    if not wanted:
        reason = "context: the config does not say what it was trained for; give a context"
        return MemoryEstimate(engine=name, context_max=trained, unknown=(reason,))
    if packed_for_mlx and name != "mlx":
        reason = f"weights: {name} does not run what is packed for MLX"
        return MemoryEstimate(engine=name, context_max=trained, unknown=(reason,))
    return _sum(facts, request, wanted)


def _sum(facts: ConfigFacts, request: MemoryRequest, wanted: int) -> MemoryEstimate:
    attention = _try(lambda: attention_of(facts))
    kv: list[CacheMemory] | str = (
        attention if isinstance(attention, str) else _try(lambda: _caches(facts, attention, request, wanted))
    )
    state = _try(lambda: _state(facts, attention, request.parallel))
    weights, exact_weights = _weights(facts)
    buffers = _try(lambda: _buffers(facts, request, wanted))
    on_device = request.device_layers != 0
    low, high = buffers if isinstance(buffers, tuple) else (None, None)
    items = {"weights": weights, "kv": kv, "state": state, "compute": buffers}
    unknown = tuple([f"{name}: {item}" for name, item in items.items() if isinstance(item, str)])
    overhead: int | None = None
    if not isinstance(weights, str) and not isinstance(kv, str) and not isinstance(state, str) and high:
        caches = sum(one.k_bytes + one.v_bytes for one in kv)
        overhead = _overhead(facts.engine, weights + caches + state + high, on_device=on_device)
    rules = {
        "weights": exact_weights,
        "kv": _exact_caches(facts, attention),
        "state": state == 0 or facts.engine == "transformers",
        "output": True,
    }
    known = [name for name in rules if not isinstance(items.get(name), str)]
    estimated = [name for name in known if not rules[name]]
    estimated += ["compute"] * (low is not None) + ["overhead"] * (overhead is not None)
    streams = 1 if request.unified else request.parallel
    return MemoryEstimate(
        engine=facts.engine,
        context=_up(-(-wanted // streams), _ENGINES[facts.engine].step) * streams,
        context_max=facts.metadata.context_length,
        weights_bytes=None if isinstance(weights, str) else _placed(weights, on_device=on_device),
        kv=None if isinstance(kv, str) else tuple(_on(kv, on_device=on_device)),
        state_bytes=None if isinstance(state, str) else state,
        state_device_bytes=state if on_device and not isinstance(state, str) else 0,
        compute_low_bytes=low,
        compute_high_bytes=high,
        output_bytes=0,  # logits stay with the other buffers
        overhead_bytes=overhead,
        device_layers=max(facts.metadata.block_count or 1, 1) if on_device else 0,
        exact=tuple([name for name in known if rules[name]]),
        estimated=tuple(estimated),
        unknown=unknown if overhead is not None or unknown else ("overhead: it depends on the buffers",),
    )


def _exact_caches(facts: ConfigFacts, attention: Attention | str) -> bool:
    """Whether the caches follow from the config alone: not from settings or the version of the engine."""
    if isinstance(attention, str) or not attention.groups:
        return True
    if facts.engine == "transformers":
        return not facts.latent  # versions before 5 cached keys and values of every head
    return attention.window == 0 and (facts.engine == "vllm" or not facts.latent) and not _hybrid(facts)


def _hybrid(facts: ConfigFacts) -> bool:
    found = _try(lambda: state_of(facts))
    return not isinstance(found, str) and found[0] > 0


def _caches(
    facts: ConfigFacts, attention: Attention, request: MemoryRequest, wanted: int
) -> list[CacheMemory]:
    if not attention.groups:
        return []
    engine, size = _ENGINES[facts.engine], facts.float_bytes
    for cache_type in (request.cache_k, request.cache_v):  # f16 is what nobody chose
        if cache_type != "f16" and _CACHE_BYTES.get(cache_type) != size:
            raise UnknownMemoryError(f"{facts.engine} caches in the model's own type, not in {cache_type}")
    streams = 1 if request.unified else request.parallel
    together = request.parallel if request.unified else 1
    asked = -(-wanted // streams)
    step = _page_tokens(facts, attention)
    cells = {"full": _up(asked, step), "sliding window": _up(asked, step)}
    if attention.window and not request.swa_full:
        least = (attention.window - engine.newest) * together
        if facts.engine == "vllm":
            batch = max(engine.batch or 0, request.ubatch)
            rows = _up(min(least + batch, asked), step) + step  # a window may begin within a block
        elif facts.engine == "mlx":
            rows = min(least + max(engine.batch or 0, request.ubatch), _up(asked, step))
        else:
            rows = min(least, asked)
        cells["sliding window"] = rows
    return [_cache(group, cells[group.kind], streams, size) for group in attention.groups]


def _cache(group: CachedLayers, cells: int, streams: int, size: int) -> CacheMemory:
    rows = cells * streams * len(group.layers) * size
    return CacheMemory(
        kind=group.kind,
        cells=cells,
        streams=streams,
        layers=len(group.layers),
        k_bytes=rows * group.k_width,
        v_bytes=rows * group.v_width,
    )


def _page_tokens(facts: ConfigFacts, attention: Attention) -> int:
    """Tokens of one block. vLLM makes those of hybrids so large that a layer's state fits into one."""
    step = _ENGINES[facts.engine].step
    layers, size = state_of(facts)
    if facts.engine != "vllm" or not layers or not attention.groups:
        return step
    row = (attention.groups[0].k_width + attention.groups[0].v_width) * facts.float_bytes
    return max(_up(-(-size // row), step), step) if row else step


def _state(facts: ConfigFacts, attention: Attention | str, parallel: int) -> int:
    layers, size = state_of(facts)
    if layers and facts.engine == "vllm" and not isinstance(attention, str) and attention.groups:
        row = (attention.groups[0].k_width + attention.groups[0].v_width) * facts.float_bytes
        size = max(size, _page_tokens(facts, attention) * row)
    return layers * size * parallel


def _weights(facts: ConfigFacts) -> tuple[int | str, bool]:
    """Bytes of weights, and whether they are exact: plain ones are, in the type that they are loaded in."""
    metadata = facts.metadata
    stored = _FLOATS.get(metadata.quantization or "")
    if stored and metadata.parameters and len(metadata.tensor_types or {}) == 1:
        loaded = 2 if facts.engine == "vllm" else stored
        # Layers that predict further tokens lie in the file, and not every engine loads them.
        return metadata.parameters * loaded, not facts.has("nextn_predict_layers")
    if metadata.size_bytes is None:
        return "the record has no size", False
    return metadata.size_bytes, False


def _buffers(facts: ConfigFacts, request: MemoryRequest, wanted: int) -> tuple[int, int]:
    """The least that buffers take, for one new token, and the most, for a batch of a prompt.

    Raises:
        UnknownMemoryError: The config lacks a width.
    """
    engine, size = _ENGINES[facts.engine], facts.float_bytes
    width, heads = facts.number("embedding_length"), facts.number("head_count", 0)
    logits = _FLOAT * facts.number("vocab_size")
    experts = facts.number("expert_feed_forward_length", 0) * facts.number("expert_used_count", 1)
    plain = 2 * width if facts.architecture in MAMBA else None  # its layers widen twice instead
    inner = max(facts.number("feed_forward_length", experts or plain), experts)
    token = size * (4 * width + 3 * inner)
    sequences = max(request.parallel, engine.sequences)
    low = request.parallel * (token + logits)
    batch = wanted if engine.batch is None else min(max(engine.batch, request.ubatch), wanted)
    high = batch * token + 2 * sequences * logits
    per_sequence = -(-wanted // (1 if request.unified else request.parallel))
    if facts.engine == "transformers":  # which grows a cache by copying it, layer by layer
        high += (
            size * batch * 2 * (facts.number("head_count_kv", heads) or heads) * _head(facts, width, heads)
        )
    if not request.flash and facts.engine != "vllm":
        high += (size + _FLOAT) * heads * batch * per_sequence
    return low, int(1.25 * high)


def _head(facts: ConfigFacts, width: int, heads: int) -> int:
    return facts.number("key_length", width // heads if heads else 0)


def _overhead(engine: str, need: int, *, on_device: bool) -> int:
    """What is kept free or taken besides.

    vLLM plans with 90 % of a card; macOS lets a process wire two thirds of 36 GB, and 75 % of more.
    """
    if engine == "mlx":
        return need // 2 if need <= 24 << 30 else max((36 << 30) - need, need // 3)
    if not on_device:
        return 0
    return _CUDA if engine == "transformers" else _CUDA + (need + _CUDA) // 9


def _placed(size: int, *, on_device: bool) -> dict[str, int]:
    return {"device": size if on_device else 0, "host": 0 if on_device else size}


def _on(caches: list[CacheMemory], *, on_device: bool) -> list[CacheMemory]:
    from attrs import evolve

    return [evolve(one, device_bytes=one.k_bytes + one.v_bytes) for one in caches] if on_device else caches


def _up(tokens: int, step: int) -> int:
    return -(-tokens // step) * step


def _try(work: Callable[[], T]) -> T | str:
    try:
        return work()
    except UnknownMemoryError as error:
        return str(error)
