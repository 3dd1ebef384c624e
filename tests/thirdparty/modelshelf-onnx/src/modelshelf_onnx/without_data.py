"""A ModelProto without its tensors' data: what is left is small, and the `onnx` package parses it."""

from __future__ import annotations

from typing import Any

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.reader import FileReader

# Which fields are messages to look into, by their numbers in onnx.proto; None: data, left out.
_TENSOR: dict[int, Any] = dict.fromkeys((4, 5, 6, 7, 9, 10, 11))
_SPARSE: dict[int, Any] = {1: _TENSOR, 2: _TENSOR}
_ATTRIBUTE: dict[int, Any] = {5: _TENSOR, 10: _TENSOR, 22: _SPARSE, 23: _SPARSE}
_NODE: dict[int, Any] = {5: _ATTRIBUTE}
_GRAPH: dict[int, Any] = {1: _NODE, 5: _TENSOR, 15: _SPARSE}
_ATTRIBUTE |= {6: _GRAPH, 11: _GRAPH}
_MODEL: dict[int, Any] = {7: _GRAPH, 20: {1: _GRAPH, 2: _GRAPH}, 25: {7: _NODE}}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_WINDOW = 8192  # bytes that are read at a time
_DEEPEST = 100  # messages within each other, as protobuf's own parsers


def without_data(file: FileReader) -> bytes:
    """The file's message without the data of its tensors.

    Raises:
        TruncatedFileError: A field reaches past the end of the file.
        FormatError: It is no protobuf message.
    """
    return _Copy(file).message(0, file.size, _MODEL, 0)


class _Copy:
    def __init__(self, file: FileReader) -> None:
        self._file = file
        self._window, self._at = b"", 0

    def message(self, at: int, end: int, fields: dict[int, Any], depth: int) -> bytes:
        if depth > _DEEPEST:
            raise self._malformed("messages lie too deep within each other", at)
        kept = bytearray()
        while at < end:
            begin = at
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            length = 0
            if wire == _BYTES:
                length, at = self._varint(at, end)
            elif wire == _VARINT:
                _, at = self._varint(at, end)
            elif wire in {_FIXED64, _FIXED32}:
                length = 8 if wire == _FIXED64 else 4
            else:
                raise self._malformed(f"there is no wire type {wire}", begin)
            content, at = at, at + length
            if at > end:
                raise self._cut(begin, at)
            inner = fields.get(number, ...)
            if inner is ...:
                kept += self._read(begin, at - begin)
            elif inner is not None and wire == _BYTES:
                kept_inside = self.message(content, at, inner, depth + 1)
                kept += _as_varint(tag) + _as_varint(len(kept_inside)) + kept_inside
        return bytes(kept)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise self._cut(at, at + 1)
            byte = self._read(at, 1)[0]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise self._malformed("a number has more than ten bytes", at)

    def _read(self, at: int, length: int) -> bytes:
        if not self._at <= at <= at + length <= self._at + len(self._window):
            if length > _WINDOW:
                return self._file.read(at, length)
            self._window, self._at = self._file.read_up_to(at, _WINDOW), at
        return self._window[at - self._at : at - self._at + length]

    def _cut(self, begin: int, end: int) -> FormatError | TruncatedFileError:
        if end <= self._file.size:
            return self._malformed("a field reaches past the end of its message", begin)
        return TruncatedFileError(
            f"{self._file.name}: a field at {begin} ends at {end}, the file at {self._file.size}: "
            "download it again",
            file=self._file.name,
            offset=begin,
        )

    def _malformed(self, reason: str, at: int) -> FormatError:
        return FormatError(f"{self._file.name}: {reason}, at {at}", file=self._file.name, offset=at)


def _as_varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
