"""What a file under one of torch's names is that is neither a checkpoint nor a pickle."""

from __future__ import annotations

import re

_LFS_POINTER = b"version https://git-lfs"
_GGML = (b"lmgg", b"fmgg", b"tjgg", b"algg")  # ggml, ggmf, ggjt and ggla, each a number in little-endian
_FASTTEXT = (793712314).to_bytes(4, "little")  # fasttext.h, FASTTEXT_FILEFORMAT_MAGIC_INT32
_WORD2VEC = rb"[1-9][0-9]{0,9} [1-9][0-9]{0,4}\n"  # words and dimensions
_CTRANSLATE2 = rb"(?s)[\x01-\x20]\0\0\0.\0[A-Z][A-Za-z]+Spec\0"  # version, name of the kind


def owner_of(name: str, head: bytes) -> str | None:
    """The program whose sound model a ``.bin`` file is, by its first bytes or name; None where unknown."""
    if head.startswith(_GGML):
        return "ggml"
    if head.startswith(_FASTTEXT):
        return "fastText"
    if re.match(_WORD2VEC, head):
        return "word2vec"
    if re.match(_CTRANSLATE2, head):
        return "CTranslate2"
    return "OpenVINO" if name.rpartition("/")[2].lower().startswith("openvino_") else None


def mishap_of(head: bytes) -> tuple[str, str] | None:
    """A finding's code and what went wrong with a download, by the first bytes; None where nothing shows."""
    if head.startswith(_LFS_POINTER):
        return (
            "git-lfs-pointer",
            "a git-LFS pointer stands in place of the model; fetch it: git lfs pull",
        )
    if head and not head.strip(b"\0"):
        return (
            "not-a-checkpoint",
            "the file begins with zeros: a download reserved its space and never wrote it; repeat it",
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            "not-a-checkpoint",
            "the file is a web page, perhaps an error message saved by a download; download the model again",
        )
    return None
