"""Pickles compressed as a whole (joblib, pandas): inflated up to a bound, then read as any pickle.

Data of several streams is inflated as `gzip.open`, `bz2.open` and `lzma.open` do it: one after the other.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import FormatError
from modelshelf_pytorch.containers import legacy
from modelshelf_pytorch.containers.inspection import LZMA, is_compressed
from modelshelf_pytorch.pickle.outcome import Limits
from modelshelf_pytorch.pickle.tail import tail_issues
from modelshelf_pytorch.readers import Ahead, BytesFile
from modelshelf_pytorch.verdict import unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.containers.inspection import Inspection

_MOST = 64 * 1024 * 1024
"""Bytes that are inflated; a pickle's structure ends long before, its arrays may not."""

_FLOOR, _RATIO = 512 * 1024, 64  # bytes of opcodes in any file, and for each of its bytes: more is a bomb
_PIECE = 256 * 1024
_HEAD = 512
_LONGEST_MAGIC = 6
_MOST_STREAMS = 1000
_FAULTS = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


def read(reader: FileReader) -> Inspection:
    """Inflate and read.

    Raises:
        FormatError: The data does not inflate.
        ReadError: The file cannot be read.
    """
    data, end = _inflated(Ahead(reader))
    most = Limits()
    limits = evolve(most, structure=min(most.structure, _FLOOR + _RATIO * reader.size))
    inner = legacy.read(BytesFile(data[:_MOST], reader.name), limits)
    issues = [issue.within("the compressed data", 0) for issue in inner.issues]
    if len(data) > _MOST:
        message = f"inflates to more than {_MOST} bytes; unpack it to have it judged"
        issues.append(unreadable("compressed-too-large", message, 0))
    elif end is None:
        issues.append(
            unreadable("truncated", "the compressed data breaks off: download it again", reader.size)
        )
    else:
        issues.extend(tail_issues(reader, end, reader.size))
    return evolve(inner, issues=tuple(issues), details={**inner.details, "compressed": True})


def head_of(data: bytes) -> bytes:
    """What the first bytes of a compressed file inflate to, as far as they do."""
    inflater = _inflater(data)
    try:
        return inflater.decompress(data, _HEAD)
    except _FAULTS:
        return b""


def _inflater(head: bytes) -> zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor:
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(LZMA):
        return lzma.LZMADecompressor(memlimit=2 * _MOST)
    return zlib.decompressobj(47)  # gzip or zlib, whichever the header says


def _inflated(reader: FileReader) -> tuple[bytes, int | None]:
    """The inflated bytes, a few more than `_MOST` at most, and where the last stream ends, if it does."""
    data = bytearray()
    position = 0
    for _ in range(_MOST_STREAMS):
        try:
            end = _inflate(reader, position, data)
        except _FAULTS as error:
            if position:
                return bytes(data), position
            raise _malformed(reader, f"does not inflate: {error}") from None
        if end is None:
            return bytes(data), None
        position = end
        if not is_compressed(reader.read_up_to(position, _LONGEST_MAGIC), streams=True):
            return bytes(data), position
    raise _malformed(reader, f"is of over {_MOST_STREAMS} parts")


def _inflate(reader: FileReader, position: int, data: bytearray) -> int | None:
    """Inflate one stream to the end of `data`; where it ends, or None where it breaks off or is too long."""
    inflater = _inflater(reader.read_up_to(position, _LONGEST_MAGIC))
    while position < reader.size and len(data) <= _MOST:
        piece = reader.read_up_to(position, _PIECE)
        data += inflater.decompress(piece, _MOST + 1 - len(data))
        position += len(piece)
        if inflater.eof:
            return position - len(inflater.unused_data)
    return None


def _malformed(reader: FileReader, what: str) -> FormatError:
    message = f"{reader.name}: looks like a compressed pickle and {what}"
    return FormatError(message, code="compressed-malformed", file=reader.name)
