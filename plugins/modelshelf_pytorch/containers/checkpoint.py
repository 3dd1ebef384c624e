"""Read torch's ZIP checkpoints and TorchScript archives, by their central directory and ``data.pkl`` alone.

Source: ``torch/serialization.py`` (2.13, ``_save`` and ``_load``), ``caffe2/serialize/inline_container.cc``:
every record lies below one folder, named by the archive's first member; names are looked up without regard to
case. A ZIP that is neither is an ``archive``, whose members `modelshelf_pytorch.containers.issues` looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.containers.inspection import Inspection
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.embedded import tail_issues
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Limits, Outcome
from modelshelf_pytorch.pickle.symbols import Global, Instance, Storage
from modelshelf_pytorch.tensors import Contents, NamedTensor, contents_of
from modelshelf_pytorch.verdict import Issue, unreadable
from modelshelf_pytorch.zip.directory import STORED
from modelshelf_pytorch.zip.read import data_offset, open_member, read_directory, read_member

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

_LARGEST_ALIGNMENT = 1 << 32
_LONGEST_RECORD, _LONGEST_NUMBER = 512, 64  # bytes; the longest that torch writes has 40
_VERSIONS = range(1, 11)  # file formats that torch reads, inline_container.h


def read(reader: FileReader, limits: Limits | None = None) -> Inspection:
    """Read the directory and the tensors' headers.

    Args:
        reader: The archive.
        limits: How much of a stream is judged.

    Raises:
        ReadError: The archive's records cannot be read.
    """
    directory = read_directory(reader)
    first = directory.names[0] if directory.names else ""
    root = first[: first.find("/") + 1]
    main = directory.find(f"{root}data.pkl")
    if main is None or not root:
        return _read_other(reader, directory, root)
    issues = list(directory.issues)
    # torch.load takes for TorchScript what has this very name; else it unpickles data.pkl as Python does.
    script = f"{root}constants.pkl" in directory.names
    constants = directory.find(f"{root}constants.pkl") if script else None
    dialect = Dialect.TORCHSCRIPT if script else Dialect.PYTHON
    stream = _interpret_member(reader, main, dialect, issues, limits)
    streams = [stream]
    storages, storage_issues = _find_storages(stream, directory, f"{root}data/")
    issues += storage_issues
    if constants is not None:
        streams.append(_interpret_member(reader, constants, dialect, issues, limits))
        more, storage_issues = _find_storages(streams[-1], directory, f"{root}constants/")
        issues += storage_issues
        storages = frozenset([*storages, *more])
    return Inspection(
        kind="torchscript" if script else "zip",
        issues=tuple(issues),
        contents=contents_of(stream.value),
        streams=tuple(streams),
        directory=directory,
        root=root,
        storages=storages,
        details=_script_details(stream) if script else {},
    )


def _read_other(reader: FileReader, directory: Directory, root: str) -> Inspection:
    """Read a ZIP that is no checkpoint: a program of torch.export, or whatever else."""
    from modelshelf_pytorch.containers import exported  # imports json, which checkpoints do not need

    kind, issues, storages = "archive", list(directory.issues), frozenset[int]()
    configs = exported.configs_of(directory, root)
    if configs:
        kind = "exported"
        contents, weight_issues, storages = exported.read(reader, directory, root, configs)
        issues += weight_issues
    else:
        from modelshelf_pytorch.zip.check import overlaps  # which checkpoints need for findings alone

        contents = Contents() if overlaps(directory) else _read_arrays(reader, directory)
    return Inspection(
        kind=kind,
        issues=tuple(issues),
        directory=directory,
        root=root,
        contents=contents,
        storages=storages,
    )


def _read_arrays(reader: FileReader, directory: Directory) -> Contents:
    """Read the headers of a ``.npz``'s arrays; members that are none are left to the probe."""
    from modelshelf_pytorch.containers import numpy_file  # which checkpoints do not need

    tensors = []
    for member in directory.members:
        if member.name.endswith(".npy"):
            try:
                tensor = numpy_file.tensor_of(open_member(reader, member, whole=False))
            except ReadError:
                continue
            if tensor is not None:
                tensors.append(NamedTensor(name=member.name.removesuffix(".npy"), tensor=tensor))
    return Contents(all=tuple(tensors), model=tuple(tensors))


def _script_details(stream: Outcome) -> dict[str, str]:
    function = stream.value.function if type(stream.value) is Instance else None
    return {"torchscript_class": f"{function.module}.{function.name}"} if type(function) is Global else {}


def _interpret_member(
    reader: FileReader, member: Member, dialect: Dialect, issues: list[Issue], limits: Limits | None
) -> Outcome:
    """Interpret a member that is a pickle; its issues are added to `issues`, placed in the archive.

    Raises:
        ReadError: The member cannot be read.
    """
    start = data_offset(reader, member)
    if member.method == STORED:
        end = start + member.compressed_size
        stream = Machine(reader, start, end, dialect=dialect, limits=limits).run()
        issues.extend(stream.issues)
        if stream.stopped:
            issues.extend(tail_issues(reader, stream.end, end))
        return stream
    inner = open_member(reader, member)
    stream = Machine(inner, 0, inner.size, dialect=dialect, limits=limits).run()
    found = stream.issues + (tail_issues(inner, stream.end, inner.size) if stream.stopped else [])
    issues.extend(issue.within(member.name, start) for issue in found)
    return stream


def _find_storages(
    stream: Outcome, directory: Directory, folder: str
) -> tuple[range | frozenset[int], list[Issue]]:
    """Find the members that are a pickle's storages: each must be there, and as long as the pickle says.

    Returns:
        Their numbers in the directory, and what is wrong with them.
    """
    keys = [storage.key for storage in stream.loose_storages]
    sizes = [storage.elements * ITEM_BYTES[storage.dtype] for storage in stream.loose_storages]
    for run in stream.runs:
        keys += run.keys
        sizes += [spec.storage_bytes for spec in run.specs]
    views = [storage for storage in stream.loose_storages if storage.view]
    views += [run.storages[0] for run in stream.runs if any(spec.view for spec in run.counts)]
    numbers = directory.find_run(folder, keys, sizes)  # the writer's order is the pickle's
    if numbers is not None and directory.distinct and not views:
        for run in stream.runs:
            run.keys_distinct = True
        return numbers, []
    expected = dict(zip([folder + key for key in keys], sizes, strict=True))
    members = frozenset(number for number, name in enumerate(directory.names) if name in expected)
    if views:
        message = "a persistent id of six parts, as legacy checkpoints alone have: torch would refuse it"
        return members, [unreadable("bad-persistent-id", message, views[0].offset)]
    if len(expected) == len(keys) and directory.distinct and directory.contains(expected):
        return members, []
    return members, _storage_issues(stream, directory, folder)


def _storage_issues(stream: Outcome, directory: Directory, folder: str) -> list[Issue]:
    """Return what is wrong with the storages, one by one."""
    issues = []
    sizes: dict[str, int] = {}
    for storage in stream.storages:
        expected = storage.elements * ITEM_BYTES[storage.dtype]
        if storage.key in sizes:
            if sizes[storage.key] != expected:
                issues.append(
                    _mismatch(f"storage {storage.key!r} is named twice with different sizes", storage)
                )
            continue
        sizes[storage.key] = expected
        member = directory.find(f"{folder}{storage.key}")
        if member is None:
            issues.append(_mismatch(f"the storage {folder}{storage.key} is not in the archive", storage))
        elif member.size != expected:
            message = f"the storage {member.name} holds {member.size} bytes and its tensors expect {expected}"
            issues.append(_mismatch(message, storage))
    return issues


def _mismatch(message: str, storage: Storage) -> Issue:
    return unreadable("storage-size-mismatch", message, storage.offset)


def record_issues(reader: FileReader, directory: Directory, root: str) -> list[Issue]:
    """Check the archive's records: torch wants them in one folder, and a version and byte order it knows.

    Raises:
        ReadError: A record cannot be read.
    """
    issues = _name_issues(directory, root)
    version = directory.find(f"{root}.data/version") or directory.find(f"{root}version")
    if version is None:
        issues.append(_bad_record("version", b"", 0))
    elif not _is_version(text := read_member(reader, version, _LONGEST_RECORD)):
        issues.append(_bad_record("version", text, version.header_offset))
    for name, is_sound in _RECORDS.items():
        member = directory.find(root + name)
        if member is not None:
            text = read_member(reader, member, _LONGEST_RECORD)
            if len(text) == _LONGEST_RECORD or not is_sound(text):
                issues.append(_bad_record(name, text, member.header_offset))
    return issues


def _is_version(text: bytes) -> bool:
    text = text.strip()
    return text.isdigit() and int(text[:_LONGEST_NUMBER]) in _VERSIONS


def _is_alignment(text: bytes) -> bool:
    return text.isdigit() and 0 < int(text[:_LONGEST_NUMBER]) <= _LARGEST_ALIGNMENT


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_RECORDS: dict[str, Callable[[bytes], bool]] = {
    "byteorder": lambda text: text in {b"little", b"big"},
    ".storage_alignment": _is_alignment,
    ".data/serialization_id": _is_utf8,
}
"""The small records that torch reads besides the version, where they are there."""


def _name_issues(directory: Directory, root: str) -> list[Issue]:
    """Return members outside the first one's folder, and names that are no UTF-8: torch lists all names."""
    names = "\n".join(["", *directory.names])
    if names.isascii() and names.count("\n" + root) == names.count("\n") == len(directory.names):
        return []
    issues = []
    for number, name in enumerate(directory.names):
        if not name.startswith(root):
            issues.append(_bad_name(f"lies outside the archive's folder {root!r}", directory.member(number)))
        if not _is_utf8(directory.raw_names[number]):
            issues.append(_bad_name("has a name that is no UTF-8", directory.member(number)))
    return issues


def _bad_name(what: str, member: Member) -> Issue:
    message = f"the member {member.name!r} {what}: torch refuses to load such an archive"
    return unreadable("bad-member-name", message, member.header_offset)


def _bad_record(name: str, text: bytes, offset: int) -> Issue:
    shown = text[:64].decode("ascii", "replace")
    return unreadable("bad-record", f"the record {name!r} says {shown!r}, which torch refuses", offset)
