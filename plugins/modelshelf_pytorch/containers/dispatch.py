"""Read a file's header with the reader of its container, by its first bytes.

Each reader is imported when the first file of its kind is read: most scans find one kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.containers.inspection import Inspection
from modelshelf_pytorch.pickle.embedded import tail_issues
from modelshelf_pytorch.signatures import (
    NUMPY_MAGIC,
    closed_container,
    is_compressed,
    is_mobile,
    is_no_pickle,
    is_zip,
)
from modelshelf_pytorch.verdict import Issue, not_judged, unreadable

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_pytorch.pickle.outcome import Limits

_HEAD_BYTES = 512
_MOBILE = not_judged(
    "a flatbuffer of PyTorch mobile, which holds a model and the bytecode that runs it: what is in it was "
    "not judged; torch.jit.load and the lite interpreter read it, torch.load does not",
    0,
)


def inspect(reader: FileReader, limits: Limits | None = None) -> Inspection:
    """Read a file's header: whatever decides what it is, and the pickles in it, but no weights.

    Args:
        reader: The file.
        limits: How much of a stream is judged.

    Raises:
        ReadError: The file cannot be read, or breaks its format's rules so that nothing in it can be read.
    """
    head = reader.read_up_to(0, _HEAD_BYTES)
    if is_zip(head, reader.name[-4:].lower()):
        from modelshelf_pytorch.containers import checkpoint

        return checkpoint.read(reader, limits)
    container = closed_container(head)
    if container is not None:
        return Inspection(kind="unreadable", issues=tuple(_closed_issues(reader, container)))
    if head.startswith(NUMPY_MAGIC):
        from modelshelf_pytorch.containers import numpy_file

        return numpy_file.read(reader, limits)
    if is_mobile(head) and is_no_pickle(head):
        return Inspection(kind="mobile", issues=(_MOBILE,), details={"container": "flatbuffer"})
    if is_compressed(head):
        from modelshelf_pytorch.containers import compressed

        return compressed.read(reader)
    from modelshelf_pytorch.containers import legacy

    return legacy.read(reader, limits)


def _closed_issues(reader: FileReader, container: str) -> list[Issue]:
    """Return the issue that a container stays closed, and pickles that show through uncompressed."""
    refused = "; torch itself refuses this old layout with weights_only" if container == "tar" else ""
    message = f"a {container} archive cannot be looked into{refused}; unpack it and scan what it holds"
    issue = unreadable("archive-unreadable", message, 0)
    return [issue, *tail_issues(reader, 0, reader.size, broken=True)]


def inspect_once(reader: ArtifactReader, name: str) -> Inspection:
    """Inspect one file of an artifact; it is read once however often it is asked for.

    Raises:
        ReadError: The file cannot be read, or breaks its format's rules.
    """
    return reader.once(f"pytorch:{name}", lambda: inspect(reader.file(name)))


def inspect_readable(artifact: Artifact, reader: ArtifactReader) -> dict[str, Inspection]:
    """Inspect the weight files, by name; those that cannot be read are left out, and are findings."""
    inspections = {}
    for file in artifact.weights:
        try:
            inspections[file.name] = inspect_once(reader, file.name)
        except ReadError:
            continue
    return inspections
