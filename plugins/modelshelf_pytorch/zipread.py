"""ZIP archives by their central directory, bounded and distrustful.

Source: PKWARE APPNOTE 6.3.10 (sections 4.3 to 4.5). `read_directory` looks at the central directory alone;
`modelshelf_pytorch.zipcheck` compares it with each local header, as an honest writer leaves both.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf_pytorch.verdict import Issue, dangerous

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")  # 4.3.12
LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_LONGEST_COMMENT = 0xFFFF
_LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes; 100,000 members take about 10 MB
MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
STORED, DEFLATED = 0, 8
ENCRYPTION = 0x1 | 0x40 | 0x2000  # encrypted, strong encryption, masked headers
UTF8 = 0x800


@define(eq=False)
class Member:
    """One entry of the central directory (not frozen: a scan makes hundreds, freezing doubles their cost).

    Attributes:
        name: Its path in the archive.
        raw_name: The same as it is written.
        flags: General purpose bit flags.
        method: 0 stored, 8 deflated.
        crc: CRC-32 of its content, or 0 where the writer left it out.
        packed: Bytes in the archive.
        size: Bytes of its content.
        header: Offset of its local header.
        attributes: External attributes: Unix file mode above, DOS attributes below.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    attributes: int

    @property
    def encrypted(self) -> bool:
        """Whether a flag says that it is encrypted."""
        return bool(self.flags & ENCRYPTION)


@frozen(kw_only=True)
class Directory:
    """An archive's central directory.

    Attributes:
        members: Its entries, in order.
        start: Offset where it begins.
        issues: What was noticed on the way.
        by_name: The last entry of each name.
    """

    members: tuple[Member, ...]
    start: int
    issues: tuple[Issue, ...] = ()
    by_name: dict[str, Member] = field(init=False)

    @by_name.default
    def _by_name(self) -> dict[str, Member]:
        return {member.name: member for member in self.members}


def broken(reader: FileReader, message: str, offset: int, code: str = "zip-malformed") -> FormatError:
    """The error of an archive whose records cannot be followed."""
    return FormatError(f"{reader.name}: {message}", code=code, file=reader.name, offset=offset)


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
    members = tuple(_entries(reader, reader.read(start, size), start, count))
    return Directory(members=members, start=start, issues=tuple(issues))


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


def _entries(reader: FileReader, data: bytes, start: int, count: int) -> Iterator[Member]:
    if count * _CENTRAL.size > len(data):
        raise broken(reader, f"{count} entries do not fit a central directory of {len(data)} bytes", start)
    index = 0
    unpack = _CENTRAL.unpack_from
    for _ in range(count):
        if index + _CENTRAL.size > len(data):
            raise broken(reader, "the central directory ends inside an entry", start + index)
        (mark, _, _, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length,
         disk, _, attributes, header) = unpack(data, index)  # fmt: skip
        if mark != b"PK\x01\x02" or disk != 0:
            raise broken(reader, "the central directory holds something that is no entry", start + index)
        name_end = index + _CENTRAL.size + name_length
        after = name_end + extra_length + comment_length
        if after > len(data):
            raise broken(reader, "the central directory ends inside an entry", start + index)
        raw = data[index + _CENTRAL.size : name_end]
        if MAX32 in (packed, size, header):
            size, packed, header = _wide(
                reader, data[name_end : name_end + extra_length], size, packed, header
            )
        name = raw.decode("utf-8" if flags & UTF8 or raw.isascii() else "cp437", "replace")
        yield Member(name, raw, flags, method, crc, packed, size, header, attributes)
        index = after
    if index != len(data):
        raise broken(reader, "the central directory is longer than its entries", start + index)


def _wide(reader: FileReader, extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Sizes and offset from the ZIP64 extra field (4.5.3), in its order, for those that are all ones."""
    index = 0
    while index + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, index)
        body = extra[index + 4 : index + 4 + length]
        index += 4 + length
        if kind != 1:
            continue
        values = []
        for value in (size, packed, header):
            if value != MAX32:
                values.append(value)
                continue
            if len(body) < 8:  # noqa: PLR2004  # bytes of a u64
                break
            values.append(int.from_bytes(body[:8], "little"))
            body = body[8:]
        if len(values) == 3:  # noqa: PLR2004
            return values[0], values[1], values[2]
    raise broken(reader, "an entry calls for ZIP64 sizes that are not there", 0)


def data_offset(reader: FileReader, member: Member) -> int:
    """Where a member's packed bytes begin, from its local header.

    Raises:
        FormatError: There is no local header where the directory says.
        TruncatedFileError: The file ends before it.
    """
    head = reader.read(member.header, LOCAL.size)
    if head[:4] != b"PK\x03\x04":
        raise broken(reader, f"no local header for the member {member.name!r}", member.header)
    name_length, extra_length = struct.unpack_from("<2H", head, 26)
    return member.header + LOCAL.size + int(name_length) + int(extra_length)


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
