"""The findings about a model that is named and not read: what code it brings, and that nobody judged it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Concern, Depth, Finding, Severity
from modelshelf.model.status import NOT_JUDGED
from modelshelf_foreign.advice import advice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader


def findings(artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Yield what is unsafe in a model, and that the rest was not judged, so that none becomes healthy."""
    name = artifact.weights[0].name
    if depth is not Depth.QUICK:
        if format == "keras":
            from modelshelf_foreign.keras_layers import layer_findings

            yield from layer_findings(reader.file(name), depth)
        elif format == "savedmodel":
            from modelshelf_foreign.saved_model import operation_findings

            yield from operation_findings(reader.file(name), artifact.folder)
    yield Finding(
        code=NOT_JUDGED,
        severity=Severity.INFO,
        message=advice(format, name),
        file=name,
        concern=Concern.FOREIGN,
    )
