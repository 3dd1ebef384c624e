"""Read a ZIP archive within bounds: its central directory, its local headers, its members.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5. What is read of the central directory is believed here;
`modelshelf_pytorch.zip.check` compares it with each local header, as an honest writer leaves both.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from modelshelf.errors import TruncatedFileError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.readers import BytesReader, DeflatedReader, PartReader, SliceReader, allowance_of
from modelshelf_pytorch.signatures import ZIP_MAGIC
from modelshelf_pytorch.verdict import Issue, dangerous
from modelshelf_pytorch.zip.directory import (
    DEFLATED,
    LOCAL_HEADER,
    MAX32,
    STORED,
    Directory,
    Member,
    malformed,
    parse,
)

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_END = struct.Struct("<4s4H2LH")  # end of central directory record, 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # ZIP64 end of central directory locator, 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # ZIP64 end of central directory record, 4.3.14
_END_MAGIC, _LOCATOR_MAGIC, _END64_MAGIC = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_SHORT_COMMENT, _LONGEST_COMMENT = 44, 0xFFFF  # bytes; most archives have none
_MAX16 = 0xFFFF
_LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes; 100,000 members take about 10 MB
_CHUNK = 1024 * 1024  # bytes of which a checksum is computed at a time
_LARGEST_INFLATED = 64 * 1024 * 1024  # bytes
_LEAST_INFLATED, _INFLATED_PER_BYTE = 512 * 1024, 64  # a pickle of tensors alone deflates to a fifteenth


def read_directory(reader: FileReader) -> Directory:
    """Read the central directory.

    Raises:
        FormatError: The archive's records contradict one another.
        TruncatedFileError: The archive is cut short.
    """
    issues: list[Issue] = []
    place, tail = _find_end(reader)
    _, disk, first_disk, here, count, size, start, comment = _END.unpack_from(tail)
    if disk != first_disk or here != count or disk not in {0, _MAX16}:
        raise malformed(reader, "a ZIP archive in several parts, or one that pretends to be", place)
    if len(tail) != _END.size + comment:
        issues.append(
            dangerous(
                "zip-trailing-data", "bytes follow the ZIP archive's end, where another could hide", place
            )
        )
    stop = place
    if MAX32 in (size, start) or count == _MAX16:
        count, size, start, stop = _read_end64(reader, place)
    elif place >= _LOCATOR.size and reader.read(place - _LOCATOR.size, 4) == _LOCATOR_MAGIC:
        # The locator may be there although nothing needs it (torch writes it so); it must then agree.
        count64, size64, start64, stop = _read_end64(reader, place)
        if (count64, size64, start64) != (count, size, start):
            issues.append(
                dangerous("zip64-mismatch", "the ZIP64 records contradict the ZIP's own end record", place)
            )
    if start + size <= stop and size > _LARGEST_DIRECTORY:
        raise malformed(reader, f"a central directory of {size} bytes, more than are read", place, NOT_JUDGED)
    if start + size > stop:
        raise malformed(reader, f"a central directory of {size} bytes at {start} does not fit", place)
    if start + size != stop:
        raise malformed(
            reader, "bytes lie between the central directory and its end record, or before the archive", place
        )
    directory = parse(reader, reader.read(start, size), start, count)
    directory.issues += tuple(issues)
    directory.allowance = allowance_of(reader)
    return directory


def _find_end(reader: FileReader) -> tuple[int, bytes]:
    """Return the offset of the end of central directory record, and everything from it on."""
    span = min(reader.size, _END.size + _SHORT_COMMENT)
    while True:
        start = reader.size - span
        tail = reader.read(start, span)
        index = tail.rfind(_END_MAGIC)
        if index >= 0 and span - index >= _END.size:
            return start + index, tail[index:]
        if span >= min(reader.size, _END.size + _LONGEST_COMMENT):
            break
        span = min(reader.size, _END.size + _LONGEST_COMMENT)
    raise TruncatedFileError(
        f"{reader.name}: a ZIP archive without its end record: it is cut short; download it again",
        file=reader.name,
        offset=reader.size,
    )


def _read_end64(reader: FileReader, place: int) -> tuple[int, int, int, int]:
    """Return count, size, start and end of the central directory, as the ZIP64 records say."""
    if place < _LOCATOR.size + _END64.size:
        raise malformed(reader, "ZIP64 records are called for and there is no room for them", place)
    magic, _, offset, disks = _LOCATOR.unpack(reader.read(place - _LOCATOR.size, _LOCATOR.size))
    if magic != _LOCATOR_MAGIC or disks != 1 or offset + _END64.size > place - _LOCATOR.size:
        raise malformed(reader, "the ZIP64 locator is missing or points nowhere", place, "zip64-forged")
    magic, length, _, _, disk, first, here, count, size, start = _END64.unpack(
        reader.read(offset, _END64.size)
    )
    if (
        magic != _END64_MAGIC
        or offset + 12 + length != place - _LOCATOR.size
        or here != count
        or disk
        or first
    ):
        message = "the ZIP64 end record is not where its locator points"
        raise malformed(reader, message, offset, "zip64-forged")
    return count, size, start, offset


def read_local_headers(reader: FileReader, directory: Directory) -> list[bytes]:
    """Read the members' local headers with their names, as far as the file goes.

    Raises:
        ReadError: The file cannot be read.
    """
    lengths = [LOCAL_HEADER.size + length for length in map(len, directory.raw_names)]
    spans = list(zip(directory.header_offsets, lengths, strict=True))
    try:
        return reader.read_each(spans)
    except TruncatedFileError:  # one is said to lie where the file has no room for it
        return [reader.read_up_to(offset, length) for offset, length in spans]


def data_offset(reader: FileReader, member: Member) -> int:
    """Return the file offset of a member's compressed bytes, which its local header decides.

    Raises:
        FormatError: There is no local header where the directory says.
        TruncatedFileError: The file ends before it.
    """
    if member.data_start is None:
        header = reader.read(member.header_offset, LOCAL_HEADER.size)
        if header[:4] != ZIP_MAGIC:
            raise malformed(reader, f"no local header for the member {member.name!r}", member.header_offset)
        name_length, extra_length = struct.unpack_from("<2H", header, 26)
        lengths = LOCAL_HEADER.size + int(name_length) + int(extra_length)
        member.data_start = member.header_offset + lengths
    return member.data_start


def inflation_limit(member: Member) -> int:
    """Return the bytes that a deflated member is inflated to at most: enough for honest pickles, no bomb."""
    return min(_LARGEST_INFLATED, _LEAST_INFLATED + _INFLATED_PER_BYTE * member.compressed_size)


def read_member(reader: FileReader, member: Member, most: int) -> bytes:
    """Read a member's content, at most `most` bytes of it, inflated where it is deflated.

    Raises:
        FormatError: The method is unknown, the data is broken or longer than the directory says.
    """
    start = data_offset(reader, member)
    if member.method == STORED:
        return reader.read(start, min(member.compressed_size, most))
    if member.method != DEFLATED:
        message = f"the member {member.name!r} is packed by method {member.method}"
        raise malformed(reader, message, member.header_offset, "zip-unknown-method")
    compressed = reader.read(start, min(member.compressed_size, most))
    member.allowance.inflate(min(member.size + 1, most), reader.name)
    try:
        data = zlib.decompressobj(-15).decompress(compressed, min(member.size + 1, most))
    except zlib.error as error:
        raise malformed(reader, f"the member {member.name!r} does not inflate: {error}", start) from None
    if len(data) != min(member.size, most):
        message = f"the member {member.name!r} inflates to another size than {member.size} bytes"
        raise malformed(reader, message, start, "zip-forged-size")
    return data


def checksum(reader: FileReader, member: Member) -> int:
    """Return the CRC-32 of a member's content, a part of it in memory at a time.

    Raises:
        ReadError: The member cannot be read, or has another size than the directory says.
    """
    start, crc, size = data_offset(reader, member), 0, 0
    inflater = zlib.decompressobj(-15)
    end = start + member.compressed_size
    for place in range(start, end, _CHUNK):
        data = reader.read(place, min(_CHUNK, end - place))
        if member.method == STORED:
            crc = zlib.crc32(data, crc)
            continue
        while data and not inflater.eof and size <= member.size:
            try:
                part = inflater.decompress(data, _CHUNK)
            except zlib.error as error:
                message = f"the member {member.name!r} does not inflate: {error}"
                raise malformed(reader, message, start) from None
            member.allowance.inflate(len(part), reader.name)
            crc, size, data = zlib.crc32(part, crc), size + len(part), inflater.unconsumed_tail
    if member.method != STORED and size != member.size:
        message = f"the member {member.name!r} inflates to another size than {member.size} bytes"
        raise malformed(reader, message, start, "zip-forged-size")
    return crc


def open_member(reader: FileReader, member: Member, *, whole: bool = True) -> PartReader:
    """Open a member as a file of its own; a deflated one is inflated as far as `inflation_limit` allows.

    Args:
        reader: The archive.
        member: The member.
        whole: Whether all of it is read; else it is inflated as far as somebody reads.

    Raises:
        ReadError: The member cannot be read.
    """
    start = data_offset(reader, member)
    if member.method == STORED:
        return SliceReader(reader, start, member.compressed_size, member.allowance)
    most = inflation_limit(member) if whole else _LARGEST_INFLATED
    if (whole and member.size <= most) or member.method != DEFLATED:
        return BytesReader(read_member(reader, member, most), reader.name, member.allowance)
    return DeflatedReader(reader, start, member.compressed_size, member.size, most, member.allowance)
