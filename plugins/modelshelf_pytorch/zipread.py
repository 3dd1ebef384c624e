"""ZIP archives by their central directory, bounded and distrustful.

Source: PKWARE APPNOTE 6.3.10 (sections 4.3 to 4.5). `read_directory` looks at the central directory alone;
`check_members` compares it with each local header, as an honest writer leaves both.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from attrs import define, field, frozen

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.reader import FileReader
from modelshelf_pytorch.verdict import Issue, Verdict

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_LONGEST_COMMENT = 0xFFFF
_LARGEST_DIRECTORY = 64 * 1024 * 1024  # bytes; 100,000 members take about 10 MB
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _STREAMED, _PATCHED, _STRONG, _MASKED, _UTF8 = 0x1, 0x8, 0x20, 0x40, 0x2000, 0x800
_SYMLINK, _TYPE_MASK = 0o120000, 0o170000
_RATIO = 1100  # deflate cannot do better than 1032 to 1
_BOMB = 1 << 30


@define(eq=False)
class Member:
    """One entry of the central directory (not frozen: a scan makes hundreds, and freezing doubles their cost).

    Attributes:
        name: Its path in the archive.
        raw_name: The same as it is written.
        flags: General purpose bit flags.
        method: 0 stored, 8 deflated.
        crc: CRC-32 of its content, or 0 where the writer left it out.
        packed: Bytes in the archive.
        size: Bytes of its content.
        header: Offset of its local header.
        mode: Unix file mode, or 0.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    header: int
    mode: int

    @property
    def encrypted(self) -> bool:
        """Whether a flag says that it is encrypted."""
        return bool(self.flags & (_ENCRYPTED | _STRONG | _MASKED))


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


def _trick(code: str, message: str, offset: int | None = None) -> Issue:
    return Issue(code=code, verdict=Verdict.DANGEROUS, message=message, offset=offset)


def _broken(reader: FileReader, message: str, offset: int, code: str = "zip-malformed") -> FormatError:
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
        raise _broken(reader, "a ZIP archive in several parts, or one that pretends to be", place)
    if len(tail) != _END.size + comment:
        issues.append(
            _trick("zip-trailing-data", "bytes follow the ZIP archive's end, where another could hide", place)
        )
    stop = place
    if _MAX32 in (size, start) or count == _MAX16:
        count, size, start, stop = _read_end64(reader, place)
    elif place >= _LOCATOR.size and reader.read(place - _LOCATOR.size, 4) == b"PK\x06\x07":
        # The locator may stand there although nothing needs it; it must then agree (torch writes it so at times).
        count64, size64, start64, stop = _read_end64(reader, place)
        if (count64, size64, start64) != (count, size, start):
            issues.append(
                _trick("zip64-mismatch", "the ZIP64 records contradict the ZIP's own end record", place)
            )
    if size > _LARGEST_DIRECTORY or start + size > stop:
        raise _broken(reader, f"a central directory of {size} bytes at {start} does not fit", place)
    if start + size != stop:
        raise _broken(
            reader, "bytes lie between the central directory and its end record, or before the archive", place
        )
    members = tuple(_entries(reader, reader.read(start, size), start, count))
    return Directory(members=members, start=start, issues=tuple(issues))


def _read_end64(reader: FileReader, place: int) -> tuple[int, int, int, int]:
    """Count, size, start and end of the central directory, as the ZIP64 records tell."""
    if place < _LOCATOR.size + _END64.size:
        raise _broken(reader, "ZIP64 records are called for and there is no room for them", place)
    mark, _, offset, disks = _LOCATOR.unpack(reader.read(place - _LOCATOR.size, _LOCATOR.size))
    if mark != b"PK\x06\x07" or disks > 1 or offset + _END64.size > place - _LOCATOR.size:
        raise _broken(reader, "the ZIP64 locator is missing or points nowhere", place, "zip64-forged")
    mark, length, _, _, disk, first, here, count, size, start = _END64.unpack(reader.read(offset, _END64.size))
    if mark != b"PK\x06\x06" or offset + 12 + length != place - _LOCATOR.size or here != count or disk or first:
        raise _broken(reader, "the ZIP64 end record is not where its locator points", offset, "zip64-forged")
    return count, size, start, offset


def _entries(reader: FileReader, data: bytes, start: int, count: int) -> Iterator[Member]:
    if count * _CENTRAL.size > len(data):
        raise _broken(reader, f"{count} entries do not fit a central directory of {len(data)} bytes", start)
    index = 0
    unpack = _CENTRAL.unpack_from
    for _ in range(count):
        if index + _CENTRAL.size > len(data):
            raise _broken(reader, "the central directory ends inside an entry", start + index)
        (mark, _, _, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length,
         disk, _, attributes, header) = unpack(data, index)  # fmt: skip
        if mark != b"PK\x01\x02" or disk != 0:
            raise _broken(reader, "the central directory holds something that is no entry", start + index)
        name_end = index + _CENTRAL.size + name_length
        after = name_end + extra_length + comment_length
        if after > len(data):
            raise _broken(reader, "the central directory ends inside an entry", start + index)
        raw = data[index + _CENTRAL.size : name_end]
        if _MAX32 in (packed, size, header):
            size, packed, header = _wide(
                reader, data[name_end : name_end + extra_length], size, packed, header
            )
        name = raw.decode("utf-8" if flags & _UTF8 or raw.isascii() else "cp437", "replace")
        yield Member(name, raw, flags, method, crc, packed, size, header, attributes >> 16)
        index = after
    if index != len(data):
        raise _broken(reader, "the central directory is longer than its entries", start + index)


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
            if value != _MAX32:
                values.append(value)
                continue
            if len(body) < 8:  # noqa: PLR2004  # bytes of a u64
                break
            values.append(int.from_bytes(body[:8], "little"))
            body = body[8:]
        if len(values) == 3:  # noqa: PLR2004
            return values[0], values[1], values[2]
    raise _broken(reader, "an entry calls for ZIP64 sizes that are not there", 0)


def directory_issues(directory: Directory) -> Iterator[Issue]:
    """What is wrong with the entries as the directory itself tells them."""
    members = directory.members
    seen: set[str] = set()
    for member in members:
        folded = member.name.casefold()
        if folded in seen:
            yield _trick(
                "zip-duplicate-name",
                f"two members are called {member.name!r}: readers differ on which counts",
            )
        seen.add(folded)
        parts = member.name.replace("\\", "/").split("/")
        if ".." in parts or member.name.startswith(("/", "\\")) or "\0" in member.name or ":" in parts[0]:
            yield _trick(
                "zip-unsafe-path", f"a member is called {member.name!r}, which leads outside the archive"
            )
        if member.mode & _TYPE_MASK == _SYMLINK:
            yield _trick("zip-unsafe-path", f"the member {member.name!r} is a symbolic link")
        if member.flags & (_PATCHED | _STRONG | _MASKED):
            yield _trick(
                "zip-odd-flags",
                f"the member {member.name!r} sets flags {member.flags:#06x}, at which scanners give up and torch does not",
                member.header,
            )
        if member.method == _STORED and member.size != member.packed and not member.encrypted:
            yield _trick("zip-forged-size", f"the stored member {member.name!r} claims {member.size} bytes and takes "
                         f"{member.packed}", member.header)  # fmt: skip
        if member.method == _DEFLATED and member.size > max(_RATIO * member.packed, 1 << 16):
            yield _trick("zip-forged-size", f"the member {member.name!r} claims {member.size} bytes deflated to "
                         f"{member.packed}, which deflate cannot do", member.header)  # fmt: skip
    yield from _layout_issues(members, directory.start)


def _layout_issues(members: tuple[Member, ...], start: int) -> Iterator[Issue]:
    end = 0
    for member in sorted(members, key=lambda one: one.header):
        if member.header < end:
            yield _trick("zip-overlap", f"the member {member.name!r} overlaps another", member.header)
        if end == 0 and member.header != 0:
            yield _trick("zip-prefix", f"{member.header} bytes precede the archive's first member", 0)
        end = member.header + _LOCAL.size + len(member.raw_name) + member.packed
        if end > start:
            yield _trick("zip-overlap", f"the member {member.name!r} reaches past the data", member.header)
    packed = sum(member.packed for member in members if member.method == _DEFLATED)
    inflated = sum(member.size for member in members if member.method == _DEFLATED)
    if inflated > _BOMB and inflated > 100 * packed:
        yield _trick("zip-bomb", f"{packed} bytes inflate to {inflated}")


def data_offset(reader: FileReader, member: Member) -> int:
    """Where a member's packed bytes begin, from its local header.

    Raises:
        FormatError: There is no local header where the directory says.
        TruncatedFileError: The file ends before it.
    """
    head = reader.read(member.header, _LOCAL.size)
    if head[:4] != b"PK\x03\x04":
        raise _broken(reader, f"no local header for the member {member.name!r}", member.header)
    name_length, extra_length = struct.unpack_from("<2H", head, 26)
    return member.header + _LOCAL.size + int(name_length) + int(extra_length)


def local_issues(reader: FileReader, member: Member) -> Iterator[Issue]:
    """How a member's local header differs from its entry in the directory.

    Raises:
        ReadError: There is no local header there.
    """
    head = reader.read_up_to(member.header, _LOCAL.size + len(member.raw_name))
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        raise _broken(reader, f"no local header for the member {member.name!r}", member.header)
    _, _, flags, method, _, _, crc, packed, size, name_length, _ = _LOCAL.unpack_from(head)
    if name_length != len(member.raw_name) or head[_LOCAL.size :] != member.raw_name:
        shown = reader.read_up_to(member.header + _LOCAL.size, name_length).decode("utf-8", "replace")
        yield _trick("zip-name-mismatch", f"the directory calls a member {member.name!r}, its own header {shown!r}: "
                     "readers differ on which counts", member.header)  # fmt: skip
    if method != member.method or (flags ^ member.flags) & ~_UTF8 & ~_STREAMED:
        yield _trick("zip-header-mismatch", f"the member {member.name!r} has flags or a method in its own header "
                     "that differ from the directory's", member.header)  # fmt: skip
    streamed = bool(flags & _STREAMED)
    for told, real in ((packed, member.packed), (size, member.size)):
        if told not in (real, _MAX32) and not (streamed and told == 0):
            yield _trick("zip-header-mismatch", f"the member {member.name!r} takes {real} bytes by the directory and "
                         f"{told} by its own header", member.header)  # fmt: skip
            break
    if crc != member.crc and not (streamed and crc == 0):
        yield _trick("zip-header-mismatch", f"the member {member.name!r} has two checksums", member.header)


def content(reader: FileReader, member: Member, most: int) -> bytes:
    """A member's content, inflated where it is deflated, at most `most` bytes of it.

    Raises:
        FormatError: The method is unknown, the data is broken or longer than the directory says.
    """
    start = data_offset(reader, member)
    if member.method == _STORED:
        return reader.read(start, min(member.packed, most))
    if member.method != _DEFLATED:
        raise _broken(reader, f"the member {member.name!r} is packed by method {member.method}", member.header,
                      "zip-unknown-method")  # fmt: skip
    try:
        inflater = zlib.decompressobj(-15)
        data = inflater.decompress(reader.read(start, min(member.packed, most)), min(member.size + 1, most))
    except zlib.error as error:
        raise _broken(reader, f"the member {member.name!r} does not inflate: {error}", start) from None
    if len(data) != min(member.size, most):
        raise _broken(reader, f"the member {member.name!r} inflates to another size than {member.size} bytes", start,
                      "zip-forged-size")  # fmt: skip
    return data
