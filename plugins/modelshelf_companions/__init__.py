"""What lies beside the weights, for every format: configuration, model card, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Depth, Finding, ModelMetadata
    from modelshelf.reader import ArtifactReader


def modelshelf_extract_metadata(reader: ArtifactReader) -> Iterator[ModelMetadata]:
    """Give one partial metadata for each companion that tells something, and one for the names."""
    from modelshelf_companions.beside import read_beside

    yield from read_beside(reader).partials


def modelshelf_probe_health(reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Name the companions that cannot be read; at quick depth none is opened."""
    from modelshelf.model import Depth as Depths
    from modelshelf_companions.beside import read_beside

    if depth is not Depths.QUICK:
        yield from read_beside(reader).findings
