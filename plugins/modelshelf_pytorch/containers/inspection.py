"""What reading a file of this plugin's formats told, and the one way to read it whatever it is."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.errors import ReadError
from modelshelf_pytorch.pickle.outcome import Outcome
from modelshelf_pytorch.tensors import Contents
from modelshelf_pytorch.verdict import Issue, unreadable
from modelshelf_pytorch.zip.directory import Directory

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader


@frozen(kw_only=True, eq=False, repr=False)
class Inspection:
    """What the header of one file told.

    Attributes:
        kind: ``zip`` (a torch.save archive), ``torchscript``, ``exported`` (a program of torch.export),
            ``legacy``, ``pickle``, ``npy``, ``archive`` (a ZIP of something else), ``unreadable`` (a
            container that is not looked into).
        issues: What was noticed while reading.
        contents: The tensors.
        streams: The pickle streams that were interpreted.
        directory: The central directory, where it is a ZIP.
        root: The folder in the archive that holds the checkpoint, with its slash, or empty.
        storages: Places in the directory of the members that are the storages that its pickles name.
        details: Facts for the metadata's details.
    """

    kind: str
    issues: tuple[Issue, ...] = ()
    contents: Contents = field(factory=Contents)
    streams: tuple[Outcome, ...] = ()
    directory: Directory | None = None
    root: str = ""
    storages: Container[int] = frozenset()
    details: dict[str, Any] = field(factory=dict)


_OTHER_LOADERS = (".data/extern_modules", "archive_format", "serialized_exported_program.json")
"""Records of what torch.package, torch.export and its first releases write; torch.load reads none of it."""


def is_foreign(found: Inspection) -> bool:
    """Whether it is a ZIP that no loader of torch takes: no ``data.pkl``, and nothing of its other kinds."""
    if found.kind != "archive" or found.directory is None:
        return False
    return all(found.directory.find(found.root + name) is None for name in _OTHER_LOADERS)


def bares_pickle(found: Inspection) -> bool:
    """Whether it is a ZIP whose ``data.pkl`` lies in no folder: a pickle in an archive, and no checkpoint."""
    return found.directory is not None and found.directory.find("data.pkl") is not None


NUMPY_MAGIC = b"\x93NUMPY"
"""The first bytes of a ``.npy`` file."""

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What the first pickle of a legacy checkpoint holds (``torch/serialization.py``)."""

_UNREADABLE = (
    (0, b"7z\xbc\xaf'\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
    (0, b"\x04\x22M\x18", "LZ4"),
    (0, b"(\xb5/\xfd", "Zstandard"),
)
LZMA = (b"\xfd7zXZ\x00", b"]\x00\x00")
"""First bytes of LZMA data: in its own container, and in the older one."""

_STREAMS = (b"\x1f\x8b\x08", b"BZh", *LZMA)
_ZLIB = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")
_HEAD = 512


def container_of(head: bytes) -> str | None:
    """The name of the container that is never looked into, by the file's first 512 bytes; None otherwise."""
    for offset, magic, name in _UNREADABLE:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def is_compressed(head: bytes, *, streams: bool = False) -> bool:
    """Whether the bytes begin as gzip, bzip2, LZMA or zlib data does (joblib and pandas compress so).

    Args:
        head: The first bytes.
        streams: Whether only what a reader of several streams goes on with counts, which zlib is not.
    """
    return head.startswith(_STREAMS if streams else (*_STREAMS, *_ZLIB))


def is_zip(head: bytes, suffix: str) -> bool:
    """Whether a file is a ZIP by its first bytes; one of no members is something to numpy alone."""
    return head.startswith(b"PK\x03\x04") or (suffix == ".npz" and head.startswith(b"PK\x05\x06"))


def inspect(reader: FileReader) -> Inspection:
    """Read a file's header: whatever decides what it is, and the pickles in it, but no weights.

    Raises:
        ReadError: The file cannot be read, or breaks its format's rules so that nothing can be told.
    """
    head = reader.read_up_to(0, _HEAD)
    if is_zip(head, reader.name[-4:].lower()):
        from modelshelf_pytorch.containers import checkpoint

        return checkpoint.read(reader)
    container = container_of(head)
    if container is not None:
        return Inspection(kind="unreadable", issues=tuple(_closed(reader, container)))
    if head.startswith(NUMPY_MAGIC):
        from modelshelf_pytorch.containers import numpy_file as numpyfile

        return numpyfile.read(reader)
    if is_compressed(head):
        from modelshelf_pytorch.containers import compressed

        return compressed.read(reader)
    from modelshelf_pytorch.containers import legacy

    return legacy.read(reader)


def _closed(reader: FileReader, container: str) -> list[Issue]:
    """A container stays closed: the issue that it does, and pickles that show through uncompressed."""
    from modelshelf_pytorch.pickle.tail import tail_issues

    refused = "; torch itself refuses this old layout with weights_only" if container == "tar" else ""
    message = f"a {container} archive cannot be looked into{refused}; unpack it and scan what it holds"
    issue = unreadable("archive-unreadable", message, 0)
    return [issue, *tail_issues(reader, 0, reader.size, broken=True)]


def inspected(reader: ArtifactReader, name: str) -> Inspection:
    """What one file's header tells; read once however often it is asked for.

    Raises:
        ReadError: The file cannot be read, or breaks its format's rules.
    """
    return reader.once(f"pytorch:{name}", lambda: inspect(reader.file(name)))


def readable(artifact: Artifact, reader: ArtifactReader) -> dict[str, Inspection]:
    """The inspections of the weight files that can be read; the findings tell of the others."""
    told = {}
    for one in artifact.weights:
        try:
            told[one.name] = inspected(reader, one.name)
        except ReadError:
            continue
    return told
