"""Check a ZIP archive's headers for tricks: entries that differ from their local headers, and more.

Source: PKWARE APPNOTE 6.3.10 (sections 4.3 to 4.5), and advisories against scanners that trusted one header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, groupby
from operator import add
from struct import Struct, unpack
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.signatures import ZIP_MAGIC
from modelshelf_pytorch.verdict import Issue, dangerous, suspicious
from modelshelf_pytorch.zip.directory import (
    DEFLATED,
    ENCRYPTION,
    LOCAL_HEADER,
    MAX32,
    STORED,
    UTF8,
    Directory,
    Member,
    ascii_lower,
    malformed,
)
from modelshelf_pytorch.zip.read import read_local_headers

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_LEFT_OUT = bytes(12)  # checksum and sizes of a local header that leaves them to the directory
_CHECKED_FIELDS = Struct("<4s2x2H4x12sH")  # signature, flags, method, checksum and sizes, length of the name
_EXTRA_LENGTH_AT = 28  # offset in a local header of the length of its extra field
_STREAMED, _PATCHED = 0x8, 0x20  # flags: sizes follow the data; compressed patched data
_SYMLINK, _TYPE_MASK = 0o120000, 0o170000  # Unix file modes
_FOLDER = 0x10  # DOS attribute
_DEFLATE_RATIO = 1100  # deflate cannot do better than 1032 to 1
_SMALL = 1 << 16  # bytes of content, below which the ratio says nothing
_BOMB_BYTES, _BOMB_RATIO = 1 << 30, 100
_NEWEST_VERSION = 63  # version 6.3 of the format, above which zipfile reads nothing
_ODD_IN_NAMES = ("..", "\\", ":", "\0/")


def archive_issues(reader: FileReader, directory: Directory) -> Iterator[Issue]:
    """Yield what is wrong with the entries, with the local headers, and with the two together.

    Raises:
        ReadError: A local header cannot be read, or is not there.
    """
    try:
        headers = read_local_headers(reader, directory)
    except ReadError:
        yield from directory_issues(directory)
        raise
    if _has_ordinary_fields(directory):
        directory.extra_lengths = _match_torch_headers(directory, headers)
        if directory.extra_lengths is not None and _lie_in_order(directory, directory.extra_lengths):
            return
    yield from directory_issues(directory)
    yield from local_issues(reader, directory, headers)
    yield from data_issues(directory, headers)


def overlaps(directory: Directory) -> bool:
    """Return whether the directory puts members into one another: to read them all costs beyond measure."""
    if _lie_in_order(directory):
        return False
    return any(issue.code == "zip-overlap" for issue in _layout_issues(directory.members, directory.start))


def is_ordinary(directory: Directory) -> bool:
    """Return whether the directory is as torch.save writes it, so that `entry_issues` can find nothing."""
    return _has_ordinary_fields(directory) and _lie_in_order(directory)


def _has_ordinary_fields(directory: Directory) -> bool:
    """Return the same, but for where the members lie."""
    names = directory.joined_names
    return not (
        directory.version_needed > _NEWEST_VERSION
        or not directory.separable
        or not names.isascii()  # two names may be the same bytes, decoded in two ways
        or any(method != STORED or attributes for _, method, attributes in directory.kinds)
        or any(flags & (_PATCHED | ENCRYPTION) for flags, _, _ in directory.kinds)
        or directory.compressed_sizes != directory.sizes
        or any(odd in names for odd in _ODD_IN_NAMES)
        or not directory.distinct
    )


def _lie_in_order(directory: Directory, extra_lengths: Sequence[int] | None = None) -> bool:
    """Return whether the members lie in the directory's order from offset 0 on, none in the next.

    Args:
        directory: The archive's central directory.
        extra_lengths: Lengths of the extra fields in the local headers, if they are to count.
    """
    offsets = directory.header_offsets
    if not offsets or offsets[0] != 0:
        return False
    following = [*offsets[1:], directory.start]
    lengths = map(len, directory.raw_names)
    sizes = directory.compressed_sizes
    taken = sizes if extra_lengths is None else map(add, sizes, extra_lengths)
    room = [
        after - offset - size - length
        for offset, after, size, length in zip(offsets, following, taken, lengths, strict=True)
    ]
    return bool(min(room) >= LOCAL_HEADER.size)


def directory_issues(directory: Directory) -> Iterator[Issue]:
    """Yield what is wrong with the entries of the central directory."""
    if not is_ordinary(directory):
        yield from entry_issues(directory)


def entry_issues(directory: Directory) -> Iterator[Issue]:
    """Yield what is wrong with the entries of the central directory, looking at each."""
    if directory.version_needed > _NEWEST_VERSION:
        version = f"version {directory.version_needed / 10} of the ZIP format"
        message = f"a member calls for {version}, which does not exist: readers refuse it"
        yield suspicious("zip-odd-version", message, directory.start)
    names: set[str] = set()
    raw_names: set[bytes] = set()
    for member in directory.members:
        # torch compares bytes, but for the case of ASCII letters; others compare what they decode them to.
        name, raw_name = ascii_lower(member.name), member.raw_name.lower()
        if name in names or raw_name in raw_names:
            message = f"two members are called {member.name!r}: readers differ on which counts"
            yield dangerous("zip-duplicate-name", message, member.header_offset)
        names.add(name)
        raw_names.add(raw_name)
        yield from _name_issues(member)
        yield from _flag_issues(member)
        yield from _size_issues(member)
    yield from _layout_issues(directory.members, directory.start)


def _name_issues(member: Member) -> Iterator[Issue]:
    name = member.name
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or "\0" in name or ":" in parts[0]:
        message = f"a member is called {name!r}, which leads outside the archive"
        yield dangerous("zip-unsafe-path", message, member.header_offset)
    if member.external_attributes >> 16 & _TYPE_MASK == _SYMLINK:
        yield dangerous("zip-unsafe-path", f"the member {name!r} is a symbolic link", member.header_offset)


def _flag_issues(member: Member) -> Iterator[Issue]:
    if member.flags & (_PATCHED | ENCRYPTION & ~1):
        flags = f"flags {member.flags:#06x}, at which scanners give up and torch does not"
        yield dangerous("zip-odd-flags", f"the member {member.name!r} sets {flags}", member.header_offset)
    if member.external_attributes & _FOLDER and member.size:
        message = f"the member {member.name!r} is marked as a folder and holds data"
        yield dangerous("zip-odd-flags", message, member.header_offset)


def _size_issues(member: Member) -> Iterator[Issue]:
    name, size, compressed = member.name, member.size, member.compressed_size
    if member.method == STORED and size != compressed and not member.encrypted:
        message = f"the stored member {name!r} claims {size} bytes and takes {compressed}"
        yield dangerous("zip-forged-size", message, member.header_offset)
    if member.method == DEFLATED and size > max(_DEFLATE_RATIO * compressed, _SMALL):
        message = f"the member {name!r} claims {size} bytes deflated to {compressed}, which deflate cannot do"
        yield dangerous("zip-forged-size", message, member.header_offset)


def _layout_issues(members: tuple[Member, ...], start: int) -> Iterator[Issue]:
    """Yield members that overlap, bytes before the first, and more than an honest archive inflates to."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        offset = member.header_offset
        if offset < end:
            yield dangerous("zip-overlap", f"the member {member.name!r} overlaps another", offset)
        if end == 0 and offset != 0:
            yield dangerous("zip-prefix", f"{offset} bytes precede the archive's first member", 0)
        end = offset + LOCAL_HEADER.size + len(member.raw_name) + member.compressed_size
        if end > start:
            yield dangerous("zip-overlap", f"the member {member.name!r} reaches past the data", offset)
    compressed = sum(member.compressed_size for member in members if member.method == DEFLATED)
    inflated = sum(member.size for member in members if member.method == DEFLATED)
    if inflated > _BOMB_BYTES and inflated > _BOMB_RATIO * compressed:
        yield dangerous("zip-bomb", f"{compressed} bytes inflate to {inflated}")


def local_issues(reader: FileReader, directory: Directory, headers: list[bytes]) -> Iterator[Issue]:
    """Yield how the members' local headers differ from their entries in the directory.

    torch.save leaves checksum and sizes to the directory, so that its local headers of one name length differ
    in the name and its padding alone: one that was found to be right vouches for the others.

    Args:
        reader: The archive.
        directory: Its central directory.
        headers: The local headers with their names, as `read_local_headers` gives them.

    Raises:
        ReadError: There is no local header there.
    """
    if _match_torch_headers(directory, headers) is not None:
        return
    one_kind = len({kind[:2] for kind in directory.kinds}) == 1
    right: set[bytes] = set()
    for number, (header, raw_name) in enumerate(zip(headers, directory.raw_names, strict=True)):
        if header[:_EXTRA_LENGTH_AT] in right and _has_name(header, raw_name):
            continue
        issues = list(member_issues(reader, directory.member(number)))
        yield from issues
        if one_kind and not issues and header[14:26] == _LEFT_OUT:
            right.add(header[:_EXTRA_LENGTH_AT])


def _match_torch_headers(directory: Directory, headers: list[bytes]) -> list[int] | None:
    """Return the lengths of the extra fields where the local headers are as torch.save writes them, or None.

    They then are right, and those of one name length differ in the name and in that length alone.
    """
    kinds = {kind[:2] for kind in directory.kinds}
    if len(kinds) != 1:
        return None
    extra_lengths: list[int] = []
    number = 0
    for length, group in groupby(map(len, directory.raw_names)):
        stop = number + sum(1 for _ in group)
        size = LOCAL_HEADER.size + length
        joined = bytearray().join(headers[number:stop])
        if len(joined) != size * (stop - number):
            return None
        lengths = bytearray(2 * (stop - number))
        for byte in (0, 1):
            lengths[byte::2] = joined[_EXTRA_LENGTH_AT + byte :: size]
            joined[_EXTRA_LENGTH_AT + byte :: size] = bytes(stop - number)
        lead = joined[: LOCAL_HEADER.size]
        signature, flags, method, left_out, name_length = _CHECKED_FIELDS.unpack_from(lead)
        if (signature, left_out, name_length) != (ZIP_MAGIC, _LEFT_OUT, length) or not flags & _STREAMED:
            return None
        if (flags, method) not in kinds or joined != lead.join([b"", *directory.raw_names[number:stop]]):
            return None
        extra_lengths += unpack(f"<{stop - number}H", lengths)
        number = stop
    return extra_lengths


def _has_name(header: bytes, raw_name: bytes) -> bool:
    """Return whether a local header is whole and has this name, of the length that it says."""
    length = int.from_bytes(header[_EXTRA_LENGTH_AT - 2 : _EXTRA_LENGTH_AT], "little")
    return len(header) == LOCAL_HEADER.size + length and header[LOCAL_HEADER.size :] == raw_name


def data_issues(directory: Directory, headers: list[bytes]) -> Iterator[Issue]:
    """Yield members whose data a local header puts where another member lies, by its extra field's length.

    Args:
        directory: The archive's central directory.
        headers: The local headers, which `local_issues` found to be there.
    """
    lengths = b"".join([header[_EXTRA_LENGTH_AT : LOCAL_HEADER.size] for header in headers])
    extra_lengths = unpack(f"<{len(headers)}H", lengths)
    if not headers or _lie_in_order(directory, extra_lengths):
        return
    columns = (directory.header_offsets, map(len, directory.raw_names), extra_lengths)
    rows = sorted(zip(*columns, directory.compressed_sizes, count()))
    limits = [*(row[0] for row in rows[1:]), directory.start]
    for (offset, name_length, extra_length, size, number), limit in zip(rows, limits, strict=True):
        end = offset + LOCAL_HEADER.size + name_length + size
        if end <= limit < end + extra_length:
            where = "bytes behind its own header, so that its data reaches into what follows"
            message = f"the member {directory.names[number]!r} begins {extra_length} {where}"
            yield dangerous("zip-overlap", message, offset)


def member_issues(reader: FileReader, member: Member) -> Iterator[Issue]:
    """Yield how a member's local header differs from its entry in the directory.

    Raises:
        ReadError: There is no local header there.
    """
    header = reader.read_up_to(member.header_offset, LOCAL_HEADER.size + len(member.raw_name))
    if len(header) < LOCAL_HEADER.size or header[:4] != ZIP_MAGIC:
        raise malformed(reader, f"no local header for the member {member.name!r}", member.header_offset)
    _, _, flags, method, _, _, crc, compressed_size, size, name_length, _ = LOCAL_HEADER.unpack_from(header)
    same_name = name_length == len(member.raw_name) and header[LOCAL_HEADER.size :] == member.raw_name
    entry = (member.flags, member.method, member.crc, member.compressed_size, member.size)
    if same_name and entry == (flags, method, crc, compressed_size, size):
        return  # as most writers leave it
    if not same_name:
        raw_name = reader.read_up_to(member.header_offset + LOCAL_HEADER.size, name_length)
        shown = raw_name.decode("utf-8", "replace")
        message = f"the directory calls a member {member.name!r}, its own header {shown!r}: readers differ"
        yield dangerous("zip-name-mismatch", message, member.header_offset)
    streamed = bool(flags & _STREAMED)
    differ = []
    if method != member.method or (flags ^ member.flags) & ~UTF8 & ~_STREAMED:
        differ.append("flags or method")
    if any(
        local not in (real, MAX32) and not (streamed and local == 0)
        for local, real in ((compressed_size, member.compressed_size), (size, member.size))
    ):
        differ.append("size")
    if crc != member.crc and not (streamed and crc == 0):
        differ.append("checksum")
    if differ:
        what = f"another {' and '.join(differ)} than the directory tells"
        message = f"the member {member.name!r} has in its own header {what}: readers differ on which counts"
        yield dangerous("zip-header-mismatch", message, member.header_offset)
