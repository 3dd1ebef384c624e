"""Bytes to `Header`: one pass forwards, bounded in time and memory whatever the file claims.

Source of the layout: the GGUF specification (ggml `docs/gguf.md`, "File Structure"). The rules beyond it are
those of llama.cpp's reader (`ggml/src/gguf.cpp`): what it refuses is a fault here too, save version 1.
"""

from __future__ import annotations

import codecs
from struct import Struct
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, ReadError
from modelshelf_gguf.header import Field, Header
from modelshelf_gguf.key_values import FieldTable
from modelshelf_gguf.layout import DEFAULT_ALIGNMENT, MAGIC, NEWEST_VERSION, ValueType, layout_of
from modelshelf_gguf.parse_state import MOST_FIELDS, MOST_TENSORS, Cursor, Reading
from modelshelf_gguf.tensor_table import TensorTable

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_gguf.vocabulary_cache import Recall, VocabularyMemo


ALIGNMENT = "general.alignment"

_U32 = Struct("<I")

_U32_SWAPPED = Struct(">I")


def parse_headers(
    artifact: Artifact, reader: ArtifactReader, memo: VocabularyMemo | None = None
) -> tuple[Header, ...]:
    """The header of every weight file, in shard order. A file's fault stands in its header, not raised.

    Args:
        artifact: The files.
        reader: Their reader.
        memo: As in `parse_header`.
    """
    headers = []
    for one in artifact.weights:
        try:
            file = reader.file(one.name)
        except ReadError as fault:
            headers.append(Header(file=one.name, file_size=one.size, fields={}, fault=fault))
        else:
            headers.append(parse_header(file, memo))
    return tuple(headers)


def parse_header(file: FileReader, memo: VocabularyMemo | None = None) -> Header:
    """Read one file's header. What stops the reading becomes the header's `fault`; nothing is raised.

    Args:
        file: The file.
        memo: Vocabularies that may be jumped over, and that new ones are added to; None walks all of them.
    """
    if memo is None:
        return _read(file)
    recall = memo.recall()
    header = _read(file, recall)
    fills = header.fills_file
    if recall.guesses and not fills:
        recall = memo.recall_after_refuted()
        header = _read(file, recall)
        fills = header.fills_file
    if fills:
        recall.confirm()
    return header


def _read(file: FileReader, recall: Recall | None = None) -> Header:
    cursor, version, order, alignment = Cursor(file), 0, "<", DEFAULT_ALIGNMENT
    reading = pairs = table = fault = None
    try:
        version, order = read_version(cursor)
        reading = Reading(cursor=cursor, layout=layout_of(version, order), recall=recall)
        tensor_count, field_count = read_counts(reading)
        pairs = FieldTable(reading, field_count)
        pairs.read()
        alignment = _alignment(pairs.entries.get(ALIGNMENT))
        table = TensorTable(reading, tensor_count)
        table.read()
    except ReadError as error:
        fault = _explained(error, file)
    return Header(
        file=file.name,
        file_size=file.size,
        version=version,
        byte_order="little" if order == "<" else "big",
        fields=pairs.entries if pairs else {},
        tensors=tuple(table.entries.values()) if table else (),
        alignment=alignment,
        end=cursor.position,
        findings=tuple(reading.findings.values()) if reading else (),
        fault=fault,
    )


def preamble_fault(file: FileReader) -> ReadError | None:
    """What is wrong with the first 24 bytes: magic, version and counts."""
    cursor = Cursor(file)
    try:
        version, order = read_version(cursor)
        read_counts(Reading(cursor=cursor, layout=layout_of(version, order)))
    except ReadError as error:
        return _explained(error, file)
    return None


def read_version(cursor: Cursor) -> tuple[int, str]:
    """Read magic and version; a version whose low 16 bits are zero stands in the other byte order.

    Returns:
        The version, 1 to 3, and ``<`` or ``>``.

    Raises:
        ReadError: The file is no GGUF file, or of a version that nobody knows.
    """
    head = cursor.file.read_up_to(0, len(MAGIC))
    if head != MAGIC:
        raise not_gguf(cursor.file)
    cursor.skip(len(MAGIC))
    raw = cursor.take(4)
    version, order = _U32.unpack(raw)[0], "<"
    if version & 0xFFFF == 0:
        version, order = _U32_SWAPPED.unpack(raw)[0], ">"
    if not 1 <= version <= NEWEST_VERSION:
        raise FormatError(
            f"GGUF version {version} is not known; versions 1 to {NEWEST_VERSION} are",
            code="unsupported-version",
            offset=len(MAGIC),
        )
    return version, order


def read_counts(reading: Reading) -> tuple[int, int]:
    """Read the numbers of tensors and of key-value pairs, and hold them against the bytes that are left.

    Raises:
        ReadError: The file is too small for them, or they pass every limit.
    """
    cursor, layout = reading.cursor, reading.layout
    offset = cursor.position
    (tensors,) = cursor.unpack(layout.length)
    (fields,) = cursor.unpack(layout.length)
    least = tensors * layout.smallest_tensor + fields * layout.smallest_field
    if least > cursor.left:
        raise FormatError(
            f"the header claims {tensors} tensors and {fields} key-value pairs, at least {least} bytes, and "
            f"{cursor.left} are left: the file is cut short, or its header was altered; download it again",
            code="impossible-count",
            offset=offset,
        )
    if tensors > MOST_TENSORS or fields > MOST_FIELDS:
        raise FormatError(
            f"the header claims {tensors} tensors and {fields} key-value pairs, more than any model has "
            f"({MOST_TENSORS} and {MOST_FIELDS})",
            code="header-too-large",
            offset=offset,
        )
    return tensors, fields


def _alignment(field: Field | None) -> int:
    if field is None:
        return DEFAULT_ALIGNMENT
    value = field.value
    if field.kind is not ValueType.UINT32:
        problem = f"has type {field.kind.name}, and must be UINT32"
    elif value == 0 or value & (value - 1):
        problem = f"is {value}, and must be a power of two"
    else:
        return int(value)
    raise FormatError(f"{ALIGNMENT} {problem}", code="bad-alignment", offset=field.offset)


def _explained(error: ReadError, file: FileReader) -> ReadError:
    """The same fault, with the file's name, or the deeper reason where one can be seen."""
    if error.file is None:
        error = type(error)(f"{file.name}: {error}", code=error.code, file=file.name, offset=error.offset)
    try:
        return mangled_text(error, file) or error
    except ReadError:
        return error


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
