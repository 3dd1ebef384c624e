"""What a config says of a model's quantization: the method, its bits, and what holds for single layers.

Sources: transformers' ``utils/quantization_config.py``, compressed-tensors' ``QuantizationConfig``, mlx-lm's
``quantization``, ModelOpt's ``hf_quant_config.json``, AutoGPTQ's ``quantize_config.json``, Quark's export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.errors import ReadError

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader

Members = Mapping[str, Any]

LANGUAGE_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where the configs of multimodal models have the language model's part."""

_FILES = (
    ("config.json", ""),
    ("hf_quant_config.json", "modelopt"),
    ("quantization_config.json", ""),
    ("quantize_config.json", "gptq"),
    ("quant_config.json", "awq"),
)
"""Files that tell a quantization, the most believed first, and the method of those that name none."""

_KEY = "packing"
_MOST_BYTES = 16 << 20
_LONGEST_WORD = 64  # characters
_MOST_LAYERS = 1 << 16
_MOST_BITS = 32
_OF_A_LAYER = frozenset({"bits", "nbits", "group_size", "mode"})
_NO_LAYERS = frozenset({"quant_config", "weight_quant_params", "weights"})
_SUB_BYTE = {"nvfp4": 4, "mxfp4": 4, "fp4": 4, "int4": 4, "uint4": 4, "nf4": 4, "int2": 2}
_MLX_MODES = {"mxfp4": (4, 32), "mxfp8": (8, 32), "nvfp4": (4, 16)}
_BITS_OF_WEIGHT = re.compile(r"(?:int|uintx?|fp|float)(\d)(?:\D*weight|$)")
_BITS_IN_NAME = re.compile(r"(?:int|fp|float|nf|w)(\d)")


@frozen(kw_only=True)
class LayerSettings:
    """What holds for one layer, or for the layers that some names match.

    Attributes:
        bits: Bits of an element, or None.
        group_size: Elements that share one scale, or None.
        mode: How MLX quantized it: ``affine``, ``mxfp4``, …; of other methods the format's name; or None.
        targets: Names of layers, patterns after ``re:``, or classes of layers; empty for a single layer.
    """

    bits: float | None = None
    group_size: int | None = None
    mode: str | None = None
    targets: tuple[str, ...] = ()


@frozen(kw_only=True)
class PackingSettings:
    """What a config says of the quantization.

    Attributes:
        method: The method as the config names it, in small letters: ``gptq``; empty where it names none.
        name: The quantization as people know it, by the config alone: ``GPTQ-4bit``; or None.
        bits: Bits of an element, a mean where they are mixed; or None.
        group_size: Elements that share one scale, or None.
        mode: As in `LayerSettings`, of all layers that have none of their own.
        groups: What holds for groups of layers, in the config's order.
        layers: What holds for single layers, by their names.
        expert_name: The format below a byte in which experts lie in whole integers, or None.
        expert_bits: Its bits, or None.
        stored_types: By a tensor's name the type that its file says is packed in it.
    """

    method: str = ""
    name: str | None = None
    bits: float | None = None
    group_size: int | None = None
    mode: str | None = None
    groups: tuple[LayerSettings, ...] = ()
    layers: Mapping[str, LayerSettings] = field(factory=dict)
    expert_name: str | None = None
    expert_bits: int | None = None
    stored_types: Mapping[str, str] = field(factory=dict)

    @property
    def whole_bits(self) -> int | None:
        """The bits of an element where they are a whole number."""
        return int(self.bits) if self.bits is not None and self.bits == int(self.bits) else None

    def of_layer(self, name: str) -> LayerSettings | None:
        """What the config says of a single layer, or None."""
        found = self.layers.get(name)
        return found if found is not None or not self.groups else self._group_of(name)

    def _group_of(self, name: str) -> LayerSettings | None:
        """The group whose target names or matches a layer, else the one that is of a class of layers."""
        for group in self.groups:
            if any(_matches(target, name) for target in group.targets):
                return group
        of_classes = [one for one in self.groups if any(target.isidentifier() for target in one.targets)]
        left = of_classes or list(self.groups)
        left = [one for one in left if one.mode is None or "pack" in one.mode] or left
        return left[0] if len({one.bits for one in left}) == 1 else None


def read_settings(reader: ArtifactReader) -> PackingSettings:
    """Read the settings of a model from the files beside its weights, once; nothing of broken ones."""
    return reader.once(_KEY, lambda: _read(reader))


def _read(reader: ArtifactReader) -> PackingSettings:
    sizes = {one.name: one.size for one in reader.artifact.companions}
    best = PackingSettings()
    for name, method in _FILES:
        if not 0 < sizes.get(name, 0) <= _MOST_BYTES:
            continue
        try:
            found = settings_of(reader.file(name).read(0, sizes[name]), method)
        except ReadError:
            continue  # the companion's own fault, which is not said to be the weights'
        if found.method or found.bits is not None:
            return found
        best = found if found.expert_bits is not None else best
    return best


def settings_of(raw: bytes, method: str = "") -> PackingSettings:
    """Read the bytes of a config; nothing where it is broken.

    Args:
        raw: A JSON object.
        method: The method where the object is itself the quantization's and names none.
    """
    try:
        members = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return PackingSettings()
    return settings_in(members, method) if isinstance(members, dict) else PackingSettings()


def settings_in(members: Members, method: str = "") -> PackingSettings:
    """Read the settings in a config's object."""
    parts = language_parts(members)
    experts = next((word for part in parts if (word := _word(part.get("expert_dtype")))), None)
    block = next(filter(None, map(_block_of, parts)), None)
    if block is None and (method or "quant_method" in members):
        block = members
    if block is None:
        return PackingSettings(expert_name=experts, expert_bits=_SUB_BYTE.get(experts or ""))
    named = _method_of(block, members) or method
    weights = _weights_of(block)
    bits = next(filter(None, map(_bits_of, weights)), None)
    if bits is None and named.startswith("bitsandbytes"):
        bits = 4 if block.get("load_in_4bit") is True else 8
    mode = _word(block.get("mode")) or _word(block.get("format"))
    groups = tuple(_groups(block))
    if bits is None and groups:
        bits = groups[0].bits
    return PackingSettings(
        method=named,
        name=_name(named, block, bits, mode),
        bits=bits,
        group_size=next(filter(None, map(_group_size_of, weights)), None)
        or (groups[0].group_size if groups else None),
        mode=mode,
        groups=groups,
        layers=dict(_layers(block)),
        expert_name=experts,
        expert_bits=_SUB_BYTE.get(experts or ""),
    )


def language_parts(members: Members) -> list[Members]:
    """Return a config's object and its parts that describe a language model, outermost first."""
    parts = [members]
    for part in parts:
        parts += [inner for key in LANGUAGE_PARTS if isinstance(inner := part.get(key), dict)]
    return parts


def _block_of(part: Members) -> Members | None:
    """The object of a config's part that is about the quantization; MLX writes it under two keys."""
    for key in ("quantization", "quantization_config", "compression_config"):
        if isinstance(block := part.get(key), dict) and block:
            return block
    return None


def _method_of(block: Members, members: Members) -> str:
    method = _word(block.get("quant_method"))
    if method == "modelopt" or method is None:
        method = _word(block.get("quant_algo")) or method
    if method is None and "quantization" in members and count(block.get("bits")):
        method = "mlx"
    return method or ""


def _weights_of(block: Members) -> list[Members]:
    """The objects in which a method may keep its bits, the nearest first."""
    found = [block]
    for keys in (
        ("quant_config", "weight_quant_params"),
        ("global_quant_config", "weight"),
        ("quant_config",),
        ("weights",),
    ):
        inner: Any = block
        for key in keys:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            found.append(inner)
    return found


def _bits_of(one: Members) -> float | None:
    for key in ("bits", "w_bit", "nbits", "num_bits", "wbits", "weight_bits"):
        value = one.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_BITS:
            return float(value)
    for key in ("weights", "dtype", "quant_type", "quant_algo"):
        value = one.get(key)
        text = json.dumps(value).lower() if key == "quant_type" else _word(value)
        found = _BITS_OF_WEIGHT.search(text.rstrip('"}] ').replace("_", "")) if text else None
        found = found or (_BITS_IN_NAME.search(text) if text and text != "null" else None)
        if found:
            return float(found[1])
    return None


def _group_size_of(one: Members) -> int | None:
    return count(one.get("group_size")) or count(one.get("q_group_size"))


def _groups(block: Members) -> Iterator[LayerSettings]:
    """The groups of compressed-tensors' config."""
    groups = block.get("config_groups")
    for one in list(groups.values())[:_MOST_LAYERS] if isinstance(groups, dict) else ():
        weights = one.get("weights") if isinstance(one, dict) else None
        if not isinstance(weights, dict):
            continue
        targets = one.get("targets")
        yield LayerSettings(
            bits=_bits_of(weights),
            group_size=_group_size_of(weights),
            mode=_word(one.get("format")),
            targets=tuple(target for target in targets if isinstance(target, str))
            if isinstance(targets, list)
            else (),
        )


def _layers(block: Members) -> Iterator[tuple[str, LayerSettings]]:
    """What MLX, HQQ and others say of single layers, under the layer's name."""
    nested = block.get("quant_config")
    for owner in (block, nested if isinstance(nested, dict) else {}):
        for name, one in list(owner.items())[:_MOST_LAYERS]:
            inner = one.get("weight_quant_params") if isinstance(one, dict) else None
            weights = inner if isinstance(inner, dict) else one
            if name in _NO_LAYERS or not isinstance(weights, dict) or not _OF_A_LAYER & weights.keys():
                continue
            mode = _word(weights.get("mode"))
            usual, size = _MLX_MODES.get(mode or "", (None, None))
            bits, size = _bits_of(weights) or usual, _group_size_of(weights) or size
            yield name, LayerSettings(bits=bits, group_size=size, mode=mode)


def _name(method: str, block: Members, bits: float | None, mode: str | None) -> str | None:
    """Name a quantization by what the config says alone."""
    name = with_bits(method.upper(), bits) if method else None
    if method == "mlx":
        name = f"MLX-{mode.upper()}" if mode in _MLX_MODES else name
    elif method == "bitsandbytes":
        kind = _word(block.get("bnb_4bit_quant_type")) or "fp4"  # the library's own default
        name = f"BNB-{kind.upper()}" if block.get("load_in_4bit") is True else "BNB-INT8"
    elif method == "compressed-tensors":
        float4 = next((one for one in ("nvfp4", "mxfp4") if mode and mode.startswith(one)), None)
        name = float4.upper() if float4 else with_bits(method, bits if mode and "pack" in mode else None)
    elif method.startswith("exl") and bits is not None:
        name = f"{method.upper()}-{bits:g}bpw"
    elif _BITS_IN_NAME.search(method) or method == "bitnet":
        name = method.upper()
    return name


def with_bits(scheme: str, bits: float | None) -> str:
    """Name a scheme with its bits where they are known."""
    return scheme if bits is None else f"{scheme}-{bits:g}bit"


def _matches(target: str, name: str) -> bool:
    """Whether a group's target is a layer's name, or a pattern of it.

    A pattern from a file may take for ever: of its marks only ``^``, ``$``, ``.*`` and an escaped dot count.
    """
    if not target.startswith("re:"):
        return target == name
    pattern = target[3:].replace(r"\.", ".").removeprefix("^")
    texts = pattern.removesuffix("$").split(".*")
    at = 0
    for place, text in enumerate(texts):
        found = name.find(text, at)
        if found < 0 or (place == 0 and found):
            return False
        at = found + len(text)
    return not pattern.endswith("$") or name.endswith(texts[-1])


def _word(value: object) -> str | None:
    """A short word in small letters, or None."""
    if not isinstance(value, str) or not (text := value.strip()) or len(text) > _LONGEST_WORD:
        return None
    return text.lower() if text.isprintable() else None


def count(value: object) -> int | None:
    """A whole number of 1 or more, or None."""
    return value if type(value) is int and value > 0 else None
