"""torch's ZIP checkpoints and TorchScript archives, by their central directory and their ``data.pkl`` alone.

Source: ``torch/serialization.py`` (2.13, ``_save`` and ``_load``), ``caffe2/serialize/inline_container.cc``:
every record lies below one folder, named by the archive's first member; names are looked up without regard to
case. A ZIP that is neither is an ``archive``, whose members `modelshelf_pytorch.containers.members` looks at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.containers.inspection import Inspection
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Outcome
from modelshelf_pytorch.pickle.symbols import GlobalUse, Made, Storage
from modelshelf_pytorch.pickle.tail import tail_issues
from modelshelf_pytorch.readers import BytesFile, Packed
from modelshelf_pytorch.tensors import Contents, NamedTensor, contents_of
from modelshelf_pytorch.verdict import Issue, unreadable
from modelshelf_pytorch.zip import read as zipread

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

_PICKLES = ("data.pkl", "constants.pkl")
_LARGEST_ALIGNMENT = 1 << 32
_LONGEST_RECORD, _LONGEST_NUMBER = 512, 64  # bytes; the longest that torch writes has 40
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
        from modelshelf_pytorch.containers import exported

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
    storages, misfits = _storages(stream, directory, f"{root}data/")
    issues += misfits
    if constants is not None:
        streams.append(interpret_member(reader, constants, dialect, issues))
        more, misfits = _storages(streams[-1], directory, f"{root}constants/")
        issues += misfits
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


def _arrays(reader: FileReader, directory: Directory) -> Contents:
    """The arrays of a ``.npz``, by their headers; a member that is none is left to the probe."""
    from modelshelf_pytorch.containers import numpy_file as numpyfile

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
    maker = stream.value.maker if type(stream.value) is Made else None
    return {"torchscript_class": f"{maker.module}.{maker.name}"} if type(maker) is GlobalUse else {}


def unpacked(reader: FileReader, member: Member) -> FileReader:
    """A deflated member, read as a file of its own: whole, or as far as it may be inflated.

    Raises:
        ReadError: The member cannot be read.
    """
    if member.size <= zipread.inflatable(member) or member.method != zipread.DEFLATED:
        return BytesFile(zipread.content(reader, member, zipread.inflatable(member)), reader.name)
    start = zipread.data_offset(reader, member)
    return Packed(reader, start, member.packed, member.size, zipread.inflatable(member))


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
    inner = unpacked(reader, member)
    stream = Machine(inner, 0, inner.size, dialect=dialect).run()
    found = stream.issues + (tail_issues(inner, stream.end, inner.size) if stream.stopped else [])
    issues.extend(issue.within(member.name, start) for issue in found)
    return stream


def _storages(
    stream: Outcome, directory: Directory, folder: str
) -> tuple[range | frozenset[int], list[Issue]]:
    """The places of the members that a pickle's storages are, and what is wrong with them.

    Each storage that the pickle names must be there, stored, and as long as it says.
    """
    keys = [one.key for one in stream.loose_storages]
    sizes = [one.elements * ITEM_BYTES[one.dtype] for one in stream.loose_storages]
    for run in stream.runs:
        keys += run.keys
        sizes += [form.stored for form in run.forms]
    views = [one for one in stream.loose_storages if one.view]
    views += [run.storages[0] for run in stream.runs if any(form.view for form in run.counts)]
    stretch = directory.stretch(folder, keys, sizes)  # the writer's order is the pickle's
    if stretch is not None and directory.distinct and not views:
        for run in stream.runs:
            run.apart = True
        return stretch, []
    needed = dict(zip([folder + key for key in keys], sizes, strict=True))
    places = frozenset(place for place, name in enumerate(directory.names) if name in needed)
    if views:
        message = "a persistent id of six parts, as legacy checkpoints alone have: torch would refuse it"
        return places, [unreadable("bad-persistent-id", message, views[0].offset)]
    if len(needed) == len(keys) and directory.distinct and directory.holds(needed):
        return places, []
    return places, _storage_issues(stream, directory, folder)


def _storage_issues(stream: Outcome, directory: Directory, folder: str) -> list[Issue]:
    """What is wrong with the storages, one by one."""
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
    """The archive's records: torch wants them in one folder, and a version and a byte order that it knows.

    Raises:
        ReadError: A record cannot be read.
    """
    issues = _name_issues(directory, root)
    version = directory.find(f"{root}.data/version") or directory.find(f"{root}version")
    if version is None:
        issues.append(_record("version", b"", 0))
    elif not _is_version(text := zipread.content(reader, version, _LONGEST_RECORD)):
        issues.append(_record("version", text, version.header))
    for name, is_sound in _RECORDS.items():
        member = directory.find(root + name)
        if member is not None:
            text = zipread.content(reader, member, _LONGEST_RECORD)
            if len(text) == _LONGEST_RECORD or not is_sound(text):
                issues.append(_record(name, text, member.header))
    return issues


def _is_version(text: bytes) -> bool:
    text = text.strip()
    return text.isdigit() and int(text[:_LONGEST_NUMBER]) in _VERSIONS


def _is_alignment(text: bytes) -> bool:
    return text.isdigit() and 0 < int(text[:_LONGEST_NUMBER]) <= _LARGEST_ALIGNMENT


def _is_text(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_RECORDS: dict[str, Callable[[bytes], bool]] = {
    "byteorder": lambda text: text in {b"little", b"big"},
    ".storage_alignment": _is_alignment,
    ".data/serialization_id": _is_text,
}
"""The small records that torch reads besides the version, where they are there."""


def _name_issues(directory: Directory, root: str) -> list[Issue]:
    """Members outside the first one's folder, and names that are no UTF-8: torch lists all to begin with."""
    names = "\n".join(["", *directory.names])
    if names.isascii() and names.count("\n" + root) == names.count("\n") == len(directory.names):
        return []
    issues = []
    for place, name in enumerate(directory.names):
        if not name.startswith(root):
            issues.append(_misplaced(f"lies outside the archive's folder {root!r}", directory.member(place)))
        if not _is_text(directory.raw_names[place]):
            issues.append(_misplaced("has a name that is no UTF-8", directory.member(place)))
    return issues


def _misplaced(what: str, member: Member) -> Issue:
    message = f"the member {member.name!r} {what}: torch refuses to load such an archive"
    return unreadable("bad-member-name", message, member.header)


def _record(name: str, text: bytes, offset: int) -> Issue:
    shown = text[:64].decode("ascii", "replace")
    return unreadable("bad-record", f"the record {name!r} says {shown!r}, which torch refuses", offset)
