from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import ReadError
from modelshelf.model import Depth, HealthStatus
from modelshelf_pytorch.containers.issues import examine
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.zip.read import read_directory, read_member
from tests.plugins.modelshelf_pytorch.forge import (
    EVIL,
    EVIL_4,
    Entry,
    archive,
    checkpoint,
    checkpoint_pickle,
    look,
    look_at,
    saved,
)

MAIN = checkpoint_pickle()


def test_an_honest_archive_is_read_as_zipfile_reads_it():
    data = saved({"a": torch.ones(3)})
    theirs = zipfile.ZipFile(io.BytesIO(data))
    ours = read_directory(BytesReader(data))
    assert [(one.name, one.size, one.header_offset) for one in ours.members] == [
        (one.filename, one.file_size, one.header_offset) for one in theirs.infolist()
    ]
    for member in ours.members:
        assert read_member(BytesReader(data), member, 1 << 20) == theirs.read(member.name)


def test_a_deflated_archive_of_another_writer_is_healthy(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", MAIN)
        packed.writestr("archive/data/0", bytes(16))
        packed.writestr("archive/version", b"3\n")
    result = look(path)
    assert (result.status, result.metadata.parameters) == (HealthStatus.HEALTHY, 4)


def test_a_forged_archive_without_forgery_is_healthy(tmp_path):
    result = look_at(tmp_path, checkpoint())
    assert (result.status, result.format, result.findings) == (HealthStatus.HEALTHY, "pytorch", ())


def test_entries_without_a_checksum_are_healthy(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # its only parameter
    try:
        data = saved({"a": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(before)
    result = look_at(tmp_path, data)
    assert result.findings == ()


def test_streamed_entries_with_zero_local_sizes_are_healthy(tmp_path):
    entry = Entry(name=b"archive/data.pkl", content=MAIN, flags=0x8, local_size=0, local_crc=0)
    assert look_at(tmp_path, checkpoint(first=entry)).findings == ()


FIRST = b"archive/data.pkl"
EVIL_PICKLE = EVIL_4

TRICKS = {
    "another name in the local header (CVE-2025-1944)": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, local_name=b"archive/datap.kl")),
        "zip-name-mismatch",
    ),
    "flag 0x1 on data that is not encrypted (CVE-2025-1945)": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, flags=0x1)),
        "zip-odd-flags",
    ),
    "flag 0x20 (CVE-2025-1945)": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, flags=0x20)),
        "zip-odd-flags",
    ),
    "flag 0x40 (CVE-2025-1945)": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, flags=0x40)),
        "zip-odd-flags",
    ),
    "flags that differ": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, local_flags=0x1)),
        "zip-header-mismatch",
    ),
    "a wrong checksum (CVE-2025-10156)": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, crc=1)),
        "crc-mismatch",
    ),
    "two checksums": (checkpoint(first=Entry(name=FIRST, content=MAIN, local_crc=1)), "zip-header-mismatch"),
    "two sizes": (checkpoint(first=Entry(name=FIRST, content=MAIN, local_size=3)), "zip-header-mismatch"),
    "a pickle under another name (CVE-2025-1889)": (
        checkpoint(Entry(name=b"archive/config.p", content=EVIL_PICKLE)),
        "unsafe-global",
    ),
    "a pickle in a text member": (
        checkpoint(Entry(name=b"archive/readme.txt", content=EVIL)),
        "unsafe-global",
    ),
    "a pickle behind text in a member": (
        checkpoint(Entry(name=b"archive/readme.txt", content=b"hello " + EVIL_PICKLE)),
        "unsafe-global",
    ),
    "a pickle in a storage that nothing names": (
        checkpoint(Entry(name=b"archive/data/9", content=EVIL_PICKLE)),
        "unsafe-global",
    ),
    "a checkpoint within the checkpoint": (
        checkpoint(Entry(name=b"archive/inner.pt", content=checkpoint(pickle=EVIL_PICKLE))),
        "unsafe-global",
    ),
    "a deflated pickle": (
        checkpoint(first=Entry(name=FIRST, content=EVIL_PICKLE, method=8)),
        "unsafe-global",
    ),
    "two entries of one name": (checkpoint(Entry(name=FIRST, content=EVIL_PICKLE)), "zip-duplicate-name"),
    "two entries of one name but for the case": (
        checkpoint(Entry(name=b"archive/DATA.pkl", content=EVIL_PICKLE)),
        "zip-duplicate-name",
    ),
    "two entries over the same bytes (CVE-2024-0450)": (
        checkpoint(Entry(name=b"archive/more", content=b"ab", header=0)),
        "zip-overlap",
    ),
    "a size that the stored data has not": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, size=1 << 30)),
        "zip-forged-size",
    ),
    "forty gigabytes of deflated zeros": (
        checkpoint(Entry(name=b"archive/zeros", content=bytes(99), method=8, size=4_000_000_000)),
        "zip-forged-size",
    ),
    "a member outside": (checkpoint(Entry(name=b"archive/../../evil", content=b"ab")), "zip-unsafe-path"),
    "an absolute member": (checkpoint(Entry(name=b"/etc/passwd", content=b"ab")), "zip-unsafe-path"),
    "a member of a drive": (checkpoint(Entry(name=b"C:\\evil", content=b"ab")), "zip-unsafe-path"),
    "a symbolic link": (
        checkpoint(Entry(name=b"archive/link", content=b"/etc", attributes=0o120777 << 16)),
        "zip-unsafe-path",
    ),
    "a folder that holds data": (
        checkpoint(first=Entry(name=FIRST, content=MAIN, attributes=0x10)),
        "zip-odd-flags",
    ),
    "bytes behind the archive": (
        archive(Entry(name=FIRST, content=MAIN), suffix=b"more"),
        "zip-trailing-data",
    ),
    "bytes before the first member": (
        archive(Entry(name=FIRST, content=MAIN), prefix=b"PK\x03\x04" + bytes(40)),
        "zip-prefix",
    ),
    "a method that nobody knows": (
        checkpoint(Entry(name=b"archive/odd.pkl", content=b"ab", method=99)),
        "archive-encrypted",
    ),
    "data that does not inflate": (
        checkpoint(Entry(name=b"archive/odd.pkl", content=b"ab" * 9, method=8, data=b"\xff" * 9)),
        "zip-malformed",
    ),
    "a storage that is missing": (archive(Entry(name=FIRST, content=MAIN)), "storage-size-mismatch"),
    "a storage that is too short": (
        archive(Entry(name=FIRST, content=MAIN), Entry(name=b"archive/data/0", content=bytes(12))),
        "storage-size-mismatch",
    ),
    "no version": (
        archive(Entry(name=FIRST, content=MAIN), Entry(name=b"archive/data/0", content=bytes(16))),
        "bad-record",
    ),
    "an unknown byte order": (checkpoint(Entry(name=b"archive/byteorder", content=b"middle")), "bad-record"),
    "bytes behind the pickle": (checkpoint(pickle=MAIN + b"junk"), "trailing-data"),
    "a pickle behind the pickle": (checkpoint(pickle=MAIN + EVIL_PICKLE), "unsafe-global"),
}


@pytest.mark.parametrize("case", TRICKS)
def test_a_trick_of_the_archive_is_found(case, tmp_path):
    data, code = TRICKS[case]
    result = look_at(tmp_path, data)
    assert code in result.codes
    assert result.status is not HealthStatus.HEALTHY


@pytest.mark.parametrize("cut", [30, 200, -1, -10, -22, -60])
def test_an_archive_that_is_cut_short_is_unhealthy(cut, tmp_path):
    result = look_at(tmp_path, checkpoint()[:cut])
    assert (result.format, result.status) == ("pytorch", HealthStatus.UNHEALTHY)


def test_a_forged_zip64_locator_is_refused(tmp_path):
    """CVE-2025-8291: the locator points at records that are not there."""
    data = bytearray(checkpoint())
    end = len(data) - 22
    struct.pack_into("<L", data, end + 16, 0xFFFFFFFF)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 60, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 5, 1)
    result = look_at(tmp_path, bytes(data[:end]) + record + locator + bytes(data[end:]))
    assert result.codes == ["zip64-forged"]


def test_a_160_byte_archive_that_asks_for_gigabytes_costs_nothing():
    small = archive(
        Entry(name=b"a/data.pkl", content=b"", size=2**31, packed=2**31),
        Entry(name=b"a/data.pkl", content=b""),
    )
    reader = BytesReader(small)
    codes = set()
    try:
        codes = {issue.code for issue in examine(reader, Depth.HEADER)}
    except ReadError as error:
        codes = {error.code}
    assert codes & {"zip-duplicate-name", "zip-overlap", "truncated", "pickle-truncated"}
    assert reader._budget.spent < 4096


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 10**6), st.integers(0, 255))
def test_a_mutated_archive_raises_nothing_but_a_read_error(place, byte, other, more):
    data = bytearray(checkpoint(Entry(name=b"archive/x.pkl", content=EVIL_4, method=8)))
    data[place % len(data)] = byte
    data[other % len(data)] = more
    with contextlib.suppress(ReadError):
        examine(BytesReader(bytes(data)), Depth.FULL)


def test_a_wrong_checksum_of_a_storage_is_found_at_full_depth(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(
        archive(
            Entry(name=FIRST, content=MAIN),
            Entry(name=b"archive/data/0", content=bytes(16), crc=5),
            Entry(name=b"archive/version", content=b"3\n"),
        )
    )
    assert look(path).findings == ()
    assert look(path, Depth.FULL).codes == ["crc-mismatch"]


def test_only_headers_are_read_of_a_large_checkpoint(tmp_path):
    from tests.support import reader_of

    path = tmp_path / "large.pt"
    torch.save({f"layer{number}": torch.zeros(256, 1024) for number in range(8)}, path)
    with reader_of(path) as reader:
        import modelshelf_pytorch

        modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, "pytorch", reader)
        list(modelshelf_pytorch.modelshelf_probe_health(reader.artifact, "pytorch", reader, Depth.HEADER))
        assert reader.bytes_read < path.stat().st_size / 50
