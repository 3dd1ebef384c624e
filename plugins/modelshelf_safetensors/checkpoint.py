"""All files of one model, read together: a single file, or shards with or without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.errors import ReadError
from modelshelf_safetensors.header import read_header
from modelshelf_safetensors.layout import Header, Layout
from modelshelf_safetensors.sharded import Index, read_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.reader import ArtifactReader

_KEY = "safetensors"


@frozen(kw_only=True)
class Checkpoint:
    """What the headers of a model's files say.

    Attributes:
        headers: The header of each file that could be read, by the file's name, in shard order.
        faults: Why the others could not.
        index: The index of the shards, where there is one that can be read.
        missing: Names of shards that are not there.
    """

    headers: dict[str, Header]
    faults: tuple[ReadError, ...] = ()
    index: Index | None = None
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model is in `headers`."""
        return not self.faults and not self.missing

    @property
    def metadata(self) -> dict[str, str]:
        """``__metadata__`` of all files, the first file's word standing."""
        return {
            key: text for header in reversed(self.headers.values()) for key, text in header.metadata.items()
        }

    def tensors(self) -> Iterator[tuple[str, Layout]]:
        """Names and layouts of all tensors, file by file."""
        for header in self.headers.values():
            yield from zip(header.names, header.layouts, strict=True)


def read_checkpoint(reader: ArtifactReader) -> Checkpoint:
    """Read the headers of an artifact's files, once for all hooks.

    Raises:
        ReadError: No header can be read; the first file's fault.
    """
    return reader.once(_KEY, lambda: _read(reader))


def _read(reader: ArtifactReader) -> Checkpoint:
    artifact = reader.artifact
    headers: dict[str, Header] = {}
    faults: list[ReadError] = []
    for one in artifact.weights:
        try:
            headers[one.name] = read_header(reader.file(one.name))
        except ReadError as error:
            faults.append(error)
    index = None
    if artifact.index is not None:
        try:
            index = read_index(reader.file(artifact.index.name))
        except ReadError as error:
            faults.append(error)
    if not headers and faults:
        raise faults[0]
    there = {one.name for one in artifact.weights}
    promised = index.shards if index is not None else ()
    missing = dict.fromkeys(name for name in (*artifact.missing, *promised) if name not in there)
    return Checkpoint(headers=headers, faults=tuple(faults), index=index, missing=tuple(missing))
