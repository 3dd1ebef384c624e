"""ZIP archives taken apart, changed, and put together again, with any of their fields a lie.

Source: PKWARE's APPNOTE.TXT 4.3; the layout (streamed members with descriptors, ``FB`` padding that puts data
at multiples of 64, ZIP64 records at the end) is what ``torch.save`` writes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

from tests.fuzz.mutate import TEXTS, number, position

STORED, DEFLATED = 0, 8
_DESCRIPTOR = 8  # the flag of a member whose sizes stand behind it
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_NAMES = (
    b"archive/data.pkl",
    b"archive/data/0",
    b"archive/data/1",
    b"archive/version",
    b"archive/constants.pkl",
    b"archive/code/x.py",
    b"Archive/DATA.PKL",
    b"other/data.pkl",
    b"data.pkl",
    b"archive/evil.pkl",
    b"archive/x.npy",
    b"archive/",
    b"archive/../up",
)
_FLAGS = (0, 1, 8, 0x20, 0x40, 0x800, 0x808, 0x2000, 0xFFFF)
_EXTRAS = (
    b"",
    b"\x01\0\x08\0" + b"\xff" * 8,
    b"\x01\0\x10\0" + b"\1" * 16,
    b"FB\xff\xff",
    b"\x01",
    b"\x99\x99\0\0",
)


class Member:
    """One member. `lies` overrides any field of its headers by name: ``local_crc``, ``central_size``, …"""

    def __init__(self, name: bytes, data: bytes, flags: int, method: int) -> None:
        self.name, self.data, self.flags, self.method = name, data, flags, method
        self.extra: bytes | None = None
        self.central_extra = b""
        self.before = b""
        self.lies: dict[str, int | bytes] = {}

    def copy(self) -> Member:
        twin = Member.__new__(Member)
        vars(twin).update(vars(self))
        twin.lies = dict(self.lies)
        return twin

    def local(self, at: int, sizes: tuple[int, int, int], packed: bytes) -> bytes:
        """The local header, the data, and the descriptor, for a header that stands at this offset."""
        lies = self.lies
        name = bytes(lies.get("local_name", self.name))
        extra = self.extra
        if extra is None:
            padding = -(at + _LOCAL.size + len(name) + 4) % 64
            extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
        streamed = self.flags & _DESCRIPTOR
        crc, size, full = (0, 0, 0) if streamed else sizes
        head = _LOCAL.pack(
            bytes(lies.get("local_magic", b"PK\3\4")),
            0,
            int(lies.get("local_flags", self.flags)),
            int(lies.get("local_method", self.method)),
            0,
            0,
            int(lies.get("local_crc", crc)),
            int(lies.get("local_packed", size)),
            int(lies.get("local_size", full)),
            int(lies.get("local_name_length", len(name) & 0xFFFF)),
            int(lies.get("local_extra_length", len(extra))),
        )
        tail = b"PK\7\10" + struct.pack("<3I", *sizes) if streamed else b""
        return head + name + extra + packed + bytes(lies.get("descriptor", tail))

    def central(self, at: int, sizes: tuple[int, int, int]) -> bytes:
        """The entry of the central directory, of a member whose local header stands at this offset."""
        lies = self.lies
        head = _CENTRAL.pack(
            bytes(lies.get("central_magic", b"PK\1\2")),
            int(lies.get("made_by", 0)),
            int(lies.get("needed", 0)),
            int(lies.get("central_flags", self.flags)),
            int(lies.get("central_method", self.method)),
            0,
            0,
            int(lies.get("central_crc", sizes[0])),
            int(lies.get("central_packed", sizes[1])),
            int(lies.get("central_size", sizes[2])),
            int(lies.get("central_name_length", len(self.name) & 0xFFFF)),
            int(lies.get("central_extra_length", len(self.central_extra))),
            int(lies.get("comment_length", 0)),
            int(lies.get("disk", 0)),
            0,
            int(lies.get("attributes", 0)),
            int(lies.get("offset", at)),
        )
        return head + self.name + self.central_extra


_WIDTHS = {
    "local_flags": 16,
    "local_method": 16,
    "local_crc": 32,
    "local_packed": 32,
    "local_size": 32,
    "local_name_length": 16,
    "local_extra_length": 16,
    "needed": 16,
    "central_flags": 16,
    "central_method": 16,
    "central_crc": 32,
    "central_packed": 32,
    "central_size": 32,
    "central_name_length": 16,
    "central_extra_length": 16,
    "comment_length": 16,
    "disk": 16,
    "attributes": 32,
    "offset": 32,
}


class Archive:
    """The members in order, and the lies of the records at the end."""

    def __init__(self, members: list[Member], *, zip64: bool) -> None:
        self.members, self.zip64 = members, zip64
        self.directory: list[Member] | None = None
        self.ends: dict[str, int] = {}
        self.before = self.between = self.after = b""

    def copy(self) -> Archive:
        return Archive([one.copy() for one in self.members], zip64=self.zip64)

    def encode(self) -> bytes:
        """The archive's bytes."""
        out, at, places = [self.before], len(self.before), {}
        for one in self.members:
            packed = one.data
            if one.method == DEFLATED:
                deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
                packed = deflate.compress(one.data) + deflate.flush()
            sizes = zlib.crc32(one.data), len(packed), len(one.data)
            at += len(one.before)
            places[id(one)] = at, sizes
            piece = one.local(at, sizes, packed)
            out += (one.before, piece)
            at += len(piece)
        out.append(self.between)
        at += len(self.between)
        entries = [
            one.central(*places[id(one)])
            for one in (self.members if self.directory is None else self.directory)
            if id(one) in places
        ]
        directory = b"".join(entries)
        return b"".join((*out, directory, self._end(at, len(directory), len(entries)), self.after))

    def _end(self, start: int, size: int, count: int) -> bytes:
        ends = self.ends
        wide = b""
        if self.zip64:
            wide = struct.pack(
                "<4sQ2H2I4Q",
                b"PK\6\6",
                ends.get("record_size", 44),
                798,
                45,
                ends.get("record_disk", 0),
                0,
                ends.get("wide_here", count),
                ends.get("wide_count", count),
                ends.get("wide_size", size),
                ends.get("wide_start", start),
            )
            where = ends.get("locator", start + size)
            wide += struct.pack("<4sIQI", b"PK\6\7", 0, where, ends.get("disks", 1))
        return wide + struct.pack(
            "<4s4H2IH",
            b"PK\5\6",
            ends.get("end_disk", 0) & 0xFFFF,
            0,
            ends.get("here", count) & 0xFFFF,
            ends.get("count", count) & 0xFFFF,
            ends.get("size", size) & 0xFFFFFFFF,
            ends.get("start", start) & 0xFFFFFFFF,
            ends.get("comment", len(self.after)) & 0xFFFF,
        )


def taken_apart(content: bytes) -> Archive:
    """The members of a sound archive, by its central directory."""
    import io
    import zipfile

    members = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            with archive.open(entry) as stream:
                stream._expected_crc = None  # type: ignore[attr-defined] # torch writes none where it is asked to
                one = Member(entry.filename.encode(), stream.read(), entry.flag_bits, entry.compress_type)
            crc = zlib.crc32(one.data)
            if crc != entry.CRC:
                one.lies["central_crc"] = entry.CRC
            members.append(one)
    return Archive(members, zip64=b"PK\6\6" in content)


def _lie(draw: Random, archive: Archive) -> None:
    one = draw.choice(archive.members)
    field = draw.choice((*_WIDTHS,))
    if "flags" in field:
        one.lies[field] = draw.choice(_FLAGS)
    elif "method" in field:
        one.lies[field] = draw.choice((0, 8, 8, 9, 12, 14, 93, 99))
    else:
        one.lies[field] = number(draw, len(one.data), _WIDTHS[field])


def _flags(draw: Random, archive: Archive) -> None:
    """The member as another writer would write it: streamed or not, deflated or not, without a CRC."""
    one = draw.choice(archive.members)
    kind = draw.randrange(4)
    if kind == 0:
        one.flags ^= _DESCRIPTOR
    elif kind == 1:
        one.flags = draw.choice(_FLAGS)
    elif kind == 2:
        one.method = DEFLATED if one.method == STORED else STORED
    else:
        one.lies |= {"central_crc": 0, "local_crc": 0}


def _name(draw: Random, archive: Archive) -> None:
    one = draw.choice(archive.members)
    name = draw.choice((*_NAMES, *TEXTS[:-4]))
    if draw.random() < 0.5:
        one.name = name
    else:
        one.lies["local_name"] = name


def _extra(draw: Random, archive: Archive) -> None:
    one = draw.choice(archive.members)
    if draw.random() < 0.5:
        one.extra = draw.choice(_EXTRAS)
    else:
        one.central_extra = draw.choice(_EXTRAS)


def _more(draw: Random, archive: Archive) -> None:
    """A member more: a copy, or one with a name and content of another."""
    one = draw.choice(archive.members).copy()
    if draw.random() < 0.6:
        one.name = draw.choice(_NAMES)
    archive.members.insert(position(draw, archive.members), one)


def _fewer(draw: Random, archive: Archive) -> None:
    """A member less, everywhere or in the directory alone."""
    if draw.random() < 0.5 and len(archive.members) > 1:
        del archive.members[draw.randrange(len(archive.members))]
    else:
        archive.directory = draw.sample(archive.members, draw.randrange(len(archive.members) + 1))


def _twice(draw: Random, archive: Archive) -> None:
    archive.directory = [*archive.members, draw.choice(archive.members)]


def _order(draw: Random, archive: Archive) -> None:
    draw.shuffle(archive.members)


def _between(draw: Random, archive: Archive) -> None:
    piece = draw.choice((b"\0", b"\0" * 70, b"PK\3\4", b"\x80\x02cos\nsystem\n.", b"junk"))
    place = draw.randrange(4)
    if place == 0:
        archive.before = piece
    elif place == 1:
        archive.between = piece
    elif place == 2:
        archive.after = piece
    else:
        draw.choice(archive.members).before = piece


def _end(draw: Random, archive: Archive) -> None:
    narrow = ("end_disk", "here", "count", "size", "start", "comment")
    wide = ("record_size", "wide_here", "wide_count", "wide_size", "wide_start", "locator")
    field = draw.choice(narrow + wide if archive.zip64 else narrow)
    archive.ends[field] = number(draw, len(archive.members))


def _wide(_draw: Random, archive: Archive) -> None:
    archive.zip64 = not archive.zip64


def _data(draw: Random, archive: Archive) -> None:
    one = draw.choice(archive.members)
    one.data = draw.choice(
        (b"", one.data[:-1], one.data + b"\0", bytes(len(one.data)), b"1\n", b"big", b"99999\n")
    )


_CHANGES: tuple[Callable[[Random, Archive], None], ...] = (
    *(_lie,) * 5,
    *(_flags,) * 3,
    *(_name,) * 2,
    _extra,
    *(_more,) * 2,
    _fewer,
    _twice,
    *(_order,) * 2,
    _between,
    *(_end,) * 2,
    _wide,
    *(_data,) * 3,
)


def change(draw: Random, archive: Archive) -> None:
    """One to three changes of the archive's own parts, in place."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(_CHANGES)(draw, archive)
