"""Which of this plugin's formats a file is: by its first bytes, its members' names and, last, its suffix."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Candidate, Detection
from modelshelf_pytorch.containers.inspection import (
    MAGIC_NUMBER,
    NUMPY_MAGIC,
    container_of,
    is_compressed,
    is_zip,
)
from modelshelf_pytorch.containers.members import (
    NESTED_SUFFIXES,
    PICKLE_SUFFIXES,
    SNIFFED,
    is_long_pickle,
    is_pickle,
)
from modelshelf_pytorch.foreign import owner_of
from modelshelf_pytorch.pickle.embedded import Effort, convincing, cut_short, names_code
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Limits
from modelshelf_pytorch.readers import BytesFile
from modelshelf_pytorch.zip import read as zipread

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

_CHECKPOINTS = frozenset({".pt", ".pth", ".ckpt", ".pt2", ".jit", ".ptl"})
_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
_ARCHIVES = frozenset({".7z", ".rar", ".tar", ".zip"})
_BY_SUFFIX = {
    **dict.fromkeys(_CHECKPOINTS, ("pytorch", 0.2)),
    **dict.fromkeys(_PICKLES, ("pickle", 0.2)),
    ".npy": ("numpy", 0.2),
    ".npz": ("numpy", 0.2),
    ".bin": ("pytorch", 0.1),
}
_MOST_SNIFFED = 64  # members of a foreign ZIP that are looked into
_FOREIGN = Limits(structure=256 * 1024)  # of what may be a pickle under a foreign name
_DEEPEST = 3  # archives within archives that are looked into for a pickle
_LARGEST_INNER = 4 * 1024 * 1024  # bytes of each
_LEGACY = Detection(
    format="pytorch", confidence=0.95, evidence="the magic number of a legacy torch checkpoint"
)


def detect(candidate: Candidate) -> Detection | None:
    """The vote of this plugin on a candidate, or None."""
    head, suffix = candidate.head, candidate.suffix
    if is_zip(head, suffix):
        many = suffix == ".distcp" and not _is_one_zip(candidate.reader)
        return None if many else _detect_zip(candidate)
    if head.startswith(NUMPY_MAGIC):
        return Detection(format="numpy", confidence=0.9, evidence="magic bytes 93 'NUMPY'")
    container = container_of(head)
    if container is not None:
        ours = suffix in _ARCHIVES or suffix in _BY_SUFFIX
        return (
            Detection(format="archive", confidence=0.6, evidence=f"a {container} archive") if ours else None
        )
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return _detect_pickle(candidate)
    if is_compressed(head):
        return _detect_compressed(candidate)
    return _detect_by_suffix(candidate)


def _detect_pickle(candidate: Candidate) -> Detection | None:
    """A pickle with its PROTO opcode; a legacy checkpoint's magic number stands first in its first stream."""
    if MAGIC_NUMBER.to_bytes(10, "little") in candidate.head[:32]:
        return _LEGACY
    machine = Machine(BytesFile(candidate.head), 0, len(candidate.head))
    outcome = machine.run()
    known = candidate.suffix in _CHECKPOINTS | _PICKLES | {".bin"}
    malformed = any(issue.code == "pickle-malformed" for issue in outcome.issues)
    if not known and malformed and not outcome.globals:
        return None
    return Detection(
        format="pickle",
        confidence=0.9 if known or not malformed else 0.5,
        evidence="begins with a pickle's PROTO opcode",
    )


def _detect_compressed(candidate: Candidate) -> Detection | None:
    """Compressed data under one of our names, or under any name if what it inflates to begins as a pickle."""
    if candidate.suffix in _BY_SUFFIX:
        evidence = "compressed data under a model's name"
        return Detection(format="pickle", confidence=0.5, evidence=evidence)
    from modelshelf_pytorch.containers.compressed import head_of

    head = head_of(candidate.head)
    outcome = Machine(BytesFile(head), 0, len(head)).run()
    malformed = any(issue.code == "pickle-malformed" for issue in outcome.issues)
    if not convincing(outcome, at_start=True) and (outcome.protocol is None or malformed):
        return None
    return Detection(format="pickle", confidence=0.5, evidence="compressed data that begins as a pickle does")


def _detect_by_suffix(candidate: Candidate) -> Detection | None:
    """No magic bytes: a pickle of protocol 0 or 1 has none, a broken file has lost them."""
    suffix, head = candidate.suffix, candidate.head
    by_suffix = _BY_SUFFIX.get(suffix)
    if by_suffix is None:
        return (_detect_behind(candidate) if suffix == ".zip" else None) or _detect_call(candidate)
    outcome = Machine(BytesFile(head), 0, len(head)).run()
    if outcome.stopped and type(outcome.value) is int and outcome.value == MAGIC_NUMBER:
        return _LEGACY
    if outcome.stopped or convincing(outcome, at_start=True):
        return Detection(format="pickle", confidence=0.5, evidence="its first opcodes are a pickle's")
    if suffix == ".bin" and owner_of(candidate.reader.name, head) is not None:
        return None
    name, confidence = by_suffix
    return Detection(format=name, confidence=confidence, evidence=f"the suffix {suffix} alone")


def _detect_call(candidate: Candidate) -> Detection | None:
    """A pickle without PROTO under a foreign name: one that calls what it names, as no text happens to.

    Of one that is longer than what may be judged here it is enough that it names what runs code.
    """
    head = candidate.head
    outcome = Machine(BytesFile(head), 0, len(head)).run()
    attack = convincing(outcome, at_start=False)
    if not attack and len(head) < candidate.size and cut_short(outcome):
        outcome = Machine(candidate.reader, 0, candidate.size, limits=_FOREIGN).run()
        attack = convincing(outcome, at_start=False) or names_code(outcome)
    if not attack:
        return None
    evidence = "its first opcodes are a pickle's that reaches for code"
    return Detection(format="pickle", confidence=0.5, evidence=evidence)


def _detect_behind(candidate: Candidate) -> Detection | None:
    """A ZIP behind other bytes, which Python's zipfile opens all the same: ours if it holds a pickle."""
    reader = candidate.reader
    try:
        directory = zipread.read_directory(reader)
    except ReadError as error:
        from modelshelf_pytorch.pickle.tail import tail_issues

        shown = error.code != "truncated" and tail_issues(reader, 0, reader.size, broken=True)
        evidence = "bytes that show a pickle before the end record of a ZIP"
        return Detection(format="archive", confidence=0.3, evidence=evidence) if shown else None
    return _detect_foreign_zip(candidate, directory)


def _detect_zip(candidate: Candidate) -> Detection | None:
    if _first_name(candidate.head).endswith((b"/data.pkl", b"/.format_version")):
        evidence = "a ZIP whose first member is a checkpoint's"
        return Detection(format="pytorch", confidence=0.95, evidence=evidence)
    try:
        directory = zipread.read_directory(candidate.reader)
    except ReadError:
        name = "archive" if candidate.suffix in _ARCHIVES else _BY_SUFFIX.get(candidate.suffix, ("", 0.0))[0]
        evidence = "a ZIP whose directory cannot be read"
        return Detection(format=name, confidence=0.6, evidence=evidence) if name else None
    names = [name.lower() for name in directory.names]
    if any(name.endswith("data.pkl") for name in names):
        # In no folder no release of torch looks for it.
        name, where = ("archive", "in no folder") if "data.pkl" in names else ("pytorch", "in a folder")
        return Detection(format=name, confidence=0.95, evidence=f"a ZIP with a member data.pkl {where}")
    if all(name.endswith(".npy") for name in names):
        return Detection(format="numpy", confidence=0.9, evidence="a ZIP of .npy members")
    if candidate.suffix in _CHECKPOINTS or candidate.suffix == ".bin":
        return Detection(format="pytorch", confidence=0.6, evidence="a ZIP under a checkpoint's name")
    return _detect_foreign_zip(candidate, directory)


def _is_one_zip(reader: FileReader) -> bool:
    """Whether a ZIP is one: torch.distributed.checkpoint puts many behind each other."""
    try:
        zipread.read_directory(reader)
    except ReadError:
        return False
    return True


def _detect_foreign_zip(candidate: Candidate, directory: Directory) -> Detection | None:
    """A ZIP under a foreign name: ours if it holds a pickle, or stays closed under an archive's name."""
    named = next((name for name in directory.names if name.lower().endswith(PICKLE_SUFFIXES)), None)
    if named is not None:
        evidence = f"a ZIP with a member {named!r}"
        return Detection(format="archive", confidence=0.7, evidence=evidence)
    effort = Effort()
    for member in directory.members[:_MOST_SNIFFED]:
        if _holds_pickle(candidate.reader, member, effort):
            return Detection(
                format="archive", confidence=0.7, evidence=f"a ZIP whose member {member.name!r} is a pickle"
            )
    if candidate.suffix in _PICKLES:
        return Detection(format="archive", confidence=0.6, evidence="a ZIP under a pickle's name")
    if any(member.encrypted for member in directory.members) and candidate.suffix in _ARCHIVES:
        return Detection(format="archive", confidence=0.6, evidence="an encrypted ZIP archive")
    return None


def _holds_pickle(reader: FileReader, member: Member, effort: Effort, level: int = 0) -> bool:
    if member.name.lower().endswith(PICKLE_SUFFIXES):
        return True
    try:
        head = zipread.content(reader, member, SNIFFED)
        if member.size == 0:
            return False
        if head.startswith(b"PK\x03\x04") and level < _DEEPEST and member.size <= _LARGEST_INNER:
            inner = BytesFile(zipread.content(reader, member, _LARGEST_INNER))
            within = zipread.read_directory(inner).members[:_MOST_SNIFFED]
            return any(_holds_pickle(inner, one, effort, level + 1) for one in within)
        return (
            is_pickle(head, member.name, effort)
            or is_long_pickle(reader, member, head, effort)
            or effort.spent
        )
    except ReadError:
        return member.name.lower().endswith(NESTED_SUFFIXES)


def _first_name(head: bytes) -> bytes:
    if len(head) < 30:  # noqa: PLR2004  # bytes of a local header
        return b""
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length]
