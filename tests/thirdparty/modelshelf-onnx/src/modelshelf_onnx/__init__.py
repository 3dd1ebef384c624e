"""ONNX models: one protobuf message, whose tensors may lie in files beside it.

Facts are those of onnx.proto and of the page "External Data", both in https://github.com/onnx/onnx.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelshelf.model import Artifact, Candidate, Detection, Finding, FormatType, ModelMetadata, Origin
from modelshelf.reader import ArtifactReader

if TYPE_CHECKING:
    from modelshelf_onnx.model import Model

FORMAT = "onnx"
SUFFIX = ".onnx"
_IR_VERSION = 0x08  # the tag of ModelProto's first field; there is no magic
_NEWEST = 127  # an IR version of one byte


def modelshelf_formats() -> Iterator[FormatType]:
    """ONNX is found by its suffix."""
    yield FormatType(name=FORMAT, suffixes=(SUFFIX,))


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote by the suffix, with more weight where the message begins with a version."""
    if candidate.suffix != SUFFIX:
        return None
    if candidate.head[:1] == bytes([_IR_VERSION]) and 1 <= (candidate.head[1:2] or b"\0")[0] <= _NEWEST:
        return Detection(format=FORMAT, confidence=0.5, evidence=f"suffix {SUFFIX} and an IR version")
    return Detection(format=FORMAT, confidence=0.2, evidence=f"suffix {SUFFIX} alone")


def modelshelf_extract_metadata(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> ModelMetadata | None:
    """Parameters and types of the initializers; opsets and operators as details."""
    if format != FORMAT:
        return None
    from modelshelf_onnx.model import external_sizes

    model = _model(reader)
    beside = external_sizes(model, artifact.folder)
    details = {
        "ir_version": model.ir_version,
        "producer": model.producer,
        "opsets": model.opsets,
        "operators": model.operators,
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "external_data": sorted(beside),
    }
    return ModelMetadata.partial(
        Origin.HEADER,
        "ModelProto",
        parameters=model.parameters,
        tensor_count=len(model.shapes),
        tensor_types=model.tensor_types,
        size_bytes=artifact.size_bytes + sum(max(size or 0, 0) for size in beside.values()),
        details=details,
    )


def modelshelf_probe_health(artifact: Artifact, format: str, reader: ArtifactReader) -> Iterator[Finding]:
    """Parse it, and look for the files that it names."""
    if format != FORMAT:
        return
    from modelshelf_onnx.model import external_findings

    yield from external_findings(_model(reader), artifact.folder, reader.file().name)


def _model(reader: ArtifactReader) -> Model:
    from modelshelf_onnx.model import parse

    return reader.once(FORMAT, lambda: parse(reader.file()))
