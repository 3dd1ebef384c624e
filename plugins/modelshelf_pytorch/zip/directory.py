"""A ZIP archive's central directory, by columns.

Source: PKWARE APPNOTE 6.3.10, section 4.3.12. A checkpoint has a member for each tensor, alike but for name,
size and place, so stretches of entries of one length are taken apart at once; any other is read by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import define

from modelshelf.errors import FormatError
from modelshelf_pytorch.verdict import Issue, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
MAX32 = 0xFFFFFFFF
ENCRYPTION = 0x1 | 0x40 | 0x2000  # encrypted, strong encryption, masked headers
UTF8 = 0x800
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_FEWEST, _MOST = 4, 1024  # entries of one length that are taken apart at once
_LOCAL_SIZE = 30  # bytes of a local header before the name
_ROWS = 32  # rows that one call unpacks
MOST_MEMBERS = 100_000
"""Members of an archive that is looked into; one with more is refused, since each costs time and memory."""

_FEW_SEARCHES = 16  # names that are looked for before it pays to index all of them


@define(eq=False, repr=False)
class Member:
    """One entry of the central directory.

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
        start: Offset of its packed bytes, once its local header was read.
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
    start: int | None = None

    @property
    def encrypted(self) -> bool:
        """Whether a flag says that it is encrypted."""
        return bool(self.flags & ENCRYPTION)


class Directory:
    """An archive's central directory: a column for each field, an entry's fields at one place in all of them.

    Attributes:
        names: The members' paths.
        raw_names: The same as they are written.
        flags: General purpose bit flags.
        methods: 0 stored, 8 deflated.
        crcs: CRC-32 of their content, or 0.
        packed: Bytes in the archive.
        sizes: Bytes of their content.
        headers: Offsets of their local headers.
        attributes: External attributes.
        start: Offset where the directory begins.
        needed: The highest version of the format that an entry calls for, times ten.
        kinds: Flags, method and attributes as they stand together in some entry.
        extras: Lengths of the extra fields in the local headers, once those were found to be right.
        issues: What was noticed on the way.
    """

    def __init__(self, start: int = 0) -> None:
        self.names: list[str] = []
        self.raw_names: list[bytes] = []
        self.flags: list[int] = []
        self.methods: list[int] = []
        self.crcs: list[int] = []
        self.packed: list[int] = []
        self.sizes: list[int] = []
        self.headers: list[int] = []
        self.attributes: list[int] = []
        self.start = start
        self.needed = 0
        self.kinds: set[tuple[int, int, int]] = set()
        self.extras: Sequence[int] | None = None
        self.issues: tuple[Issue, ...] = ()
        self._listing = self._folded = ""
        self._by_name: dict[str, int] = {}
        self._made: dict[int, Member] = {}
        self._searches = 0

    @property
    def members(self) -> tuple[Member, ...]:
        """Every entry, in order."""
        return tuple(map(self.member, range(len(self.names))))

    def member(self, place: int) -> Member:
        """The entry at a place in the columns; the same object at each call."""
        if place not in self._made:
            made = self._made[place] = Member(
                self.names[place],
                self.raw_names[place],
                self.flags[place],
                self.methods[place],
                self.crcs[place],
                self.packed[place],
                self.sizes[place],
                self.headers[place],
                self.attributes[place],
            )
            if self.extras is not None:
                made.start = made.header + _LOCAL_SIZE + len(made.raw_name) + self.extras[place]
        return self._made[place]

    @property
    def listing(self) -> str:
        """The names in order, with a NUL before each and after the last."""
        if not self._listing:
            self._listing = "\0".join(["", *self.names, ""])
        return self._listing

    @property
    def listed(self) -> bool:
        """Whether the names can be told apart in the listing: none has a NUL in it."""
        return self.listing.count("\0") == len(self.names) + 1

    @property
    def distinct(self) -> bool:
        """Whether no two names are the same but for their case."""
        if self.listed and self.listing.isascii() and self.listing.lower() == self.listing:
            return len(set(self.names)) == len(self.names)
        return len(self._places) == len(self.names)

    def find(self, name: str) -> Member | None:
        """The last entry of a name, ASCII letters of either case alike, as torch looks names up; or None."""
        self._searches += 1
        if self._searches > _FEW_SEARCHES or "\0" in name or not self.listed:
            place = self._places.get(_lower(name))
        else:
            if not self._folded:
                self._folded = _lower(self.listing)
            listing = self._folded
            before = listing.rfind(f"\0{_lower(name)}\0")
            place = listing.count("\0", 0, before) if before >= 0 else None
        return None if place is None else self.member(place)

    def holds(self, needed: dict[str, int]) -> bool:
        """Whether there is a member of each of these very names, and of its size."""
        return needed.items() <= dict(zip(self.names, self.sizes, strict=True)).items()

    def stretch(self, folder: str, keys: list[str], sizes: list[int]) -> range | None:
        """The places of members of these names in a folder, one behind another; None if they do not stand so.

        Args:
            folder: What each name begins with.
            keys: The rest of each name.
            sizes: The members' sizes.
        """
        wanted = f"\0{folder}".join(["", *keys, ""]).removesuffix(folder)
        before = self.listing.find(wanted) if keys and self.listed else -1
        if before < 0 or wanted.count("\0") != len(keys) + 1:
            return None
        first = self.listing.count("\0", 0, before)
        behind = first + len(keys)
        return range(first, behind) if self.sizes[first:behind] == sizes else None

    @property
    def _places(self) -> dict[str, int]:
        if not self._by_name:
            self._by_name = dict(zip(_folded(self.names), range(len(self.names)), strict=True))
        return self._by_name


def _folded(names: list[str]) -> list[str]:
    """The names with their ASCII letters in lower case, and no others: those tell names apart."""
    folded = _lower("\0".join(names)).split("\0")
    return folded if len(folded) == len(names) else list(map(_lower, names))  # a name with a NUL in it


def _lower(name: str) -> str:
    return name.lower() if name.isascii() else name.translate(_ASCII_LOWER)


def broken(reader: FileReader, message: str, offset: int, code: str = "zip-malformed") -> FormatError:
    """The error of an archive whose records cannot be followed."""
    return FormatError(f"{reader.name}: {message}", code=code, file=reader.name, offset=offset)


def parse(reader: FileReader, data: bytes, start: int, count: int, *, bulk: bool = True) -> Directory:
    """The entries of a central directory.

    Args:
        reader: The archive, for messages.
        data: The central directory.
        start: Its offset in the archive.
        count: How many entries it is said to have.
        bulk: Whether stretches of entries may be taken apart at once.

    Raises:
        FormatError: The directory does not hold so many entries and nothing else, or they are too many.
    """
    if count > MOST_MEMBERS:
        message = f"{count} members are more than the {MOST_MEMBERS} that are looked through"
        raise broken(reader, message, start, "zip-too-many-members")
    if count * _ENTRY.size > len(data):
        raise broken(reader, f"{count} entries do not fit a central directory of {len(data)} bytes", start)
    directory = Directory(start=start)
    index = 0
    singly = 0 if bulk else count  # entries that are read one by one whatever they look like
    while len(directory.names) < count:
        number = len(directory.names)
        taken, vain = _add_alike(directory, data, index, count - number) if number >= singly else (0, 0)
        singly = max(
            singly, number + vain
        )  # so that a directory made to be tried in vain gains nothing by it
        index += taken or _add_one(reader, directory, data, index)
    if index != len(data):
        raise broken(reader, "the central directory is longer than its entries", start + index)
    return directory


def _add_one(reader: FileReader, directory: Directory, data: bytes, index: int) -> int:
    """Add the entry at `index`; its length."""
    start = directory.start
    if index + _ENTRY.size > len(data):
        raise broken(reader, "the central directory ends inside an entry", start + index)
    (mark, _, _, needed, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length,
     disk, _, attributes, header) = _ENTRY.unpack_from(data, index)  # fmt: skip
    if mark != b"PK\x01\x02" or disk != 0:
        raise broken(reader, "the central directory holds something that is no entry", start + index)
    name_end = index + _ENTRY.size + name_length
    after = name_end + extra_length + comment_length
    if after > len(data):
        raise broken(reader, "the central directory ends inside an entry", start + index)
    raw = data[index + _ENTRY.size : name_end]
    extra = data[name_end : name_end + extra_length]
    if not directory.issues and not _is_whole(extra):
        message = f"the extra field of the member {_decoded(raw, flags)!r} breaks off: readers differ"
        directory.issues += (suspicious("zip-odd-extra", message, start + name_end),)
    if MAX32 in (packed, size, header):
        size, packed, header = _wide(reader, extra, size, packed, header)
    directory.needed = max(directory.needed, needed)
    directory.names.append(_decoded(raw, flags))
    directory.raw_names.append(raw)
    directory.flags.append(flags)
    directory.methods.append(method)
    directory.crcs.append(crc)
    directory.packed.append(packed)
    directory.sizes.append(size)
    directory.headers.append(header)
    directory.attributes.append(attributes)
    directory.kinds.add((flags, method, attributes))
    return int(after - index)


def _is_whole(extra: bytes) -> bool:
    """Whether an extra field (4.5.1) ends where its last part does, or with less than a part's four bytes."""
    index = 0
    while index + 4 <= len(extra):
        index += 4 + int.from_bytes(extra[index + 2 : index + 4], "little")
    return index <= len(extra)


def _decoded(raw: bytes, flags: int) -> str:
    return raw.decode("utf-8" if flags & UTF8 or raw.isascii() else "cp437", "replace")


@lru_cache(maxsize=256)
def _rows(row: str) -> struct.Struct:
    return struct.Struct("<" + row * _ROWS)


def columns(row: str, width: int, data: bytes, count: int) -> list[list[Any]]:
    """Rows that lie behind one another, unpacked by columns.

    Args:
        row: The format of one, as `struct` writes it.
        width: How many fields it has.
        data: The rows.
        count: How many they are.
    """
    rows = _rows(row)
    padded = data + bytes(-len(data) % rows.size)
    fields: list[Any] = []
    for place in range(0, len(padded), rows.size):
        fields += rows.unpack_from(padded, place)
    return [fields[place : count * width : width] for place in range(width)]


def _add_alike(directory: Directory, data: bytes, index: int, most: int) -> tuple[int, int]:
    """Add the entries from `index` on that differ in CRC, sizes, place and name alone.

    Returns:
        The bytes of the entries that were added, and how many were looked at in vain.
    """
    lead, tail = data[index : index + 16], data[index + 28 : index + 42]
    if lead[:4] != b"PK\x01\x02" or len(tail) < 14 or any(tail[2:8]):  # noqa: PLR2004  # extra, comment, disk
        return 0, 0
    name_length = int.from_bytes(tail[:2], "little")
    size = _ENTRY.size + name_length
    # The name lengths' first byte, where the entries are alike.
    lengths = data[index + 28 : index + _MOST * size : size]
    alike = min(len(lengths) - len(lengths.lstrip(tail[:1])), most, (len(data) - index) // size)
    if alike < _FEWEST:
        return 0, 0
    # Alike in all, CRC, sizes, alike in all, header, name.
    entry = f"16s3L14sL{name_length}s"
    leads, crcs, packed, sizes, tails, headers, raws = columns(
        entry, 7, data[index : index + alike * size], alike
    )
    same = leads.count(lead) == tails.count(tail) == alike
    if not same or max(map(max, (packed, sizes, headers))) == MAX32:
        return 0, alike
    directory.needed = max(directory.needed, lead[6])
    flags, method = struct.unpack_from("<2H", lead, 8)
    joined = b"\0".join(raws)
    names = joined.decode("ascii").split("\0") if joined.isascii() else []
    if len(names) != alike:
        names = [_decoded(raw, flags) for raw in raws]
    directory.names += names
    directory.raw_names += raws
    directory.flags += [flags] * alike
    directory.methods += [method] * alike
    directory.crcs += crcs
    directory.packed += packed
    directory.sizes += sizes
    directory.headers += headers
    attributes = int.from_bytes(tail[10:], "little")
    directory.attributes += [attributes] * alike
    directory.kinds.add((flags, method, attributes))
    return alike * size, 0


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
