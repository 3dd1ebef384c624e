"""torch's ZIP checkpoints and TorchScript archives, by their central directory and their ``data.pkl`` alone.

Source: ``torch/serialization.py`` (2.13, ``_save`` and ``_load``), ``caffe2/serialize/inline_container.cc``:
every record lies below one folder, named by the archive's first member; names are looked up without regard to
case. A ZIP that is neither is an ``archive``, whose members `modelshelf_pytorch.members` looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch import zipread
from modelshelf_pytorch.allowlist import ITEM_BYTES
from modelshelf_pytorch.bytesfile import BytesFile
from modelshelf_pytorch.inspection import Inspection
from modelshelf_pytorch.outcome import Dialect, Outcome
from modelshelf_pytorch.pickle_audit import tail_issues
from modelshelf_pytorch.pickle_machine import Machine
from modelshelf_pytorch.symbols import Made, Storage
from modelshelf_pytorch.tensors import Contents, NamedTensor, contents_of
from modelshelf_pytorch.verdict import Issue, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zipdirectory import Directory, Member

LARGEST_PICKLE = 64 * 1024 * 1024
"""Bytes that a deflated pickle may inflate to."""

_PICKLES = ("data.pkl", "constants.pkl")
_VERSIONS = range(1, 11)  # file formats that torch reads, inline_container.h


def read(reader: FileReader) -> Inspection:
    """Read the directory and the tensors' headers.

    Raises:
        ReadError: The archive's records cannot be read.
    """
    directory = zipread.read_directory(reader)
    first = directory.names[0] if directory.names else ""
    root = first[: first.find("/") + 1]
    main = directory.find(f"{root}data.pkl")
    issues = list(directory.issues)
    if main is None or not root:
        from modelshelf_pytorch import exported

        configs = exported.configs_of(directory, root)
        if configs:
            contents, misfits = exported.read(reader, directory, root, configs)
            told = (*issues, *misfits)
            return Inspection(kind="exported", issues=told, directory=directory, root=root, contents=contents)
        contents = _arrays(reader, directory)
        return Inspection(
            kind="archive", issues=tuple(issues), directory=directory, root=root, contents=contents
        )
    constants = directory.find(f"{root}constants.pkl")
    script = constants is not None
    dialect = Dialect.TORCHSCRIPT if script else Dialect.PLAIN
    stream = interpret_member(reader, main, dialect, issues)
    streams = [stream]
    storages = _storages(stream, f"{root}data/")
    issues.extend(_storage_issues(stream, directory, f"{root}data/", storages))
    if constants is not None:
        streams.append(interpret_member(reader, constants, dialect, issues))
        more = _storages(streams[-1], f"{root}constants/")
        issues.extend(_storage_issues(streams[-1], directory, f"{root}constants/", more))
        storages |= more
    return Inspection(
        kind="torchscript" if script else "zip",
        issues=tuple(issues),
        contents=contents_of(stream.value),
        streams=tuple(streams),
        directory=directory,
        root=root,
        storages=storages.keys(),
        details=_script_details(stream) if script else {},
    )


def _arrays(reader: FileReader, directory: Directory) -> Contents:
    """The arrays of a ``.npz``, by their headers; a member that is none is left to the probe."""
    from modelshelf_pytorch import numpyfile

    found = []
    for member in directory.members:
        if member.name.endswith(".npy"):
            try:
                data = zipread.content(reader, member, numpyfile.LONGEST_HEADER)
                tensor = numpyfile.tensor_of(BytesFile(data, reader.name))
            except ReadError:
                continue
            if tensor is not None:
                found.append(NamedTensor(name=member.name.removesuffix(".npy"), tensor=tensor))
    return Contents(all=tuple(found), model=tuple(found))


def _script_details(stream: Outcome) -> dict[str, str]:
    top = stream.value
    return {"torchscript_class": f"{top.maker.module}.{top.maker.name}"} if type(top) is Made else {}


def interpret_member(reader: FileReader, member: Member, dialect: Dialect, issues: list[Issue]) -> Outcome:
    """Interpret a member that is a pickle; its issues are added to `issues`, placed in the archive.

    Raises:
        ReadError: The member cannot be read.
    """
    start = zipread.data_offset(reader, member)
    if member.method == 0:
        stream = Machine(reader, start, start + member.packed, dialect=dialect).run()
        issues.extend(stream.issues)
        if stream.stopped:
            issues.extend(tail_issues(reader, stream.end, start + member.packed))
        return stream
    inner = BytesFile(zipread.content(reader, member, LARGEST_PICKLE), reader.name)
    stream = Machine(inner, 0, inner.size, dialect=dialect).run()
    found = stream.issues + (tail_issues(inner, stream.end, inner.size) if stream.stopped else [])
    issues.extend(issue.within(member.name, start) for issue in found)
    return stream


def _storages(stream: Outcome, folder: str) -> dict[str, int]:
    """The members that a pickle's storages are, with the bytes that its tensors expect of each."""
    needed = {folder + one.key: one.elements * ITEM_BYTES[one.dtype] for one in stream.loose_storages}
    for run in stream.runs:
        needed.update(
            zip([folder + key for key in run.keys], [form.stored for form in run.forms], strict=True)
        )
    return needed


def _storage_issues(
    stream: Outcome, directory: Directory, folder: str, needed: dict[str, int]
) -> list[Issue]:
    """Each storage that the pickle names must be there, stored, and as long as it says."""
    named = len(stream.loose_storages) + sum(len(run.keys) for run in stream.runs)
    if len(needed) == named and directory.distinct and directory.holds(needed):
        return []
    issues = []
    seen: dict[str, Storage] = {}
    for storage in stream.storages:
        known = seen.get(storage.key)
        if known is not None:
            if known.elements * ITEM_BYTES[known.dtype] != storage.elements * ITEM_BYTES[storage.dtype]:
                issues.append(
                    _mismatch(f"storage {storage.key!r} is named twice with different sizes", storage.offset)
                )
            continue
        seen[storage.key] = storage
        member = directory.find(f"{folder}{storage.key}")
        expected = storage.elements * ITEM_BYTES[storage.dtype]
        if member is None:
            issues.append(
                _mismatch(f"the storage {folder}{storage.key} is not in the archive", storage.offset)
            )
        elif member.size != expected:
            sizes = f"{member.size} bytes and its tensors expect {expected}"
            issues.append(_mismatch(f"the storage {member.name} holds {sizes}", storage.offset))
    return issues


def _mismatch(message: str, offset: int) -> Issue:
    return unreadable("storage-size-mismatch", message, offset)


def record_issues(reader: FileReader, directory: Directory, root: str) -> list[Issue]:
    """The archive's small records: torch wants a version that it knows, and a byte order that exists.

    Raises:
        ReadError: A record cannot be read.
    """
    issues = []
    version = directory.find(f"{root}.data/version") or directory.find(f"{root}version")
    text = zipread.content(reader, version, 64).strip() if version is not None else b""
    if not text.isdigit() or int(text) not in _VERSIONS:
        issues.append(_record("version", text, 0 if version is None else version.header))
    order = directory.find(f"{root}byteorder")
    if order is not None:
        text = zipread.content(reader, order, 64)
        if text not in {b"little", b"big"}:
            issues.append(_record("byteorder", text, order.header))
    return issues


def _record(name: str, text: bytes, offset: int) -> Issue:
    shown = text.decode("ascii", "replace")
    return unreadable("bad-record", f"the record {name!r} says {shown!r}, which torch refuses", offset)
