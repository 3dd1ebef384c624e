"""Headers written byte by byte, and what the reference loader says of them."""

from __future__ import annotations

import json
import struct

from safetensors import SafetensorError, deserialize

FIELDS = b'"dtype":"F32","shape":[1],"data_offsets":[0,4]'
TENSOR = b'{"a":{%s}}' % FIELDS


def whole(header: bytes, data: bytes = bytes(4)) -> bytes:
    """A file of this header and data."""
    return struct.pack("<Q", len(header)) + header + data


def header_of(dtype: str, shape: list[int], begin: int, end: int) -> bytes:
    """The header of one tensor."""
    told = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}
    return json.dumps(told, separators=(",", ":")).encode()


def fault_of_reference(file: bytes) -> str | None:
    """Why the reference loader refuses a file, or None where it takes it."""
    try:
        deserialize(file)
    except SafetensorError as error:
        return str(error)
    return None
