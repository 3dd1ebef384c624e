"""Where a finding says that the fault lies, whatever a forged record says."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import modelshelf_pytorch
from modelshelf.model import Depth
from modelshelf.reader import ArtifactReader
from modelshelf.testing import samples
from modelshelf.testing.artifacts import artifact_of


def findings_of(path: Path):
    artifact = artifact_of(path)
    with ArtifactReader(artifact) as reader:
        return list(modelshelf_pytorch.modelshelf_probe_health(artifact, "pytorch", reader, Depth.HEADER))


def test_a_member_that_lies_behind_the_files_end_is_placed_at_the_end(tmp_path: Path) -> None:
    content = bytearray(samples.sound("pytorch"))
    entry = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, entry + 42, 0x6DB66E09)  # the offset of the local header
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    found = findings_of(path)
    assert {one.code for one in found} >= {"zip-malformed"}
    assert all(one.offset is None or one.offset <= len(content) for one in found)


def test_a_very_long_name_of_a_member_is_quoted_in_part(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/../" + "x" * 60_000, b"")
    path = tmp_path / "model.pt"
    path.write_bytes(stream.getvalue())
    (finding,) = [one for one in findings_of(path) if one.code == "zip-unsafe-path"]
    assert 1000 < len(finding.message) < 3000
    assert finding.message.endswith("…")
