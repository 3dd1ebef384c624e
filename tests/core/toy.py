"""A format of the tests' own, `TOY` and a line of JSON: the core is tested without any real plugin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from modelshelf import (
    Artifact,
    ArtifactReader,
    Candidate,
    Detection,
    Finding,
    FormatError,
    FormatType,
    ModelMetadata,
    Origin,
    Severity,
)

BUILTIN_FORMATS = ("gguf", "safetensors", "pytorch", "companions")


def write_toy(path: Path, **facts: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"TOY" + json.dumps(facts).encode())
    return path


class ToyFormat:
    """Counts what it was asked."""

    def __init__(self) -> None:
        self.looked_at: list[str] = []

    def modelshelf_formats(self) -> Iterator[FormatType]:
        yield FormatType(
            name="toy", suffixes=(".toy",), magic=((0, b"TOY"),), index_suffixes=(".toy.index.json",)
        )

    def modelshelf_detect_format(self, candidate: Candidate) -> Detection | None:
        self.looked_at.append(candidate.artifact.path)
        if candidate.head.startswith(b"TOY"):
            return Detection(format="toy", confidence=0.9, evidence="TOY")
        return None

    def modelshelf_extract_metadata(self, artifact: Artifact, reader: ArtifactReader) -> ModelMetadata:
        facts = dict(reader.once("toy", lambda: parse(reader)))
        details = {name: facts.pop(name) for name in ("model_version",) if name in facts}
        facts.pop("note", None)
        values = {"kind": "text-generation", **facts}
        return ModelMetadata.partial(Origin.HEADER, artifact.primary, details=details, **values)

    def modelshelf_probe_health(self, reader: ArtifactReader) -> Iterator[Finding]:
        if reader.once("toy", lambda: parse(reader)).get("note") == "odd":
            yield Finding(code="odd", severity=Severity.WARNING, message="is odd")


def parse(reader: ArtifactReader) -> dict[str, object]:
    file = reader.file()
    try:
        facts = json.loads(file.read(3, file.size - 3))
    except ValueError:
        raise FormatError(f"{file.name}: broken toy", file=file.name, offset=3) from None
    return dict(facts)
