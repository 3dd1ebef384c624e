"""Building blocks that tests of several areas share."""

from __future__ import annotations

from pathlib import Path

from modelshelf.model import Artifact, ArtifactFile, Candidate, Role
from modelshelf.reader import DEFAULT_BUDGET, ArtifactReader

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


def described(path: Path, folder: Path, role: Role) -> ArtifactFile:
    told = path.stat()
    return ArtifactFile(
        name=str(path.relative_to(folder)),
        size=told.st_size,
        mtime_ns=told.st_mtime_ns,
        inode=told.st_ino,
        role=role,
    )


def artifact_of(
    *weights: Path,
    index: Path | None = None,
    companions: tuple[Path, ...] = (),
    missing: tuple[str, ...] = (),
) -> Artifact:
    """The artifact that discovery would make of these files, which lie in one folder."""
    folder = weights[0].parent
    files = [described(path, folder, Role.WEIGHTS) for path in weights]
    if index is not None:
        files.append(described(index, folder, Role.INDEX))
    files += [described(path, folder, Role.COMPANION) for path in companions]
    primary = (index or weights[0]).name
    return Artifact(folder=str(folder), primary=primary, files=tuple(files), missing=missing)


def reader_of(*weights: Path, budget: int = DEFAULT_BUDGET, **others: object) -> ArtifactReader:
    """A reader over the artifact of these files."""
    return ArtifactReader(artifact_of(*weights, **others), budget=budget)  # type: ignore[arg-type]


def candidate_of(reader: ArtifactReader) -> Candidate:
    """The candidate that the core would show to `detect_format`."""
    file = reader.file()
    suffix = Path(file.name).suffix.lower()
    return Candidate(
        artifact=reader.artifact, suffix=suffix, size=file.size, head=file.read_up_to(0, 512), reader=file
    )
