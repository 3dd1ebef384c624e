"""Headers to findings: what is wrong with a GGUF model, file by file and as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Artifact, Finding, Severity
from modelshelf.reader import ArtifactReader, LocalFile
from modelshelf_gguf import keys
from modelshelf_gguf.layout import INTEGERS, ValueType
from modelshelf_gguf.metadata import declared_file_type, number_per_block
from modelshelf_gguf.parse import preamble_fault
from modelshelf_gguf.quantization import quantization_of
from modelshelf_gguf.tensor_data import data_findings

if TYPE_CHECKING:
    from modelshelf_gguf.header import Field, Header


def preamble_findings(artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
    """The quick look: the first 24 bytes of each file."""
    for one in artifact.weights:
        try:
            fault = preamble_fault(reader.file(one.name))
        except ReadError as error:
            fault = error
        if fault is not None:
            yield _of_fault(fault)


def findings_of(artifact: Artifact, headers: Sequence[Header], reader: ArtifactReader) -> Iterator[Finding]:
    """All that headers show, and the few bytes of data that are sampled."""
    for header in headers:
        yield from header.findings
        yield from _version_findings(header)
        yield from _field_findings(header)
        if header.fault is not None:
            yield _of_fault(header.fault)
        else:
            yield from _of_data(header, reader)
    yield from shard_findings(artifact, headers)
    yield from _quantization_findings(headers)


def likeness_findings(remembered: Sequence[Header], walked: Sequence[Header]) -> Iterator[Finding]:
    """Files that read otherwise with every string walked than by their likeness to an earlier file's."""
    for by_likeness, header in zip(remembered, walked, strict=True):
        if header.fault is None and (by_likeness.fields, by_likeness.tensors) != (
            header.fields,
            header.tensors,
        ):
            message = (
                f"{header.file}: its vocabulary was made to look like another model's, so that header-only "
                "readings of it tell of a model that it is not; delete it"
            )
            yield Finding(
                code="disguised-header", severity=Severity.ERROR, message=message, file=header.file, offset=0
            )


def _of_fault(fault: ReadError) -> Finding:
    return Finding(
        code=fault.code, severity=Severity.ERROR, message=str(fault), file=fault.file, offset=fault.offset
    )


def _of_data(header: Header, reader: ArtifactReader) -> Iterator[Finding]:
    try:
        yield from data_findings(header, reader.file(header.file))
    except ReadError as fault:
        yield _of_fault(fault)


def _version_findings(header: Header) -> Iterator[Finding]:
    if header.version == 1:
        message = f"{header.file}: is of GGUF version 1, which current loaders refuse; convert the model anew"
        yield Finding(
            code="old-version", severity=Severity.WARNING, message=message, file=header.file, offset=4
        )
    if header.byte_order == "big":
        message = f"{header.file}: its numbers are big-endian; it loads on big-endian machines"
        yield Finding(code="big-endian", severity=Severity.INFO, message=message, file=header.file, offset=4)


def _field_findings(header: Header) -> Iterator[Finding]:
    """Values of a type, or out of a range, with which loaders are known to misbehave."""
    yield from _type_findings(header)
    yield from _tokenizer_findings(header)
    architecture = header.text(keys.ARCHITECTURE)
    field = header.fields.get(f"{architecture}.{keys.BLOCK_COUNT}")
    if field is None:
        return
    blocks = number_per_block(header, field.key)
    if not isinstance(blocks, int):
        yield _of_field(header, field, "wrong-type", "is no whole number", Severity.ERROR)
    elif not 0 < blocks <= keys.MOST_BLOCKS:
        problem = f"is {blocks}; llama.cpp accepts 1 to {keys.MOST_BLOCKS}"
        yield _of_field(header, field, "impossible-value", problem, Severity.ERROR)


def _type_findings(header: Header) -> Iterator[Finding]:
    for key, kinds in keys.ARRAY_KINDS.items():
        field = header.fields.get(key)
        if field is not None and field.item_kind not in kinds:
            wanted = " or ".join(sorted(kind.name for kind in kinds))
            problem = f"is {_type_of(field)}, and loaders read it as an array of {wanted}"
            yield _of_field(header, field, "wrong-type", problem, Severity.ERROR)
    for key in sorted(keys.TEXT_KEYS & header.fields.keys()):
        field = header.fields[key]
        if field.kind is not ValueType.STRING:
            severity = Severity.ERROR if key == keys.ARCHITECTURE else Severity.WARNING
            yield _of_field(
                header, field, "wrong-type", f"is {_type_of(field)}, and must be STRING", severity
            )
    for key in sorted(keys.INTEGER_KEYS & header.fields.keys()):
        field = header.fields[key]
        if field.kind not in INTEGERS or field.value < 0:
            yield _of_field(header, field, "wrong-type", "is no whole number", Severity.WARNING)


def _type_of(field: Field) -> str:
    return field.kind.name if field.item_kind is None else f"an array of {field.item_kind.name}"


def _tokenizer_findings(header: Header) -> Iterator[Finding]:
    tokens = header.count(keys.TOKENS)
    for key in (keys.SCORES, keys.TOKEN_TYPES):
        count = header.count(key)
        if tokens is not None and count is not None and count != tokens:
            problem = f"has {count} elements for {tokens} tokens; some loaders read past its end"
            yield _of_field(header, header.fields[key], "tokenizer-mismatch", problem, Severity.WARNING)


def _quantization_findings(headers: Sequence[Header]) -> Iterator[Finding]:
    if any(header.fault for header in headers):
        return
    tensors = [tensor for header in headers for tensor in header.tensors]
    judged = quantization_of(declared_file_type(headers[0]), tensors)
    if judged.contradicted:
        problem = f"says {judged.declared}, but most elements are {judged.dominant}: the tensors are believed"
        yield _of_field(
            headers[0], headers[0].fields[keys.FILE_TYPE], "file-type-contradicted", problem, Severity.INFO
        )


def _of_field(header: Header, field: Field, code: str, problem: str, severity: Severity) -> Finding:
    message = f"{header.file}: {field.key!r} {problem}"
    return Finding(code=code, severity=severity, message=message, file=header.file, offset=field.offset)


_NUMBERED = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


def shard_findings(artifact: Artifact, headers: Sequence[Header]) -> Iterator[Finding]:
    """Hold the `split.*` keys and the tensors' names against the files themselves."""
    counts = {count for header in headers if (count := header.integer(keys.SPLIT_COUNT)) is not None}
    if len(headers) == 1 and counts <= {0, 1} and not artifact.missing:
        return
    yield from _count_findings(artifact, headers, counts)
    for header in headers:
        yield from _number_findings(header)
    if not artifact.missing and not any(header.fault for header in headers):
        yield from _tensor_findings(headers)


def _count_findings(artifact: Artifact, headers: Sequence[Header], counts: set[int]) -> Iterator[Finding]:
    if len(counts) > 1:
        told = ", ".join(map(str, sorted(counts)))
        message = f"the shards disagree on how many there are ({told}): they come from different models"
        yield Finding(code="shard-mismatch", severity=Severity.ERROR, message=message, file=headers[0].file)
    # Shards that the numbering shows to be missing are named by the registry itself.
    for count in counts - {0} if len(counts) == 1 else ():
        known = len(headers) + len(artifact.missing)
        if count != known:
            message = (
                f"the header tells of {count} shards and {known} are numbered here; download the rest again"
            )
            code = "missing-shard" if count > known else "shard-mismatch"
            yield Finding(code=code, severity=Severity.ERROR, message=message, file=headers[0].file)


def _number_findings(header: Header) -> Iterator[Finding]:
    number, named = header.integer(keys.SPLIT_NUMBER), _NUMBERED.search(header.file)
    if header.fault is None and number is None and header.integer(keys.SPLIT_COUNT) is None:
        message = f"{header.file}: is numbered as a shard, and its header has no {keys.SPLIT_NUMBER}"
        yield Finding(code="shard-mismatch", severity=Severity.WARNING, message=message, file=header.file)
    elif number is not None and named and number + 1 != int(named[1]):
        message = f"{header.file}: is shard {number + 1} by its header; files were renamed or mixed up"
        yield Finding(code="shard-mismatch", severity=Severity.ERROR, message=message, file=header.file)


def _tensor_findings(headers: Sequence[Header]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for header in headers:
        for tensor in header.tensors:
            other = owners.setdefault(tensor.name, header.file)
            if other != header.file:
                message = f"{header.file}: the tensor {tensor.name!r} stands in {other} as well"
                yield Finding(
                    code="duplicate-tensor", severity=Severity.ERROR, message=message, file=header.file
                )
                return
    for header in headers:
        told = header.integer(keys.SPLIT_TENSORS)
        if told is not None and told != len(owners):
            message = (
                f"{header.file}: tells of {told} tensors and the shards hold {len(owners)}; files were mixed"
            )
            yield Finding(code="shard-mismatch", severity=Severity.ERROR, message=message, file=header.file)
            return


_MOST_ITEMS = 1_000_000
"""Array elements that the package's reader is given: it takes some 25 µs and 1 kB for each."""


def loader_findings(
    headers: Sequence[Header], reader: ArtifactReader, found: Sequence[Finding]
) -> Iterator[Finding]:
    """What the package's reader says of files that are sound by ours.

    It is shown no file that ours refuses: it trusts every count it reads.
    """
    if any(finding.severity is Severity.ERROR for finding in found):
        return
    try:
        from gguf import GGUFReader
    except ImportError:
        message = "the gguf package is not installed, so its reader was not tried; install modelshelf[gguf]"
        yield Finding(code="loader-not-tried", severity=Severity.INFO, message=message)
        return
    for header in headers:
        if header.version == 1 or not isinstance(reader.file(header.file), LocalFile):
            continue
        if sum(field.length or 0 for field in header.fields.values()) > _MOST_ITEMS:
            message = f"{header.file}: too large a vocabulary to be loaded with the gguf package's reader"
            yield Finding(code="loader-not-tried", severity=Severity.INFO, message=message, file=header.file)
            continue
        try:
            GGUFReader(reader.artifact.path_of(header.file))
        except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
            message = f"{header.file}: the gguf package's reader refuses it: {type(error).__name__}: {error}"
            yield Finding(code="loader-refused", severity=Severity.ERROR, message=message, file=header.file)
