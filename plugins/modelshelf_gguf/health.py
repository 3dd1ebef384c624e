"""Find what is wrong with a GGUF model: file by file, as a split model, and by the `gguf` package's reader.

Rules of split models: llama.cpp's `gguf-split` and `llama_model_loader`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Artifact, Finding, Severity
from modelshelf.reader import ArtifactReader, LocalFile
from modelshelf_gguf import keys
from modelshelf_gguf.chat_templates import chat_template_findings
from modelshelf_gguf.layout import INTEGERS, ValueType
from modelshelf_gguf.metadata import declared_file_type, name_of_mixture, number_per_block
from modelshelf_gguf.parse import parse_headers, preamble_fault
from modelshelf_gguf.quantization import quantization_of
from modelshelf_gguf.tensor_data import data_findings

if TYPE_CHECKING:
    from modelshelf_gguf.header import Field, Header

_SHARD_NAME = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)

_MAX_LOADED_ITEMS = 1_000_000
"""Array elements that the package's reader is given: it takes some 25 µs and 1 kB for each."""


def preamble_findings(artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
    """Check the first 24 bytes of each file, for the depth ``quick``."""
    for weights in artifact.weights:
        try:
            fault = preamble_fault(reader.file(weights.name))
        except ReadError as error:
            fault = error
        if fault is not None:
            yield _fault_finding(fault)


def header_findings(
    artifact: Artifact, headers: Sequence[Header], reader: ArtifactReader
) -> Iterator[Finding]:
    """Check all headers and the few bytes of data that are sampled, for the depth ``header``."""
    for header in headers:
        yield from header.findings
        yield from _version_findings(header)
        yield from _field_findings(header)
        yield from chat_template_findings(header, reader)
        if header.fault is not None:
            yield _fault_finding(header.fault)
        else:
            yield from _data_findings(header, reader)
    yield from _shard_findings(artifact, headers)
    yield from _quantization_findings(headers)


def full_findings(artifact: Artifact, headers: Sequence[Header], reader: ArtifactReader) -> Iterator[Finding]:
    """Check all headers with every string walked, and load the files with `gguf`, for the depth ``full``.

    Args:
        artifact: The files.
        headers: Their headers as `parse_headers` gives them with a cache.
        reader: Reads them.
    """
    walked = parse_headers(artifact, reader)
    findings = list(header_findings(artifact, walked, reader))
    yield from findings
    yield from _disguise_findings(headers, walked)
    if not any(finding.severity is Severity.ERROR for finding in findings):
        yield from _loader_findings(walked, reader)


def _fault_finding(fault: ReadError) -> Finding:
    return Finding(
        code=fault.code, severity=Severity.ERROR, message=str(fault), file=fault.file, offset=fault.offset
    )


def _data_findings(header: Header, reader: ArtifactReader) -> Iterator[Finding]:
    try:
        yield from data_findings(header, reader.file(header.file))
    except ReadError as fault:
        yield _fault_finding(fault)


def _disguise_findings(cached: Sequence[Header], walked: Sequence[Header]) -> Iterator[Finding]:
    """Find files that parse otherwise with the cache of vocabularies than with every string walked."""
    for by_cache, header in zip(cached, walked, strict=True):
        same = (by_cache.fields, by_cache.tensors) == (header.fields, header.tensors)
        if header.fault is None and not same:
            problem = (
                "its vocabulary was made to look like another model's, so that header-only readings of it "
                "tell of a model that it is not; delete it"
            )
            yield header.finding("disguised-header", problem, 0)


def _version_findings(header: Header) -> Iterator[Finding]:
    if header.version == 1:
        problem = "is of GGUF version 1, which current loaders refuse; convert the model anew"
        yield header.finding("old-version", problem, 4, Severity.WARNING)
    if header.byte_order == "big":
        problem = "its numbers are big-endian; it loads on big-endian machines"
        yield header.finding("big-endian", problem, 4, Severity.INFO)


def _field_findings(header: Header) -> Iterator[Finding]:
    """Find values of a type, or out of a range, with which loaders are known to misbehave."""
    yield from _type_findings(header)
    yield from _tokenizer_findings(header)
    architecture = header.text(keys.ARCHITECTURE)
    field = header.fields.get(f"{architecture}.{keys.BLOCK_COUNT}")
    if field is None:
        return
    blocks = number_per_block(header, field.key)
    if not isinstance(blocks, int):
        yield _field_finding(header, field, "wrong-type", "is no whole number", Severity.ERROR)
    elif not 0 < blocks <= keys.MAX_BLOCKS:
        problem = f"is {blocks}; llama.cpp accepts 1 to {keys.MAX_BLOCKS}"
        yield _field_finding(header, field, "impossible-value", problem, Severity.ERROR)


def _type_findings(header: Header) -> Iterator[Finding]:
    for key, kinds in keys.ARRAY_KINDS.items():
        field = header.fields.get(key)
        if field is not None and field.item_kind not in kinds:
            wanted = " or ".join(sorted(kind.name for kind in kinds))
            problem = f"is {_type_name(field)}, and loaders read it as an array of {wanted}"
            yield _field_finding(header, field, "wrong-type", problem, Severity.ERROR)
    for key in sorted(keys.TEXT_KEYS & header.fields.keys()):
        field = header.fields[key]
        if field.kind is not ValueType.STRING:
            severity = Severity.ERROR if key == keys.ARCHITECTURE else Severity.WARNING
            problem = f"is {_type_name(field)}, and must be STRING"
            yield _field_finding(header, field, "wrong-type", problem, severity)
    for key in sorted(keys.INTEGER_KEYS & header.fields.keys()):
        field = header.fields[key]
        if field.kind not in INTEGERS or field.value < 0:
            yield _field_finding(header, field, "wrong-type", "is no whole number", Severity.WARNING)


def _type_name(field: Field) -> str:
    return field.kind.name if field.item_kind is None else f"an array of {field.item_kind.name}"


def _tokenizer_findings(header: Header) -> Iterator[Finding]:
    tokens = header.count(keys.TOKENS)
    for key in (keys.SCORES, keys.TOKEN_TYPES):
        count = header.count(key)
        if tokens is not None and count is not None and count != tokens:
            problem = f"has {count} elements for {tokens} tokens; some loaders read past its end"
            yield _field_finding(header, header.fields[key], "tokenizer-mismatch", problem, Severity.WARNING)


def _quantization_findings(headers: Sequence[Header]) -> Iterator[Finding]:
    if any(header.fault for header in headers):
        return
    first = headers[0]
    tensors = [tensor for header in headers for tensor in header.tensors]
    quantization = quantization_of(declared_file_type(first), tensors)
    if quantization.contradicted and name_of_mixture(first.file, quantization) is None:
        problem = (
            f"says {quantization.declared}, but most elements are {quantization.dominant}: "
            "the tensors are believed"
        )
        field = first.fields[keys.FILE_TYPE]
        yield _field_finding(first, field, "file-type-contradicted", problem, Severity.INFO)


def _field_finding(header: Header, field: Field, code: str, problem: str, severity: Severity) -> Finding:
    return header.finding(code, f"{field.key!r} {problem}", field.offset, severity)


def _shard_findings(artifact: Artifact, headers: Sequence[Header]) -> Iterator[Finding]:
    """Compare the `split.*` keys with the files, and the tensors' names with each other."""
    counts = {count for header in headers if (count := header.integer(keys.SPLIT_COUNT)) is not None}
    if len(headers) == 1 and counts <= {0, 1} and not artifact.missing:
        return
    yield from _shard_count_findings(artifact, headers, counts)
    for header in headers:
        yield from _shard_number_findings(header)
    if not artifact.missing and not any(header.fault for header in headers):
        yield from _shard_tensor_findings(headers)


def _shard_count_findings(
    artifact: Artifact, headers: Sequence[Header], counts: set[int]
) -> Iterator[Finding]:
    first = headers[0].file
    if len(counts) > 1:
        listed = ", ".join(map(str, sorted(counts)))
        message = f"the shards disagree on how many there are ({listed}): they come from different models"
        yield Finding(code="shard-mismatch", severity=Severity.ERROR, message=message, file=first)
    # Shards that the numbering shows to be missing are named by the registry itself.
    for count in counts - {0} if len(counts) == 1 else ():
        numbered = len(headers) + len(artifact.missing)
        if count != numbered:
            message = (
                f"the header tells of {count} shards and {numbered} are numbered here; "
                "download the rest again"
            )
            code = "missing-shard" if count > numbered else "shard-mismatch"
            yield Finding(code=code, severity=Severity.ERROR, message=message, file=first)


def _shard_number_findings(header: Header) -> Iterator[Finding]:
    number, name = header.integer(keys.SPLIT_NUMBER), _SHARD_NAME.search(header.file)
    if header.fault is None and number is None and header.integer(keys.SPLIT_COUNT) is None:
        problem = f"is numbered as a shard, and its header has no {keys.SPLIT_NUMBER}"
        yield header.finding("shard-mismatch", problem, severity=Severity.WARNING)
    elif number is not None and name and number + 1 != int(name[1]):
        problem = f"is shard {number + 1} by its header; files were renamed or mixed up"
        yield header.finding("shard-mismatch", problem)


def _shard_tensor_findings(headers: Sequence[Header]) -> Iterator[Finding]:
    owners: dict[str, str] = {}
    for header in headers:
        for tensor in header.tensors:
            owner = owners.setdefault(tensor.name, header.file)
            if owner != header.file:
                problem = f"the tensor {tensor.name!r} stands in {owner} as well"
                yield header.finding("duplicate-tensor", problem)
                return
    for header in headers:
        count = header.integer(keys.SPLIT_TENSORS)
        if count is not None and count != len(owners):
            problem = f"tells of {count} tensors and the shards hold {len(owners)}; files were mixed"
            yield header.finding("shard-mismatch", problem)
            return


def _loader_findings(headers: Sequence[Header], reader: ArtifactReader) -> Iterator[Finding]:
    """Load files without an error with the `gguf` package's reader, and report what it refuses.

    It is given no file with an error: it trusts every count it reads.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        message = "the gguf package is not installed, so its reader was not tried; install modelshelf[gguf]"
        yield Finding(code="loader-not-tried", severity=Severity.INFO, message=message)
        return
    for header in headers:
        if header.version == 1 or not isinstance(reader.file(header.file), LocalFile):
            continue
        if sum(field.length or 0 for field in header.fields.values()) > _MAX_LOADED_ITEMS:
            problem = "too large a vocabulary to be loaded with the gguf package's reader"
            yield header.finding("loader-not-tried", problem, severity=Severity.INFO)
            continue
        try:
            GGUFReader(reader.artifact.path_of(header.file))
        except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
            problem = f"the gguf package's reader refuses it: {type(error).__name__}: {error}"
            yield header.finding("loader-refused", problem)
