"""Kinds of tensors, dtype and shape together, as the text of a header spells them."""

from __future__ import annotations

import operator
from array import array
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf_safetensors.dtypes import BITS
from modelshelf_safetensors.layout import MOST_U64

if TYPE_CHECKING:
    from collections.abc import Container

Kind = tuple[bytes, str, int, int | None]
"""A row of `compact.Layouts`, dtype, elements, and bytes where the dtype's width is known."""

Kinds = tuple[list[bytes], list[tuple[int, str, int]], list[int | None]]
"""Rows; tensors, dtype and elements of each sort of them; bytes of each."""

DIGITS = b"0123456789"

_ONE_NOT_ZERO = bytes.maketrans(b"23456789", b"11111111")


@frozen
class Rows:
    """Entries that were read.

    Attributes:
        names: Their names, decoded, as UTF-8.
        kinds: Dtype and shape of each: ``F32 2,3``.
        counts: Tensors, their dtype and all their elements together.
        begins: Where their data begins.
        ends: Where it ends.
        unknown: The first field of no known meaning in each, as it stands in the text; empty where that is
            not told.
        with_unknown: How many have such a field.
        odd: As `spelling.Form.odd`.
        pieces: Pieces between quotes that they take.
    """

    names: list[bytes]
    kinds: list[bytes]
    counts: list[tuple[int, str, int]]
    begins: array[int]
    ends: array[int]
    unknown: list[bytes] = field(factory=list)
    with_unknown: int = 0
    odd: bool = False
    pieces: int = 0


def kind_in(dtype: bytes, shape: bytes, dtypes: Container[str] = ()) -> Kind | None:
    """A kind's row, dtype, elements and bytes; None where it is not plain, and not one of `dtypes`."""
    name = dtype.decode(errors="replace")
    bits = BITS.get(name)
    if bits is None and name not in dtypes:
        return None
    elements = 1
    for one in shape.split(b",") if shape else ():
        if not one.isdigit() or (one[:1] == b"0" and len(one) > 1) or len(one) > len(str(MOST_U64)):
            return None
        elements *= int(one)
        if elements > MOST_U64:
            return None
    row = dtype + b" " + shape
    if bits is None:
        return row, name, elements, None
    if elements * bits > MOST_U64 or elements * bits % 8:
        return None
    return row, name, elements, elements * bits // 8


def kinds_of_many(dtype: bytes, shapes: list[bytes], before: bytes, after: bytes) -> Kinds | None:
    """What `_kinds` gives of shapes of which few are equal; None unless all have as many dimensions."""
    bits = BITS.get(dtype.decode(errors="replace"))
    if bits is None or bits % 8:
        return None
    joined = b"".join(shapes)
    rank = shapes[0].count(b",", len(before), -len(after)) + 1
    if joined.translate(None, DIGITS) != (before + b"," * (rank - 1) + after) * len(shapes):
        return None
    texts = joined[len(before) : -len(after)].split(after + before)
    numbers = b",".join(texts).split(b",")
    # Digits may stand elsewhere than between brackets and commas, which are then in a number's place.
    if len(texts) != len(shapes) or not all(map(bytes.isdigit, numbers)) or begins_with_zeros(joined):
        return None
    if max(map(len, numbers)) > len(str(MOST_U64)):
        return None
    elements = _products(list(map(int, numbers)), rank)
    width = bits // 8
    if max(elements) * bits > MOST_U64:
        return None
    told = [(len(texts), dtype.decode(), sum(elements))]
    return [dtype + b" " + one for one in texts], told, [one * width for one in elements]


def _products(dimensions: list[int], rank: int) -> list[int]:
    """The products of so many dimensions each; one past 64 bits where it is so on the way."""
    elements = dimensions[::rank]
    for place in range(1, rank):
        elements = list(map(operator.mul, elements, dimensions[place::rank]))
        if max(elements) > MOST_U64:
            break
    return elements


def begins_with_zeros(arrays: bytes) -> bool:
    """Whether a number in arrays of whole numbers does."""
    ones = arrays.translate(_ONE_NOT_ZERO)
    return any(one in ones for one in (b"[00", b"[01", b",00", b",01"))
