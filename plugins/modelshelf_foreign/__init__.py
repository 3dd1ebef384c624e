"""Other programs' files: models that no plugin reads are named, and what is no model is let be.

A model is recognised by its first bytes, its name and what lies beside it, and listed as not judged. Votes
are weak, so that a plugin that reads such a format wins. No format is offered, for none is read: a walk opens
files of such names once in any case. Each hook imports its module when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Artifact, Candidate, Depth, Detection, Finding, ModelMetadata
    from modelshelf.reader import ArtifactReader

FORMATS = frozenset(
    {
        "compressed",
        "coreml",
        "ctranslate2",
        "equinox",
        "flax",
        "ggml",
        "keras",
        "ncnn",
        "onnx",
        "openvino",
        "orbax",
        "savedmodel",
        "split",
        "tensorrt",
        "tfjs",
        "tflite",
    }
)
_READ_ELSEWHERE = frozenset({".gguf", ".safetensors", ".sft"})  # suffixes of one format, which others read


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote weakly for a model of another program; without weight, say whose file another one is."""
    if candidate.suffix in _READ_ELSEWHERE:
        return None
    from modelshelf_foreign.detection import detect

    return detect(candidate)


def modelshelf_extract_metadata(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> Iterable[ModelMetadata] | None:
    """Give the size of all of a model's files, and what the header of a ggml file says of a Whisper model."""
    if format not in FORMATS:
        return None
    from modelshelf_foreign.metadata import metadata_of

    return metadata_of(artifact, format, reader)


def modelshelf_probe_health(
    artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth
) -> Iterable[Finding] | None:
    """Say that nobody judged the file and what to do with it, and name the code that it brings."""
    if format not in FORMATS:
        return None
    from modelshelf_foreign.findings import findings

    return findings(artifact, format, reader, depth)
