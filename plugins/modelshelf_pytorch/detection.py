"""Which of this plugin's formats a file is: by its first bytes, its members' names and, last, its suffix.

Every file that a scan examines is looked at here, whatever its format, so that what only a pickle or a ZIP
needs is imported when one is found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Candidate, Detection
from modelshelf.model.piece import piece_of
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.signatures import (
    ARCHIVE_SUFFIXES,
    CHECKPOINT_SUFFIXES,
    LEGACY_MAGIC_NUMBER,
    NUMPY_MAGIC,
    PICKLE_SUFFIXES,
    SUFFIX_FORMATS,
    closed_container,
    failed_download,
    is_compressed,
    is_mobile,
    is_text,
    is_zip,
    is_zlib,
    names_nothing,
    other_program,
)

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Outcome

_LOADED_SUFFIXES = CHECKPOINT_SUFFIXES | PICKLE_SUFFIXES | {".npy", ".npz"}
_MOST_OPCODES = 256 * 1024  # bytes of what may be a pickle under a foreign name
_ANYBODYS = frozenset({".bin", ".ckpt"})  # suffixes of many programs
_PACKAGE_FOLDERS = ("/site-packages", "/dist-packages")
_STARTS_PYTHON = re.compile(rb"import[ \t]|[Cc]:[\\/]")
_BEGINS_AS_PICKLE = re.compile(rb"\(*c[A-Za-z_][\w.]*\n")  # of protocol 0: it names a module
_CHECKPOINT_NAME = re.compile(
    r"(?i)(?:(?:diffusion_)?pytorch_model.*\.bin|adapter_model\.bin|consolidated.*\.pth)$"
)


def detect(candidate: Candidate) -> Detection | None:
    """Return this plugin's vote on a candidate, or None."""
    head, suffix = candidate.head, candidate.suffix
    if is_zip(head, suffix):
        return _detect_zip(candidate)
    if is_mobile(head):
        return Detection(format="pytorch", confidence=0.9, evidence="magic bytes 'PTMF' of PyTorch mobile")
    if head.startswith(NUMPY_MAGIC):
        return _detect_numpy(suffix)
    container = closed_container(head)
    if container is not None:
        return _detect_container(candidate, container)
    if head[:1] == b"\x80" and b"\0" <= head[1:2] <= b"\x05":
        return _detect_pickle(candidate)
    return _detect_compressed(candidate) if is_compressed(head) else _detect_by_suffix(candidate)


def _detect_numpy(suffix: str) -> Detection | None:
    if suffix == ".eqx":  # Equinox writes many behind each other, and reads no objects from them
        return None
    return Detection(format="numpy", confidence=0.9, evidence="magic bytes 93 'NUMPY'")


def _detect_container(candidate: Candidate, container: str) -> Detection | None:
    """Detect a container that stays closed: under a loader's suffix, or where a pickle shows in it.

    Under an archive's own suffix any other is an ordinary archive, which is no model.
    """
    if candidate.suffix in SUFFIX_FORMATS:
        evidence = f"a {container} archive under a model's name"
        return Detection(format="archive", confidence=0.6, evidence=evidence)
    if candidate.suffix not in ARCHIVE_SUFFIXES:
        return None
    from modelshelf_pytorch.pickle.embedded import tail_issues
    from modelshelf_pytorch.verdict import Verdict

    shown = tail_issues(candidate.reader, 0, candidate.size, broken=True)
    if any(issue.verdict is Verdict.DANGEROUS for issue in shown):
        evidence = f"a {container} archive in which a pickle shows"
        return Detection(format="archive", confidence=0.6, evidence=evidence)
    evidence = f"an ordinary {container} archive, which no model loader opens"
    return Detection(format="archive", confidence=0, evidence=evidence)


def _detect_zip(candidate: Candidate) -> Detection | None:
    """Detect a ZIP: torch's own by the name of its first member, which is among the first bytes."""
    is_part = candidate.suffix == ".distcp" or piece_of(candidate.reader.name) is not None
    if is_part and not _is_one_zip(candidate.reader):
        return None
    name_length = int.from_bytes(candidate.head[26:28], "little")
    if candidate.head[30 : 30 + name_length].endswith((b"/data.pkl", b"/.format_version")):
        evidence = "a ZIP whose first member is a checkpoint's"
        return Detection(format="pytorch", confidence=0.95, evidence=evidence)
    from modelshelf_pytorch.detection_zip import detect_by_members

    return detect_by_members(candidate)


def _is_one_zip(reader: FileReader) -> bool:
    """Return whether a ZIP is one: torch.distributed.checkpoint writes many behind each other.

    Nor is one that was cut into pieces, of which none has both a beginning and an end.
    """
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
    from modelshelf_pytorch.containers.compressed import inflate_head, inflates

    if candidate.suffix in _ANYBODYS and is_zlib(candidate.head) and not inflates(candidate.head):
        return _detect_by_suffix(candidate)  # two bytes that other data has by chance
    if candidate.suffix in SUFFIX_FORMATS:
        evidence = "compressed data under a model's name"
        return Detection(format="pickle", confidence=0.5, evidence=evidence)
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
    other = _other_than_ours(candidate, outcome)
    if other is not None:
        return Detection(format=name, confidence=0, evidence=other)
    return Detection(format=name, confidence=confidence, evidence=f"the suffix {suffix} alone")


def _other_than_ours(candidate: Candidate, outcome: Outcome) -> str | None:
    """Return what a file is whose suffix others use too and that did not begin as what is read here, or None.

    It may be anybody's, so it is neither a model nor damaged. What a failed download left is ours: it should
    have begun so. So is what bears a name that checkpoints alone bear.
    """
    suffix, head = candidate.suffix, candidate.head
    shared = suffix in CHECKPOINT_SUFFIXES or suffix == ".bin"
    if suffix == ".pth" and _is_path_configuration(candidate):
        return "paths and lines of code for Python's start, as .pth files of installed packages are"
    if not shared or not head or failed_download(head) is not None or _is_checkpoints_name(candidate):
        return None
    if outcome.cut_short and candidate.size > len(head):
        outcome = _interpret_more(candidate)
    if outcome.globals or outcome.protocol is not None or outcome.stopped or _BEGINS_AS_PICKLE.match(head):
        return None
    if any(issue.code == NOT_JUDGED for issue in outcome.issues):
        return None
    if is_text(head):
        return f"a text, and not the checkpoint that the suffix {suffix} suggests"
    return "data of another program: no checkpoint begins so" if suffix in _ANYBODYS else None


def _is_path_configuration(candidate: Candidate) -> bool:
    """Return whether a file is surely Python's path configuration, though it reads as opcodes of a pickle.

    `i` would name a module "mport …" for want of a mark, and `c` one ":…", which no import finds.
    """
    if not candidate.head:
        return candidate.artifact.folder.endswith(_PACKAGE_FOLDERS)
    return _STARTS_PYTHON.match(candidate.head) is not None


def _is_checkpoints_name(candidate: Candidate) -> bool:
    """Return whether a file is named as checkpoints alone are, or is a shard that an index names."""
    artifact = candidate.artifact
    name = candidate.reader.name.rpartition("/")[2]
    return artifact.index is not None or bool(artifact.missing) or _CHECKPOINT_NAME.match(name) is not None


def _interpret_more(candidate: Candidate) -> Outcome:
    """Interpret a file as a pickle beyond its first bytes, which break off before its STOP."""
    from modelshelf_pytorch.pickle.machine import Machine
    from modelshelf_pytorch.pickle.outcome import Limits

    return Machine(candidate.reader, 0, candidate.size, limits=Limits(structure=_MOST_OPCODES)).run()


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
        outcome = _interpret_more(candidate)
        attack = outcome.convinces(at_start=False) or outcome.names_code
    if not attack:
        return None
    evidence = "its first opcodes are a pickle's that reaches for code"
    return Detection(format="pickle", confidence=0.5, evidence=evidence)


def is_misnamed(name: str, format: str) -> bool:
    """Return whether a file of a format with an ending of its own has one that loaders take for a pickle's.

    Other formats may well call their files ``.bin`` or ``.pt`` themselves.
    """
    suffix = name[name.rfind(".") :].lower() if "." in name else ""
    return format in {"gguf", "safetensors"} and suffix in {*_LOADED_SUFFIXES, ".bin"}
