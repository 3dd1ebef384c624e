"""The packing schemes: what recognises each, and what its layout says of the number of parameters.

Sources: AutoGPTQ's and AutoAWQ's ``qlinear`` modules, Marlin, bitsandbytes' ``QuantState.as_dict``,
compressed-tensors' ``compressors``, ModelOpt's and AMD Quark's exports, MLX ``nn.QuantizedLinear``, Ollama's
MLX blobs, ExLlama 2 and 3, HQQ, optimum-quanto, torchao, AQLM, transformers' BitNet, Nunchaku, ComfyUI.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from modelshelf.packing.settings import PackingSettings, with_bits
from modelshelf.packing.tensors import INTEGER_BITS, TensorLayout, Tensors, bytes_of, is_float8

_WORDS = frozenset({"I32", "U32"})
_WORD_BITS = 32
_MOST_BITS = 8
_MATRIX = 2  # dimensions
_TILE = 16  # rows and columns of a tile of Marlin, or of ExLlama 3
_SPARSE = 2  # of four elements, this many are stored
_TERNARY = 4  # ternary elements in a byte
_NVFP4_GROUP, _MXFP4_GROUP = 16, 32  # elements that share a scale
_MLX_MODES = {4: "MLX-MXFP4", 8: "MLX-MXFP8", 2: "MLX-NVFP4"}  # by words that share a scale


@frozen(kw_only=True)
class Packed:
    """One packed weight.

    Attributes:
        label: The scheme, with its bits where they are known: ``GPTQ-4bit``.
        weight: Name of the tensor that holds it.
        elements: Parameters that are packed in it, or None where that is unknown.
        beside: Tensors that belong to it and are no parameters; those that are absent do no harm.
    """

    label: str
    weight: str
    elements: int | None
    beside: tuple[str, ...] = ()


Scheme = Callable[[Tensors, str, PackingSettings], Packed | None]


def recognise(name: str, tensors: Tensors, settings: PackingSettings) -> Packed | None:
    """The packed weight that a tensor of this name is an anchor of, or None."""
    stem, _, last = name.rpartition(".")
    scheme = _SCHEMES.get(last)
    if scheme is not None:
        return scheme(tensors, stem, settings)
    # Experts that are one tensor have the ending in their own name: `gate_up_proj_blocks`.
    joined = _JOINED_ENDING.search(last)
    if joined is None:
        return None
    return _JOINED[joined[0]](tensors, name[: -len(joined[0])], settings)


def may_name_packed(names: str) -> bool:
    """Whether one of the names, put together with line breaks, may be that of an anchor."""
    return _ANCHOR.search(f"\n{names}\n") is not None


def _beside(stem: str, parts: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{part}" for part in parts.split())


def _whole_bits(numerator: int, denominator: int) -> int | None:
    """A quotient that can be a number of bits, or None."""
    bits, rest = divmod(numerator, denominator) if denominator else (0, 1)
    return bits if not rest and 1 <= bits <= _MOST_BITS else None


def _unpacked(words: TensorLayout, bits: float | None) -> int | None:
    """Elements of `bits` in integers without a gap; of bits that do not divide them, to the nearest."""
    return round(words.elements * INTEGER_BITS.get(words.dtype, 8) / bits) if bits else None


def _is_matrix(layout: TensorLayout | None) -> bool:
    return layout is not None and len(layout.shape) >= _MATRIX


def _gptq_or_awq(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    words, weight = tensors[f"{stem}.qweight"], f"{stem}.qweight"
    if f"{stem}.wscales" in tensors:
        return _nunchaku(tensors, stem)
    if words.dtype not in {"I16", "I32"} or not _is_matrix(words):
        return None
    zeros, scales = tensors.get(f"{stem}.qzeros"), tensors.get(f"{stem}.scales")
    own = settings.of_layer(stem)
    bits = own.bits if own is not None and own.bits else settings.bits
    scheme = "AWQ" if settings.method == "awq" else "GPTQ"
    if zeros is not None and scales is not None and _is_matrix(zeros) and _is_matrix(scales):
        if zeros.dtype == "I32":
            bits = _whole_bits(_WORD_BITS * zeros.shape[-1], scales.shape[-1])
        # GPTQ packs the input features of a weight, AWQ the output features, as its zeros are.
        if words.shape[-1] == zeros.shape[-1] != scales.shape[-1]:
            scheme = "AWQ"
        elif words.shape[-1] == scales.shape[-1]:
            scheme = "GPTQ"
    elements, order = _unpacked(words, bits), tensors.get(f"{stem}.g_idx")
    if bits and elements and order is not None and len(words.shape) == _MATRIX:
        rows = order.elements  # the last word of a column may be filled up
        if 0 <= words.shape[0] * _WORD_BITS / bits - rows < _WORD_BITS:
            elements = rows * words.shape[1]
    return Packed(
        label=with_bits(scheme, bits),
        weight=weight,
        elements=elements,
        beside=_beside(stem, "qzeros scales g_idx"),
    )


def _nunchaku(tensors: Tensors, stem: str) -> Packed | None:
    """SVDQuant: four bits in bytes beside a branch of low rank, or in words where there is no such branch."""
    words = tensors[f"{stem}.qweight"]
    if words.dtype not in {"I8", "U8", "I32"}:
        return None
    is_float = any(f"{stem}.{part}" in tensors for part in ("wtscale", "wcscales", "wtcscale"))
    parts = "wscales wzeros wtscale wcscales wtcscale smooth smooth_orig smooth_factor smooth_factor_orig"
    return Packed(
        label="SVDQuant-NVFP4" if is_float else "SVDQuant-INT4",
        weight=f"{stem}.qweight",
        elements=_unpacked(words, 4),
        beside=_beside(stem, f"{parts} lora_down lora_up proj_down proj_up"),
    )


def _marlin(tensors: Tensors, stem: str, _: PackingSettings) -> Packed | None:
    words, scales = tensors[f"{stem}.B"], tensors.get(f"{stem}.s")
    if words.dtype != "I32" or not _is_matrix(words) or scales is None or not _is_matrix(scales):
        return None
    elements = words.shape[0] * _TILE * scales.shape[-1]
    bits = _whole_bits(_WORD_BITS * words.elements, elements)
    return Packed(
        label=with_bits("GPTQ", bits),
        weight=f"{stem}.B",
        elements=None if bits is None else elements,
        beside=_beside(stem, "s workspace"),
    )


def _bitsandbytes_4bit(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    weight = stem.removesuffix(".quant_state")
    data = tensors.get(weight)
    if data is None or not data.shape:
        return None
    kinds = (kind for kind in ("nf4", "fp4") if f"{weight}.quant_state.bitsandbytes__{kind}" in tensors)
    kind = next(kinds, None)
    if kind is None and (data.dtype != "U8" or settings.bits != 4):  # noqa: PLR2004 - bits
        return None
    parts = "absmax quant_map nested_absmax nested_quant_map nested_offset"
    return Packed(
        label=f"BNB-{kind.upper()}" if kind else settings.name or "BNB-4bit",
        weight=weight,
        elements=bytes_of(data) * 2,  # bytes, whatever type they are kept as
        beside=_beside(weight, f"{parts} quant_state.bitsandbytes__{kind}"),
    )


def _bitsandbytes_int8(tensors: Tensors, stem: str, _: PackingSettings) -> Packed | None:
    data = tensors.get(f"{stem}.weight")
    if data is None or data.dtype != "I8":
        return None
    return Packed(
        label="BNB-INT8",
        weight=f"{stem}.weight",
        elements=data.elements,
        beside=_beside(stem, "SCB weight_format"),
    )


def _mlx(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    words, scales = tensors.get(f"{stem}.weight"), tensors[f"{stem}.scales"]
    if words is None or words.shape[:-1] != scales.shape[:-1] or not scales.shape:
        return None
    if words.dtype == "I8":
        weight = f"{stem}.weight"
        return Packed(label="INT8", weight=weight, elements=words.elements, beside=(f"{stem}.scales",))
    if words.dtype != "U32":
        return None
    beside = _beside(stem, "scales biases")
    shared, rest = divmod(words.shape[-1], scales.shape[-1]) if scales.shape[-1] else (0, 1)
    if scales.dtype == "U8" and not rest and shared in _MLX_MODES:
        elements = words.elements * _WORD_BITS // (8 if shared == 8 else 4)  # noqa: PLR2004 - bits
        return Packed(label=_MLX_MODES[shared], weight=f"{stem}.weight", elements=elements, beside=beside)
    bits = _mlx_bits(words.shape[-1], scales.shape[-1], stem, settings)
    return Packed(
        label=with_bits("MLX", bits if bits is not None or settings.group_size else settings.bits),
        weight=f"{stem}.weight",
        elements=_unpacked(words, bits),
        beside=beside,
    )


def _mlx_bits(words: int, scales: int, stem: str, settings: PackingSettings) -> int | None:
    """The bits of a layer that fit its rows: as the config says of it, or else of all, or of any layer."""
    own = settings.of_layer(stem)
    if own is not None and own.group_size is not None:
        return _whole_bits(_WORD_BITS * words, scales * own.group_size)
    if settings.group_size is not None:
        bits = _whole_bits(_WORD_BITS * words, scales * settings.group_size)
        if bits is not None and (bits == settings.bits or not settings.layers):
            return bits
    sizes = {one.group_size for one in settings.layers.values() if one.group_size is not None}
    sizes |= {settings.group_size} if settings.group_size else set()
    fits = {bits for size in sizes if (bits := _whole_bits(_WORD_BITS * words, scales * size))}
    named = {one.bits for one in settings.layers.values()} | {settings.bits}
    fits &= {int(bits) for bits in named if bits}
    return fits.pop() if len(fits) == 1 else None


def _ollama(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    """A blob of Ollama's MLX models: `NAME`, `NAME.scale`, `NAME.bias`; its metadata says what is packed."""
    words = tensors.get(stem)
    stored = settings.stored_types.get(stem)
    if words is None or words.dtype not in {"U32", "U8"} or stored is None:
        return None
    bits = re.search(r"[48]$", stored)
    return Packed(
        label=stored.upper(),
        weight=stem,
        elements=_unpacked(words, int(bits[0])) if bits else None,
        beside=_beside(stem, "scale bias global_scale"),
    )


def _compressed_tensors(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    words, scale = tensors[f"{stem}.weight_packed"], tensors.get(f"{stem}.weight_scale")
    weight = f"{stem}.weight_packed"
    sparse = tensors.get(f"{stem}.scale_packed")
    if sparse is not None and words.dtype == "I32" and _is_matrix(words) and _is_matrix(sparse):
        stored = words.shape[0] * _TILE * sparse.shape[-1]
        width = _whole_bits(_WORD_BITS * words.elements, stored)
        return Packed(
            label=with_bits("compressed-tensors", width),
            weight=weight,
            elements=None if width is None else stored * _SPARSE,
            beside=_beside(stem, "scale_packed meta weight_shape"),
        )
    if scale is None or words.dtype not in INTEGER_BITS:
        return None
    parts = "weight_scale weight_shape weight_zero_point weight_g_idx weight_global_scale"
    beside = _beside(stem, f"{parts} input_scale input_global_scale")
    four = _four_bit_float(words, scale)
    if four is not None:
        return Packed(label=four, weight=weight, elements=words.elements * 2, beside=beside)
    own, zeros = settings.of_layer(stem), tensors.get(f"{stem}.weight_zero_point")
    bits: float | None = own.bits if own is not None else None if settings.groups else settings.bits
    if zeros is not None and zeros.dtype == "I32" and zeros.shape and scale.shape:
        bits = _whole_bits(_WORD_BITS * zeros.shape[0], scale.shape[0])
    if bits is None:
        bits = _bits_by_groups(words, scale, settings)
    return Packed(
        label=with_bits("compressed-tensors", bits),
        weight=weight,
        elements=_unpacked(words, bits),
        beside=beside,
    )


def _bits_by_groups(words: TensorLayout, scale: TensorLayout, settings: PackingSettings) -> float | None:
    """The bits of the one group of a config whose size fits a layer's scales, or None."""
    fits = {
        one.bits
        for one in settings.groups
        if one.bits and one.group_size and _unpacked(words, one.bits) == scale.elements * one.group_size
    }
    return fits.pop() if len(fits) == 1 else None


def _four_bit_float(words: TensorLayout, scale: TensorLayout) -> str | None:
    """The format of floats of four bits, two in a byte, that share the scales beside them; or None."""
    if words.dtype != "U8":
        return None
    if scale.dtype == "F8_E4M3" and words.elements * 2 == scale.elements * _NVFP4_GROUP:
        return "NVFP4"
    if scale.dtype in {"U8", "F8_E8M0"} and words.elements * 2 == scale.elements * _MXFP4_GROUP:
        return "MXFP4"
    return None


def _sparse_bitmask(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    """compressed-tensors' sparse weights: a bit for each element, and those that are not zero."""
    mask, stored = tensors[f"{stem}.bitmask"], tensors.get(f"{stem}.compressed")
    if mask.dtype != "U8" or stored is None:
        return None
    elements: int | None = mask.elements * 8
    if _is_matrix(stored) and stored.elements * _SPARSE != elements:
        elements = None  # rows that are filled up to a whole byte
    return Packed(
        label=settings.name or stored.dtype,
        weight=f"{stem}.compressed",
        elements=elements,
        beside=_beside(stem, "bitmask shape row_offsets"),
    )


def _scaled(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    parts = "weight_scale weight_scale_inv weight_scale_2 weight_zero_point weight_shape weight_scales"
    others = "input_scale output_scale scale_weight scale_input k_scale v_scale pre_quant_scale comfy_quant"
    beside = _beside(stem, f"{parts} {others} input_zero_point input_global_scale weight_global_scale")
    scales = ("weight_scale", "weight_scale_inv", "scale_weight", "weight_scales")
    scale = next(one for part in scales if (one := tensors.get(f"{stem}.{part}")) is not None)
    return _scaled_weight(tensors, f"{stem}.weight", scale, beside, settings)


def _scaled_experts(ending: str) -> Scheme:
    def recognise_joined(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
        parts = "_weight_scale _weight_scale_2 _scale_inv _weight_scale_inv _scale _input_scale _bias_scale"
        beside = tuple(f"{stem}{part}" for part in parts.split())
        return _scaled_weight(tensors, stem, tensors[f"{stem}{ending}"], beside, settings)

    return recognise_joined


def _scaled_weight(
    tensors: Tensors, weight: str, scale: TensorLayout, beside: tuple[str, ...], settings: PackingSettings
) -> Packed | None:
    """A weight under its own name beside scales: what is packed in it, its type and its scales tell."""
    data = tensors.get(weight)
    if data is None or not data.shape:
        return None
    if is_float8(data):
        label, elements = "MXFP8" if scale.dtype == "U8" else data.dtype, data.elements
    elif data.dtype == "F4":
        label, elements = "NVFP4" if scale.dtype == "F8_E4M3" else "MXFP4", data.elements
    elif settings.expert_bits and is_expert(weight) and data.dtype in INTEGER_BITS:
        label, unpacked = (settings.expert_name or "").upper(), _unpacked(data, settings.expert_bits)
        elements = unpacked or 0
    elif data.dtype == "I8":
        label, elements = "INT8", data.elements
    elif (four := _four_bit_float(data, scale)) is not None:
        label, elements = four, data.elements * 2
    elif (
        data.dtype == "U8"
        and scale.dtype == "F8_E4M3"
        and not tensors.keys().isdisjoint((f"{weight}_scale_2", f"{weight}_weight_scale_2"))
    ):
        label, elements = "NVFP4", data.elements * 2  # its scales may be filled up to whole tiles
    elif data.dtype == "U8" and settings.method == "bitnet" and scale.elements == 1:
        label, elements = "BitNet", data.elements * _TERNARY
    elif data.dtype in INTEGER_BITS and _groups_fit(data, scale, settings):
        label, elements = settings.name or "", _unpacked(data, settings.bits) or 0
    else:
        return None
    return Packed(label=label, weight=weight, elements=elements, beside=beside)


def _groups_fit(data: TensorLayout, scale: TensorLayout, settings: PackingSettings) -> bool:
    """Whether so many bits as the config says make a whole group for each scale, of its size."""
    elements = _unpacked(data, settings.bits)
    if not settings.name or not elements or not scale.elements or settings.group_size is None:
        return False
    return elements == scale.elements * settings.group_size


def is_expert(name: str) -> bool:
    """Whether a tensor is one of the experts among which a token chooses."""
    return ".experts." in name and "shared_experts" not in name


def _mxfp4_blocks(tensors: Tensors, stem: str, _: PackingSettings) -> Packed | None:
    blocks, exponents = tensors[f"{stem}_blocks"], tensors.get(f"{stem}_scales")
    # 16 bytes hold 32 elements that share one exponent.
    if exponents is None or blocks.dtype != "U8" or blocks.shape != (*exponents.shape, 16):
        return None
    return Packed(
        label="MXFP4", weight=f"{stem}_blocks", elements=blocks.elements * 2, beside=(f"{stem}_scales",)
    )


def _exllama2(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    words = tensors[f"{stem}.q_weight"]
    order = tensors.get(f"{stem}.q_invperm") or tensors.get(f"{stem}.q_perm")
    if words.dtype != "I32" or len(words.shape) != _MATRIX:
        return None
    return Packed(
        label="EXL2" if settings.bits is None else f"EXL2-{settings.bits:g}bpw",
        weight=f"{stem}.q_weight",
        elements=None if order is None else order.elements * words.shape[1],
        beside=_beside(stem, "q_scale q_scale_max q_groups q_group_map q_perm q_invperm"),
    )


def _exllama3(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    tiles = tensors[f"{stem}.trellis"]
    if tiles.dtype not in {"I16", "U16"} or not _is_matrix(tiles) or tiles.shape[-1] % _TILE:
        return None
    elements = tiles.elements // tiles.shape[-1] * _TILE * _TILE if tiles.shape[-1] else 0
    bits = settings.bits if settings.bits is not None else tiles.shape[-1] // _TILE
    return Packed(
        label=f"EXL3-{bits:g}bpw",
        weight=f"{stem}.trellis",
        elements=elements,
        beside=_beside(stem, "suh svh su sv mcg mul1"),
    )


def _hqq(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    words = tensors[f"{stem}.W_q"]
    scale = tensors.get(f"{stem}.scale") or tensors.get(f"{stem}.meta.scale")
    own = settings.of_layer(stem)
    bits = own.bits if own is not None and own.bits else settings.bits
    size = own.group_size if own is not None and own.group_size else settings.group_size
    by_words = None
    if bits in {1, 2, 4, 8}:  # three bits lie ten in a word, filled up
        by_words = round(bytes_of(words) * 8 / bits)
    by_groups = scale.elements * size if scale is not None and size is not None else None
    elements = by_words if by_groups is None else by_groups
    if by_words is not None and by_groups is not None and by_words != by_groups:
        elements = None
    parts = "scale zero shape nbits group_size axis packing unpack_view_dtype compute_dtype view_as_float"
    more = "quant_scale quant_zero channel_wise optimize round_zero stores_quant_config offload_meta"
    return Packed(
        label=with_bits("HQQ", bits),
        weight=f"{stem}.W_q",
        elements=elements,
        beside=_beside(stem, f"{parts} {more} encoded_state_dict meta.scale meta.zero"),
    )


def _quanto(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    data = tensors[f"{stem}._data"]
    if f"{stem}._scale" not in tensors:
        return None
    bits: float | None = 8
    if f"{stem}._shift" in tensors or data.dtype == "U8":
        bits = settings.bits
    known = data.dtype in {"I8", "U8"} or is_float8(data)
    return Packed(
        label=settings.name or "QUANTO",
        weight=f"{stem}._data",
        elements=_unpacked(data, bits) if known else None,
        beside=_beside(stem, "_scale _shift") + _beside(stem.rpartition(".")[0], "input_scale output_scale"),
    )


def _torchao(ending: str) -> Scheme:
    def recognise_parts(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
        name = f"{stem}{ending}qdata"
        data = tensors[name]
        if data.dtype in {"I8", "F8_E4M3", "F8_E5M2"}:
            elements: int | None = data.elements
        elif data.dtype in {"U8", "I32"} and settings.bits is not None:
            elements = _unpacked(data, settings.bits)
        else:
            elements = None
        parts = "scale zero_point scale_and_zero act_pre_scale per_tensor_scale act_per_tensor_scale"
        return Packed(
            label=settings.name or "TORCHAO",
            weight=name,
            elements=elements,
            beside=tuple(f"{stem}{ending}{part}" for part in parts.split()),
        )

    return recognise_parts


def _aqlm(tensors: Tensors, stem: str, _: PackingSettings) -> Packed | None:
    codes, books = tensors[f"{stem}.codes"], tensors.get(f"{stem}.codebooks")
    if books is None or len(books.shape) != 4 or len(codes.shape) != 3:  # noqa: PLR2004 - dimensions
        return None
    count, entries, rows, columns = books.shape
    if codes.shape[2] != count or not rows * columns:
        return None
    bits = count * max(entries - 1, 0).bit_length() / (rows * columns)
    return Packed(
        label=f"AQLM-{bits:.3g}bit",
        weight=f"{stem}.codes",
        elements=codes.shape[0] * rows * codes.shape[1] * columns,
        beside=_beside(stem, "codebooks scales"),
    )


def _packed_part(tensors: Tensors, stem: str, settings: PackingSettings) -> Packed | None:
    """Words as `NAME.packed` beside its scale and zero point, of so many bits as the config says."""
    words, scale = tensors[f"{stem}.packed"], tensors.get(f"{stem}.scale")
    if words.dtype not in _WORDS or scale is None or not settings.bits:
        return None
    elements = _unpacked(words, settings.bits)
    if settings.group_size is not None and elements != scale.elements * settings.group_size:
        elements = None
    return Packed(
        label=settings.name or f"INT{settings.bits:g}",
        weight=f"{stem}.packed",
        elements=elements,
        beside=_beside(stem, "scale zero_point"),
    )


_SCHEMES: dict[str, Scheme] = {
    "qweight": _gptq_or_awq,
    "B": _marlin,
    "absmax": _bitsandbytes_4bit,
    "bitsandbytes__nf4": _bitsandbytes_4bit,
    "bitsandbytes__fp4": _bitsandbytes_4bit,
    "SCB": _bitsandbytes_int8,
    "scales": _mlx,
    "scale": _ollama,
    "weight_packed": _compressed_tensors,
    "bitmask": _sparse_bitmask,
    "weight_scale": _scaled,
    "weight_scale_inv": _scaled,
    "weight_scales": _scaled,
    "scale_weight": _scaled,
    "q_weight": _exllama2,
    "trellis": _exllama3,
    "W_q": _hqq,
    "_data": _quanto,
    "codes": _aqlm,
    "packed": _packed_part,
}
"""What recognises a packed weight, by the last part of its anchor tensor's name."""

_JOINED: dict[str, Scheme] = {
    "_blocks": _mxfp4_blocks,
    **{
        ending: _scaled_experts(ending)
        for ending in ("_weight_scale", "_weight_scale_inv", "_scale_inv", "_scale")
    },
    "_qdata": _torchao("_"),
    ":qdata": _torchao(":"),
}
"""The same by how that part ends."""

_JOINED_ENDING = re.compile("(?:" + "|".join(sorted(map(re.escape, _JOINED), key=len, reverse=True)) + ")$")
_ANCHOR = re.compile(rf"(?:[.\n](?:{'|'.join(_SCHEMES)})|{'|'.join(map(re.escape, _JOINED))})\n")
