"""What a file is by its first bytes and suffix: containers that are read or stay closed, other files.

Sources: PKWARE APPNOTE 6.3.10, section 4.3.7 (ZIP); ``numpy/lib/format.py``; ``torch/serialization.py``;
``fasttext.h``; the other programs' own readers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

ZIP_MAGIC = b"PK\x03\x04"
"""The signature of a ZIP's local file header, with which most archives begin."""

NUMPY_MAGIC = b"\x93NUMPY"
"""The first bytes of a ``.npy`` file."""

LEGACY_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What the first pickle of a legacy checkpoint holds (``torch/serialization.py``)."""

LZMA_MAGIC = (b"\xfd7zXZ\x00", b"]\x00\x00")
"""First bytes of LZMA data: in its own container, and in the older one."""

CHECKPOINT_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pt2", ".jit", ".ptl"})
PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
ARCHIVE_SUFFIXES = frozenset({".7z", ".rar", ".tar", ".zip"})
SUFFIX_FORMATS = {
    **dict.fromkeys(CHECKPOINT_SUFFIXES, ("pytorch", 0.2)),
    **dict.fromkeys(PICKLE_SUFFIXES, ("pickle", 0.2)),
    ".npy": ("numpy", 0.2),
    ".npz": ("numpy", 0.2),
    ".bin": ("pytorch", 0.1),
}
"""The format of a suffix, and the confidence of a detection by nothing else."""

_CLOSED_CONTAINERS = (
    (0, b"7z\xbc\xaf'\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "RAR"),
    (257, b"ustar", "tar"),
    (0, b"\x04\x22M\x18", "LZ4"),
    (0, b"(\xb5/\xfd", "Zstandard"),
)
_STREAM_MAGIC = (b"\x1f\x8b\x08", b"BZh", *LZMA_MAGIC)
_END_MAGIC = b"PK\x05\x06"
_SHORT_END, _LONGEST_END = 4096, 22 + 0xFFFF  # bytes: what a look costs little, and the longest that there is
_ZLIB_MAGIC = (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")

_LFS_POINTER = b"version https://git-lfs"
_GGML = (b"lmgg", b"fmgg", b"tjgg", b"algg")  # ggml, ggmf, ggjt and ggla, each a number in little-endian
_FASTTEXT = (793712314).to_bytes(4, "little")  # fasttext.h, FASTTEXT_FILEFORMAT_MAGIC_INT32
_WORD2VEC = rb"[1-9][0-9]{0,9} [1-9][0-9]{0,4}\n"  # words and dimensions
_CTRANSLATE2 = rb"(?s)[\x01-\x20]\0\0\0.\0[A-Z][A-Za-z]+Spec\0"  # version, name of the kind
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\f\r\x1b")  # bytes that no text has
_LONGEST_LETTER = 4  # bytes of UTF-8
_LEAST_PLAIN = 0.75  # part of a text that is ASCII, where it is not UTF-8
_OPCODE_LENGTHS = {  # of the opcodes whose length is fixed, arguments included, and that name no global
    **dict.fromkeys(b"(012NQR)]abdelostu}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x94", 1),
    **dict.fromkeys(b"Khq", 2),
    **dict.fromkeys(b"M", 3),
    **dict.fromkeys(b"Jjr", 5),
    **dict.fromkeys(b"G", 9),
}
_LENGTHS_IN_STREAMS = {**_OPCODE_LENGTHS, ord("."): 1, 0x80: 2}  # where one may follow another
_FIRST_OPCODES = b"()]}BCFGIJKLMNPSTUVXc\x80\x82\x83\x84\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x95\x96"
_OTHER_OPCODES = frozenset(b"BCFILPSTUVXcgip\x80\x82\x83\x84\x8a\x8b\x8c\x8d\x8e\x93\x95\x96\x97\x98")


def is_zip(head: bytes, suffix: str) -> bool:
    """Return whether a file is a ZIP by its first bytes; one without members counts under ``.npz`` alone."""
    return head.startswith(ZIP_MAGIC) or (suffix == ".npz" and head.startswith(b"PK\x05\x06"))


def is_mobile(head: bytes) -> bool:
    """Return whether a file is a flatbuffer as PyTorch mobile writes it (``mobile_bytecode.fbs``)."""
    return head[4:8] == b"PTMF"


def closed_container(head: bytes) -> str | None:
    """Return the name of a container that is never looked into, by the file's first 512 bytes, or None."""
    for offset, magic, name in _CLOSED_CONTAINERS:
        if head[offset : offset + len(magic)] == magic:
            return name
    return None


def is_compressed(head: bytes) -> bool:
    """Return whether bytes begin as gzip, bzip2, LZMA or zlib data does (joblib and pandas compress so)."""
    return head.startswith((*_STREAM_MAGIC, *_ZLIB_MAGIC))


def is_zlib(head: bytes) -> bool:
    """Return whether bytes begin with the two of zlib data."""
    return head.startswith(_ZLIB_MAGIC)


def continues_compressed(head: bytes) -> bool:
    """Return whether a reader of gzip, bzip2 or LZMA data goes on with these bytes as its next stream."""
    return head.startswith(_STREAM_MAGIC)


def other_program(name: str, head: bytes) -> str | None:
    """Return the program whose sound model a ``.bin`` file is, by first bytes or name; None if unknown."""
    if head.startswith(_GGML):
        return "ggml"
    if head.startswith(_FASTTEXT):
        return "fastText"
    if re.match(_WORD2VEC, head):
        return "word2vec"
    if re.match(_CTRANSLATE2, head):
        return "CTranslate2"
    return "OpenVINO" if name.rpartition("/")[2].lower().startswith("openvino_") else None


def failed_download(head: bytes) -> tuple[str, str] | None:
    """Return a finding's code and message where the first bytes show that a download failed, or None."""
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


def is_text(head: bytes) -> bool:
    """Return whether a file's first bytes are text: UTF-8, or mostly ASCII with letters of another code."""
    if not head or not _CONTROLS.isdisjoint(head):
        return False
    letters = head.decode("utf-8", "ignore").encode()  # without what is not UTF-8, a cut last letter for one
    plain = sum(byte < 0x7F for byte in head)  # noqa: PLR2004 - the last of ASCII is a control character
    return len(letters) > len(head) - _LONGEST_LETTER or plain >= _LEAST_PLAIN * len(head)


_COMPANION_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".dill", ".ckpt", ".joblib", ".npy", ".npz")
_COMPANION = re.compile(
    r"(.+[-_.])?(training_args|optimizer(_[0-9]+)?|scheduler(_[0-9]+)?|sampler(_[0-9]+)?)\.bin|tokenizer\.model"
)


def may_be_pickled_companion(name: str) -> bool:
    """Return whether a file beside a model may be a pickle: optimizer, scheduler, random state, tokenizer."""
    base = name.rpartition("/")[2].lower()
    return base.endswith(_COMPANION_SUFFIXES) or bool(_COMPANION.fullmatch(base))


def may_be_archive_too(file: FileReader, format: str, *, anywhere: bool) -> bool:
    """Return whether a file of a format of its own may end as a ZIP does: a look at its last bytes.

    Args:
        file: The file.
        format: Its format; some others are ZIP archives themselves.
        anywhere: Whether to look as far as the longest comment lets the end record lie before the end.
    """
    if format not in {"gguf", "safetensors"}:
        return False
    span = min(file.size, _LONGEST_END if anywhere else _SHORT_END)
    return _END_MAGIC in file.read_up_to(file.size - span, span)


def names_nothing(head: bytes) -> bool:
    """Return whether a file's first bytes are surely no pickle that names a global.

    They are none if, read as opcodes of fixed length, they come to STOP or to a byte that is no opcode. Most
    files of other formats are ruled out so, without the interpreter, whose import takes longer than all else.
    """
    return _comes_to_an_end(head, _OPCODE_LENGTHS)


def is_no_pickle(head: bytes) -> bool:
    """Return whether a file's first bytes are surely no pickles, the first of which may name nothing.

    They are none too if the first opcode asks for a value, which no stream has at once, or if they are those
    of a ZIP: these ask for a persistent id first, which the loaders refuse.
    """
    if head.startswith(ZIP_MAGIC):
        return True
    return not head or head[0] not in _FIRST_OPCODES or _comes_to_an_end(head, _LENGTHS_IN_STREAMS)


def _comes_to_an_end(head: bytes, lengths: dict[int, int]) -> bool:
    index = 0
    while index < len(head):
        length = lengths.get(head[index])
        if length is None:
            return head[index] not in _OTHER_OPCODES
        index += length
    return False
