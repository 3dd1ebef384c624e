"""Whether the files of a split model belong together (llama.cpp, `gguf-split` and `llama_model_loader`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.model import Artifact, Finding, Severity
from modelshelf_gguf import keys

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header

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
