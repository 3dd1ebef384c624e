"""Read pickles compressed as a whole (joblib, pandas): inflated up to a bound, then read as any pickle.

Data of several streams is inflated as `gzip.open`, `bz2.open` and `lzma.open` do it: one after the other.
Those do not say where the last stream ends, nor stop at so many bytes, so that it is done by hand here.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.allowance import Allowance, most_opcodes
from modelshelf_pytorch.containers import legacy
from modelshelf_pytorch.pickle.embedded import tail_issues
from modelshelf_pytorch.pickle.outcome import Limits
from modelshelf_pytorch.readers import BytesReader, ReadAhead
from modelshelf_pytorch.signatures import LZMA_MAGIC, continues_compressed
from modelshelf_pytorch.verdict import Verdict, not_judged, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.containers.inspection import Inspection

_MOST_INFLATED = 64 * 1024 * 1024
"""Bytes that are inflated; a pickle's structure ends long before, its arrays may not."""

_LEAST_OPCODES, _OPCODES_PER_BYTE = 512 * 1024, 64  # bytes in any file, and for each of its bytes
_CHUNK = 256 * 1024  # bytes
_HEAD_BYTES = 512
_LONGEST_MAGIC = 6  # bytes
_MOST_STREAMS = 1000
_ERRORS = (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


def read(reader: FileReader) -> Inspection:
    """Inflate and read.

    Raises:
        FormatError: The data does not inflate.
        ReadError: The file cannot be read.
    """
    data, end = _inflate(ReadAhead(reader))
    most = Limits()
    ordinary = _LEAST_OPCODES + _OPCODES_PER_BYTE * reader.size
    limits = evolve(most, structure=min(most.structure, ordinary, most_opcodes(reader.size)))
    whole = BytesReader(data[:_MOST_INFLATED], reader.name, Allowance(reader.size))
    inner = legacy.read(whole, limits)
    issues = [issue.within("the compressed data", 0) for issue in inner.issues]
    if len(data) > _MOST_INFLATED or (end is not None and _goes_on(reader, end)):
        message = (
            f"inflates to more than {_MOST_INFLATED} bytes or is of over {_MOST_STREAMS} parts; unpack it to "
            "have it judged"
        )
        # That a pickle breaks off where the limit ended it is no fault of the file.
        issues = [issue for issue in issues if issue.verdict is not Verdict.UNREADABLE]
        issues.append(not_judged(message, 0))
    elif end is None:
        issues.append(
            unreadable("truncated", "the compressed data breaks off: download it again", reader.size)
        )
    else:
        issues.extend(tail_issues(reader, end, reader.size))
    return evolve(inner, issues=tuple(issues), details={**inner.details, "compressed": True})


def inflate_head(data: bytes) -> bytes:
    """Inflate the first bytes of a compressed file, as far as they do; empty where they do not."""
    inflater = _inflater(data)
    try:
        return inflater.decompress(data, _HEAD_BYTES)
    except _ERRORS:
        return b""


def inflates(data: bytes) -> bool:
    """Return whether the first bytes of a file break no rule of the compression that they begin as."""
    try:
        _inflater(data).decompress(data, _HEAD_BYTES)
    except _ERRORS:
        return False
    return True


def _inflater(head: bytes) -> zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor:
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(LZMA_MAGIC):
        return lzma.LZMADecompressor(memlimit=2 * _MOST_INFLATED)
    return zlib.decompressobj(47)  # gzip or zlib, whichever the header says


def _inflate(reader: FileReader) -> tuple[bytes, int | None]:
    """Inflate all streams, up to a few bytes more than `_MOST_INFLATED`.

    Returns:
        The inflated bytes, and the file offset where the last stream ends; None where it does not.
    """
    data = bytearray()
    position = 0
    for _ in range(_MOST_STREAMS):
        try:
            end = _inflate_stream(reader, position, data)
        except _ERRORS as error:
            if "Memory usage limit" in str(error):  # lzma's own words for the limit that it was given
                message = f"{reader.name}: takes more memory to inflate than is given to one file"
                raise FormatError(message, code=NOT_JUDGED, file=reader.name) from None
            if position:
                return bytes(data), position
            raise _malformed(reader, f"does not inflate: {error}") from None
        if end is None:
            return bytes(data), None
        position = end
        if not _goes_on(reader, position):
            break
    return bytes(data), position


def _goes_on(reader: FileReader, position: int) -> bool:
    """Return whether another stream begins where one ended."""
    return continues_compressed(reader.read_up_to(position, _LONGEST_MAGIC))


def _inflate_stream(reader: FileReader, position: int, data: bytearray) -> int | None:
    """Inflate one stream to the end of `data`.

    Returns:
        The file offset where it ends, or None where it breaks off or is too long.
    """
    inflater = _inflater(reader.read_up_to(position, _LONGEST_MAGIC))
    while position < reader.size and len(data) <= _MOST_INFLATED:
        chunk = reader.read_up_to(position, _CHUNK)
        data += inflater.decompress(chunk, _MOST_INFLATED + 1 - len(data))
        position += len(chunk)
        if inflater.eof:
            return position - len(inflater.unused_data)
    return None


def _malformed(reader: FileReader, what: str) -> FormatError:
    message = f"{reader.name}: looks like a compressed pickle and {what}"
    return FormatError(message, code="compressed-malformed", file=reader.name)
