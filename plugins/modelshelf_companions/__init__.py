"""What is beside the weights, for every format: configuration, model card, names.

Every scan loads this module, so the readers are imported only when there is a model to examine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Depth, Finding, ModelMetadata
    from modelshelf.reader import ArtifactReader


def modelshelf_extract_metadata(reader: ArtifactReader) -> Iterator[ModelMetadata]:
    """Give one partial metadata for each companion that says something, and one for each name."""
    from modelshelf_companions.read import read_companions

    yield from read_companions(reader).partials


def modelshelf_probe_health(reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Name the companions that cannot be read or that carry code; at quick depth none is opened."""
    from modelshelf.model import Depth as Depths
    from modelshelf_companions.code import code_beside
    from modelshelf_companions.read import read_companions

    if depth is not Depths.QUICK:
        yield from read_companions(reader).findings
        yield from code_beside(reader)
