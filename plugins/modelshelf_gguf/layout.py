"""How wide the numbers of a GGUF file are, and in which order their bytes stand."""

from __future__ import annotations

from functools import cache
from struct import Struct

from attrs import frozen

from modelshelf_gguf.limits import MOST_NAME_BYTES
from modelshelf_gguf.tables import SCALAR_CODES, ValueType

NEWEST_VERSION = 3
MOST_DIMENSIONS = 4
"""`GGML_MAX_DIMS`."""


@frozen(kw_only=True)
class Layout:
    """The structures of one version and byte order.

    Version 1 counts with 32 bits, later ones with 64 (specification, "Historical State of Affairs").

    Attributes:
        u32: A type number or a number of dimensions.
        length: A count: of bytes, elements, tensors, pairs.
        array: An array's element type and count.
        scalars: Each scalar value type.
        tensors: The rest of a tensor's entry, by its number of dimensions: dimensions, type, offset.
        smallest_field: Bytes that a key-value pair takes at least.
        smallest_tensor: Bytes that a tensor's entry takes at least.
        largest_tensor: Bytes that it takes at most.
    """

    u32: Struct
    length: Struct
    array: Struct
    scalars: dict[ValueType, Struct]
    tensors: tuple[Struct, ...]
    smallest_field: int
    smallest_tensor: int
    largest_tensor: int


@cache
def layout_of(version: int, order: str) -> Layout:
    """The layout of a version; `order` is ``<`` or ``>``."""
    count = "I" if version == 1 else "Q"
    length = Struct(order + count)
    tensors = tuple(Struct(f"{order}{n}{count}IQ") for n in range(MOST_DIMENSIONS + 1))
    return Layout(
        u32=Struct(order + "I"),
        length=length,
        array=Struct(f"{order}I{count}"),
        scalars={kind: Struct(order + code) for kind, code in SCALAR_CODES.items()},
        tensors=tensors,
        # A length, a key of one byte, a type, a value of one byte.
        smallest_field=length.size + 1 + 4 + 1,
        # A length, an empty name, a number of dimensions, then type and offset.
        smallest_tensor=length.size + 4 + tensors[0].size,
        largest_tensor=length.size + MOST_NAME_BYTES + 4 + tensors[MOST_DIMENSIONS].size,
    )
