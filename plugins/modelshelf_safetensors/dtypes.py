"""Element types of tensors and their widths.

Source: the ``Dtype`` enum of the safetensors library, release 0.8 (``tensor.rs``, ``impl Dtype``). The list
is open: a name that is not here may be a later one, so that only its width is unknown.
"""

from __future__ import annotations

BITS: dict[str, int] = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of one element by dtype, as the header spells it."""


def is_float8(dtype: str) -> bool:
    """Whether elements of this dtype are 8-bit floats."""
    return dtype.startswith("F8_")
