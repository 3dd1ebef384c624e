"""Pickles compressed as a whole (joblib, pandas): inflated up to a bound, then read as any pickle."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import FormatError
from modelshelf_pytorch import legacy
from modelshelf_pytorch.bytesfile import BytesFile
from modelshelf_pytorch.verdict import unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.inspection import Inspection

_MOST = 64 * 1024 * 1024
"""Bytes that are inflated; a pickle's structure ends long before, its arrays may not."""

_PIECE = 256 * 1024


def read(reader: FileReader) -> Inspection:
    """Inflate and read.

    Raises:
        FormatError: The data does not inflate.
        ReadError: The file cannot be read.
    """
    data, whole = _inflated(reader)
    inner = legacy.read(BytesFile(data, reader.name))
    issues = [issue.within("the compressed data", 0) for issue in inner.issues]
    if not whole:
        message = f"inflates to more than {_MOST} bytes; unpack it to have it judged"
        issues.append(unreadable("compressed-too-large", message, 0))
    return evolve(inner, issues=tuple(issues), details={**inner.details, "compressed": True})


def _inflated(reader: FileReader) -> tuple[bytes, bool]:
    """The inflated bytes, at most `_MOST`, and whether that is all."""
    head = reader.read_up_to(0, 6)
    inflater: zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor
    if head.startswith(b"BZh"):
        inflater = bz2.BZ2Decompressor()
    elif head.startswith(b"\xfd7zXZ"):
        inflater = lzma.LZMADecompressor(memlimit=2 * _MOST)
    else:
        inflater = zlib.decompressobj(47)  # gzip or zlib, whichever the header says
    data = bytearray()
    try:
        for place in range(0, reader.size, _PIECE):
            piece = reader.read_up_to(place, _PIECE)
            data += inflater.decompress(piece, _MOST + 1 - len(data))
            if inflater.eof or len(data) > _MOST:
                break
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise FormatError(
            f"{reader.name}: looks like a compressed pickle and does not inflate: {error}",
            code="compressed-malformed",
            file=reader.name,
        ) from None
    return bytes(data[:_MOST]), inflater.eof and len(data) <= _MOST
