"""The issues of one file: those of its header, of its pickles' strings, and of an archive's members.

A member that is a pickle is audited, whatever it is called; a member that is itself an archive, or an
array of Python objects, is judged as a file is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import ReadError
from modelshelf.model import Depth
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.allowance import most_opcodes
from modelshelf_pytorch.containers.checkpoint import record_issues
from modelshelf_pytorch.containers.dispatch import inspect
from modelshelf_pytorch.pickle import embedded
from modelshelf_pytorch.pickle.embedded import Effort
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Limits, Outcome
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.signatures import NUMPY_MAGIC, ZIP_MAGIC
from modelshelf_pytorch.verdict import Issue, Verdict, dangerous, issue_of, not_judged, suspicious, unreadable
from modelshelf_pytorch.zip.check import archive_issues
from modelshelf_pytorch.zip.directory import DEFLATED, ENCRYPTION, STORED
from modelshelf_pytorch.zip.read import (
    checksum,
    data_offset,
    inflation_limit,
    open_member,
    read_member,
)

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.containers.inspection import Inspection
    from modelshelf_pytorch.zip.directory import Member

PICKLED_MEMBER_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".debug_pkl", ".p")
"""Endings of the names of members that are taken for pickles whatever their bytes are."""

NESTED_MEMBER_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".zip", ".npz", ".pt2")
"""Endings of the names of members that may be archives, or legacy checkpoints."""

SNIFF_BYTES = 4096
"""First bytes of a member by which it is decided whether it is a pickle."""

_SNIFF_LIMITS = Limits(structure=SNIFF_BYTES, objects=SNIFF_BYTES, depth=SNIFF_BYTES)
_NO_PICKLE = re.compile(rb"[0-9]{1,8}\n?|little|big")  # the small records that torch.save writes
_MOST_ISSUES = 64  # of each verdict in one file
_LEAST_OPCODES, _OPCODES_PER_BYTE = 512 * 1024, 16  # bytes of opcodes in any archive, and for each byte of it
_MOST_LEVELS = 3  # archives within archives
_OWN_RECORDS = frozenset(
    {"data.pkl", "version", "byteorder", ".data/version", ".data/serialization_id", ".storage_alignment"}
    | {".format_version"}
)


def examine(reader: FileReader, depth: Depth, effort: Effort | None = None) -> tuple[Issue, ...]:
    """Inspect a file and return its issues.

    Args:
        reader: The file.
        depth: How deep to look.
        effort: What may be spent in search of hidden pickles.

    Raises:
        ReadError: The file cannot be read.
    """
    return tuple(issues_of(reader, inspect(reader), depth, 0, effort))


def issues_of(
    reader: FileReader,
    inspection: Inspection,
    depth: Depth,
    level: int = 0,
    effort: Effort | None = None,
) -> Iterator[Issue]:
    """Yield the issues of a file that was inspected: all of them, or so many of each verdict as matter.

    Args:
        reader: The file.
        inspection: What its header says.
        depth: How deep to look.
        level: How many archives it lies in.
        effort: What may still be spent in search of hidden pickles, where an archive's members share it.

    Raises:
        ReadError: The file cannot be read.
    """
    counts: Counter[Verdict] = Counter()
    for issue in _all_issues(reader, inspection, depth, level, effort):
        counts[issue.verdict] += 1
        if counts[issue.verdict] <= _MOST_ISSUES:
            yield issue.inside(reader.size)
        elif issue.verdict is Verdict.DANGEROUS:  # nothing that may follow is worse
            message = f"more than {_MOST_ISSUES} things are wrong with it; the rest was not looked for"
            yield Issue(code="more-issues", verdict=Verdict.CLEAN, message=message)
            return


def _all_issues(
    reader: FileReader, inspection: Inspection, depth: Depth, level: int, effort: Effort | None
) -> Iterator[Issue]:
    yield from inspection.issues
    if depth is Depth.QUICK:
        return
    effort = effort or Effort()
    if inspection.directory is not None:
        yield from _archive_issues(reader, inspection, depth, level, effort)
    elif not inspection.details.get("compressed"):
        for stream in inspection.streams:
            yield from embedded.search(stream, reader, effort=effort)
    if inspection.kind in {"zip", "legacy"}:
        yield from _weights_only_issues(inspection)


def _weights_only_issues(inspection: Inspection) -> Iterator[Issue]:
    """Yield the issue of a checkpoint saved with another pickle protocol: harmless, but torch refuses it."""
    for stream in inspection.streams:
        if stream.foreign is not None:
            name, offset = stream.foreign
            message = (
                f"its pickle uses {name}, which torch's weights_only loading does not know (a value or "
                "pickle protocol that torch.save does not write by itself)"
            )
            yield suspicious("weights-only-refuses", message, offset)
            return


def _archive_issues(
    reader: FileReader, inspection: Inspection, depth: Depth, level: int, effort: Effort
) -> Iterator[Issue]:
    """Yield what is wrong with an archive, its records and its members.

    Raises:
        ReadError: A record cannot be read.
    """
    directory = inspection.directory
    if directory is None:
        return
    crowded = False  # its members lie in one another, or inflate beyond reason
    for issue in archive_issues(reader, directory):
        crowded = crowded or issue.code in {"zip-bomb", "zip-overlap"}
        yield issue
    if not crowded:
        yield from _members_issues(reader, inspection, depth, level, effort)


def _members_issues(
    reader: FileReader, inspection: Inspection, depth: Depth, level: int, effort: Effort
) -> Iterator[Issue]:
    """Yield what is wrong with an archive's records and its members.

    Raises:
        ReadError: A record cannot be read.
    """
    directory = inspection.directory
    assert directory is not None  # noqa: S101  # whoever calls looked
    if inspection.kind in {"zip", "torchscript"}:
        yield from record_issues(reader, directory, inspection.root)
    stored = not any(method != STORED or flags & ENCRYPTION for flags, method, _ in directory.kinds)
    storages = inspection.storages
    numbers: Iterable[int] = range(len(directory.names))
    if stored and depth is not Depth.FULL and isinstance(storages, range):
        numbers = chain(range(storages.start), range(storages.stop, len(directory.names)))
    allowed = effort.opcodes
    ordinary = _LEAST_OPCODES + _OPCODES_PER_BYTE * reader.size
    effort.opcodes = min(allowed, ordinary, most_opcodes(reader.size))
    modules: set[str] = set()  # that the members' pickles name
    others = False  # whether it has members that no plain checkpoint has
    for number in numbers:
        if directory.allowance.steps <= 0:
            yield not_judged("its members hold more opcodes than are judged; unpack it and scan those")
            break
        if number in storages:
            if not stored:
                yield from _storage_issues(reader, directory.member(number))
            if depth is Depth.FULL:
                yield from _checksum_issues(reader, directory.member(number), whole=True)
            continue
        others = others or directory.names[number].removeprefix(inspection.root) not in _OWN_RECORDS
        yield from _member_issues(reader, directory.member(number), inspection, depth, level, effort, modules)
    if others:
        from modelshelf_pytorch.containers.code import code_issues  # which checkpoints do not need

        yield from code_issues(reader, inspection, modules)
    if effort.opcodes <= 0 < allowed:  # an archive in another leaves it to that one to say so
        yield not_judged(
            "its members hold more pickles, for its size, than can be judged; unpack it and scan those"
        )
    yield from effort.issues()


def _storage_issues(reader: FileReader, member: Member) -> Iterator[Issue]:
    """Yield issues of weights that are not stored: torch inflates them, but refuses any other method."""
    if member.encrypted:
        yield _encrypted(member)
        return
    try:
        read_member(reader, member, SNIFF_BYTES)
    except ReadError as error:
        yield _unreadable(error, member)


def _member_issues(  # noqa: PLR0917  # private, and each of them is needed
    reader: FileReader,
    member: Member,
    inspection: Inspection,
    depth: Depth,
    level: int,
    effort: Effort,
    modules: set[str],
) -> Iterator[Issue]:
    """Yield the issues of a member that is no storage; add the modules that its pickles name to `modules`."""
    if member.size == 0 and member.encrypted:
        yield _encrypted(member)
    if member.size == 0 or effort.opcodes <= 0:
        return
    try:
        head = read_member(reader, member, SNIFF_BYTES)
    except ReadError as error:
        if member.encrypted or member.method not in {STORED, DEFLATED}:
            yield _encrypted(member)
        else:
            yield _unreadable(error, member)
        return
    kind, first = _member_kind(reader, member, head, inspection, effort)
    if member.encrypted:
        yield _forged_encryption(member) if kind else _encrypted(member)
    if not kind:
        yield from _hidden_calls(reader, member, effort)
        return
    array = kind == "array"
    if not array or depth is Depth.FULL or member.allowance.may_check(member.size):
        yield from _checksum_issues(reader, member, whole=array or depth is Depth.FULL)
    if level >= _MOST_LEVELS:
        message = f"{member.name!r} is an archive within too many others; unpack it to have it judged"
        yield not_judged(message, member.header_offset)
        return
    try:
        yield from _content_issues(reader, member, kind, first, inspection, level, effort, modules)
    except ReadError as error:
        yield _unreadable(error, member)


def _member_kind(
    reader: FileReader, member: Member, head: bytes, inspection: Inspection, effort: Effort
) -> tuple[str, Outcome | None]:
    """Return what a member is judged as, and what its first stream does where it was interpreted for that.

    Returns:
        ``main`` for a checkpoint's own pickles, ``array``, ``file`` for an archive or a legacy checkpoint,
        ``pickle`` for any other pickle; empty for what is not judged.
    """
    if _main_stream(member, inspection) is not None:
        return "main", None
    if head.startswith(NUMPY_MAGIC):
        return "array", None
    if head.startswith(ZIP_MAGIC):
        return "file", None
    if member.name.lower().endswith(NESTED_MEMBER_SUFFIXES) and head.startswith(b"\x80"):
        return "file", None
    if is_pickle(head, member, effort):
        return "pickle", None
    first = long_stream(reader, member, head, effort, _dialect_of(inspection))
    return ("pickle" if first else ""), first


def _dialect_of(inspection: Inspection) -> Dialect:
    return Dialect.TORCHSCRIPT if inspection.kind == "torchscript" else Dialect.PYTHON


def _main_stream(member: Member, inspection: Inspection) -> Outcome | None:
    """Return the outcome of one of a checkpoint's own pickles, which was interpreted for its tensors."""
    if inspection.kind not in {"zip", "torchscript"} or inspection.directory is None:
        return None
    for name, stream in zip(("data.pkl", "constants.pkl"), inspection.streams, strict=False):
        if inspection.directory.find(inspection.root + name) is member:
            return stream
    return None


def is_pickle(head: bytes, member: Member, effort: Effort) -> bool:
    """Return whether a member is a pickle, by its name or by what its first bytes do."""
    if member.name.lower().endswith(PICKLED_MEMBER_SUFFIXES):
        return True
    if _NO_PICKLE.fullmatch(head):
        return False
    if head.isdigit():  # no digit is an opcode that could begin a stream
        return next(embedded.find_hidden(head, whole=False, effort=effort), None) is not None
    outcome = _sniffed(head, member, effort)
    if head[:1] == b"\x80" and outcome.protocol is not None and len(head) == SNIFF_BYTES:
        return True  # a long one, cut by the sniff
    return (
        outcome.convinces(at_start=True)
        or next(embedded.find_hidden(head, whole=False, effort=effort), None) is not None
    )


def _sniffed(head: bytes, member: Member, effort: Effort) -> Outcome:
    """Interpret a member's first bytes."""
    reader = BytesReader(head, allowance=member.allowance)
    outcome = Machine(reader, 0, len(head), limits=_SNIFF_LIMITS).run()
    effort.opcodes -= outcome.end
    return outcome


def long_stream(
    reader: FileReader, member: Member, head: bytes, effort: Effort, dialect: Dialect = Dialect.PYTHON
) -> Outcome | None:
    """Return what a member whose first bytes are opcodes without a protocol does, if it goes on as a pickle.

    However long that is: what is longer than is judged may be one.

    Args:
        reader: The archive.
        member: The member.
        head: Its first `SNIFF_BYTES` bytes.
        effort: What may still be interpreted.
        dialect: Who wrote it.
    """
    if member.size <= SNIFF_BYTES or not _sniffed(head, member, effort).cut_short:
        return None
    most = min(embedded.MOST_OPCODES, effort.opcodes)
    if most <= 0:
        return None
    file = open_member(reader, member, whole=False)
    outcome = Machine(file, 0, file.size, dialect=dialect, limits=Limits(structure=most)).run()
    effort.opcodes -= outcome.opcode_bytes
    unfinished = any(issue.code == NOT_JUDGED for issue in outcome.issues)
    return outcome if unfinished or outcome.convinces(at_start=True) or outcome.names_code else None


def _hidden_calls(reader: FileReader, member: Member, effort: Effort) -> Iterator[Issue]:
    """Yield what pickles do that lie anywhere in a member which is none itself, as far as they call code."""
    try:
        file = open_member(reader, member, whole=False)
        length = min(file.size, effort.members)
        effort.members -= length
        for issue in embedded.calls_within(file, length, effort):
            yield issue.within(member.name, data_offset(reader, member))
        if length < file.size:
            message = f"of {member.name!r} the first {length} of {file.size} bytes were judged; unpack it"
            yield not_judged(message, member.header_offset)
    except ReadError as error:
        yield _unreadable(error, member)


def _content_issues(  # noqa: PLR0917  # private, and each of them is needed
    reader: FileReader,
    member: Member,
    kind: str,
    first: Outcome | None,
    inspection: Inspection,
    level: int,
    effort: Effort,
    modules: set[str],
) -> Iterator[Issue]:
    """Yield the issues of a member's content, by its `_member_kind`; add what it imports to `modules`.

    Raises:
        ReadError: The member cannot be read.
    """
    start = data_offset(reader, member)
    file = open_member(reader, member, whole=kind != "array" and first is None)
    dialect = _dialect_of(inspection)
    if kind == "main":
        # It was interpreted for the tensors; what hides in its strings is still to be found.
        stream = _main_stream(member, inspection)
        assert stream is not None  # noqa: S101  # as its kind says
        stored = member.method == STORED
        source = reader if stored else file
        for issue in embedded.search(stream, source, code=dialect is Dialect.PYTHON, effort=effort):
            yield issue if stored else issue.within(member.name, start)
        return
    limits = Limits(structure=min(embedded.MOST_OPCODES, effort.opcodes))
    if kind in {"file", "array"}:
        inner = inspect(file, limits)
        effort.opcodes -= sum(stream.opcode_bytes for stream in inner.streams)
        modules |= _modules_of(member, inspection, inner.streams)
        issues = tuple(issues_of(file, inner, Depth.HEADER, level + 1, effort))
    else:
        from modelshelf_pytorch.pickle.audit import audit  # few archives have a pickle besides their own

        result = audit(file, dialect=dialect, effort=effort, limits=limits, first=first)
        effort.opcodes -= sum(stream.opcode_bytes for stream in result.streams)
        modules |= _modules_of(member, inspection, result.streams)
        issues = result.issues
    for issue in issues:
        if member.method == STORED and issue.offset is not None:
            yield evolve(issue, message=f"in {member.name}: {issue.message}", offset=start + issue.offset)
        else:
            yield issue.within(member.name, start)


def _modules_of(member: Member, inspection: Inspection, streams: Iterable[Outcome]) -> set[str]:
    """Return the modules that a member's pickles name, and the package that torch.package finds it in."""
    folder = member.name.removeprefix(inspection.root).rpartition("/")[0].replace("/", ".")
    return {folder, *(use.module for stream in streams for use in stream.globals)}


def _checksum_issues(reader: FileReader, member: Member, *, whole: bool) -> Iterator[Issue]:
    """Yield the issue of a CRC-32 that is there and wrong; torch.save writes 0 where it computes none.

    Args:
        reader: The archive.
        member: The member.
        whole: Whether a deflated one is inflated for it that nobody else inflates whole.

    Raises:
        ReadError: The member cannot be read.
    """
    if not member.crc or (member.method == DEFLATED and not whole and member.size > inflation_limit(member)):
        return
    try:
        crc = checksum(reader, member)
    except ReadError as error:
        yield _unreadable(error, member)
        return
    if crc != member.crc:
        message = (
            f"the checksum of {member.name!r} is wrong: damaged, or made so that scanners give up; torch "
            "would load it all the same"
        )
        yield dangerous("crc-mismatch", message, member.header_offset)


def _encrypted(member: Member) -> Issue:
    message = f"the member {member.name!r} is encrypted or packed in an unknown way; unpack it and scan that"
    return unreadable("archive-encrypted", message, member.header_offset)


def _forged_encryption(member: Member) -> Issue:
    message = f"the member {member.name!r} claims to be encrypted and is not: scanners give up there"
    return dangerous("zip-odd-flags", message, member.header_offset)


def _unreadable(error: ReadError, member: Member) -> Issue:
    return issue_of(error, member.header_offset)
