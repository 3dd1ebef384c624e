"""Tensor types whose numbers other programs use otherwise, recognised by who wrote the file.

Sources: Ollama's ``ggml`` of 2025 (``GGML_TYPE_MXFP4 = 4`` for its architecture ``gptoss``), Microsoft's
BitNet (``GGML_TYPE_I2_S = 36`` and the three after it, ``ggml_nbytes``), ik_llama.cpp (numbers from 97 on).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf_gguf import keys
from modelshelf_gguf.quantization import MXFP4, TENSOR_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf_gguf.header import Field, TensorInfo

FORKS = range(97, 400)
"""Numbers that forks of llama.cpp give their own types; they are not mapped, as forks differ."""

_OLLAMA = "gptoss"  # llama.cpp writes it with a hyphen
_OLLAMA_MXFP4 = 4
_BITNET = "bitnet-"
_BITNET_TYPES = {36: -36, 37: -37, 38: -38, 39: -39}  # below zero: no file can have such a number
_BITNET_FILE_TYPES = range(38, 41)
_I2_S = -36
_SCALE_BYTES = 32


def translated(tensors: tuple[TensorInfo, ...], fields: Mapping[str, Field]) -> tuple[TensorInfo, ...]:
    """Tensors under the numbers that this package knows their types by."""
    architecture = _value(fields, keys.ARCHITECTURE)
    numbers = {one.type for one in tensors}
    if architecture == _OLLAMA and _OLLAMA_MXFP4 in numbers:
        return tuple(_as_mxfp4(one) if one.type == _OLLAMA_MXFP4 else one for one in tensors)
    is_bitnet = isinstance(architecture, str) and architecture.startswith(_BITNET)
    if is_bitnet or (_value(fields, keys.FILE_TYPE) in _BITNET_FILE_TYPES and 36 in numbers):  # noqa: PLR2004
        return tuple(
            _as_bitnet(one, _BITNET_TYPES[one.type]) if one.type in _BITNET_TYPES else one for one in tensors
        )
    return tensors


def _as_bitnet(tensor: TensorInfo, number: int) -> TensorInfo:
    """The tensor under its own number; of I2_S four elements lie in a byte, and a scale behind them all."""
    size = tensor.elements // 4 + _SCALE_BYTES if number == _I2_S and not tensor.elements % 4 else None
    return tensor._replace(type=number, size=size)


def _value(fields: Mapping[str, Field], key: str) -> object:
    field = fields.get(key)
    return None if field is None else field.value


def _as_mxfp4(tensor: TensorInfo) -> TensorInfo:
    _, block, stored = TENSOR_TYPES[MXFP4]
    if tensor.shape and tensor.shape[0] % block:
        return tensor
    return tensor._replace(type=MXFP4, size=tensor.elements // block * stored)
