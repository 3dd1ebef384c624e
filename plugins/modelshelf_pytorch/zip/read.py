"""ZIP archives by their central directory, bounded and distrustful.

Source: PKWARE APPNOTE 6.3.10 (sections 4.3 to 4.5). `read_directory` looks at the central directory alone;
`modelshelf_pytorch.zip.check` compares it with each local header, as an honest writer leaves both.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from modelshelf.errors import TruncatedFileError
from modelshelf_pytorch.verdict import Issue, dangerous
from modelshelf_pytorch.zip.directory import MAX32, Directory, Member, broken, parse

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_LONGEST_COMMENT = 0xFFFF
_LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes; 100,000 members take about 10 MB
_MAX16 = 0xFFFF
STORED, DEFLATED = 0, 8
_LARGEST_INFLATED = 64 * 1024 * 1024
_FLOOR, _RATIO = 512 * 1024, 64  # a pickle of one tensor after the other deflates to a fifteenth


def _find_end(reader: FileReader) -> tuple[int, bytes]:
    """The end-of-central-directory record's offset, and everything from it on."""
    span = min(reader.size, _END.size + 44)  # most archives have no comment: one small read
    while True:
        start = reader.size - span
        tail = reader.read(start, span)
        index = tail.rfind(b"PK\x05\x06")
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
        raise broken(reader, "a ZIP archive in several parts, or one that pretends to be", place)
    if len(tail) != _END.size + comment:
        issues.append(
            dangerous(
                "zip-trailing-data", "bytes follow the ZIP archive's end, where another could hide", place
            )
        )
    stop = place
    if MAX32 in (size, start) or count == _MAX16:
        count, size, start, stop = _read_end64(reader, place)
    elif place >= _LOCATOR.size and reader.read(place - _LOCATOR.size, 4) == b"PK\x06\x07":
        # The locator may stand there although nothing needs it (torch writes it so); it must then agree.
        count64, size64, start64, stop = _read_end64(reader, place)
        if (count64, size64, start64) != (count, size, start):
            issues.append(
                dangerous("zip64-mismatch", "the ZIP64 records contradict the ZIP's own end record", place)
            )
    if size > _LARGEST_DIRECTORY or start + size > stop:
        raise broken(reader, f"a central directory of {size} bytes at {start} does not fit", place)
    if start + size != stop:
        raise broken(
            reader, "bytes lie between the central directory and its end record, or before the archive", place
        )
    directory = parse(reader, reader.read(start, size), start, count)
    directory.issues += tuple(issues)
    return directory


def _read_end64(reader: FileReader, place: int) -> tuple[int, int, int, int]:
    """Count, size, start and end of the central directory, as the ZIP64 records tell."""
    if place < _LOCATOR.size + _END64.size:
        raise broken(reader, "ZIP64 records are called for and there is no room for them", place)
    mark, _, offset, disks = _LOCATOR.unpack(reader.read(place - _LOCATOR.size, _LOCATOR.size))
    if mark != b"PK\x06\x07" or disks != 1 or offset + _END64.size > place - _LOCATOR.size:
        raise broken(reader, "the ZIP64 locator is missing or points nowhere", place, "zip64-forged")
    mark, length, _, _, disk, first, here, count, size, start = _END64.unpack(
        reader.read(offset, _END64.size)
    )
    if (
        mark != b"PK\x06\x06"
        or offset + 12 + length != place - _LOCATOR.size
        or here != count
        or disk
        or first
    ):
        raise broken(reader, "the ZIP64 end record is not where its locator points", offset, "zip64-forged")
    return count, size, start, offset


def local_heads(reader: FileReader, directory: Directory) -> list[bytes]:
    """The members' local headers with their names, as far as the file goes.

    Raises:
        ReadError: The file cannot be read.
    """
    lengths = [LOCAL.size + length for length in map(len, directory.raw_names)]
    spans = list(zip(directory.headers, lengths, strict=True))
    try:
        return reader.read_each(spans)
    except TruncatedFileError:  # one is said to lie where the file has no room for it
        return [reader.read_up_to(header, length) for header, length in spans]


def data_offset(reader: FileReader, member: Member) -> int:
    """Where a member's packed bytes begin, from its local header.

    Raises:
        FormatError: There is no local header where the directory says.
        TruncatedFileError: The file ends before it.
    """
    if member.start is None:
        head = reader.read(member.header, LOCAL.size)
        if head[:4] != b"PK\x03\x04":
            raise broken(reader, f"no local header for the member {member.name!r}", member.header)
        name_length, extra_length = struct.unpack_from("<2H", head, 26)
        member.start = member.header + LOCAL.size + int(name_length) + int(extra_length)
    return member.start


def inflatable(member: Member) -> int:
    """Bytes that a deflated member is inflated to at most: what honest pickles need, and no bomb."""
    return min(_LARGEST_INFLATED, _FLOOR + _RATIO * member.packed)


def content(reader: FileReader, member: Member, most: int) -> bytes:
    """A member's content, inflated where it is deflated, at most `most` bytes of it.

    Raises:
        FormatError: The method is unknown, the data is broken or longer than the directory says.
    """
    start = data_offset(reader, member)
    if member.method == STORED:
        return reader.read(start, min(member.packed, most))
    if member.method != DEFLATED:
        message = f"the member {member.name!r} is packed by method {member.method}"
        raise broken(reader, message, member.header, "zip-unknown-method")
    try:
        inflater = zlib.decompressobj(-15)
        data = inflater.decompress(reader.read(start, min(member.packed, most)), min(member.size + 1, most))
    except zlib.error as error:
        raise broken(reader, f"the member {member.name!r} does not inflate: {error}", start) from None
    if len(data) != min(member.size, most):
        message = f"the member {member.name!r} inflates to another size than {member.size} bytes"
        raise broken(reader, message, start, "zip-forged-size")
    return data
