"""What a header says: a table of tensors, and the bytes that follow from a dtype and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from modelshelf.model import Finding
from modelshelf_safetensors.dtypes import BITS

LENGTH_BYTES = 8
"""Bytes of the number that the file begins with: the length of the JSON text."""

MOST_U64 = 2**64 - 1

METADATA = "__metadata__"
"""The member of the header that is no tensor."""


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
        markup: The first key of ``__metadata__`` whose value holds markup, or None.
        controls: Whether a key or value holds control or direction characters.
    """

    markup: str | None = None
    controls: bool = False


@frozen(kw_only=True)
class Header:
    """What a header says, one entry a tensor in every column.

    Attributes:
        length: Bytes of the JSON text.
        names: The tensors' names, each once.
        layouts: Their dtypes and shapes; equal ones share one object.
        begins: Where each one's data begins, in bytes from the header's end.
        ends: Where it ends.
        metadata: ``__metadata__``.
        findings: What departs from the specification and yet can be read.
        tally: Tensors and elements by dtype, where they were counted already.
        data_size: Bytes of tensor data that it promises.
        hostile: What is hostile in ``__metadata__``, where `metadata` is only the part of it that is used.
    """

    length: int
    names: Sequence[str]
    layouts: Sequence[Layout]
    begins: Sequence[int]
    ends: Sequence[int]
    metadata: dict[str, str] = field(factory=dict)
    findings: tuple[Finding, ...] = ()
    tally: Mapping[str, tuple[int, int]] | None = None
    hostile: HostileText | None = None
    data_size: int = field()

    @data_size.default
    def _last_end(self) -> int:
        return max(self.ends, default=0)

    @property
    def data_start(self) -> int:
        """The byte of the file at which tensor data begins."""
        return LENGTH_BYTES + self.length

    def tallied(self) -> Mapping[str, tuple[int, int]]:
        """Tensors and elements by dtype."""
        if self.tally is not None:
            return self.tally
        told: dict[str, tuple[int, int]] = {}
        for layout in self.layouts:
            tensors, elements = told.get(layout.dtype, (0, 0))
            told[layout.dtype] = tensors + 1, elements + layout.elements
        return told

    @property
    def tensors(self) -> dict[str, Layout]:
        """Dtype and shape of every tensor by name."""
        return dict(zip(self.names, self.layouts, strict=True))


def lay_out(dtype: str, shape: tuple[int, ...]) -> Layout:
    """Compute a tensor's elements and bytes as the reference loader does, in 64 bits.

    Raises:
        OverflowError: The product of the dimensions, from the first on, or the bits pass 64 bits.
        ValueError: Elements below a byte do not fill their last byte.
    """
    elements = 1
    for dimension in shape:
        elements *= dimension
        if elements > MOST_U64:
            raise OverflowError("its elements cannot be counted in 64 bits")
    bits = BITS.get(dtype)
    if bits is None:
        return Layout(dtype=dtype, shape=shape, elements=elements, size=None)
    if elements * bits > MOST_U64:
        raise OverflowError("its bits cannot be counted in 64 bits")
    if elements * bits % 8:
        raise ValueError(f"its {elements} elements of {bits} bits do not end at a whole byte")
    return Layout(dtype=dtype, shape=shape, elements=elements, size=elements * bits // 8)
