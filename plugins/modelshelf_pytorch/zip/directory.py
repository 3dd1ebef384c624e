"""A ZIP archive's central directory, parsed into columns.

Source: PKWARE APPNOTE 6.3.10, section 4.3.12. A checkpoint has a member for each tensor, alike but for name,
size and offset, so runs of similar entries are unpacked at once; any other entry is parsed by itself.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import define

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.allowance import Allowance
from modelshelf_pytorch.verdict import Issue, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_SIGNATURE = b"PK\x01\x02"
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")
LOCAL_HEADER = struct.Struct("<4s5H3L2H")
"""A local file header without its name and extra field (4.3.7)."""

STORED, DEFLATED = 0, 8  # compression methods, 4.4.5
ENCRYPTION = 0x1 | 0x40 | 0x2000
"""Flags of encrypted members: encrypted, strong encryption, masked headers (4.4.4)."""

UTF8 = 0x800
"""The flag of names that are UTF-8."""

MAX32 = 0xFFFFFFFF
"""What a field of 32 bits holds where the ZIP64 extra field has the value."""

MOST_MEMBERS = 100_000
"""Members of an archive that is looked into; one with more is refused, since each costs time and memory."""

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_FEWEST_SIMILAR, _MOST_SIMILAR = 4, 1024  # entries of one length that are unpacked at once
_ROWS = 32  # rows that one call unpacks
_FEW_SEARCHES = 16  # names that are looked for before it pays to index all of them


@define(eq=False, repr=False)
class Member:
    """One entry of the central directory.

    Attributes:
        name: Its path in the archive.
        raw_name: The same as it is written.
        flags: General purpose bit flags.
        method: Compression method: `STORED`, `DEFLATED` or another.
        crc: CRC-32 of its content, or 0 where the writer left it out.
        compressed_size: Bytes in the archive.
        size: Bytes of its content.
        header_offset: File offset of its local header.
        external_attributes: Unix file mode above, DOS attributes below.
        allowance: What reading the archive may cost.
        data_start: File offset of its compressed bytes, once its local header was read.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    header_offset: int
    external_attributes: int
    allowance: Allowance
    data_start: int | None = None

    @property
    def encrypted(self) -> bool:
        """Whether a flag says that it is encrypted."""
        return bool(self.flags & ENCRYPTION)


class Directory:
    """An archive's central directory: a column for each field, the entries' fields in the same order.

    Attributes:
        names: The members' paths.
        raw_names: The same as they are written.
        flags: General purpose bit flags.
        methods: Compression methods.
        crcs: CRC-32 of their content, or 0.
        compressed_sizes: Bytes in the archive.
        sizes: Bytes of their content.
        header_offsets: File offsets of their local headers.
        external_attributes: Unix file modes above, DOS attributes below.
        start: File offset where the directory begins.
        version_needed: The highest version of the format that an entry calls for, times ten.
        kinds: The combinations of flags, method and external attributes that its entries have.
        extra_lengths: Lengths of the extra fields in the local headers, once those were found to be right.
        issues: What was noticed while parsing.
        allowance: What reading the members may cost.
    """

    def __init__(self, start: int = 0) -> None:
        self.allowance = Allowance()
        self.names: list[str] = []
        self.raw_names: list[bytes] = []
        self.flags: list[int] = []
        self.methods: list[int] = []
        self.crcs: list[int] = []
        self.compressed_sizes: list[int] = []
        self.sizes: list[int] = []
        self.header_offsets: list[int] = []
        self.external_attributes: list[int] = []
        self.start = start
        self.version_needed = 0
        self.kinds: set[tuple[int, int, int]] = set()
        self.extra_lengths: Sequence[int] | None = None
        self.issues: tuple[Issue, ...] = ()
        self._joined = self._joined_lower = ""
        self._numbers: dict[str, int] = {}
        self._members: dict[int, Member] = {}
        self._searches = 0

    @property
    def members(self) -> tuple[Member, ...]:
        """Every entry, in order."""
        return tuple(map(self.member, range(len(self.names))))

    def member(self, number: int) -> Member:
        """Return the entry of a number in the columns; the same object at each call."""
        if number not in self._members:
            member = self._members[number] = Member(
                self.names[number],
                self.raw_names[number],
                self.flags[number],
                self.methods[number],
                self.crcs[number],
                self.compressed_sizes[number],
                self.sizes[number],
                self.header_offsets[number],
                self.external_attributes[number],
                self.allowance,
            )
            if self.extra_lengths is not None:
                lead = LOCAL_HEADER.size + len(member.raw_name)
                member.data_start = member.header_offset + lead + self.extra_lengths[number]
        return self._members[number]

    @property
    def joined_names(self) -> str:
        """The names in order, with a NUL before each and after the last."""
        if not self._joined:
            self._joined = "\0".join(["", *self.names, ""])
        return self._joined

    @property
    def separable(self) -> bool:
        """Whether the joined names can be told apart: none has a NUL in it."""
        return self.joined_names.count("\0") == len(self.names) + 1

    @property
    def distinct(self) -> bool:
        """Whether no two names are the same but for their case."""
        if self.separable and self.joined_names.isascii() and self.joined_names.lower() == self.joined_names:
            return len(set(self.names)) == len(self.names)
        return len(self._number_by_name) == len(self.names)

    def find(self, name: str) -> Member | None:
        """Return the last entry of a name, or None; torch too ignores the case of ASCII letters."""
        self._searches += 1
        if self._searches > _FEW_SEARCHES or "\0" in name or not self.separable:
            number = self._number_by_name.get(ascii_lower(name))
        else:
            if not self._joined_lower:
                self._joined_lower = ascii_lower(self.joined_names)
            joined = self._joined_lower
            before = joined.rfind(f"\0{ascii_lower(name)}\0")
            number = joined.count("\0", 0, before) if before >= 0 else None
        return None if number is None else self.member(number)

    def contains(self, sizes: dict[str, int]) -> bool:
        """Return whether there is a member of each of these very names, and of its size."""
        return sizes.items() <= dict(zip(self.names, self.sizes, strict=True)).items()

    def find_run(self, folder: str, keys: list[str], sizes: list[int]) -> range | None:
        """Return the numbers of members that follow one another in a folder; None if they do not.

        Args:
            folder: The beginning of each name.
            keys: The rest of each name.
            sizes: The members' sizes.
        """
        wanted = f"\0{folder}".join(["", *keys, ""]).removesuffix(folder)
        before = self.joined_names.find(wanted) if keys and self.separable else -1
        if before < 0 or wanted.count("\0") != len(keys) + 1:
            return None
        first = self.joined_names.count("\0", 0, before)
        stop = first + len(keys)
        return range(first, stop) if self.sizes[first:stop] == sizes else None

    @property
    def _number_by_name(self) -> dict[str, int]:
        if not self._numbers:
            self._numbers = dict(zip(_lower_all(self.names), range(len(self.names)), strict=True))
        return self._numbers


def _lower_all(names: list[str]) -> list[str]:
    """Return the names with their ASCII letters in lower case: as torch compares names."""
    lower = ascii_lower("\0".join(names)).split("\0")
    return lower if len(lower) == len(names) else list(map(ascii_lower, names))  # a name with a NUL in it


def ascii_lower(name: str) -> str:
    """Return a name with its ASCII letters in lower case, and no others: as torch compares names."""
    return name.lower() if name.isascii() else name.translate(_ASCII_LOWER)


def malformed(reader: FileReader, message: str, offset: int, code: str = "zip-malformed") -> FormatError:
    """Return the error of an archive whose records cannot be followed, with a place in the file."""
    place = min(offset, reader.size)
    return FormatError(f"{reader.name}: {message}", code=code, file=reader.name, offset=place)


def parse(reader: FileReader, data: bytes, start: int, count: int, *, bulk: bool = True) -> Directory:
    """Parse the entries of a central directory.

    Args:
        reader: The archive, for messages.
        data: The central directory.
        start: Its file offset.
        count: How many entries it is said to have.
        bulk: Whether runs of similar entries may be unpacked at once.

    Raises:
        FormatError: The directory does not hold so many entries and nothing else, or they are too many.
    """
    if count * _ENTRY.size > len(data):
        raise malformed(reader, f"{count} entries do not fit a central directory of {len(data)} bytes", start)
    if count > MOST_MEMBERS:
        message = f"{count} members are more than the {MOST_MEMBERS} that are looked through"
        raise malformed(reader, message, start, NOT_JUDGED)
    directory = Directory(start=start)
    index = 0
    singly = 0 if bulk else count  # entries that are parsed one by one whatever they look like
    while len(directory.names) < count:
        number = len(directory.names)
        length = vain = 0
        if number >= singly:
            length, vain = _add_similar(directory, data, index, count - number)
        singly = max(singly, number + vain)  # a directory made to be tried in vain gains nothing by it
        index += length or _add_one(reader, directory, data, index)
    if index != len(data):
        raise malformed(reader, "the central directory is longer than its entries", start + index)
    return directory


def _add_one(reader: FileReader, directory: Directory, data: bytes, index: int) -> int:
    """Add the entry at `index`; return its length."""
    start = directory.start
    if index + _ENTRY.size > len(data):
        raise malformed(reader, "the central directory ends inside an entry", start + index)
    fields = _ENTRY.unpack_from(data, index)
    signature, _, _, version_needed, _, flags, method, _, _, crc, compressed_size, size = fields[:12]
    name_length, extra_length, comment_length, disk, _, attributes, header_offset = fields[12:]
    if signature != _SIGNATURE or disk != 0:
        raise malformed(reader, "the central directory holds something that is no entry", start + index)
    name_end = index + _ENTRY.size + name_length
    end = name_end + extra_length + comment_length
    if end > len(data):
        raise malformed(reader, "the central directory ends inside an entry", start + index)
    raw_name = data[index + _ENTRY.size : name_end]
    extra = data[name_end : name_end + extra_length]
    if not directory.issues and not _is_whole_extra(extra):
        message = f"the extra field of the member {_decode(raw_name, flags)!r} breaks off: readers differ"
        directory.issues += (suspicious("zip-odd-extra", message, start + name_end),)
    if MAX32 in (compressed_size, size, header_offset):
        size, compressed_size, header_offset = _zip64_values(
            reader, extra, size, compressed_size, header_offset
        )
    directory.version_needed = max(directory.version_needed, version_needed)
    directory.names.append(_decode(raw_name, flags))
    directory.raw_names.append(raw_name)
    directory.flags.append(flags)
    directory.methods.append(method)
    directory.crcs.append(crc)
    directory.compressed_sizes.append(compressed_size)
    directory.sizes.append(size)
    directory.header_offsets.append(header_offset)
    directory.external_attributes.append(attributes)
    directory.kinds.add((flags, method, attributes))
    return int(end - index)


def _is_whole_extra(extra: bytes) -> bool:
    """Return whether an extra field (4.5.1) ends where its last part does, or less than 4 bytes after it."""
    index = 0
    while index + 4 <= len(extra):
        index += 4 + int.from_bytes(extra[index + 2 : index + 4], "little")
    return index <= len(extra)


def _decode(raw_name: bytes, flags: int) -> str:
    return raw_name.decode("utf-8" if flags & UTF8 or raw_name.isascii() else "cp437", "replace")


def _zip64_values(
    reader: FileReader, extra: bytes, size: int, compressed_size: int, header_offset: int
) -> tuple[int, int, int]:
    """Return the sizes and the offset, from the ZIP64 extra field (4.5.3) those that are `MAX32`."""
    index = 0
    while index + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, index)
        body = extra[index + 4 : index + 4 + length]
        index += 4 + length
        if kind != 1:
            continue
        values = []
        for value in (size, compressed_size, header_offset):
            if value != MAX32:
                values.append(value)
                continue
            if len(body) < 8:  # noqa: PLR2004  # bytes of a u64
                break
            values.append(int.from_bytes(body[:8], "little"))
            body = body[8:]
        if len(values) == 3:  # noqa: PLR2004
            return values[0], values[1], values[2]
    raise malformed(reader, "an entry calls for ZIP64 sizes that are not there", 0)


def _add_similar(directory: Directory, data: bytes, index: int, most: int) -> tuple[int, int]:
    """Add the entries from `index` on that differ in CRC, sizes, offset and name alone.

    Returns:
        The bytes of the entries that were added, and how many were looked at in vain.
    """
    lead, tail = data[index : index + 16], data[index + 28 : index + 42]
    if lead[:4] != _SIGNATURE or len(tail) < 14 or any(tail[2:8]):  # noqa: PLR2004  # extra, comment, disk
        return 0, 0
    name_length = int.from_bytes(tail[:2], "little")
    length = _ENTRY.size + name_length
    # The name lengths' first byte, where the entries are alike.
    lengths = data[index + 28 : index + _MOST_SIMILAR * length : length]
    count = min(len(lengths) - len(lengths.lstrip(tail[:1])), most, (len(data) - index) // length)
    if count < _FEWEST_SIMILAR:
        return 0, 0
    # Alike in all, CRC, sizes, alike in all, offset, name.
    row = f"16s3L14sL{name_length}s"
    leads, crcs, compressed_sizes, sizes, tails, header_offsets, raw_names = _unpack_columns(
        row, 7, data[index : index + count * length], count
    )
    same = leads.count(lead) == tails.count(tail) == count
    if not same or max(map(max, (compressed_sizes, sizes, header_offsets))) == MAX32:
        return 0, count
    directory.version_needed = max(directory.version_needed, lead[6])
    flags, method = struct.unpack_from("<2H", lead, 8)
    joined = b"\0".join(raw_names)
    names = joined.decode("ascii").split("\0") if joined.isascii() else []
    if len(names) != count:
        names = [_decode(raw_name, flags) for raw_name in raw_names]
    directory.names += names
    directory.raw_names += raw_names
    directory.flags += [flags] * count
    directory.methods += [method] * count
    directory.crcs += crcs
    directory.compressed_sizes += compressed_sizes
    directory.sizes += sizes
    directory.header_offsets += header_offsets
    attributes = int.from_bytes(tail[10:], "little")
    directory.external_attributes += [attributes] * count
    directory.kinds.add((flags, method, attributes))
    return count * length, 0


def _unpack_columns(row: str, width: int, data: bytes, count: int) -> list[list[Any]]:
    """Unpack rows that follow one another, and return their columns.

    Args:
        row: The format of one, as `struct` writes it.
        width: How many fields it has.
        data: The rows.
        count: How many they are.
    """
    rows = _several(row)
    padded = data + bytes(-len(data) % rows.size)
    fields: list[Any] = []
    for place in range(0, len(padded), rows.size):
        fields += rows.unpack_from(padded, place)
    return [fields[place : count * width : width] for place in range(width)]


@lru_cache(maxsize=256)
def _several(row: str) -> struct.Struct:
    return struct.Struct("<" + row * _ROWS)
