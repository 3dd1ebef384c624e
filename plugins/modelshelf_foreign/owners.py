"""Whose a file is that is no model: a program's beside it, Python's, a device's, or anybody's archive.

It is neither listed nor a problem. Nothing here makes a file healthy, and a format's vote goes before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf_foreign.neighbours import is_beside
from modelshelf_foreign.tfjs import shards

if TYPE_CHECKING:
    from modelshelf.model import Candidate

_SHARED_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".jit", ".ptl", ".pt2"})
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")
_LONGEST_LETTER = 4  # bytes of UTF-8
_LEAST_PLAIN = 0.75  # part of a text that is ASCII, where it is not UTF-8
_ARCHIVE_SUFFIXES = frozenset({".7z", ".rar", ".tar", ".zip"})
_ARCHIVES = (
    (0, b"7z\xbc\xaf'\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"PK\x05\x06", "ZIP"),
)
_DESCRIPTIONS = (
    (".param", "weights of the ncnn model"),
    (".param.bin", "weights of the ncnn model"),
    (".xml", "data"),
)
_METAL = "weights for Metal of gpt-oss, which its own program reads"
_MAGIC = (
    (b"\x7fELF", "a program of Linux"),
    (b"MZ", "a program of Windows"),
    (b"\xca\xfe\xba\xbe", "a program of macOS or Java"),
    (b"\xcf\xfa\xed\xfe", "a program of macOS"),
    ((793712314).to_bytes(4, "little"), "vectors of fastText"),
    (b"GPT-OSS", _METAL),
)


def owner_of(candidate: Candidate) -> str | None:
    """Return in words whose a file is that is no model, or None where nothing says so."""
    head, suffix = candidate.head, candidate.suffix
    if suffix in _ARCHIVE_SUFFIXES:
        kinds = (kind for offset, magic, kind in _ARCHIVES if head[offset : offset + len(magic)] == magic)
        kind = next(kinds, None)
        return None if kind is None else f"an ordinary {kind} archive, which no model loader opens"
    beside = _beside(candidate)
    if beside is not None or suffix not in _SHARED_SUFFIXES:
        return beside
    by_magic = next((owner for magic, owner in _MAGIC if head.startswith(magic)), None)
    if by_magic is not None:
        return by_magic
    if _is_text(head):
        if suffix == ".pth":
            return "lists paths or imports for Python's start, as .pth files of installed packages do"
        return f"a text, not the model that its suffix {suffix} suggests"
    return "another program's data: no model begins so" if suffix in {".bin", ".ckpt"} else None


def _beside(candidate: Candidate) -> str | None:
    """Return what a file belongs to by its place and the names beside it, or None."""
    folder, name = candidate.artifact.folder, candidate.artifact.weights[0].name
    parts = folder.replace("\\", "/").lower().split("/")
    if any(part.endswith((".mlpackage", ".mlmodelc")) for part in parts):
        return "a part of a Core ML package"
    files = shards(folder, name)
    if files:
        return f"weights of the TensorFlow.js model that begins with {files[0]}"
    if candidate.suffix not in _SHARED_SUFFIXES:
        return None
    stem = name.rpartition(".")[0]
    for ending, what in _DESCRIPTIONS:
        if stem and is_beside(folder, f"{stem}{ending}"):
            return f"{what} that {stem}{ending} beside it describes"
    return _METAL if parts[-1] == "metal" and name == "model.bin" else _by_place(parts)


def _by_place(parts: list[str]) -> str | None:
    if parts[-1] == "voices":
        return "a voice beside the model that speaks with it"
    return "firmware of a device" if "firmware" in parts else None


def _is_text(head: bytes) -> bool:
    """Return whether a file's first bytes are text: UTF-8, or mostly ASCII with letters of another code."""
    if not head or not _CONTROLS.isdisjoint(head):
        return False
    letters = head.decode("utf-8", "ignore").encode()  # without what is not UTF-8, a cut last letter for one
    plain = sum(byte < 0x7F for byte in head)  # noqa: PLR2004 - the last of ASCII is a control character
    return len(letters) > len(head) - _LONGEST_LETTER or plain >= _LEAST_PLAIN * len(head)
