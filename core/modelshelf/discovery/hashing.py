"""The sha256 of every weight file, read whole: what the depth ``full`` adds to a name that only claims it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import ArtifactFile, Finding, Role, Severity

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader, FileReader

_CHUNK = 1 << 20  # bytes
MISMATCH = "content-is-not-its-name"


def hashed_files(reader: ArtifactReader) -> tuple[tuple[ArtifactFile, ...], tuple[Finding, ...]]:
    """An artifact's files with the sha256 of its weights, and a finding for each that its name belies.

    Raises:
        ReadError: A weight file cannot be read.
    """
    files, findings = [], []
    for one in reader.artifact.files:
        if one.role is not Role.WEIGHTS:
            files.append(one)
            continue
        told = _sha256(reader.file(one.name))
        files.append(attrs.evolve(one, sha256=told))
        if one.sha256 is not None and one.sha256 != told:
            findings.append(_belied(one, told))
    return tuple(files), tuple(findings)


def _sha256(file: FileReader) -> str:
    told = hashlib.sha256()
    for offset in range(0, file.size, _CHUNK):
        told.update(file.read_up_to(offset, _CHUNK))
    return told.hexdigest()


def _belied(one: ArtifactFile, told: str) -> Finding:
    return Finding(
        code=MISMATCH,
        severity=Severity.ERROR,
        message=f"{one.name}: its place names it by the sha256 {one.sha256}, its bytes have {told}; "
        "it is damaged or was replaced: download it again",
        file=one.name,
    )
