"""Weights that are packed into other types, recognised by the tensors beside them.

Each scheme is recognised by an anchor tensor; it gives how many parameters its packed weight holds, and which
of the tensors beside it are no parameters. Sources: AutoGPTQ and AutoAWQ ``qlinear`` modules, bitsandbytes'
``QuantState.as_dict``, MLX ``nn.QuantizedLinear``, compressed-tensors' ``compressors``, ModelOpt's and
transformers' FP8 and MXFP4 integrations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from attrs import field, frozen

from modelshelf_safetensors.layout import Layout

Tensors = Mapping[str, Layout]

_UNPACKED = frozenset({"F64", "F32", "F16", "BF16"})  # no scheme stores its weights in these
_WORD_BITS = 32
_MOST_BITS = 8
_MATRIX = 2  # dimensions


@frozen(kw_only=True)
class Hints:
    """What ``config.json`` says of the quantization and tensors alone do not.

    Attributes:
        group_size: Elements that share one scale, or None.
        bits: Bits of an element, or None.
    """

    group_size: int | None = None
    bits: int | None = None


@frozen(kw_only=True)
class Packed:
    """One packed weight.

    Attributes:
        label: The scheme, with its bits where they are known: ``GPTQ-4bit``.
        weight: Name of the tensor that holds it.
        elements: Parameters that are packed in it, or None where the header does not say.
        beside: Tensors that belong to it and are no parameters; those that are absent do no harm.
    """

    label: str
    weight: str
    elements: int | None
    beside: tuple[str, ...] = ()


@frozen(kw_only=True)
class Counted:
    """The parameters behind a set of tensors.

    Attributes:
        parameters: Exactly, or None where a packed weight does not say.
        label: The packing scheme of most packed weights, or None where nothing is packed.
        by_dtype: Parameters that are not packed, by dtype.
    """

    parameters: int | None
    label: str | None = None
    by_dtype: Counter[str] = field(factory=Counter)


def count_parameters(tensors: Tensors, hints: Hints) -> Counted:
    """Count parameters, packed ones unpacked."""
    packed = []
    if may_be_packed({layout.dtype for layout in tensors.values()}):
        packed = list(_recognised(tensors, hints))
    apart = {name for one in packed for name in (one.weight, *one.beside)}
    by_dtype: Counter[str] = Counter()
    for name, layout in tensors.items():
        if name not in apart:
            by_dtype[layout.dtype] += layout.elements
    label = next((one for one, _ in Counter(one.label for one in packed).most_common(1)), None)
    if any(one.elements is None for one in packed):
        return Counted(parameters=None, label=label, by_dtype=by_dtype)
    total = sum(by_dtype.values()) + sum(one.elements or 0 for one in packed)
    return Counted(parameters=total, label=label, by_dtype=by_dtype)


def may_be_packed(dtypes: Iterable[str]) -> bool:
    """Whether weights may be packed into tensors of these types."""
    return not _UNPACKED.issuperset(dtypes)


def may_name_packed(names: str) -> bool:
    """Whether one of the names, put together with line breaks, may be that of a packed weight."""
    return _ANCHOR.search(f"\n{names}\n") is not None


def _recognised(tensors: Tensors, hints: Hints) -> Iterator[Packed]:
    taken: set[str] = set()
    for name in tensors:
        if (anchor := _anchor(name)) is None:
            continue
        scheme, stem = anchor
        packed = scheme(tensors, stem, hints)
        if packed is not None and packed.weight not in taken:
            taken.add(packed.weight)
            yield packed


def _anchor(name: str) -> tuple[Scheme, str] | None:
    """What recognises the packed weight that a tensor of this name belongs to, and what it goes by."""
    stem, _, last = name.rpartition(".")
    if (scheme := _SCHEMES.get(last)) is not None:
        return scheme, stem
    return (_mxfp4, name) if last.endswith("_blocks") else None


def _is_float8(dtype: str) -> bool:
    return dtype.startswith("F8_")


def _whole_bits(numerator: int, denominator: int) -> int | None:
    """A quotient that can be a number of bits, or None."""
    bits, rest = divmod(numerator, denominator) if denominator else (0, 1)
    return bits if not rest and 1 <= bits <= _MOST_BITS else None


def _of_bits(scheme: str, bits: int | None) -> str:
    return scheme if bits is None else f"{scheme}-{bits}bit"


def _unpacked(words: Layout, bits: int | None) -> int | None:
    """Elements of `bits` that 32-bit words hold without a gap."""
    return None if bits is None else words.elements * _WORD_BITS // bits


def _is_matrix(layout: Layout | None) -> bool:
    return layout is not None and len(layout.shape) == _MATRIX


def _gptq_or_awq(tensors: Tensors, stem: str, hints: Hints) -> Packed | None:
    words, zeros, scales = (tensors.get(f"{stem}.{one}") for one in ("qweight", "qzeros", "scales"))
    if words is None or words.dtype != "I32" or len(words.shape) != _MATRIX:
        return None
    bits, scheme = hints.bits, "GPTQ"
    if zeros is not None and scales is not None and _is_matrix(zeros) and _is_matrix(scales):
        bits = _whole_bits(_WORD_BITS * zeros.shape[1], scales.shape[1])
        # GPTQ packs the input features of a weight, AWQ the output features, as its zeros are.
        if words.shape[1] == zeros.shape[1] != scales.shape[1]:
            scheme = "AWQ"
    beside = tuple(f"{stem}.{one}" for one in ("qzeros", "scales", "g_idx"))
    return Packed(
        label=_of_bits(scheme, bits),
        weight=f"{stem}.qweight",
        elements=_unpacked(words, bits),
        beside=beside,
    )


def _bitsandbytes_4bit(kind: str) -> Scheme:
    def recognise(tensors: Tensors, stem: str, _: Hints) -> Packed | None:
        weight = stem.removesuffix(".quant_state")
        data = tensors.get(weight)
        if data is None or data.size is None or weight == stem:
            return None
        parts = ("absmax", "quant_map", "nested_absmax", "nested_quant_map", f"quant_state.{kind}")
        return Packed(
            label=f"BNB-{kind.rpartition('_')[2].upper()}",
            weight=weight,
            elements=data.size * 2,
            beside=tuple(f"{weight}.{one}" for one in parts),
        )

    return recognise


def _bitsandbytes_int8(tensors: Tensors, stem: str, _: Hints) -> Packed | None:
    data = tensors.get(f"{stem}.weight")
    if data is None or data.dtype != "I8":
        return None
    return Packed(
        label="BNB-INT8",
        weight=f"{stem}.weight",
        elements=data.elements,
        beside=(f"{stem}.SCB", f"{stem}.weight_format"),
    )


def _mlx(tensors: Tensors, stem: str, hints: Hints) -> Packed | None:
    words, scales = tensors.get(f"{stem}.weight"), tensors[f"{stem}.scales"]
    if words is None or words.dtype != "U32" or words.shape[:-1] != scales.shape[:-1] or not scales.shape:
        return None
    bits, elements = hints.bits, None
    if hints.group_size is not None:
        # The bits may differ from layer to layer, the group size does not.
        elements = scales.elements * hints.group_size
        bits = _whole_bits(_WORD_BITS * words.elements, elements)
    return Packed(
        label=_of_bits("MLX", bits),
        weight=f"{stem}.weight",
        elements=elements if bits is not None else None,
        beside=(f"{stem}.scales", f"{stem}.biases"),
    )


def _compressed_tensors(tensors: Tensors, stem: str, hints: Hints) -> Packed | None:
    words, scale = tensors[f"{stem}.weight_packed"], tensors.get(f"{stem}.weight_scale")
    if scale is None:
        return None
    parts = ("weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "weight_global_scale")
    beside = tuple(f"{stem}.{one}" for one in (*parts, "input_scale", "input_global_scale"))
    weight = f"{stem}.weight_packed"
    if words.dtype == "U8" and _is_float8(scale.dtype):
        return Packed(label="NVFP4", weight=weight, elements=words.elements * 2, beside=beside)
    if words.dtype != "I32":
        return None
    bits, zeros = hints.bits, tensors.get(f"{stem}.weight_zero_point")
    if zeros is not None and zeros.dtype == "I32" and zeros.shape and scale.shape:
        bits = _whole_bits(_WORD_BITS * zeros.shape[0], scale.shape[0])
    return Packed(
        label=_of_bits("compressed-tensors", bits),
        weight=weight,
        elements=_unpacked(words, bits),
        beside=beside,
    )


def _scaled(tensors: Tensors, stem: str, _: Hints) -> Packed | None:
    data, weight = tensors.get(f"{stem}.weight"), f"{stem}.weight"
    if data is None:
        return None
    parts = ("weight_scale", "weight_scale_inv", "weight_scale_2", "weight_zero_point", "weight_shape")
    others = ("input_scale", "output_scale", "scale_weight", "scale_input", "k_scale", "v_scale")
    beside = tuple(f"{stem}.{one}" for one in (*parts, *others))
    if _is_float8(data.dtype):
        return Packed(label=data.dtype, weight=weight, elements=data.elements, beside=beside)
    if data.dtype == "I8":
        return Packed(label="INT8", weight=weight, elements=data.elements, beside=beside)
    if data.dtype == "U8" and f"{stem}.weight_scale_2" in tensors:
        return Packed(label="NVFP4", weight=weight, elements=data.elements * 2, beside=beside)
    return None


def _mxfp4(tensors: Tensors, name: str, _: Hints) -> Packed | None:
    scales = f"{name.removesuffix('_blocks')}_scales"
    blocks, exponents = tensors[name], tensors.get(scales)
    # 16 bytes hold 32 elements that share one exponent.
    if exponents is None or blocks.dtype != "U8" or blocks.shape != (*exponents.shape, 16):
        return None
    return Packed(label="MXFP4", weight=name, elements=blocks.elements * 2, beside=(scales,))


Scheme = Callable[[Tensors, str, Hints], Packed | None]

_SCHEMES: dict[str, Scheme] = {
    "qweight": _gptq_or_awq,
    "bitsandbytes__nf4": _bitsandbytes_4bit("bitsandbytes__nf4"),
    "bitsandbytes__fp4": _bitsandbytes_4bit("bitsandbytes__fp4"),
    "SCB": _bitsandbytes_int8,
    "scales": _mlx,
    "weight_packed": _compressed_tensors,
    "weight_scale": _scaled,
    "weight_scale_inv": _scaled,
    "scale_weight": _scaled,
}
"""What recognises a packed weight, by the last part of its anchor tensor's name."""

_ANCHOR = re.compile(rf"(?:[.\n](?:{'|'.join(_SCHEMES)})|_blocks)\n")
