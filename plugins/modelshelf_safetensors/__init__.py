"""The hooks of the safetensors format: what the files say, and whether they are sound, by their headers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from modelshelf.model import Detection, FormatType
from modelshelf.model.piece import piece_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Artifact, Candidate, Depth, Finding, ModelMetadata, TensorPlaces
    from modelshelf.reader import ArtifactReader

_FORMAT = "safetensors"
_SUFFIXES = (".safetensors", ".sft")
_LENGTH_BYTES = 8
_MOST_HEADER_BYTES = 100_000_000
_WHITE = b" \t\r\n"


def modelshelf_formats() -> Iterator[FormatType]:
    """Ask for files by suffix, and by the first bytes of their JSON text."""
    yield FormatType(
        name=_FORMAT,
        suffixes=_SUFFIXES,
        magic=((_LENGTH_BYTES, b'{"'),),
        index_suffixes=(".safetensors.index.json",),
    )


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote by the length that the file begins with and the brace that follows."""
    ours = candidate.suffix in _SUFFIXES
    head = candidate.head
    if len(head) > _LENGTH_BYTES and (ours or piece_of(candidate.artifact.primary) is None):
        (length,) = struct.unpack_from("<Q", head)
        fits = length <= _MOST_HEADER_BYTES and (ours or _LENGTH_BYTES + length <= candidate.size)
        if fits and head[_LENGTH_BYTES:].lstrip(_WHITE).startswith(b"{"):
            return Detection(
                format=_FORMAT, confidence=0.9, evidence=f"a header of {length} bytes that begins with '{{'"
            )
    if ours:
        return Detection(format=_FORMAT, confidence=0.2, evidence=f"suffix {candidate.suffix}")
    return None


def modelshelf_extract_metadata(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
) -> ModelMetadata | None:
    """Give what the headers of all the model's files say."""
    if format != _FORMAT or not artifact.weights:
        return None
    from modelshelf_safetensors.metadata import extract
    from modelshelf_safetensors.sharded import read_checkpoint

    return extract(read_checkpoint(reader), reader)


def modelshelf_tensor_places(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
) -> Iterable[TensorPlaces]:
    """Give where the tensors' data lies, by the headers."""
    if format != _FORMAT or not artifact.weights:
        return ()
    from modelshelf_safetensors.sharded import tensor_places

    return tensor_places(reader)


def modelshelf_probe_health(
    artifact: Artifact,
    format: str,
    reader: ArtifactReader,
    depth: Depth,
) -> Iterable[Finding]:
    """Find what is wrong with the model's files."""
    if format != _FORMAT:
        return ()
    from modelshelf_safetensors.health import probe

    return probe(artifact, reader, depth)
