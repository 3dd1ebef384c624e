"""The tensor table of a header: names, shapes, types and offsets, thousands of them in a mixture of experts.

Source of the layout: the GGUF specification (ggml `docs/gguf.md`, `gguf_tensor_info_t`).
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError
from modelshelf_gguf.header import TensorInfo
from modelshelf_gguf.layout import MAX_DIMENSIONS, MAX_NAME_BYTES
from modelshelf_gguf.parse_state import EntryTable, decode_utf8, while_reading
from modelshelf_gguf.quantization import TENSOR_TYPES

if TYPE_CHECKING:
    from modelshelf_gguf.parse_state import ParseState

_MAX_ELEMENTS = 2**63 - 1


class TensorTable(EntryTable[TensorInfo]):
    """The tensor table of a header being read."""

    def read_strict(self) -> None:
        """Read the tensor at the cursor with every check.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """
        cursor, tensors = self._state.cursor, self.entries
        window, at = cursor.peek(min(self._state.layout.max_tensor, cursor.remaining))
        try:
            tensor, end = _read_tensor(self._state, window, at, cursor.position, len(tensors))
        except struct.error:
            error = cursor.truncated(cursor.remaining + 1)
            raise while_reading(error, f"tensor entry {len(tensors) + 1} of {self._count}") from None
        if tensor.name in tensors:
            raise FormatError(
                f"the tensor {tensor.name!r} stands twice", code="duplicate-tensor", offset=tensor.entry
            )
        tensors[tensor.name] = tensor
        cursor.skip(end - at)

    def read_fast(self) -> None:
        """Read tensors of known types, as long as they lie within the window."""
        cursor, layout, tensors = self._state.cursor, self._state.layout, self.entries
        window, at = cursor.peek(min(layout.max_tensor, cursor.remaining))
        begin, start, last = at, cursor.position - at, len(window) - layout.max_tensor
        length_at, width, number_at = layout.length.unpack_from, layout.length.size, layout.u32.unpack_from
        rests = [(rest.unpack_from, rest.size + layout.u32.size) for rest in layout.tensors]
        new, type_of, prod = tuple.__new__, TENSOR_TYPES.get, math.prod
        try:
            for _ in range(self._count - len(tensors)):
                (length,) = length_at(window, at) if at <= last else (_MAX_ELEMENTS,)
                if length > MAX_NAME_BYTES:
                    break
                end = at + width + length
                name = window[at + width : end].decode()
                (dimensions,) = number_at(window, end)
                if dimensions > MAX_DIMENSIONS or name in tensors or not name or not name.isprintable():
                    break
                unpack, size = rests[dimensions]
                *shape, kind, offset = unpack(window, end + layout.u32.size)
                tensor_type, elements = type_of(kind), prod(shape)
                if tensor_type is None or not 0 < elements <= _MAX_ELEMENTS:
                    break
                _, block, stored = tensor_type
                if block > 1 and (not shape or shape[0] % block):
                    break
                values = (name, tuple(shape), kind, offset, elements, elements // block * stored, start + at)
                tensors[name] = new(TensorInfo, values)  # what its constructor does, in a third of the time
                at = end + size
        except UnicodeDecodeError:
            pass
        cursor.skip(at - begin)


def _read_tensor(state: ParseState, window: bytes, at: int, entry: int, index: int) -> tuple[TensorInfo, int]:
    """Read tensor number `index` at `at` in the window, which is byte `entry` of the file.

    Returns:
        The tensor, and where its entry ends in the window.

    Raises:
        FormatError: It breaks the format's rules.
        struct.error: It reaches past the window's end.
    """
    layout = state.layout
    (length,) = layout.length.unpack_from(window, at)
    begin = at + layout.length.size
    if length > MAX_NAME_BYTES:
        raise FormatError(
            f"the name of tensor {index + 1} claims {length} bytes; ggml allows {MAX_NAME_BYTES}",
            code="bad-tensor-name",
            offset=entry,
        )
    end = begin + length
    (dimensions,) = layout.u32.unpack_from(window, end)
    name = decode_utf8(window[begin:end], f"name of tensor {index + 1}", "bad-tensor-name", entry)
    if not name or not name.isprintable():
        state.add_finding("odd-tensor-name", f"the tensor name {name!r} is empty or unprintable", entry)
    if dimensions > MAX_DIMENSIONS:
        raise FormatError(
            f"tensor {name!r} has {dimensions} dimensions; ggml knows at most {MAX_DIMENSIONS}",
            code="bad-shape",
            offset=entry,
        )
    rest = layout.tensors[dimensions]
    *shape, kind, offset = rest.unpack_from(window, end + layout.u32.size)
    return _sized(name, tuple(shape), kind, offset, entry), end + layout.u32.size + rest.size


def _sized(name: str, shape: tuple[int, ...], kind: int, offset: int, entry: int) -> TensorInfo:
    """Make the tensor with its number of elements and of bytes; see `TensorInfo` for the arguments.

    Raises:
        FormatError: The shape is impossible, or no whole number of the type's blocks.
    """
    elements = math.prod(shape)
    # Where no dimension is zero, each is at most their product.
    if elements > _MAX_ELEMENTS or (not elements and max(shape) > _MAX_ELEMENTS):
        raise FormatError(
            f"tensor {name!r} claims the shape {list(shape)}: more than 63 bits can count",
            code="bad-shape",
            offset=entry,
        )
    tensor_type = TENSOR_TYPES.get(kind)
    if tensor_type is None:
        return TensorInfo(name, shape, kind, offset, elements, None, entry)
    type_name, block, stored = tensor_type
    row = shape[0] if shape else 1
    if row % block:
        raise FormatError(
            f"tensor {name!r} has rows of {row} elements, and {type_name} blocks have {block}",
            code="bad-shape",
            offset=entry,
        )
    return TensorInfo(name, shape, kind, offset, elements, elements // block * stored, entry)
