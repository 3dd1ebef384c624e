"""Other programs' files: models that no plugin reads are named, and what is no model is let be.

A model is recognised by its first bytes, its name and what lies beside it, and listed as not judged. Votes
are weak, so that a plugin that reads such a format wins. Each hook imports its module when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import FormatType
from modelshelf.model.health import not_judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact, Candidate, Detection, Finding, ModelMetadata
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
        "orbax",
        "savedmodel",
        "split",
        "tensorrt",
        "tflite",
    }
)
_MAGIC = {"keras": ((0, b"\x89HDF\r\n\x1a\n"),), "tflite": ((4, b"TFL3"),), "ggml": ((0, b"lmgg"),)}


def modelshelf_formats() -> Iterator[FormatType]:
    """Name the formats, and claim no suffix: what a file's bytes do not show is not listed."""
    for name in sorted(FORMATS):
        yield FormatType(name=name, magic=_MAGIC.get(name, ()))


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote weakly for a model of another program; without weight, say whose file another one is."""
    from modelshelf_foreign.detection import detect

    return detect(candidate)


def modelshelf_extract_metadata(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> ModelMetadata | None:
    """Return what the header of a ggml file says of a Whisper model."""
    if format != "ggml":
        return None
    from modelshelf_foreign.ggml import extract

    return extract(artifact, reader)


def modelshelf_probe_health(artifact: Artifact, format: str) -> Iterator[Finding]:
    """Say that nobody judged the file, and what to do with one that has to be made whole first."""
    if format not in FORMATS:
        return
    from modelshelf_foreign.detection import advice

    name = artifact.weights[0].name
    yield not_judged(advice(format, name), file=name)
