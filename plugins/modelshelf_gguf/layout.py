"""The binary layout of a GGUF file: magic, versions, value types, and how wide each version's numbers are.

Source: the GGUF specification (ggml `docs/gguf.md`). The `gguf` package has the same numbers; a test compares
them.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from struct import Struct

from attrs import frozen

MAGIC = b"GGUF"
NEWEST_VERSION = 3

MAX_KEY_BYTES = 65_535
"""Specification, `gguf_metadata_kv_t`: a key is at most 2^16 - 1 bytes long."""

MAX_NAME_BYTES = 63
"""`GGML_MAX_NAME` is 64 with its closing NUL; llama.cpp refuses a longer tensor name."""

MAX_DIMENSIONS = 4
"""`GGML_MAX_DIMS`."""

DEFAULT_ALIGNMENT = 32
"""Alignment of tensor data where `general.alignment` is absent (specification, "general.alignment")."""


class ValueType(IntEnum):
    """Types of metadata values (specification, `gguf_metadata_value_type`)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


INTEGERS = frozenset(
    {
        ValueType.UINT8,
        ValueType.INT8,
        ValueType.UINT16,
        ValueType.INT16,
        ValueType.UINT32,
        ValueType.INT32,
        ValueType.UINT64,
        ValueType.INT64,
    }
)

SCALAR_CODES: dict[ValueType, str] = {
    ValueType.UINT8: "B",
    ValueType.INT8: "b",
    ValueType.UINT16: "H",
    ValueType.INT16: "h",
    ValueType.UINT32: "I",
    ValueType.INT32: "i",
    ValueType.FLOAT32: "f",
    ValueType.BOOL: "B",
    ValueType.UINT64: "Q",
    ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}
"""`struct` codes of the scalar types. A bool is read as a byte, so that a 2 is noticed."""


@frozen(kw_only=True)
class Layout:
    """The structures of one version and byte order.

    Version 1 counts with 32 bits, later ones with 64 (specification, "Historical State of Affairs").

    Attributes:
        u32: A type number or a number of dimensions.
        length: A count: of bytes, elements, tensors, key-value pairs.
        array: An array's element type and count.
        scalars: Each scalar value type.
        tensors: The rest of a tensor's entry, by its number of dimensions: dimensions, type, offset.
        min_field: Fewest bytes of a key-value pair.
        min_tensor: Fewest bytes of a tensor's entry.
        max_tensor: Most bytes of a tensor's entry.
    """

    u32: Struct
    length: Struct
    array: Struct
    scalars: dict[ValueType, Struct]
    tensors: tuple[Struct, ...]
    min_field: int
    min_tensor: int
    max_tensor: int


@cache
def layout_of(version: int, order: str) -> Layout:
    """Give the layout of a version, 1 to 3, in the byte order ``<`` or ``>``."""
    count = "I" if version == 1 else "Q"
    length = Struct(order + count)
    tensors = tuple(Struct(f"{order}{n}{count}IQ") for n in range(MAX_DIMENSIONS + 1))
    return Layout(
        u32=Struct(order + "I"),
        length=length,
        array=Struct(f"{order}I{count}"),
        scalars={kind: Struct(order + code) for kind, code in SCALAR_CODES.items()},
        tensors=tensors,
        # A length, a key of one byte, a type, a value of one byte.
        min_field=length.size + 1 + 4 + 1,
        # A length, an empty name, a number of dimensions, then type and offset.
        min_tensor=length.size + 4 + tensors[0].size,
        max_tensor=length.size + MAX_NAME_BYTES + 4 + tensors[MAX_DIMENSIONS].size,
    )


def padded(length: int, alignment: int) -> int:
    """Round `length` up to a multiple of `alignment`."""
    return -(-length // alignment) * alignment
