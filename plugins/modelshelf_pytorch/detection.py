"""Which of this plugin's formats a file is: by its first bytes, its members' names and, last, its suffix.

Every file that a scan examines is looked at here, whatever its format, so that what only a pickle or a ZIP
needs is imported when one is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Candidate, Detection
from modelshelf_pytorch.signatures import (
    ARCHIVE_SUFFIXES,
    CHECKPOINT_SUFFIXES,
    LEGACY_MAGIC_NUMBER,
    NUMPY_MAGIC,
    PICKLE_SUFFIXES,
    SUFFIX_FORMATS,
    closed_container,
    is_compressed,
    is_mobile,
    is_zip,
    names_nothing,
    other_program,
)

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Outcome

_LOADED_SUFFIXES = CHECKPOINT_SUFFIXES | PICKLE_SUFFIXES | {".npy", ".npz"}
_MOST_OPCODES = 256 * 1024  # bytes of what may be a pickle under a foreign name


def detect(candidate: Candidate) -> Detection | None:
    """Return this plugin's vote on a candidate, or None."""
    head, suffix = candidate.head, candidate.suffix
    if is_zip(head, suffix):
        return _detect_zip(candidate)
    if head.startswith(NUMPY_MAGIC):
        return Detection(format="numpy", confidence=0.9, evidence="magic bytes 93 'NUMPY'")
    if is_mobile(head):
        return Detection(format="pytorch", confidence=0.9, evidence="magic bytes 'PTMF' of PyTorch mobile")
    container = closed_container(head)
    if container is not None:
        ours = suffix in ARCHIVE_SUFFIXES or suffix in SUFFIX_FORMATS
        evidence = f"a {container} archive"
        return Detection(format="archive", confidence=0.6, evidence=evidence) if ours else None
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return _detect_pickle(candidate)
    return _detect_compressed(candidate) if is_compressed(head) else _detect_by_suffix(candidate)


def _detect_zip(candidate: Candidate) -> Detection | None:
    """Detect a ZIP: torch's own by the name of its first member, which is among the first bytes."""
    if candidate.suffix == ".distcp" and not _is_one_zip(candidate.reader):
        return None
    name_length = int.from_bytes(candidate.head[26:28], "little")
    if candidate.head[30 : 30 + name_length].endswith((b"/data.pkl", b"/.format_version")):
        evidence = "a ZIP whose first member is a checkpoint's"
        return Detection(format="pytorch", confidence=0.95, evidence=evidence)
    from modelshelf_pytorch.detection_zip import detect_by_members

    return detect_by_members(candidate)


def _is_one_zip(reader: FileReader) -> bool:
    """Return whether a ZIP is one: torch.distributed.checkpoint writes many behind each other."""
    from modelshelf_pytorch.zip.read import read_directory

    try:
        read_directory(reader)
    except ReadError:
        return False
    return True


def _interpret(data: bytes) -> Outcome:
    """Interpret a file's first bytes as a pickle."""
    from modelshelf_pytorch.pickle.machine import Machine
    from modelshelf_pytorch.readers import BytesReader

    return Machine(BytesReader(data), 0, len(data)).run()


def _is_malformed(outcome: Outcome) -> bool:
    return any(issue.code == "pickle-malformed" for issue in outcome.issues)


def _legacy_checkpoint() -> Detection:
    evidence = "the magic number of a legacy torch checkpoint"
    return Detection(format="pytorch", confidence=0.95, evidence=evidence)


def _detect_pickle(candidate: Candidate) -> Detection | None:
    """Detect a pickle with its PROTO opcode, or a legacy checkpoint: its first stream is the magic number."""
    if LEGACY_MAGIC_NUMBER.to_bytes(10, "little") in candidate.head[:32]:
        return _legacy_checkpoint()
    outcome = _interpret(candidate.head)
    expected = candidate.suffix in CHECKPOINT_SUFFIXES | PICKLE_SUFFIXES | {".bin"}
    malformed = _is_malformed(outcome)
    if not expected and malformed and not outcome.globals:
        return None
    return Detection(
        format="pickle",
        confidence=0.9 if expected or not malformed else 0.5,
        evidence="begins with a pickle's PROTO opcode",
    )


def _detect_compressed(candidate: Candidate) -> Detection | None:
    """Detect compressed data: under a suffix of ours, or under any if it inflates to a pickle's beginning."""
    if candidate.suffix in SUFFIX_FORMATS:
        evidence = "compressed data under a model's name"
        return Detection(format="pickle", confidence=0.5, evidence=evidence)
    from modelshelf_pytorch.containers.compressed import inflate_head

    outcome = _interpret(inflate_head(candidate.head))
    if not outcome.convinces(at_start=True) and (outcome.protocol is None or _is_malformed(outcome)):
        return None
    return Detection(format="pickle", confidence=0.5, evidence="compressed data that begins as a pickle does")


def _detect_by_suffix(candidate: Candidate) -> Detection | None:
    """Detect a file without magic bytes: a pickle of protocol 0 or 1, or a broken file that lost its own."""
    suffix, head = candidate.suffix, candidate.head
    if suffix not in SUFFIX_FORMATS:
        detection = None
        if suffix == ".zip":
            from modelshelf_pytorch.detection_zip import detect_behind_bytes

            detection = detect_behind_bytes(candidate)
        return detection or _detect_call(candidate)
    outcome = _interpret(head)
    if outcome.stopped and type(outcome.value) is int and outcome.value == LEGACY_MAGIC_NUMBER:
        return _legacy_checkpoint()
    if outcome.stopped or outcome.convinces(at_start=True):
        return Detection(format="pickle", confidence=0.5, evidence="its first opcodes are a pickle's")
    if suffix == ".bin" and other_program(candidate.reader.name, head) is not None:
        return None
    name, confidence = SUFFIX_FORMATS[suffix]
    return Detection(format=name, confidence=confidence, evidence=f"the suffix {suffix} alone")


def _detect_call(candidate: Candidate) -> Detection | None:
    """Detect a pickle without PROTO under a foreign name: it calls what it names, as no text happens to.

    Of one that is longer than what may be judged here it is enough that it names what runs code.
    """
    head = candidate.head
    if names_nothing(head):
        return None
    outcome = _interpret(head)
    attack = outcome.convinces(at_start=False)
    if not attack and len(head) < candidate.size and outcome.cut_short:
        from modelshelf_pytorch.pickle.machine import Machine
        from modelshelf_pytorch.pickle.outcome import Limits

        limits = Limits(structure=_MOST_OPCODES)
        outcome = Machine(candidate.reader, 0, candidate.size, limits=limits).run()
        attack = outcome.convinces(at_start=False) or outcome.names_code
    if not attack:
        return None
    evidence = "its first opcodes are a pickle's that reaches for code"
    return Detection(format="pickle", confidence=0.5, evidence=evidence)


def is_misnamed(name: str, format: str) -> bool:
    """Return whether a file of another format has an ending that loaders take for a pickle's.

    Many programs call their own files ``.bin``, but neither those that read GGUF nor those of safetensors.
    """
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return suffix in _LOADED_SUFFIXES or (suffix == ".bin" and format in {"gguf", "safetensors"})
