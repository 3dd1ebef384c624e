"""Where models lie: plain folders of any depth."""

from __future__ import annotations

from collections.abc import Iterator

from modelshelf.source import SourceType


def modelshelf_sources() -> Iterator[SourceType]:
    """Offer plain folders."""
    from modelshelf_sources.folders import FolderSource

    yield SourceType(name="local", make=FolderSource.make, summary="Plain folders of any depth.")
