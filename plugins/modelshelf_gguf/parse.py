"""Parse the header of a GGUF file: one pass forwards, bounded in time and memory whatever the file claims.

Source of the layout: the GGUF specification (ggml `docs/gguf.md`, "File Structure"). The rules beyond it are
those of llama.cpp's reader (`ggml/src/gguf.cpp`): what it refuses is a fault here too, save version 1. The
`gguf` package's reader is not used: it trusts every count, and builds a string of every token.
"""

from __future__ import annotations

import codecs
from struct import Struct
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, ReadError
from modelshelf_gguf import keys
from modelshelf_gguf.header import Field, Header
from modelshelf_gguf.key_values import FieldTable
from modelshelf_gguf.layout import DEFAULT_ALIGNMENT, MAGIC, NEWEST_VERSION, Layout, ValueType, layout_of
from modelshelf_gguf.parse_state import MAX_FIELDS, MAX_TENSORS, Cursor, ParseState
from modelshelf_gguf.string_arrays import skip_strings
from modelshelf_gguf.tensor_table import TensorTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_gguf.vocabulary_cache import VocabularyCache

_U32 = Struct("<I")
_U32_SWAPPED = Struct(">I")
_LFS_POINTER = b"version https://git-lfs"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()
_MANGLED_SAMPLE = 64 * 1024  # bytes


def parse_headers(
    artifact: Artifact, reader: ArtifactReader, cache: VocabularyCache | None = None
) -> tuple[Header, ...]:
    """Parse the header of every weight file, in shard order; an error is its header's `fault`, not raised.

    Args:
        artifact: The files.
        reader: Reads them.
        cache: As in `parse_header`.
    """
    headers = []
    for weights in artifact.weights:
        try:
            file = reader.file(weights.name)
        except ReadError as fault:
            headers.append(Header(file=weights.name, file_size=weights.size, fields={}, fault=fault))
        else:
            headers.append(parse_header(file, cache))
    return tuple(headers)


def parse_header(file: FileReader, cache: VocabularyCache | None = None) -> Header:
    """Parse the header of one file. An error that ends the parsing is its `fault`; nothing is raised.

    Args:
        file: The file.
        cache: Vocabularies that may be skipped, and that new ones are added to; None walks all of them.
    """
    if cache is None:
        return _parse(file, skip_strings)
    session = cache.session()
    header = _parse(file, session.skip_strings)
    fills = header.fills_file
    if session.guesses and not fills:
        session = cache.session_after_wrong_guess()
        header = _parse(file, session.skip_strings)
        fills = header.fills_file
    if fills:
        session.commit()
    return header


def _parse(file: FileReader, skip: Callable[[Cursor, int, Struct], None]) -> Header:
    cursor, version, order, alignment = Cursor(file), 0, "<", DEFAULT_ALIGNMENT
    state = pairs = table = fault = None
    try:
        version, order = _read_version(cursor)
        state = ParseState(cursor=cursor, layout=layout_of(version, order), skip_strings=skip)
        tensor_count, field_count = _read_counts(cursor, state.layout)
        pairs = FieldTable(state, field_count)
        pairs.read()
        alignment = _alignment(pairs.entries.get(keys.ALIGNMENT))
        table = TensorTable(state, tensor_count)
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
        findings=tuple(state.findings.values()) if state else (),
        fault=fault,
    )


def preamble_fault(file: FileReader) -> ReadError | None:
    """Check the first 24 bytes, which are magic, version and counts; None where they are sound."""
    cursor = Cursor(file)
    try:
        _read_counts(cursor, layout_of(*_read_version(cursor)))
    except ReadError as error:
        return _explained(error, file)
    return None


def _read_version(cursor: Cursor) -> tuple[int, str]:
    """Read magic and version; a version whose low 16 bits are zero is in the other byte order.

    Returns:
        The version, 1 to 3, and ``<`` or ``>``.

    Raises:
        ReadError: The file is no GGUF file, or of an unknown version.
    """
    head = cursor.file.read_up_to(0, len(MAGIC))
    if head != MAGIC:
        raise _not_gguf(cursor.file)
    cursor.skip(len(MAGIC))
    raw = cursor.read(4)
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


def _read_counts(cursor: Cursor, layout: Layout) -> tuple[int, int]:
    """Read the numbers of tensors and of key-value pairs, and check them against the bytes that are left.

    Raises:
        ReadError: The file is too small for them, or they pass every limit.
    """
    offset = cursor.position
    (tensors,) = cursor.unpack(layout.length)
    (fields,) = cursor.unpack(layout.length)
    least = tensors * layout.min_tensor + fields * layout.min_field
    if least > cursor.remaining:
        raise FormatError(
            f"the header claims {tensors} tensors and {fields} key-value pairs, at least {least} bytes, and "
            f"{cursor.remaining} are left: the file is cut short, or its header was altered; "
            "download it again",
            code="impossible-count",
            offset=offset,
        )
    if tensors > MAX_TENSORS or fields > MAX_FIELDS:
        raise FormatError(
            f"the header claims {tensors} tensors and {fields} key-value pairs, more than any model has "
            f"({MAX_TENSORS} and {MAX_FIELDS})",
            code="header-too-large",
            offset=offset,
        )
    return tensors, fields


def _alignment(field: Field | None) -> int:
    """Check the alignment that a header names, and give the default where it names none.

    Raises:
        FormatError: It is of another type than the format's, or no power of two.
    """
    if field is None:
        return DEFAULT_ALIGNMENT
    value = field.value
    if field.kind is not ValueType.UINT32:
        problem = f"has type {field.kind.name}, and must be UINT32"
    elif value == 0 or value & (value - 1):
        problem = f"is {value}, and must be a power of two"
    else:
        return int(value)
    raise FormatError(f"{keys.ALIGNMENT} {problem}", code="bad-alignment", offset=field.offset)


def _explained(error: ReadError, file: FileReader) -> ReadError:
    """Add the file's name to an error, or give the deeper reason where the file shows one."""
    if error.file is None:
        error = type(error)(f"{file.name}: {error}", code=error.code, file=file.name, offset=error.offset)
    try:
        return _mangled_text(error, file) or error
    except ReadError:
        return error


def _not_gguf(file: FileReader) -> FormatError:
    """Make the error for a file without the magic: what its first bytes show it to be, and what to do."""
    head = file.read_up_to(0, 64)
    code, reason = (
        "bad-magic",
        "the file does not begin with 'GGUF'; this is no GGUF file",
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


def _mangled_text(fault: ReadError, file: FileReader) -> FormatError | None:
    """Make the error for a file that a text tool rewrote; None where `fault` has some other cause.

    Such a tool decodes bytes as UTF-8 and writes EF BF BD for those that are not. A sound header is never
    wholly valid UTF-8 (its floating-point numbers are not), so a broken one that is, and that has the
    replacement character before the fault, was mangled.
    """
    if not isinstance(fault, FormatError) and fault.code != "truncated":
        return None
    reached = _MANGLED_SAMPLE if fault.offset is None else fault.offset + len(_REPLACEMENT)
    sample = file.read_up_to(0, min(reached, _MANGLED_SAMPLE))
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
    """Whether a sample of binary data is valid UTF-8 throughout and has the replacement character."""
    if _REPLACEMENT not in sample:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True
