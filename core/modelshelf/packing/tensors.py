"""What packing rules see of a tensor, and which element types are integers, floats or scales alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class TensorLayout(Protocol):
    """Element type and shape of a tensor, of whatever format."""

    @property
    def dtype(self) -> str:
        """The element type as safetensors spells it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension; empty for a scalar."""

    @property
    def elements(self) -> int:
        """Elements altogether."""


Tensors = Mapping[str, TensorLayout]

INTEGER_BITS: dict[str, int] = {
    "I8": 8,
    "U8": 8,
    "I16": 16,
    "U16": 16,
    "I32": 32,
    "U32": 32,
    "I64": 64,
    "U64": 64,
}
"""Bits of the integers that weights are packed into."""

FLOAT_BITS: dict[str, int] = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16}
"""Bits of the floats in which most schemes leave what they do not pack."""

UNPACKED = frozenset(FLOAT_BITS)

SCALES = frozenset({"F8_E8M0", "E8M0", "UE8"})
"""Types that are scales and never weights: powers of two."""


def bytes_of(tensor: TensorLayout) -> int:
    """The bytes of a tensor of one of the types above; of another, a byte an element."""
    bits = INTEGER_BITS.get(tensor.dtype) or FLOAT_BITS.get(tensor.dtype) or 8
    return tensor.elements * bits // 8


def is_float8(tensor: TensorLayout) -> bool:
    """Whether a tensor has floats of eight bits."""
    return tensor.dtype.startswith("F8_")
