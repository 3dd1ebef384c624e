"""GGUF files: single and split, versions 1 to 3, both byte orders, read by their headers alone.

Every scan loads this module, so the parser is imported only when there is a file to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Depth, Detection, FormatType, TensorPlaces
from modelshelf.model.piece import piece_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Artifact, Candidate, Finding, ModelMetadata
    from modelshelf.reader import ArtifactReader
    from modelshelf_gguf.header import Header

FORMAT = "gguf"
SUFFIX = ".gguf"
MAGIC = b"GGUF"  # as `layout.MAGIC`; a test compares the two


def modelshelf_formats() -> Iterator[FormatType]:
    """Offer the format, recognised by its suffix and, whatever the suffix, by its first four bytes."""
    yield FormatType(name=FORMAT, suffixes=(SUFFIX,), magic=((0, MAGIC),))


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote by the magic; by the suffix alone only weakly, so that a broken file still gets its verdict."""
    if candidate.head.startswith(MAGIC):
        if candidate.suffix != SUFFIX and piece_of(candidate.artifact.primary) is not None:
            return None
        return Detection(format=FORMAT, confidence=0.9, evidence="magic bytes 'GGUF'")
    if candidate.suffix == SUFFIX:
        return Detection(
            format=FORMAT, confidence=0.2, evidence=f"suffix {SUFFIX} without the magic bytes 'GGUF'"
        )
    return None


def modelshelf_extract_metadata(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
) -> ModelMetadata | None:
    """Extract metadata from the headers of all shards; from a broken header, what comes before its fault."""
    if format != FORMAT:
        return None
    from modelshelf_gguf.metadata import metadata_of

    return metadata_of(_headers(artifact, reader), complete=not artifact.missing)


def modelshelf_tensor_places(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
) -> Iterator[TensorPlaces]:
    """Give where the tensors' data lies in each file whose header is sound."""
    if format == FORMAT:
        for one in _headers(artifact, reader):
            if one.fault is None:
                start = one.data_offset
                spans = tuple((start + tensor.offset, tensor.size or 0) for tensor in one.tensors)
                yield TensorPlaces(file=one.file, spans=spans)


def modelshelf_probe_health(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
    depth: Depth,
) -> Iterable[Finding] | None:
    """Check each file's first 24 bytes (quick), all headers (header), or load the files too (full)."""
    if format != FORMAT:
        return None
    from modelshelf_gguf import health

    if depth is Depth.QUICK:
        return health.preamble_findings(artifact, reader)
    findings = health.full_findings if depth is Depth.FULL else health.header_findings
    return findings(artifact, _headers(artifact, reader), reader)


def _headers(artifact: Artifact, reader: ArtifactReader) -> tuple[Header, ...]:
    """Parse the headers of all shards, once for all hooks."""
    from modelshelf_gguf.parse import parse_headers
    from modelshelf_gguf.vocabulary_cache import PROCESS_CACHE

    return reader.once(FORMAT, lambda: parse_headers(artifact, reader, PROCESS_CACHE))
