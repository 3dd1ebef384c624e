"""GGUF files: single and split, versions 1 to 3, both byte orders, read by their headers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Depth, Detection, FormatType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Artifact, Candidate, Finding, ModelMetadata
    from modelshelf.reader import ArtifactReader
    from modelshelf_gguf.header import Header

FORMAT = "gguf"
MAGIC = b"GGUF"  # as `layout.MAGIC`: loading that module for four bytes would slow every scan down
SUFFIX = ".gguf"


def modelshelf_formats() -> Iterator[FormatType]:
    """GGUF is told by its suffix and by its first four bytes, whatever the suffix."""
    yield FormatType(name=FORMAT, suffixes=(SUFFIX,), magic=((0, MAGIC),))


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote by the magic; by the suffix alone only weakly, so that a broken file still gets its verdict."""
    if candidate.head.startswith(MAGIC):
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
    """What the headers of all shards tell; of a broken header, what stands before the fault."""
    if format != FORMAT:
        return None
    from modelshelf_gguf.metadata import metadata_of

    return metadata_of(_headers(artifact, reader))


def modelshelf_probe_health(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
    depth: Depth,
) -> Iterable[Finding] | None:
    """Quick looks at each file's first 24 bytes, header at all headers; full also loads with `gguf`."""
    if format != FORMAT:
        return None
    from modelshelf_gguf import health

    if depth is Depth.QUICK:
        return health.preamble_findings(artifact, reader)
    if depth is Depth.FULL:
        return _full_findings(artifact, reader)
    return health.findings_of(artifact, _headers(artifact, reader), reader)


def _full_findings(artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
    from modelshelf_gguf import health
    from modelshelf_gguf.parse import parse_headers

    walked = parse_headers(artifact, reader)
    findings = list(health.findings_of(artifact, walked, reader))
    yield from findings
    yield from health.likeness_findings(_headers(artifact, reader), walked)
    yield from health.loader_findings(walked, reader, findings)


def _headers(artifact: Artifact, reader: ArtifactReader) -> tuple[Header, ...]:
    from modelshelf_gguf.parse import parse_headers
    from modelshelf_gguf.vocabulary_cache import MEMO

    return reader.once(FORMAT, lambda: parse_headers(artifact, reader, MEMO))
