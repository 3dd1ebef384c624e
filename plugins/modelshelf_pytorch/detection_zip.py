"""Which of this plugin's formats a ZIP is: by its members' names, and by the pickles among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Candidate, Detection
from modelshelf_pytorch.containers.issues import (
    NESTED_MEMBER_SUFFIXES,
    PICKLED_MEMBER_SUFFIXES,
    SNIFF_BYTES,
    is_pickle,
    long_stream,
)
from modelshelf_pytorch.pickle.embedded import Effort, tail_issues
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.signatures import (
    ARCHIVE_SUFFIXES,
    CHECKPOINT_SUFFIXES,
    PICKLE_SUFFIXES,
    SUFFIX_FORMATS,
    ZIP_MAGIC,
)
from modelshelf_pytorch.zip.read import read_directory, read_member

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

_MOST_SNIFFED = 64  # members of a foreign ZIP that are looked into
_MOST_LEVELS = 3  # archives within archives that are looked into for a pickle
_LARGEST_INNER = 4 * 1024 * 1024  # bytes of each


def detect_by_members(candidate: Candidate) -> Detection | None:
    """Detect a ZIP by the names of its members, or by its suffix where its directory cannot be read."""
    try:
        directory = read_directory(candidate.reader)
    except ReadError:
        archive = candidate.suffix in ARCHIVE_SUFFIXES
        name = "archive" if archive else SUFFIX_FORMATS.get(candidate.suffix, ("", 0.0))[0]
        evidence = "a ZIP whose directory cannot be read"
        return Detection(format=name, confidence=0.6, evidence=evidence) if name else None
    names = [name.lower() for name in directory.names]
    if any(name.endswith("data.pkl") for name in names):
        # In no folder no release of torch looks for it.
        name, where = ("archive", "in no folder") if "data.pkl" in names else ("pytorch", "in a folder")
        return Detection(format=name, confidence=0.95, evidence=f"a ZIP with a member data.pkl {where}")
    if all(name.endswith(".npy") for name in names):
        return Detection(format="numpy", confidence=0.9, evidence="a ZIP of .npy members")
    if candidate.suffix in CHECKPOINT_SUFFIXES or candidate.suffix == ".bin":
        return Detection(format="pytorch", confidence=0.6, evidence="a ZIP under a checkpoint's name")
    return _detect_foreign(candidate, directory)


def detect_behind_bytes(candidate: Candidate) -> Detection | None:
    """Detect a ZIP behind other bytes, which Python's zipfile opens all the same, if it holds a pickle."""
    reader = candidate.reader
    try:
        directory = read_directory(reader)
    except ReadError as error:
        shows_pickle = error.code != "truncated" and tail_issues(reader, 0, reader.size, broken=True)
        evidence = "bytes that show a pickle before the end record of a ZIP"
        return Detection(format="archive", confidence=0.3, evidence=evidence) if shows_pickle else None
    return _detect_foreign(candidate, directory)


def _detect_foreign(candidate: Candidate, directory: Directory) -> Detection | None:
    """Detect a ZIP under a foreign name: one with a pickle in it, or a closed one under an archive's name."""
    named = next((name for name in directory.names if name.lower().endswith(PICKLED_MEMBER_SUFFIXES)), None)
    if named is not None:
        return Detection(format="archive", confidence=0.7, evidence=f"a ZIP with a member {named!r}")
    effort = Effort()
    for member in directory.members[:_MOST_SNIFFED]:
        if _contains_pickle(candidate.reader, member, effort):
            evidence = f"a ZIP whose member {member.name!r} is a pickle"
            return Detection(format="archive", confidence=0.7, evidence=evidence)
    if candidate.suffix in PICKLE_SUFFIXES:
        return Detection(format="archive", confidence=0.6, evidence="a ZIP under a pickle's name")
    if any(member.encrypted for member in directory.members) and candidate.suffix in ARCHIVE_SUFFIXES:
        return Detection(format="archive", confidence=0.6, evidence="an encrypted ZIP archive")
    return None


def _contains_pickle(reader: FileReader, member: Member, effort: Effort, level: int = 0) -> bool:
    """Return whether a member is a pickle, or an archive that has one among its members."""
    if member.name.lower().endswith(PICKLED_MEMBER_SUFFIXES):
        return True
    try:
        head = read_member(reader, member, SNIFF_BYTES)
        if member.size == 0:
            return False
        if head.startswith(ZIP_MAGIC) and level < _MOST_LEVELS and member.size <= _LARGEST_INNER:
            inner = BytesReader(read_member(reader, member, _LARGEST_INNER), allowance=member.allowance)
            members = read_directory(inner).members[:_MOST_SNIFFED]
            return any(_contains_pickle(inner, within, effort, level + 1) for within in members)
        return (
            is_pickle(head, member, effort)
            or long_stream(reader, member, head, effort) is not None
            or effort.spent
            or member.allowance.steps <= 0
        )
    except ReadError:
        return member.name.lower().endswith(NESTED_MEMBER_SUFFIXES)
