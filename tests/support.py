"""Building blocks that tests of several areas share."""

from __future__ import annotations

from pathlib import Path

from modelshelf.model import Candidate
from modelshelf.reader import DEFAULT_BUDGET, ArtifactReader
from modelshelf.testing.artifacts import artifact_of

__all__ = ["CORPUS", "artifact_of", "candidate_of", "reader_of"]

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


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
