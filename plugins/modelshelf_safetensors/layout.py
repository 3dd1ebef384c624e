"""What a header says: a table of tensors, and the bytes that follow from a dtype and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from modelshelf.model import Finding

LENGTH_BYTES = 8
"""Bytes of the number that the file begins with: the length of the JSON text."""

LONGEST_MEMBER = 1 << 16
"""Characters of a tensor's entry, name included, that are judged; a real one has some hundreds."""

MOST_U64 = 2**64 - 1

METADATA = "__metadata__"
"""The member of the header that is no tensor."""

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
"""Bits of one element by dtype, as the header spells it.

Source: the ``Dtype`` enum of the safetensors library, release 0.8 (``tensor.rs``, ``impl Dtype``). The list
is open: a name that is not here may be a later one, so that only its width is unknown.
"""


@frozen(kw_only=True)
class Layout:
    """Dtype and shape of a tensor.

    Attributes:
        dtype: The element type as the header spells it; an open set.
        shape: Elements along each dimension; empty for a scalar.
        elements: Elements altogether.
        size: Bytes of data, or None where the dtype's width is not known.
    """

    dtype: str
    shape: tuple[int, ...]
    elements: int
    size: int | None


@frozen(kw_only=True)
class HostileText:
    """What may harm a program that shows texts as they are.

    Attributes:
        markup: The first key of ``__metadata__`` whose value has markup, or None.
        controls: Whether a name, or a key or value of ``__metadata__``, has control or direction characters.
    """

    markup: str | None = None
    controls: bool = False


@frozen(kw_only=True)
class Header:
    """What a header says, one entry a tensor in every column.

    Attributes:
        length: Bytes of the JSON text.
        names: The tensors' names, each once.
        layouts: Their dtypes and shapes, equal ones as one object; None where there are too many to keep.
        begins: Where each one's data begins, in bytes from the header's end.
        ends: Where it ends.
        metadata: The entries of ``__metadata__`` that are used, as `text_map.TextMap` keeps them.
        hostile: What is hostile in names and in all of ``__metadata__``.
        findings: What departs from the specification and yet can be read.
        counts: Tensors and elements by dtype, where they were counted while reading.
        data_size: Bytes of tensor data that it promises.
    """

    length: int
    names: Sequence[str]
    layouts: Sequence[Layout] | None
    begins: Sequence[int]
    ends: Sequence[int]
    metadata: dict[str, str] = field(factory=dict)
    hostile: HostileText = HostileText()
    findings: tuple[Finding, ...] = ()
    counts: Mapping[str, tuple[int, int]] | None = None
    data_size: int = field()

    @data_size.default
    def _last_end(self) -> int:
        return max(self.ends, default=0)

    @property
    def data_start(self) -> int:
        """The byte of the file at which tensor data begins."""
        return LENGTH_BYTES + self.length

    def count_by_dtype(self) -> Mapping[str, tuple[int, int]] | None:
        """Count tensors and elements by dtype; None where that is unknown."""
        if self.counts is not None or self.layouts is None:
            return self.counts
        counts: dict[str, tuple[int, int]] = {}
        for layout in self.layouts:
            tensors, elements = counts.get(layout.dtype, (0, 0))
            counts[layout.dtype] = tensors + 1, elements + layout.elements
        return counts


def lay_out(dtype: str, shape: tuple[int, ...]) -> Layout:
    """Compute a tensor's elements and bytes as the reference loader does, in 64 bits.

    Raises:
        OverflowError: The product of the dimensions, from the first on, or the bits pass 64 bits.
        ValueError: Elements below a byte do not fill their last byte.
    """
    elements, size = measure(dtype, shape)
    return Layout(dtype=dtype, shape=shape, elements=elements, size=size)


def measure(dtype: str, shape: Sequence[int]) -> tuple[int, int | None]:
    """Compute the elements and bytes of `lay_out` alone.

    Raises:
        OverflowError: As `lay_out`.
        ValueError: As `lay_out`.
    """
    elements = 1
    for dimension in shape:
        elements *= dimension
        if elements > MOST_U64:
            raise OverflowError("its elements cannot be counted in 64 bits")
    bits = BITS.get(dtype)
    if bits is None:
        return elements, None
    if elements * bits > MOST_U64:
        raise OverflowError("its bits cannot be counted in 64 bits")
    if elements * bits % 8:
        raise ValueError(f"its {elements} elements of {bits} bits do not end at a whole byte")
    return elements, elements * bits // 8
