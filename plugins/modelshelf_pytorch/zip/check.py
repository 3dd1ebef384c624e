"""The tricks that a ZIP archive's headers can play: entries that differ from their local headers, and more.

Source: PKWARE APPNOTE 6.3.10 (sections 4.3 to 4.5), and advisories against scanners that trusted one header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, groupby
from operator import add
from struct import Struct, unpack
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.verdict import Issue, dangerous, suspicious
from modelshelf_pytorch.zip import read as zipread
from modelshelf_pytorch.zip.directory import ENCRYPTION, MAX32, UTF8, Directory, Member, broken
from modelshelf_pytorch.zip.read import DEFLATED, LOCAL, STORED

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_LEFT_OUT = bytes(12)  # checksum and sizes of a local header that leaves them to the directory
_LOCAL = b"PK\x03\x04"
_TOLD = Struct("<4s2x2H4x12sH")  # of a local header: flags, method, checksum and sizes, length of the name
_LEAD = 28  # bytes of a local header before the length of its extra field
_STREAMED, _PATCHED = 0x8, 0x20
_SYMLINK, _TYPE_MASK = 0o120000, 0o170000
_FOLDER = 0x10
_RATIO = 1100  # deflate cannot do better than 1032 to 1
_BOMB = 1 << 30
_NEWEST = 63  # version 6.3 of the format, above which zipfile reads nothing


_ODD_IN_NAMES = ("..", "\\", ":", "\0/")


def archive_issues(reader: FileReader, directory: Directory) -> Iterator[Issue]:
    """What is wrong with the entries, with the local headers, and with the two together.

    Raises:
        ReadError: A local header cannot be read, or is not there.
    """
    try:
        heads = zipread.local_heads(reader, directory)
    except ReadError:
        yield from directory_issues(directory)
        raise
    if _is_tame(directory):
        directory.extras = _as_torch_writes(directory, heads)
        if directory.extras is not None and _fits(directory, directory.extras):
            return
    yield from directory_issues(directory)
    yield from local_issues(reader, directory, heads)
    yield from data_issues(directory, heads)


def is_plain(directory: Directory) -> bool:
    """Whether the directory is as torch.save writes it, so that none of `directory_issues` can be in it."""
    return _is_tame(directory) and _fits(directory)


def _is_tame(directory: Directory) -> bool:
    """The same, but for where the members lie."""
    names = directory.listing
    return not (
        directory.needed > _NEWEST
        or not directory.listed
        or not names.isascii()  # other letters fold too
        or any(method != STORED or attributes for _, method, attributes in directory.kinds)
        or any(flags & (_PATCHED | ENCRYPTION) for flags, _, _ in directory.kinds)
        or directory.packed != directory.sizes
        or any(odd in names for odd in _ODD_IN_NAMES)
        or not directory.distinct
    )


def _fits(directory: Directory, extras: Sequence[int] | None = None) -> bool:
    """Whether the members lie in the order of the directory from the file's beginning, none in the next.

    Args:
        directory: The archive's central directory.
        extras: Lengths of the extra fields in the local headers, if they are to count.
    """
    headers = directory.headers
    if not headers or headers[0] != 0:
        return False
    following = [*headers[1:], directory.start]
    lengths = map(len, directory.raw_names)
    packed = directory.packed if extras is None else map(add, directory.packed, extras)
    room = [
        after - header - size - length
        for header, after, size, length in zip(headers, following, packed, lengths, strict=True)
    ]
    return bool(min(room) >= LOCAL.size)


def directory_issues(directory: Directory) -> Iterator[Issue]:
    """What is wrong with the entries as the directory itself tells them."""
    if not is_plain(directory):
        yield from entry_issues(directory)


def entry_issues(directory: Directory) -> Iterator[Issue]:
    """The same, entry by entry."""
    if directory.needed > _NEWEST:
        version = f"version {directory.needed / 10} of the ZIP format"
        message = f"a member calls for {version}, which does not exist: readers refuse it"
        yield suspicious("zip-odd-version", message, directory.start)
    seen: set[str] = set()
    for member in directory.members:
        folded = member.name.casefold()
        if folded in seen:
            message = f"two members are called {member.name!r}: readers differ on which counts"
            yield dangerous("zip-duplicate-name", message, member.header)
        seen.add(folded)
        yield from _name_issues(member)
        yield from _flag_issues(member)
        yield from _size_issues(member)
    yield from _layout_issues(directory.members, directory.start)


def _name_issues(member: Member) -> Iterator[Issue]:
    name = member.name
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or "\0" in name or ":" in parts[0]:
        message = f"a member is called {name!r}, which leads outside the archive"
        yield dangerous("zip-unsafe-path", message, member.header)
    if member.attributes >> 16 & _TYPE_MASK == _SYMLINK:
        yield dangerous("zip-unsafe-path", f"the member {name!r} is a symbolic link", member.header)


def _flag_issues(member: Member) -> Iterator[Issue]:
    if member.flags & (_PATCHED | ENCRYPTION & ~1):
        flags = f"flags {member.flags:#06x}, at which scanners give up and torch does not"
        yield dangerous("zip-odd-flags", f"the member {member.name!r} sets {flags}", member.header)
    if member.attributes & _FOLDER and member.size:
        message = f"the member {member.name!r} is marked as a folder and holds data"
        yield dangerous("zip-odd-flags", message, member.header)


def _size_issues(member: Member) -> Iterator[Issue]:
    if member.method == STORED and member.size != member.packed and not member.encrypted:
        sizes = f"{member.size} bytes and takes {member.packed}"
        yield dangerous("zip-forged-size", f"the stored member {member.name!r} claims {sizes}", member.header)
    if member.method == DEFLATED and member.size > max(_RATIO * member.packed, 1 << 16):
        sizes = f"{member.size} bytes deflated to {member.packed}, which deflate cannot do"
        yield dangerous("zip-forged-size", f"the member {member.name!r} claims {sizes}", member.header)


def _layout_issues(members: tuple[Member, ...], start: int) -> Iterator[Issue]:
    end = 0
    for member in sorted(members, key=lambda one: one.header):
        if member.header < end:
            yield dangerous("zip-overlap", f"the member {member.name!r} overlaps another", member.header)
        if end == 0 and member.header != 0:
            yield dangerous("zip-prefix", f"{member.header} bytes precede the archive's first member", 0)
        end = member.header + LOCAL.size + len(member.raw_name) + member.packed
        if end > start:
            yield dangerous("zip-overlap", f"the member {member.name!r} reaches past the data", member.header)
    packed = sum(member.packed for member in members if member.method == DEFLATED)
    inflated = sum(member.size for member in members if member.method == DEFLATED)
    if inflated > _BOMB and inflated > 100 * packed:
        yield dangerous("zip-bomb", f"{packed} bytes inflate to {inflated}")


def local_issues(reader: FileReader, directory: Directory, heads: list[bytes]) -> Iterator[Issue]:
    """How the members' local headers differ from their entries in the directory.

    torch.save leaves checksum and sizes to the directory, so that its local headers of one name length differ
    in the name and its padding alone: one that was seen to be right vouches for the others.

    Args:
        reader: The archive.
        directory: Its central directory.
        heads: The local headers with their names, as `zipread.local_heads` gives them.

    Raises:
        ReadError: There is no local header there.
    """
    if _as_torch_writes(directory, heads) is not None:
        return
    alike = len({kind[:2] for kind in directory.kinds}) == 1
    right: set[bytes] = set()
    for place, (head, name) in enumerate(zip(heads, directory.raw_names, strict=True)):
        if head[:_LEAD] in right and _tells(head, name):
            continue
        issues = list(member_issues(reader, directory.member(place)))
        yield from issues
        if alike and not issues and head[14:26] == _LEFT_OUT:
            right.add(head[:_LEAD])


def _as_torch_writes(directory: Directory, heads: list[bytes]) -> list[int] | None:
    """Lengths of the heads' extra fields, if the heads are right and otherwise differ in the name alone."""
    kinds = {kind[:2] for kind in directory.kinds}
    if len(kinds) != 1:
        return None
    extras: list[int] = []
    place = 0
    for length, group in groupby(map(len, directory.raw_names)):
        behind = place + sum(1 for _ in group)
        size = LOCAL.size + length
        same = bytearray().join(heads[place:behind])
        if len(same) != size * (behind - place):
            return None
        widths = bytearray(2 * (behind - place))
        for byte in (0, 1):
            widths[byte::2] = same[_LEAD + byte :: size]
            same[_LEAD + byte :: size] = bytes(behind - place)
        lead = same[: LOCAL.size]
        mark, flags, method, left_out, named = _TOLD.unpack_from(lead)
        if (mark, left_out, named) != (_LOCAL, _LEFT_OUT, length) or not flags & _STREAMED:
            return None
        if (flags, method) not in kinds or same != lead.join([b"", *directory.raw_names[place:behind]]):
            return None
        extras += unpack(f"<{behind - place}H", widths)
        place = behind
    return extras


def _tells(head: bytes, name: bytes) -> bool:
    """Whether a local header is whole and has this name, of the length that it tells."""
    length = int.from_bytes(head[_LEAD - 2 : _LEAD], "little")
    return len(head) == LOCAL.size + length and head[LOCAL.size :] == name


def _extras(heads: list[bytes]) -> tuple[int, ...]:
    """Lengths of the extra fields that the local headers tell."""
    return unpack(f"<{len(heads)}H", b"".join([head[_LEAD : LOCAL.size] for head in heads]))


def data_issues(directory: Directory, heads: list[bytes]) -> Iterator[Issue]:
    """Members whose local header puts their data where another member lies, by the length of its extra field.

    Args:
        directory: The archive's central directory.
        heads: The local headers, which `local_issues` found to be there.
    """
    extras = _extras(heads)
    if not heads or _fits(directory, extras):
        return
    rows = sorted(zip(directory.headers, map(len, directory.raw_names), extras, directory.packed, count()))
    limits = [*(row[0] for row in rows[1:]), directory.start]
    for (header, name, extra, packed, place), limit in zip(rows, limits, strict=True):
        end = header + LOCAL.size + name + packed
        if end <= limit < end + extra:
            where = "bytes behind its own header, so that its data reaches into what follows"
            message = f"the member {directory.names[place]!r} begins {extra} {where}"
            yield dangerous("zip-overlap", message, header)


def member_issues(reader: FileReader, member: Member) -> Iterator[Issue]:
    """How a member's local header differs from its entry in the directory.

    Raises:
        ReadError: There is no local header there.
    """
    head = reader.read_up_to(member.header, LOCAL.size + len(member.raw_name))
    if len(head) < LOCAL.size or head[:4] != _LOCAL:
        raise broken(reader, f"no local header for the member {member.name!r}", member.header)
    _, _, flags, method, _, _, crc, packed, size, name_length, _ = LOCAL.unpack_from(head)
    same_name = name_length == len(member.raw_name) and head[LOCAL.size :] == member.raw_name
    told = (member.flags, member.method, member.crc, member.packed, member.size)
    if same_name and told == (flags, method, crc, packed, size):
        return  # as most writers leave it
    if not same_name:
        shown = reader.read_up_to(member.header + LOCAL.size, name_length).decode("utf-8", "replace")
        message = f"the directory calls a member {member.name!r}, its own header {shown!r}: readers differ"
        yield dangerous("zip-name-mismatch", message, member.header)
    streamed = bool(flags & _STREAMED)
    differ = []
    if method != member.method or (flags ^ member.flags) & ~UTF8 & ~_STREAMED:
        differ.append("flags or method")
    if any(
        told not in (real, MAX32) and not (streamed and told == 0)
        for told, real in ((packed, member.packed), (size, member.size))
    ):
        differ.append("size")
    if crc != member.crc and not (streamed and crc == 0):
        differ.append("checksum")
    if differ:
        what = f"another {' and '.join(differ)} than the directory tells"
        message = f"the member {member.name!r} has in its own header {what}: readers differ on which counts"
        yield dangerous("zip-header-mismatch", message, member.header)
