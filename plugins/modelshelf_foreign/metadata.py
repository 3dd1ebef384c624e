"""What is said of a model that is not read: the size of all its files, and a header that is short."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modelshelf.model import ModelMetadata, Origin
from modelshelf_foreign.ggml import extract
from modelshelf_foreign.neighbours import package_of, size_below, size_of
from modelshelf_foreign.tfjs import shards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader

_PACKAGES = (".mlpackage", ".mlmodelc")


def metadata_of(artifact: Artifact, format: str, reader: ArtifactReader) -> Iterator[ModelMetadata]:
    """Yield the size of the whole, and what a header of ggml says."""
    size = whole_size(artifact, format)
    if size is not None:
        yield size
    facts = extract(artifact, reader) if format == "ggml" else None
    if facts is not None:
        yield facts


def whole_size(artifact: Artifact, format: str) -> ModelMetadata | None:
    """Return the bytes of all the model's files, and the name of its package; None where it is one file."""
    folder, name = artifact.folder, artifact.weights[0].name
    own, stem = artifact.size_bytes, name.rpartition(".")[0]
    size: int | None = None
    title: str | None = None
    match format:
        case "coreml":
            package = package_of(folder, _PACKAGES)
            if package is not None:
                size, title = size_below(package), os.path.basename(package).rpartition(".")[0]
        case "orbax":
            size = size_below(folder)
        case "savedmodel":
            below = [size_below(f"{folder}/{part}") for part in ("variables", "assets")]
            size = own + size_of(folder, ("keras_metadata.pb", "fingerprint.pb")) + sum(filter(None, below))
        case "openvino":
            size = own + size_of(folder, (f"{stem}.xml",))
        case "ncnn":
            size = own + size_of(folder, (f"{stem.removesuffix('.param')}.bin",))
        case "tfjs":
            size = size_of(folder, (one for one in shards(folder, name) if "/" not in one))
        case "onnx":
            size = own + size_of(folder, (f"{name}_data", f"{name}.data"))
    if not size or (size == own and title is None):
        return None
    return ModelMetadata.partial(Origin.FILENAME, "its files", size_bytes=size, title=title)
