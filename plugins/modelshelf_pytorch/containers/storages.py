"""Where the tensors' bytes lie in archives, so that the rest of two copies can be compared byte by byte."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from modelshelf.model import TensorPlaces
from modelshelf_pytorch.containers.dispatch import inspect_readable
from modelshelf_pytorch.zip.directory import STORED
from modelshelf_pytorch.zip.read import data_offset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_pytorch.containers.inspection import Inspection
    from modelshelf_pytorch.zip.directory import Directory


def tensor_places(artifact: Artifact, reader: ArtifactReader) -> Iterator[TensorPlaces]:
    """Yield the storages of each archive whose pickles name them, and of which nothing else is a part.

    Raises:
        ReadError: A member's local header cannot be read.
    """
    for name, inspection in inspect_readable(artifact, reader).items():
        if inspection.directory is not None and not inspection.issues:
            spans = _spans(inspection, inspection.directory, reader.file(name))
            yield TensorPlaces(file=name, spans=spans)


def _spans(inspection: Inspection, directory: Directory, file: FileReader) -> tuple[tuple[int, int], ...]:
    """The storages as (offset, length); none where a member reaches into the next one."""
    members = sorted(directory.members, key=lambda one: one.header_offset)
    begins = [*(one.header_offset for one in members), directory.start]
    ends = [data_offset(file, one) + one.compressed_size for one in members]
    if any(end > begin for end, (_, begin) in zip(ends, pairwise(begins), strict=True)):
        return ()
    chosen = (
        directory.member(number) for number in range(len(directory.names)) if number in inspection.storages
    )
    return tuple((data_offset(file, one), one.size) for one in chosen if one.method == STORED)
