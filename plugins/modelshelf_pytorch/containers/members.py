"""The members of a ZIP besides its storages: whichever holds a pickle is audited, whatever it is called."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import ReadError
from modelshelf.model import Depth
from modelshelf_pytorch.containers.checkpoint import record_issues, unpacked
from modelshelf_pytorch.containers.inspection import NUMPY_MAGIC, Inspection, inspect
from modelshelf_pytorch.pickle import embedded
from modelshelf_pytorch.pickle.embedded import OPCODES
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Limits
from modelshelf_pytorch.pickle.symbols import Blob
from modelshelf_pytorch.readers import BytesFile, Part
from modelshelf_pytorch.verdict import Issue, Verdict, dangerous, unreadable
from modelshelf_pytorch.zip import check as zipcheck
from modelshelf_pytorch.zip import read as zipread
from modelshelf_pytorch.zip.directory import ENCRYPTION

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Outcome
    from modelshelf_pytorch.zip.directory import Member

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".debug_pkl", ".p")
NESTED_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".zip", ".npz", ".pt2")
SNIFFED = 4096
"""Bytes of a member that tell whether it is a pickle."""

_LONG = 1024 * 1024  # bytes of one that are looked at to tell whether a pickle without a protocol goes on
_PIECE = 4 * 1024 * 1024
_SNIFF_LIMITS = Limits(structure=SNIFFED, objects=SNIFFED, depth=SNIFFED)
_FLOOR, _RATIO = 512 * 1024, 16  # bytes of opcodes in any archive, and for each byte of it
_DEEPEST = 3  # archives within archives
_PLAIN = re.compile(rb"[0-9]{1,8}\n?|little|big")  # the small records that torch.save writes


def examine(
    reader: FileReader, found: Inspection, depth: Depth, level: int, effort: embedded.Effort
) -> Iterator[Issue]:
    """Everything about an archive that reading its tensors' headers did not tell.

    Raises:
        ReadError: A record cannot be read.
    """
    directory = found.directory
    if directory is None:
        return
    yield from zipcheck.archive_issues(reader, directory)
    if found.kind in {"zip", "torchscript"}:
        yield from record_issues(reader, directory, found.root)
    stored = not any(method != zipread.STORED or flags & ENCRYPTION for flags, method, _ in directory.kinds)
    storages = found.storages
    places: Iterable[int] = range(len(directory.names))
    if stored and depth is not Depth.FULL and isinstance(storages, range):
        places = chain(range(storages.start), range(storages.stop, len(directory.names)))
    allowed = effort.opcodes
    effort.opcodes = min(allowed, _FLOOR + _RATIO * reader.size)
    code = False
    for place in places:
        if place in storages:
            if not stored:
                yield from _examine_storage(reader, directory.member(place))
            if depth is Depth.FULL:
                yield from _checksum(reader, directory.member(place))
            continue
        code = code or directory.names[place].startswith(f"{found.root}code/")
        yield from _examine_member(reader, directory.member(place), found, level, effort)
    if code:
        message = "a TorchScript archive: it carries the model's code, which runs when it is used"
        yield Issue(code="carries-code", verdict=Verdict.CLEAN, message=message)
    yield from _unjudged(effort, allowed)


def _unjudged(effort: embedded.Effort, allowed: int) -> Iterator[Issue]:
    """That an archive asked for more than it, or the one that it lies in, is allowed; told once."""
    if effort.opcodes <= 0 < allowed:
        message = "its members hold more pickles, for its size, than can be judged; unpack it and scan those"
        yield unreadable("too-much-to-judge", message)
    yield from effort.issues()


def _opcodes_of(stream: Outcome) -> int:
    """Bytes of a stream without its long strings."""
    long = sum(value.length for _, value in stream.loose_suspects if type(value) is Blob)
    return stream.end - stream.start - long


def _examine_member(
    reader: FileReader, member: Member, found: Inspection, level: int, effort: embedded.Effort
) -> Iterator[Issue]:
    if member.size == 0:
        if member.encrypted:
            yield _locked(member)
        return
    if effort.opcodes <= 0:
        return
    try:
        head = zipread.content(reader, member, SNIFFED)
    except ReadError as error:
        if member.encrypted or member.method not in {0, 8}:
            yield _locked(member)
        else:
            yield _unreadable(error, member)
        return
    main = found.kind in {"zip", "torchscript"} and member.name.casefold() in {
        f"{found.root}{name}".casefold() for name in ("data.pkl", "constants.pkl")
    }
    nested = not main and _nests(head, member)
    pickle = main or (
        not nested and (is_pickle(head, member.name, effort) or is_long_pickle(reader, member, head, effort))
    )
    if member.encrypted:
        yield _forged_lock(member) if pickle or nested else _locked(member)
    if not pickle and not nested:
        return
    yield from _checksum(reader, member)
    if level >= _DEEPEST:
        message = f"{member.name!r} is an archive within too many others; unpack it to have it judged"
        yield unreadable("nested-too-deep", message, member.header)
        return
    try:
        yield from _audit_member(reader, member, found, level, effort, pickle=pickle, main=main)
    except ReadError as error:
        yield _unreadable(error, member)


def _examine_storage(reader: FileReader, member: Member) -> Iterator[Issue]:
    """Weights that are not simply stored: torch inflates them; another packing or a lock it refuses."""
    if member.encrypted:
        yield _locked(member)
        return
    try:
        zipread.content(reader, member, SNIFFED)
    except ReadError as error:
        yield _unreadable(error, member)


def is_pickle(head: bytes, name: str, effort: embedded.Effort) -> bool:
    """Whether a member is a pickle, by its name or by what its first bytes do, as far as the effort goes."""
    if name.lower().endswith(PICKLE_SUFFIXES):
        return True
    if _PLAIN.fullmatch(head):
        return False
    if head.isdigit():  # no digit is an opcode that could begin a stream
        return next(embedded.hidden_in(head, whole=False, effort=effort), None) is not None
    outcome = Machine(BytesFile(head), 0, len(head), limits=_SNIFF_LIMITS).run()
    effort.opcodes -= outcome.end
    if head[:1] == b"\x80" and outcome.protocol is not None and len(head) == SNIFFED:
        return True  # a long one, cut by the sniff
    return (
        embedded.convincing(outcome, at_start=True)
        or next(embedded.hidden_in(head, whole=False, effort=effort), None) is not None
    )


def is_long_pickle(reader: FileReader, member: Member, head: bytes, effort: embedded.Effort) -> bool:
    """Whether a member whose first bytes are opcodes without a protocol goes on as a pickle does.

    Args:
        head: Its first `SNIFFED` bytes.
    """
    if member.size <= SNIFFED:
        return False
    outcome = Machine(BytesFile(head), 0, len(head), limits=_SNIFF_LIMITS).run()
    effort.opcodes -= outcome.end
    most = min(_LONG, effort.opcodes)
    if most <= 0 or not embedded.cut_short(outcome):
        return False
    try:
        more = zipread.content(reader, member, most)
    except ReadError:
        return False
    outcome = Machine(BytesFile(more), 0, len(more), limits=Limits(structure=_LONG)).run()
    effort.opcodes -= _opcodes_of(outcome)
    return embedded.convincing(outcome, at_start=True) or embedded.names_code(outcome)


def _nests(head: bytes, member: Member) -> bool:
    if head.startswith(b"PK\x03\x04"):
        return True
    return head.startswith(NUMPY_MAGIC) or (
        member.name.lower().endswith(NESTED_SUFFIXES) and head.startswith(b"\x80")
    )


def _audit_member(
    reader: FileReader,
    member: Member,
    found: Inspection,
    level: int,
    effort: embedded.Effort,
    *,
    pickle: bool,
    main: bool,
) -> Iterator[Issue]:
    from modelshelf_pytorch.health import issues_in

    script = found.kind == "torchscript"
    start = zipread.data_offset(reader, member)
    stored = member.method == 0
    inner = Part(reader, start, member.packed, reader.name) if stored else unpacked(reader, member)
    if not pickle:
        within = inspect(inner)
        effort.opcodes -= sum(map(_opcodes_of, within.streams))
        issues = tuple(issues_in(inner, within, Depth.HEADER, level + 1, effort))
    elif main:
        # Its streams were interpreted for the tensors; what hides in its strings is still to be found.
        stream = found.streams[0] if member.name.casefold().endswith("data.pkl") else found.streams[-1]
        source = reader if stored else inner
        for issue in embedded.search(stream, source, code=not script, effort=effort):
            yield issue if stored else issue.within(member.name, start)
        return
    else:
        from modelshelf_pytorch.pickle.audit import audit

        dialect = Dialect.TORCHSCRIPT if script else Dialect.PLAIN
        limits = Limits(structure=min(OPCODES, effort.opcodes))
        told = audit(inner, dialect=dialect, effort=effort, limits=limits)
        effort.opcodes -= sum(map(_opcodes_of, told.streams))
        issues = told.issues
    for issue in issues:
        if stored and issue.offset is not None:
            yield evolve(issue, message=f"in {member.name}: {issue.message}", offset=start + issue.offset)
        else:
            yield issue.within(member.name, start)


def _checksum(reader: FileReader, member: Member) -> Iterator[Issue]:
    """A CRC-32 that is there and wrong; torch.save leaves it 0 where checksums are switched off.

    Raises:
        ReadError: The member cannot be read.
    """
    if not member.crc:
        return
    told = 0
    if member.method == 0:
        start = zipread.data_offset(reader, member)
        for place in range(start, start + member.packed, _PIECE):
            told = zlib.crc32(reader.read(place, min(_PIECE, start + member.packed - place)), told)
    elif member.size <= zipread.inflatable(member):
        told = zlib.crc32(zipread.content(reader, member, zipread.inflatable(member)))
    else:
        return
    if told != member.crc:
        message = (
            f"the checksum of {member.name!r} is wrong: damaged, or made so that scanners give up; torch "
            "would load it all the same"
        )
        yield dangerous("crc-mismatch", message, member.header)


def _locked(member: Member) -> Issue:
    message = f"the member {member.name!r} is encrypted or packed in an unknown way; unpack it and scan that"
    return unreadable("archive-encrypted", message, member.header)


def _forged_lock(member: Member) -> Issue:
    message = f"the member {member.name!r} claims to be encrypted and is not: scanners give up there"
    return dangerous("zip-odd-flags", message, member.header)


def _unreadable(error: ReadError, member: Member) -> Issue:
    return unreadable(error.code, str(error), member.header)
