"""Archives and pickles made byte by byte, honest or not, and the one way that tests look at them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import torch
from attrs import field, frozen

import modelshelf_pytorch
from modelshelf.model import Depth, Finding, HealthStatus, ModelMetadata
from modelshelf.model.health import status_of
from tests.support import candidate_of, reader_of

EVIL = b"cos\nsystem\n(S'echo pwned'\ntR."
EVIL_4 = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R."


@frozen(kw_only=True)
class Result:
    """What the plugin said of a file: its format or None, its metadata, its findings."""

    format: str | None
    metadata: ModelMetadata
    findings: tuple[Finding, ...]

    @property
    def status(self) -> HealthStatus:
        return status_of(self.findings)

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]

    @property
    def text(self) -> str:
        return "\n".join(finding.message for finding in self.findings)


def look(path: Path, depth: Depth = Depth.HEADER, **others: object) -> Result:
    """Detect, extract and probe a file, as the core does."""
    with reader_of(path, **others) as reader:
        vote = modelshelf_pytorch.modelshelf_detect_format(candidate_of(reader))
        if vote is None:
            return Result(format=None, metadata=ModelMetadata(), findings=())
        result = modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, vote.format, reader)
        found = modelshelf_pytorch.modelshelf_probe_health(reader.artifact, vote.format, reader, depth)
        return Result(format=vote.format, metadata=result or ModelMetadata(), findings=tuple(found))


def look_at(folder: Path, data: bytes, name: str = "model.pt") -> Result:
    """The same for bytes, under a name."""
    path = folder / name
    path.write_bytes(data)
    return look(path)


def saved(content: object, **options: object) -> bytes:
    """What torch.save writes."""
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def checkpoint_pickle(data: bytes = b"") -> bytes:
    """The data.pkl of an ordinary checkpoint with one float storage "0" of 4 elements, or other bytes."""
    return data or (
        b"\x80\x02}X\x06\x00\x00\x00weightctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage"
        b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x04\x85K\x01\x85\x89"
        b"ccollections\nOrderedDict\n)RtRs."
    )


@frozen(kw_only=True)
class Entry:
    """A member of a forged ZIP; what is None follows from the content."""

    name: bytes
    content: bytes
    flags: int = 0
    method: int = 0
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    local_name: bytes | None = None
    local_flags: int | None = None
    local_size: int | None = None
    local_crc: int | None = None
    attributes: int = 0
    header: int | None = None
    extra: bytes = b""
    data: bytes = field()

    @data.default
    def _packed_content(self) -> bytes:
        if self.method != 8:
            return self.content
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(self.content) + packer.flush()


def archive(*entries: Entry, prefix: bytes = b"", suffix: bytes = b"", count: int | None = None) -> bytes:
    """A ZIP of these entries, its headers as they say."""
    body = bytearray(prefix)
    central = bytearray()
    for entry in entries:
        crc = zlib.crc32(entry.content) if entry.crc is None else entry.crc
        size = len(entry.content) if entry.size is None else entry.size
        packed = len(entry.data) if entry.packed is None else entry.packed
        header = len(body) if entry.header is None else entry.header
        name = entry.name if entry.local_name is None else entry.local_name
        flags = entry.flags if entry.local_flags is None else entry.local_flags
        body += struct.pack(
            "<4s5H3L2H", b"PK\x03\x04", 20, flags, entry.method, 0, 0,
            crc if entry.local_crc is None else entry.local_crc,
            packed if entry.local_size is None else entry.local_size,
            size if entry.local_size is None else entry.local_size, len(name), 0,
        ) + name + entry.data  # fmt: skip
        central += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, entry.flags, entry.method, 0, 0, crc, packed, size,
            len(entry.name), len(entry.extra), 0, 0, 0, entry.attributes, header,
        ) + entry.name + entry.extra  # fmt: skip
    number = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(central), len(body), 0)
    return bytes(body + central + end + suffix)


def checkpoint(*more: Entry, pickle: bytes = b"", first: Entry | None = None) -> bytes:
    """A ZIP checkpoint of one tensor, with more members or another pickle."""
    return archive(
        first or Entry(name=b"archive/data.pkl", content=checkpoint_pickle(pickle)),
        Entry(name=b"archive/data/0", content=bytes(16)),
        Entry(name=b"archive/version", content=b"3\n"),
        *more,
    )
