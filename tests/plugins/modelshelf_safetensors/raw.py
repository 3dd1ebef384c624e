"""Headers written byte by byte, and what the readers and the reference loader say of them."""

from __future__ import annotations

import json
import struct
from typing import Any

from safetensors import SafetensorError, deserialize

from modelshelf_safetensors.layout import Header
from modelshelf_safetensors.strict import parse_strict

FIELDS = b'"dtype":"F32","shape":[1],"data_offsets":[0,4]'
TENSOR = b'{"a":{%s}}' % FIELDS


def whole(header: bytes, data: bytes = bytes(4)) -> bytes:
    """A file of this header and data."""
    return struct.pack("<Q", len(header)) + header + data


def header_of(dtype: str, shape: list[int], begin: int, end: int) -> bytes:
    """The header of one tensor."""
    entry = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}
    return json.dumps(entry, separators=(",", ":")).encode()


def fault_of_reference(file: bytes) -> str | None:
    """Why the reference loader refuses a file, or None where it takes it."""
    try:
        deserialize(file)
    except SafetensorError as error:
        return str(error)
    return None


def strictly(raw: bytes) -> Header:
    """A header as the strict reader reads it."""
    return parse_strict(lambda at, count: raw[at : at + count], len(raw), "header")


def columns(header: Header) -> tuple[Any, ...]:
    """All that a header says, to be compared; findings of one code in their order."""
    return (
        list(header.names),
        None if header.layouts is None else list(header.layouts),
        list(header.begins),
        list(header.ends),
        header.metadata,
        header.hostile,
        sorted(header.findings, key=lambda one: one.code),
        header.count_by_dtype(),
        header.data_size,
    )
