"""Put the items together as transformers, vLLM and mlx-lm do, for models with a ``config.json``.

Sources: `cache_utils.py` of transformers 5.24, `vllm/v1/kv_cache_interface.py`, `mlx_lm/models/cache.py`.
Weights and caches follow their rules; buffers and what is kept free are estimates with a low and a high end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attrs import frozen

from modelshelf.model import CacheMemory, MemoryEstimate, MemoryRequest, ModelMetadata
from modelshelf_fit.attention_caches import Attention, CachedLayers
from modelshelf_fit.config_families import MAMBA
from modelshelf_fit.config_shape import ConfigFacts, attention_of, state_of
from modelshelf_fit.shape import UnknownMemoryError

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


@frozen(kw_only=True)
class _Widths:
    """What decides the buffers.

    Attributes:
        logits: Bytes of the logits of one token.
        token: Bytes of one token's results within a layer.
        cached: Elements of keys and values that attention computes with for one token of a layer.
        heads: Heads of the queries.
    """

    logits: int
    token: int
    cached: int
    heads: int


@frozen(kw_only=True)
class _Model:
    """What is the same for every request; an item that is unknown is the reason in words.

    Attributes:
        facts: The config's facts, or why there are none.
        attention: What is cached.
        state: Layers that keep a state, and the bytes of one for one sequence.
        weights: Their bytes.
        exact_weights: Whether these are exact.
        float_bytes: Bytes of one element of what is computed.
        widths: What decides the buffers.
    """

    facts: ConfigFacts | str
    attention: Attention | str = ""
    state: tuple[int, int] | str = ""
    weights: int | str = ""
    exact_weights: bool = False
    float_bytes: int | str = ""
    widths: _Widths | str = ""


_models: dict[tuple[int, str], tuple[ModelMetadata, _Model]] = {}  # by id; kept, so that its id is too
_MOST_MODELS = 4096

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
    model = _model_of(metadata, name)
    facts = model.facts
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
    return _sum(model, facts, request, wanted)


def _sum(model: _Model, facts: ConfigFacts, request: MemoryRequest, wanted: int) -> MemoryEstimate:
    kv = _try(lambda: _caches(model, facts, request, wanted))
    state = _try(lambda: _state(model, facts, request.parallel))
    weights = model.weights
    buffers = _try(lambda: _buffers(model, facts, request, wanted))
    on_device = request.device_layers != 0
    low, high = buffers if isinstance(buffers, tuple) else (None, None)
    items = {"weights": weights, "kv": kv, "state": state, "compute": buffers}
    unknown = tuple([f"{name}: {item}" for name, item in items.items() if isinstance(item, str)])
    overhead: int | None = None
    if not isinstance(weights, str) and not isinstance(kv, str) and not isinstance(state, str) and high:
        caches = sum(one.k_bytes + one.v_bytes for one in kv)
        overhead = _overhead(facts.engine, weights + caches + state + high, on_device=on_device)
    rules = {
        "weights": model.exact_weights,
        "kv": _exact_caches(model, facts),
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


def _exact_caches(model: _Model, facts: ConfigFacts) -> bool:
    """Whether the caches follow from the config alone: not from settings or the version of the engine."""
    attention = model.attention
    if isinstance(attention, str) or not attention.groups:
        return True
    if facts.engine == "transformers":
        return not facts.latent  # versions before 5 cached keys and values of every head
    hybrid = not isinstance(model.state, str) and model.state[0] > 0
    return attention.window == 0 and (facts.engine == "vllm" or not facts.latent) and not hybrid


def _known(item: T | str) -> T:
    if isinstance(item, str):
        raise UnknownMemoryError(item)
    return item


def _caches(model: _Model, facts: ConfigFacts, request: MemoryRequest, wanted: int) -> list[CacheMemory]:
    attention = _known(model.attention)
    if not attention.groups:
        return []
    engine, size = _ENGINES[facts.engine], _known(model.float_bytes)
    for cache_type in (request.cache_k, request.cache_v):  # f16 is what nobody chose
        if cache_type != "f16" and _CACHE_BYTES.get(cache_type) != size:
            raise UnknownMemoryError(f"{facts.engine} caches in the model's own type, not in {cache_type}")
    streams = 1 if request.unified else request.parallel
    together = request.parallel if request.unified else 1
    asked = -(-wanted // streams)
    step = _page(model, facts, attention)[0]
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


def _page(model: _Model, facts: ConfigFacts, attention: Attention) -> tuple[int, int]:
    """Tokens of one block, and its bytes where states lie in blocks too.

    vLLM makes the blocks of hybrids so large that a layer's state fits into one.
    """
    step = _ENGINES[facts.engine].step
    layers, size = _known(model.state)
    if facts.engine != "vllm" or not layers or not attention.groups:
        return step, 0
    group = attention.groups[0]
    row = (group.k_width + group.v_width) * _known(model.float_bytes)
    tokens = max(_up(-(-size // row), step), step) if row else step
    return tokens, tokens * row


def _state(model: _Model, facts: ConfigFacts, parallel: int) -> int:
    layers, size = _known(model.state)
    if layers and not isinstance(model.attention, str):
        size = max(size, _page(model, facts, model.attention)[1])
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


def _widths(facts: ConfigFacts) -> _Widths:
    size, width = facts.float_bytes, facts.number("embedding_length")
    heads = facts.number("head_count", 0)
    experts = facts.number("expert_feed_forward_length", 0) * facts.number("expert_used_count", 1)
    plain = 2 * width if facts.architecture in MAMBA else None  # its layers widen twice instead
    inner = max(facts.number("feed_forward_length", experts or plain), experts)
    head = facts.number("key_length", width // heads if heads else 0)
    return _Widths(
        logits=_FLOAT * facts.number("vocab_size"),
        token=size * (4 * width + 3 * inner),
        cached=2 * (facts.number("head_count_kv", heads) or heads) * head,
        heads=heads,
    )


def _buffers(model: _Model, facts: ConfigFacts, request: MemoryRequest, wanted: int) -> tuple[int, int]:
    """The least that buffers take, for one new token, and the most, for a batch of a prompt.

    Raises:
        UnknownMemoryError: The config lacks a width.
    """
    engine, widths, size = _ENGINES[facts.engine], _known(model.widths), _known(model.float_bytes)
    sequences = max(request.parallel, engine.sequences)
    low = request.parallel * (widths.token + widths.logits)
    batch = wanted if engine.batch is None else min(max(engine.batch, request.ubatch), wanted)
    high = batch * widths.token + 2 * sequences * widths.logits
    if facts.engine == "transformers":  # which grows a cache by copying it, layer by layer
        high += size * batch * widths.cached
    if not request.flash and facts.engine != "vllm":
        per_sequence = -(-wanted // (1 if request.unified else request.parallel))
        high += (size + _FLOAT) * widths.heads * batch * per_sequence
    return low, max(int(1.25 * high), low)


def _overhead(engine: str, need: int, *, on_device: bool) -> int:
    """What is kept free or taken besides.

    vLLM plans with 90 % of a card; macOS lets a process wire two thirds of 36 GB, and 75 % of more.
    """
    if engine == "mlx":
        return need // 2 if need <= 24 << 30 else max((36 << 30) - need, need // 3)
    if not on_device:
        return 0
    return _CUDA if engine == "transformers" else _CUDA + (need + _CUDA) // 9


def _model_of(metadata: ModelMetadata, engine: str) -> _Model:
    key = (id(metadata), engine)
    kept = _models.get(key)
    if kept is not None and kept[0] is metadata:
        return kept[1]
    model = _read(metadata, engine)
    if len(_models) >= _MOST_MODELS:
        _models.clear()
    _models[key] = (metadata, model)
    return model


def _read(metadata: ModelMetadata, engine: str) -> _Model:
    facts = _try(lambda: ConfigFacts.of(metadata, engine))
    if isinstance(facts, str):
        return _Model(facts=facts)
    weights, exact = _weights(facts)
    return _Model(
        facts=facts,
        attention=_try(lambda: attention_of(facts)),
        state=_try(lambda: state_of(facts)),
        weights=weights,
        exact_weights=exact,
        float_bytes=_try(lambda: facts.float_bytes),
        widths=_try(lambda: _widths(facts)),
    )


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
