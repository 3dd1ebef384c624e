"""The tensor table: one entry after another, thousands of them in a mixture of experts."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError
from modelshelf_gguf.header import TensorInfo
from modelshelf_gguf.layout import MOST_DIMENSIONS, MOST_NAME_BYTES
from modelshelf_gguf.parse_state import EntryTable, within
from modelshelf_gguf.quantization import TENSOR_TYPES

if TYPE_CHECKING:
    from modelshelf_gguf.parse_state import Reading


_LARGEST = 2**63 - 1


class TensorTable(EntryTable[TensorInfo]):
    """The tensor table being read."""

    def read_one(self) -> None:
        """Read the tensor at the cursor, whatever it is.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """
        cursor, tensors = self._reading.cursor, self.entries
        window, at = cursor.ahead(min(self._reading.layout.largest_tensor, cursor.left))
        try:
            tensor, behind = _entry(self._reading, window, at, cursor.position, len(tensors))
        except struct.error:
            error = cursor.cut_short(cursor.left + 1)
            raise within(error, f"tensor entry {len(tensors) + 1} of {self._count}") from None
        if tensor.name in tensors:
            raise FormatError(
                f"the tensor {tensor.name!r} stands twice", code="duplicate-tensor", offset=tensor.entry
            )
        tensors[tensor.name] = tensor
        cursor.skip(behind - at)

    def read_ordinary(self) -> None:
        """Read tensors of known types, as long as they lie within the window."""
        cursor, layout, tensors = self._reading.cursor, self._reading.layout, self.entries
        window, at = cursor.ahead(min(layout.largest_tensor, cursor.left))
        begin, start, last = at, cursor.position - at, len(window) - layout.largest_tensor
        length_at, width, number_at = layout.length.unpack_from, layout.length.size, layout.u32.unpack_from
        rests = [(one.unpack_from, one.size + layout.u32.size) for one in layout.tensors]
        new, type_of, prod = tuple.__new__, TENSOR_TYPES.get, math.prod
        try:
            for _ in range(self._count - len(tensors)):
                (length,) = length_at(window, at) if at <= last else (_LARGEST,)
                if length > MOST_NAME_BYTES:
                    break
                end = at + width + length
                name = window[at + width : end].decode()
                (dimensions,) = number_at(window, end)
                if dimensions > MOST_DIMENSIONS or name in tensors or not name or not name.isprintable():
                    break
                unpack, size = rests[dimensions]
                *shape, kind, offset = unpack(window, end + layout.u32.size)
                known, elements = type_of(kind), prod(shape)
                if known is None or not 0 < elements <= _LARGEST:
                    break
                _, block, stored = known
                if block > 1 and (not shape or shape[0] % block):
                    break
                told = (name, tuple(shape), kind, offset, elements, elements // block * stored, start + at)
                tensors[name] = new(TensorInfo, told)  # what its own constructor does, in a third of the time
                at = end + size
        except UnicodeDecodeError:
            pass
        cursor.skip(at - begin)


def _entry(reading: Reading, window: bytes, at: int, entry: int, index: int) -> tuple[TensorInfo, int]:
    """The entry at `at` in the window, `entry` in the file, and where it ends in the window.

    Raises:
        FormatError: It breaks the format's rules.
        struct.error: It reaches past the window's end.
    """
    layout = reading.layout
    (length,) = layout.length.unpack_from(window, at)
    begin = at + layout.length.size
    if length > MOST_NAME_BYTES:
        raise FormatError(
            f"the name of tensor {index + 1} claims {length} bytes; ggml allows {MOST_NAME_BYTES}",
            code="bad-tensor-name",
            offset=entry,
        )
    end = begin + length
    (dimensions,) = layout.u32.unpack_from(window, end)
    name = _tensor_name(reading, window[begin:end], index, entry)
    if dimensions > MOST_DIMENSIONS:
        raise FormatError(
            f"tensor {name!r} has {dimensions} dimensions; ggml knows at most {MOST_DIMENSIONS}",
            code="bad-shape",
            offset=entry,
        )
    rest = layout.tensors[dimensions]
    *shape, kind, offset = rest.unpack_from(window, end + layout.u32.size)
    return _sized(name, tuple(shape), kind, offset, entry), end + layout.u32.size + rest.size


def _tensor_name(reading: Reading, raw: bytes, index: int, entry: int) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise FormatError(
            f"the name of tensor {index + 1} is not UTF-8", code="bad-tensor-name", offset=entry
        ) from None
    if not name or not name.isprintable():
        reading.note("odd-tensor-name", f"the tensor name {name!r} is empty or unprintable", entry)
    return name


def _sized(name: str, shape: tuple[int, ...], kind: int, offset: int, entry: int) -> TensorInfo:
    elements = math.prod(shape)
    # Where no dimension is zero, each is at most their product.
    if elements > _LARGEST or (not elements and max(shape) > _LARGEST):
        raise FormatError(
            f"tensor {name!r} claims the shape {list(shape)}: more than 63 bits can count",
            code="bad-shape",
            offset=entry,
        )
    known = TENSOR_TYPES.get(kind)
    if known is None:
        return TensorInfo(name, shape, kind, offset, elements, None, entry)
    row = shape[0] if shape else 1
    if row % known.block:
        raise FormatError(
            f"tensor {name!r} has rows of {row} elements, and {known.name} blocks have {known.block}",
            code="bad-shape",
            offset=entry,
        )
    return TensorInfo(name, shape, kind, offset, elements, elements // known.block * known.size, entry)
