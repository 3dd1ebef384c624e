"""Put the items together as llama.cpp does: caches, state, buffers and weights for one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import frozen

from modelshelf.model import CacheMemory, MemoryEstimate, MemoryRequest
from modelshelf_fit.architectures import CACHELESS
from modelshelf_fit.attention_caches import Attention, attention_of, caches, padded
from modelshelf_fit.compute_buffers import Widths, compute_bytes, widths_of
from modelshelf_fit.recurrent_state import recurrent_layers, state_bytes_per_layer
from modelshelf_fit.shape import Facts, UnknownMemoryError
from modelshelf_fit.weights import Weights

T = TypeVar("T")

ENGINE = "llama.cpp"
_FLOAT = 4
_DEVICE_MARGIN = 1 << 30  # bytes of a device that the engine keeps free; its driver's own need lies within


@frozen(kw_only=True)
class _Model:
    """What is the same for every request; an item that is unknown is the reason in words.

    Attributes:
        facts: The header's facts, or why there are none.
        blocks: Layers that weights are of.
        attention: What is cached.
        state: The layers that keep a state, and the bytes of one for one sequence.
        widths: What decides the buffers.
        weights: The tensors' sizes.
    """

    facts: Facts | str
    blocks: int = 0
    attention: Attention | str = ""
    state: tuple[tuple[int, ...], int] | str = ""
    widths: Widths | str = ""
    weights: Weights | str = ""


_models: dict[int, tuple[Mapping[str, Any], _Model]] = {}  # by id; the mapping is kept, so that its id is too
_MOST_MODELS = 4096


def estimate(memory: Mapping[str, Any] | None, request: MemoryRequest) -> MemoryEstimate:
    """Estimate what a model needs.

    Args:
        memory: The facts of its header, as a record keeps them, or None.
        request: How it is to be run.
    """
    model = _model_of(memory)
    facts = model.facts
    if isinstance(facts, str):
        return MemoryEstimate(engine=ENGINE, unknown=(facts,))
    trained = _try(lambda: facts.number("context_length"))
    wanted = request.context or (trained if isinstance(trained, int) else 0)
    context_max = trained if isinstance(trained, int) and trained else None
    if not wanted:
        reason = "context: the header does not say what it was trained for; give a context"
        return MemoryEstimate(engine=ENGINE, context_max=context_max, unknown=(reason,))
    return _sum(model, facts, request, padded(wanted), context_max)


def _sum(
    model: _Model, facts: Facts, request: MemoryRequest, context: int, context_max: int | None
) -> MemoryEstimate:
    if not request.unified:
        context = padded(context // request.parallel) * request.parallel
    placed = min(request.device_layers if request.device_layers is not None else 1 << 30, model.blocks + 1)
    first = model.blocks + 1 - placed
    kv = _caches(model.attention, request, context, first)
    state, state_device = _state(model.state, request.parallel, first)
    buffers = _buffers(model, request, kv, context)
    weights: dict[str, int] | str = (
        model.weights.placed(placed, tied=facts.gives_logits)
        if isinstance(model.weights, Weights)
        else model.weights
    )
    output = _try(lambda: _FLOAT * facts.number("vocab_size") * request.parallel)
    items = {"weights": weights, "kv": kv, "state": state, "compute": buffers, "output": output}
    numbers = {name: None if isinstance(item, str) else item for name, item in items.items()}
    low, high = buffers if isinstance(buffers, tuple) else (None, None)
    return MemoryEstimate(
        engine=ENGINE,
        context=context,
        context_max=context_max,
        weights_bytes=numbers["weights"],
        kv=None if isinstance(kv, str) else tuple(kv),
        state_bytes=numbers["state"],
        state_device_bytes=state_device,
        compute_low_bytes=low,
        compute_high_bytes=high,
        output_bytes=numbers["output"],
        overhead_bytes=_DEVICE_MARGIN if placed else 0,
        layers=model.blocks + 1,
        device_layers=placed,
        exact=tuple([one for one in numbers if one != "compute" and numbers[one] is not None]),
        estimated=("compute", "overhead") if low is not None else ("overhead",),
        unknown=tuple([f"{name}: {item}" for name, item in items.items() if isinstance(item, str)]),
    )


def _caches(
    attention: Attention | str, request: MemoryRequest, context: int, first: int
) -> list[CacheMemory] | str:
    if isinstance(attention, str):
        return attention
    return _try(lambda: caches(attention, request, context, first))


def _state(state: tuple[tuple[int, ...], int] | str, parallel: int, first: int) -> tuple[int | str, int]:
    if isinstance(state, str):
        return state, 0
    layers, size = state
    on_device = sum(1 for layer in layers if layer >= first)
    return size * len(layers) * parallel, size * on_device * parallel


def _buffers(
    model: _Model, request: MemoryRequest, kv: list[CacheMemory] | str, context: int
) -> tuple[int, int] | str:
    widths = model.widths
    if isinstance(widths, str):
        return widths
    if isinstance(kv, str):
        return "they depend on the caches"
    cells = tuple([one.cells for one in kv if one.kind != "indexer"])
    if not isinstance(model.facts, str) and model.facts.architecture in CACHELESS:
        cells = (min(request.ubatch, context),)
    return _try(lambda: compute_bytes(widths, request, cells, context))


def _model_of(memory: Mapping[str, Any] | None) -> _Model:
    kept = _models.get(id(memory))
    if kept is not None and kept[0] is memory:
        return kept[1]
    model = _read(memory)
    if memory is not None:
        if len(_models) >= _MOST_MODELS:
            _models.clear()
        _models[id(memory)] = (memory, model)
    return model


def _read(memory: Mapping[str, Any] | None) -> _Model:
    facts = _try(lambda: Facts.of(memory))
    if isinstance(facts, str) or memory is None:
        return _Model(facts=facts)
    blocks = _try(lambda: facts.layers and facts.number("block_count"))
    if isinstance(blocks, str):
        return _Model(facts=blocks)
    weights = _try(lambda: Weights.of(memory))
    if isinstance(weights, Weights) and len(weights.layers) > blocks:
        weights = f"tensors of {len(weights.layers)} layers where the header has {blocks}"
    return _Model(
        facts=facts,
        blocks=blocks,
        attention=_try(lambda: attention_of(facts)),
        state=_try(lambda: _state_of(facts)),
        widths=_try(lambda: widths_of(facts)),
        weights=weights,
    )


def _state_of(facts: Facts) -> tuple[tuple[int, ...], int]:
    layers = tuple(recurrent_layers(facts))
    return layers, state_bytes_per_layer(facts) if layers else 0


def _try(work: Callable[[], T]) -> T | str:
    try:
        return work()
    except UnknownMemoryError as error:
        return str(error)
