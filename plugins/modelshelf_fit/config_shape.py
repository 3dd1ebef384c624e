"""Read the facts of a ``config.json`` that a record keeps into what its layers keep for each token.

Sources: those of `config_families`.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from modelshelf.model import ModelMetadata
from modelshelf_fit.attention_caches import Attention, CachedLayers
from modelshelf_fit.config_families import (
    ALL_WINDOWED,
    ENCODERS,
    EVERY_HEAD,
    GATED_DELTA,
    HEAD_LENGTH_NAMED,
    HEADS_ALONE,
    LATENT,
    MAMBA,
    MLX_WINDOWED,
    MODEL_TYPES,
    PERIODS,
    SHORT_CONVOLUTION,
)
from modelshelf_fit.shape import MOST_LAYERS, UnknownMemoryError

_MOST = 2**40
_FLOAT = 4
_USUAL_INTERVAL = 4
_FULL, _SLIDING, _STATE, _NOTHING = "full", "sliding window", "state", "nothing"
_KINDS = {
    "full_attention": _FULL,
    "attention": _FULL,
    "sliding_attention": _SLIDING,
    "linear_attention": _STATE,
    "conv": _STATE,
    "mlp": _NOTHING,
    "moe": _NOTHING,
}
_DTYPES = {"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2}
_STORED = {"F32": 4, "F16": 2, "BF16": 2}


@frozen(kw_only=True)
class ConfigFacts:
    """A config's facts for one engine.

    Attributes:
        engine: The program that runs the model.
        architecture: The model type.
        metadata: What the record keeps.
    """

    engine: str
    architecture: str
    metadata: ModelMetadata

    @classmethod
    def of(cls, metadata: ModelMetadata, engine: str) -> ConfigFacts:
        """Read what a record keeps.

        Raises:
            UnknownMemoryError: It names no architecture, or one that is not known.
        """
        name = metadata.architecture
        if name is None:
            raise UnknownMemoryError("the record names no architecture: is there a config.json?")
        if name not in MODEL_TYPES:
            raise UnknownMemoryError(f"what the architecture {name!r} keeps in memory is not known")
        return cls(engine=engine, architecture=name, metadata=metadata)

    def has(self, name: str) -> bool:
        """Whether the record has a fact."""
        return self._value(name) is not None

    def number(self, name: str, default: int | None = None) -> int:
        """A fact that is a number.

        Raises:
            UnknownMemoryError: There is none and no default, or it cannot be.
        """
        value = self._value(name)
        value = default if value is None else value
        if value is None:
            raise UnknownMemoryError(f"the config has no {name}")
        if type(value) is not int or not 0 <= value <= _MOST:
            raise UnknownMemoryError(f"{name} cannot be {value!r}")
        return value

    def _value(self, name: str) -> Any:
        if name in self.metadata.details:
            return self.metadata.details[name]
        return getattr(self.metadata, name, None)

    @property
    def layers(self) -> int:
        """Layers that run for each token.

        Raises:
            UnknownMemoryError: The config does not say, or claims what cannot be.
        """
        layers = self.number("block_count")
        if not 0 < layers <= MOST_LAYERS:
            raise UnknownMemoryError(f"{layers} layers cannot be")
        return layers

    @property
    def latent(self) -> bool:
        """Whether the engine caches keys and values as one latent vector."""
        return self.architecture in LATENT[self.engine]

    @property
    def float_bytes(self) -> int:
        """Bytes of one element of what is computed.

        Raises:
            UnknownMemoryError: Neither the config nor the tensors say.
        """
        text = self._value("torch_dtype")
        size = _DTYPES.get(text.removeprefix("torch.")) if isinstance(text, str) else None
        size = size or _STORED.get(self.metadata.quantization or "")
        if size is None:
            raise UnknownMemoryError("neither the config nor the tensors say in which type it computes")
        return 2 if self.engine == "vllm" else size  # which takes 32-bit models as 16-bit ones


def attention_of(facts: ConfigFacts) -> Attention:
    """Find out which layers cache what.

    Raises:
        UnknownMemoryError: The config lacks what decides it.
    """
    if facts.architecture in ENCODERS | MAMBA:
        return Attention()
    owning = facts.layers - min(facts.number("shared_kv_layers", 0), facts.layers)
    kinds = _kinds(facts)[:owning]  # those behind use the cache of one before
    k_width, v_width = _widths(facts)
    groups = [
        CachedLayers(kind=kind, k_width=k_width, v_width=v_width, layers=layers)
        for kind in (_FULL, _SLIDING)
        if (layers := tuple([number for number, one in enumerate(kinds) if one == kind]))
    ]
    window = facts.number("sliding_window") if _SLIDING in kinds else 0
    return Attention(groups=tuple(groups), window=window)


def state_of(facts: ConfigFacts) -> tuple[int, int]:
    """How many layers keep a state, and the bytes of one for one sequence.

    Raises:
        UnknownMemoryError: The config lacks what decides it.
    """
    if facts.architecture in ENCODERS:
        return 0, 0
    layers = facts.layers if facts.architecture in MAMBA else _kinds(facts).count(_STATE)
    if not layers:
        return 0, 0
    before = facts.number("ssm_conv_kernel")
    if facts.engine != "transformers":  # which keeps the newest token too
        before = max(before - 1, 0)
    if facts.architecture in GATED_DELTA:
        keys = facts.number("linear_key_heads") * facts.number("linear_key_length")
        heads, length = facts.number("linear_value_heads"), facts.number("linear_value_length")
        state = heads * length * facts.number("linear_key_length")
        return layers, before * (2 * keys + heads * length) * facts.float_bytes + _FLOAT * state
    if facts.architecture in SHORT_CONVOLUTION:
        return layers, before * facts.number("embedding_length") * facts.float_bytes
    if facts.architecture in MAMBA:
        inner = facts.number("ssm_inner_size", facts.number("ssm_expansion", 2) * _width(facts))
        state = facts.number("ssm_state_size")
        groups = facts.number("ssm_group_count") if facts.architecture == "mamba2" else 0
        return layers, before * (inner + 2 * groups * state) * facts.float_bytes + _FLOAT * inner * state
    raise UnknownMemoryError("how large the state of its layers is, is not known")


def _width(facts: ConfigFacts) -> int:
    return facts.number("embedding_length")


def _widths(facts: ConfigFacts) -> tuple[int, int]:
    """Elements of keys and of values for each token and layer."""
    if facts.latent:
        rank, turned = facts.number("kv_lora_rank"), facts.number("rope_dimension_count")
        return (rank, turned) if facts.engine != "vllm" else (rank + turned, 0)
    if facts.has("kv_lora_rank"):
        raise UnknownMemoryError(f"whether {facts.engine} caches its latent vectors is not known")
    heads = facts.number("head_count")
    heads_kv = facts.number("head_count_kv", heads if facts.architecture in HEADS_ALONE else None)
    if facts.architecture in EVERY_HEAD:
        heads_kv = heads
    if facts.architecture == "falcon" and heads_kv > 1 and facts.engine == "transformers":
        heads_kv = heads  # it repeats keys and values for each query before it caches them
    named = facts.architecture in HEAD_LENGTH_NAMED
    usual = None if named or not heads else _width(facts) // heads
    key = facts.number("key_length", usual)
    return heads_kv * key, heads_kv * facts.number("value_length", key)


def _kinds(facts: ConfigFacts) -> list[str]:
    """What each layer keeps."""
    kinds = _kinds_by_config(facts)
    rotating = facts.architecture in MLX_WINDOWED and (
        facts.has("layer_types") or facts.architecture in PERIODS
    )
    if facts.engine == "mlx" and not rotating:
        return [_FULL if one == _SLIDING else one for one in kinds]
    return kinds


def _kinds_by_config(facts: ConfigFacts) -> list[str]:
    layers, name = facts.layers, facts.architecture
    if facts.has("layer_types"):
        return _listed(facts.metadata.details["layer_types"], layers)
    if name in GATED_DELTA:
        interval = facts.number("full_attention_interval", _USUAL_INTERVAL) or _USUAL_INTERVAL
        return [_STATE if (layer + 1) % interval else _FULL for layer in range(layers)]
    if name in SHORT_CONVOLUTION:
        raise UnknownMemoryError("the config does not say which layers have attention")
    if name in PERIODS:
        facts.number("sliding_window")
        period = facts.number("sliding_window_pattern", PERIODS[name]) or PERIODS[name]
        return [_SLIDING if (layer + 1) % period else _FULL for layer in range(layers)]
    if not facts.has("sliding_window"):
        return [_FULL] * layers
    if name in ALL_WINDOWED:
        return [_SLIDING] * layers
    if facts.has("max_window_layers"):
        first = facts.number("max_window_layers")
        return [_SLIDING if layer >= first else _FULL for layer in range(layers)]
    raise UnknownMemoryError("the config does not say which layers have a sliding window")


def _listed(runs: object, layers: int) -> list[str]:
    """Read a record's runs of equal layers."""
    kinds: list[str] = []
    for run in runs if isinstance(runs, list | tuple) else ():
        try:
            count, name = run
        except (TypeError, ValueError):
            count, name = None, None
        if type(count) is not int:
            raise UnknownMemoryError("the record's types of layers cannot be read; scan the model again")
        kind = _KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            raise UnknownMemoryError(f"what layers of the type {name!r} keep is not known")
        if not 0 < count <= layers - len(kinds):
            raise UnknownMemoryError(f"layer_types has other than {layers} layers")
        kinds += [kind] * count
    if len(kinds) != layers:
        raise UnknownMemoryError(f"layer_types has {len(kinds)} of {layers} layers")
    return kinds
