"""What a file is that is no GGUF file, or no longer one: so that its owner knows what to do."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, ReadError

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_LFS_POINTER = b"version https://git-lfs"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_SAMPLE = 64 * 1024


def not_gguf(file: FileReader) -> FormatError:
    """The reason why a file does not begin with the magic, as its first bytes tell it."""
    head = file.read_up_to(0, 64)
    code, reason = (
        "bad-magic",
        f"the file does not begin with 'GGUF' but with {head[:4]!r}; this is no GGUF file",
    )
    if head.startswith(_LFS_POINTER):
        code, reason = (
            "git-lfs-pointer",
            "a git-LFS pointer stands in place of the model; fetch it: git lfs pull",
        )
    elif head.startswith(b"FUGG"):
        reason = (
            "the magic stands reversed ('FUGG'): the bytes of the file were swapped; convert the model anew"
        )
    elif head and not head.strip(b"\0"):
        reason = "the file begins with zeros: a download reserved its space and never wrote it; repeat it"
    elif head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        reason = (
            "the file is a web page, perhaps an error message saved by a download; download the model again"
        )
    return FormatError(f"{file.name}: {reason}", code=code, file=file.name, offset=0)


def mangled_text(fault: ReadError, file: FileReader) -> FormatError | None:
    """The fault of a file that a text tool rewrote, or None when `fault` has some other cause.

    Such a tool decodes bytes as UTF-8 and writes EF BF BD for those that are not. A sound header is never
    wholly valid UTF-8 (its floating-point numbers are not), so a broken one that is, and that holds the
    replacement character before the fault, was mangled.
    """
    if not isinstance(fault, FormatError) and fault.code != "truncated":
        return None
    reached = _SAMPLE if fault.offset is None else fault.offset + len(_REPLACEMENT)
    sample = file.read_up_to(0, min(reached, _SAMPLE))
    if not is_mangled(sample):
        return None
    return FormatError(
        f"{file.name}: the file went through a text tool that replaced bytes by EF BF BD (first at offset "
        f"{sample.index(_REPLACEMENT)}); nothing can repair it, download it again in binary",
        code="mangled-as-text",
        file=file.name,
        offset=sample.index(_REPLACEMENT),
    )


def is_mangled(sample: bytes) -> bool:
    """Whether a sample of binary data is valid UTF-8 throughout and holds the replacement character."""
    if _REPLACEMENT not in sample:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True
