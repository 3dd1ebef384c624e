"""The header of a safetensors file: ``u64 length (little endian), JSON, tensor data``.

Source: the format section of the safetensors README and its reference loader, release 0.8
(``SafeTensors::read_metadata`` and ``Metadata::validate``). Where the two differ the loader decides what is
an error; what it lets through against its own specification is a warning.

A header is read by one of two readers that agree: `canonical` takes the very text that the reference writer
makes and is faster than any JSON parser; `strict` takes the rest, and long headers of any kind.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf_safetensors.canonical import parse_canonical
from modelshelf_safetensors.layout import LENGTH_BYTES, Header

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_safetensors.window import Fetch

MOST_HEADER_BYTES = 100_000_000
"""The reference loader's ``MAX_HEADER_SIZE``."""

LONG_HEADER = 1 << 20
"""Bytes from which on a header is not read whole, but through a window."""

LFS_POINTER = b"version https://git-lfs"


def read_header(file: FileReader) -> Header:
    """Read and check the header of one file.

    Raises:
        FormatError: It breaks the format's rules.
        TruncatedFileError: The file ends within it.
    """
    if file.size < LENGTH_BYTES:
        raise TruncatedFileError(
            f"{file.name}: has {file.size} bytes where {LENGTH_BYTES} are the least; fetch it again",
            file=file.name,
            offset=file.size,
        )
    (length,) = struct.unpack("<Q", file.read(0, LENGTH_BYTES))
    if length > MOST_HEADER_BYTES:
        if file.read_up_to(0, len(LFS_POINTER)) == LFS_POINTER:
            raise FormatError(
                f"{file.name}: is a git-LFS pointer, not the file it stands for; run `git lfs pull`",
                code="git-lfs-pointer",
                file=file.name,
                offset=0,
            )
        raise FormatError(
            f"{file.name}: the header's length reads {length}, more than the {MOST_HEADER_BYTES} bytes"
            " that are allowed; the file is damaged or of another format",
            code="header-too-large",
            file=file.name,
            offset=0,
        )
    if LENGTH_BYTES + length > file.size:
        raise TruncatedFileError(
            f"{file.name}: the header needs {length} bytes and the file ends after {file.size - LENGTH_BYTES}"
            " of them; fetch it again",
            file=file.name,
            offset=file.size,
        )
    if length >= LONG_HEADER:
        return _parse_strict(lambda at, count: file.read(LENGTH_BYTES + at, count), length, file.name)
    return parse_header(file.read(LENGTH_BYTES, length), file.name)


def parse_header(raw: bytes, file: str = "header") -> Header:
    """Read the JSON text of a header; `file` names it in messages and findings.

    Raises:
        FormatError: It breaks the format's rules.
    """
    header = parse_canonical(raw) if len(raw) < LONG_HEADER else None
    return header or _parse_strict(lambda at, count: raw[at : at + count], len(raw), file)


def _parse_strict(fetch: Fetch, length: int, file: str) -> Header:
    # What the reference writer makes needs nothing of that reader: it is imported when it is needed.
    from modelshelf_safetensors.strict import parse_strict

    return parse_strict(fetch, length, file)
