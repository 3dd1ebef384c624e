"""Check the tensors' data: known types, order and gaps in the data section, a file that reaches its end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from modelshelf.model import Finding, Severity
from modelshelf.model.health import not_judged
from modelshelf_gguf.layout import padded
from modelshelf_gguf.parse import is_mangled
from modelshelf_gguf.quantization import BITNET_TENSOR_TYPES, REMOVED_TENSOR_TYPES, tensor_type_name

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_gguf.header import Header, TensorInfo


_TAIL_SAMPLE = 4096

_ZERO_TAIL = 1024 * 1024

_TRAILING_SAMPLE = 64 * 1024

_ZIP_END, _ZIP_TAIL = b"PK\x05\x06", 22 + 0xFFFF  # APPNOTE 4.3.16: its signature, most bytes from the end


def data_findings(header: Header, file: FileReader) -> Iterator[Finding]:
    """Check one sound header's tensors against each other and against the file's size."""
    yield from _type_findings(header)
    yield from _order_findings(header)
    short = list(_end_findings(header))
    yield from short
    if not short:
        yield from _trailing_findings(header, file)
        yield from _zero_tail_findings(header, file)


def _type_findings(header: Header) -> Iterator[Finding]:
    """Find types without a known block size.

    An error and not a warning, as llama.cpp refuses such a file whole: a number beyond the table is either
    newer than all loaders known here, or a lie.
    """
    others = [tensor for tensor in header.tensors if tensor.type in BITNET_TENSOR_TYPES]
    if others:
        message = (
            f"{_counted(others)} is of type {BITNET_TENSOR_TYPES[others[0].type]}, which Microsoft's BitNet"
            " loads and llama.cpp does not"
        )
        yield header.finding("other-programs-type", message, others[0].entry, Severity.INFO)
    unsized = [tensor for tensor in header.tensors if tensor.size is None]
    if not unsized:
        return
    first = unsized[0]
    unknown = [tensor for tensor in unsized if not _is_other_programs(tensor.type)]
    if not unknown:
        yield not_judged(
            f"{header.file}: {_counted(unsized)} is of type {tensor_type_name(first.type)}, which programs"
            " such as ik_llama.cpp write and load; whether its data is whole was not judged",
            header.file,
            first.entry,
        )
        return
    first = unknown[0]
    removed = REMOVED_TENSOR_TYPES.get(first.type)
    reason = (
        f"{removed}, which was removed from the format; quantize the model anew"
        if removed
        else f"number {first.type}, which is not known; if it is newer than this release, update"
    )
    yield header.finding(
        "removed-tensor-type" if removed else "unknown-tensor-type",
        f"{_counted(unknown)} of type {reason}; the size of its data cannot be checked",
        first.entry,
    )


def _is_other_programs(number: int) -> bool:
    """Whether a number is that of a type of another program's."""
    if number in BITNET_TENSOR_TYPES:
        return True
    from modelshelf_gguf.dialects import FORKS

    return number in FORKS


def _order_findings(header: Header) -> Iterator[Finding]:
    """Find offsets that break the alignment, overlap, or leave gaps: the first of each kind.

    llama.cpp demands that each tensor begins where the one before it ended, padded.
    """
    misaligned = [tensor for tensor in header.tensors if tensor.offset % header.alignment]
    if misaligned:
        message = (
            f"{_counted(misaligned)} begins at {misaligned[0].offset}, "
            f"no multiple of the alignment {header.alignment}"
        )
        yield header.finding("misaligned-tensor", message, misaligned[0].entry)
    overlapping = False
    filled = sorted((tensor for tensor in header.tensors if tensor.size), key=lambda tensor: tensor.offset)
    for before, after in pairwise(filled):
        if before.offset + (before.size or 0) > after.offset:
            overlapping = True
            message = (
                f"the tensors {before.name!r} and {after.name!r} overlap at offset {after.offset} of the data"
            )
            yield header.finding("overlapping-tensors", message, after.entry)
            break
    if not misaligned and not overlapping:
        yield from _gap_findings(header)


def _gap_findings(header: Header) -> Iterator[Finding]:
    expected: int | None = 0
    for tensor in header.tensors:
        if expected is not None and tensor.offset != expected:
            message = (
                f"the tensor {tensor.name!r} begins at {tensor.offset} of the data where {expected} is next; "
                "llama.cpp refuses tensors that are out of order or leave gaps"
            )
            yield header.finding("scattered-tensors", message, tensor.entry, Severity.WARNING)
            return
        expected = None if tensor.size is None else tensor.offset + padded(tensor.size, header.alignment)


def _end_findings(header: Header) -> Iterator[Finding]:
    """Check that the file reaches each tensor's end, and the end of the last one's padding if there is any.

    Some writers leave the last padding out: a file that ends with its last tensor is whole. One that ends
    within that padding was cut.
    """
    if not header.tensors:
        return
    available = header.file_size - header.data_offset
    cut = [tensor for tensor in header.tensors if tensor.offset + (tensor.size or 0) > available]
    if cut:
        worst = max(cut, key=lambda tensor: tensor.offset + (tensor.size or 0))
        lacking = worst.offset + (worst.size or 0) - available
        message = (
            f"{_counted(cut)} lies past the end of the file: {lacking} bytes are missing, up to the end of "
            f"{worst.name!r}; download the file again"
        )
        yield header.finding("truncated", message, header.file_size)
        return
    end = header.data_end
    lacking = padded(end, header.alignment) - header.file_size
    if header.file_size > end and lacking > 0 and all(tensor.size is not None for tensor in header.tensors):
        message = (
            f"the file ends {lacking} bytes before the padding of its last tensor does: it was cut short"
        )
        yield header.finding("truncated", message, header.file_size)


def _trailing_findings(header: Header, file: FileReader) -> Iterator[Finding]:
    if any(tensor.size is None for tensor in header.tensors):
        return
    end = padded(header.data_end, header.alignment)
    surplus = header.file_size - end
    if surplus <= 0:
        return
    if header.tensors and is_mangled(file.read_up_to(header.data_offset, _TRAILING_SAMPLE)):
        message = (
            "the tensors went through a text tool that replaced bytes by EF BF BD; download the file again"
        )
        yield header.finding("mangled-as-text", message, header.data_offset)
        return
    if _ZIP_END in file.read_up_to(max(end, header.file_size - _ZIP_TAIL), _ZIP_TAIL):
        message = (
            f"a ZIP archive hides in {surplus} bytes behind the last tensor; do not load the file as one"
        )
        yield header.finding("hidden-archive", message, end)
        return
    message = f"{surplus} bytes follow the last tensor; no loader reads them"
    yield header.finding("trailing-bytes", message, end, Severity.WARNING)


def _zero_tail_findings(header: Header, file: FileReader) -> Iterator[Finding]:
    """Check whether the last MiB of the data is all zeros: space that a download reserved and never wrote.

    Smaller runs of zeros are ordinary: padding, biases, tensors of tests.
    """
    end = header.data_end
    if end - header.data_offset < _ZERO_TAIL or end > header.file_size:
        return
    for length in (_TAIL_SAMPLE, _ZERO_TAIL):
        # Comparing is forty times as fast as stripping.
        if file.read(end - length, length) != bytes(length):
            return
    message = (
        f"the last {_ZERO_TAIL} bytes of the tensors are all zero, as a download leaves them that reserved "
        "its space and did not finish; compare the file with its source or download it again"
    )
    yield header.finding("zero-tail", message, end - _ZERO_TAIL, Severity.WARNING)


def _counted(tensors: list[TensorInfo]) -> str:
    more = len(tensors) - 1
    return f"the tensor {tensors[0].name!r}" + (f" (and {more} more)" if more else "")
