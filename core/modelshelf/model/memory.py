"""What a model needs in memory: the question, and the answer item by item."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field, frozen

from modelshelf.errors import InvalidValueError

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
"""Element types that llama.cpp allows in a KV cache."""

_UNQUANTIZED = frozenset({"f32", "f16", "bf16"})
_MOST_TOKENS = 2**40


def _whole(lowest: int, *, optional: bool = False) -> Any:
    def check(_instance: MemoryRequest, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if type(value) is not int or not lowest <= value <= _MOST_TOKENS:
            raise InvalidValueError(f"{attribute.name} must be an integer of {lowest} or more, not {value!r}")

    return check


def _cache_type(_instance: MemoryRequest, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in CACHE_TYPES:
        raise InvalidValueError(f"{attribute.name} must be one of {', '.join(CACHE_TYPES)}, not {value!r}")


@frozen(kw_only=True)
class MemoryRequest:
    """How a model is to be run.

    Attributes:
        context: Tokens of all sequences together; None means as many as the model was trained for.
        parallel: Sequences at the same time.
        unified: Whether the sequences share one cache instead of each having its part.
        cache_k: Element type of cached keys.
        cache_v: Element type of cached values.
        ubatch: Most tokens that one computation takes.
        flash: Whether flash attention is used.
        device_layers: Layers on the device, the output layer among them; None means all, 0 the host alone.
        swa_full: Whether layers with a sliding window get a cache as large as the others.
        engine: The program that runs it: ``llama.cpp``, ``transformers``, ``vllm``, ``mlx``; None means the
            usual one of the model's format.

    Raises:
        InvalidValueError: A value cannot be, or the engine refuses values together.
    """

    context: int | None = field(default=None, validator=_whole(1, optional=True))
    parallel: int = field(default=1, validator=_whole(1))
    unified: bool = False
    cache_k: str = field(default="f16", validator=_cache_type)
    cache_v: str = field(default="f16", validator=_cache_type)
    ubatch: int = field(default=512, validator=_whole(1))
    flash: bool = True
    device_layers: int | None = field(default=None, validator=_whole(0, optional=True))
    swa_full: bool = False
    engine: str | None = None

    def __attrs_post_init__(self) -> None:
        if not self.flash and self.cache_v not in _UNQUANTIZED:
            raise InvalidValueError(
                f"cache_v {self.cache_v} needs flash attention; llama.cpp refuses it without"
            )


@frozen(kw_only=True)
class CacheMemory:
    """One cache of keys and values.

    Attributes:
        kind: ``full``, ``sliding window``, or ``indexer``.
        cells: Tokens that each stream has room for.
        streams: Parts that do not share cells.
        layers: Layers that own a part of it.
        k_bytes: Bytes of keys.
        v_bytes: Bytes of values; none where they are computed from the keys.
        device_bytes: How many of these bytes lie on the device.
    """

    kind: str
    cells: int
    streams: int
    layers: int
    k_bytes: int
    v_bytes: int
    device_bytes: int = 0


@frozen(kw_only=True)
class MemoryEstimate:
    """What a model needs, item by item. An item that is not known is None and named in `unknown`.

    Attributes:
        engine: The program that it is for.
        context: Tokens of all sequences together, as the engine rounds them.
        context_max: Tokens that the model was trained for, or None.
        weights_bytes: Bytes of weights by place: ``device`` and ``host``.
        kv: Its caches of keys and values.
        state_bytes: Recurrent state of all sequences.
        state_device_bytes: How many of these lie on the device.
        compute_low_bytes: Least that buffers of intermediate results take.
        compute_high_bytes: Most that they take.
        output_bytes: Results, on the host.
        overhead_bytes: What the engine keeps free or takes besides on a device.
        layers: Layers that can be placed, the output layer among them.
        device_layers: How many of them lie on the device.
        exact: Names of the items that are exact.
        estimated: Names of the items that are estimates.
        unknown: What is not known, each with the reason.
    """

    engine: str
    context: int | None = None
    context_max: int | None = None
    weights_bytes: dict[str, int] | None = None
    kv: tuple[CacheMemory, ...] | None = None
    state_bytes: int | None = None
    state_device_bytes: int = 0
    compute_low_bytes: int | None = None
    compute_high_bytes: int | None = None
    output_bytes: int | None = None
    overhead_bytes: int | None = None
    layers: int | None = None
    device_layers: int | None = None
    exact: tuple[str, ...] = ()
    estimated: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def kv_bytes(self) -> int | None:
        """Bytes of all caches of keys and values."""
        return None if self.kv is None else sum(one.k_bytes + one.v_bytes for one in self.kv)

    @property
    def device_bytes(self) -> int | None:
        """What the device needs at most; None where an item is unknown."""
        if not self.device_layers:
            return None if self._total() is None else 0
        if self.weights_bytes is None or self.kv is None or self._total() is None:
            return None
        caches = sum(one.device_bytes for one in self.kv) + self.state_device_bytes
        buffers = (self.compute_high_bytes or 0) + (self.overhead_bytes or 0)
        return self.weights_bytes["device"] + caches + buffers

    @property
    def host_bytes(self) -> int | None:
        """What the host needs at most; None where an item is unknown."""
        total, device = self._total(), self.device_bytes
        return None if total is None or device is None else total - device

    @property
    def total_bytes(self) -> int | None:
        """All items together, with the high end of the buffers; None where one is unknown."""
        return self._total()

    def _total(self) -> int | None:
        if self.weights_bytes is None:
            return None
        items = (
            sum(self.weights_bytes.values()),
            self.kv_bytes,
            self.state_bytes,
            self.compute_high_bytes,
            self.output_bytes,
            self.overhead_bytes,
        )
        given = [one for one in items if one is not None]
        return sum(given) if len(given) == len(items) else None
