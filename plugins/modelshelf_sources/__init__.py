"""Where models lie: plain folders of any depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.source import SourceType

if TYPE_CHECKING:
    from collections.abc import Iterator


def modelshelf_sources() -> Iterator[SourceType]:
    """Offer plain folders."""
    from modelshelf_sources.folders import FolderSource

    yield SourceType(name="local", make=FolderSource.make, summary="Plain folders of any depth.")
