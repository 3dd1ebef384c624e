"""What is wrong with a model's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Depth, Finding, Severity
from modelshelf_safetensors.checkpoint import read_checkpoint
from modelshelf_safetensors.compact import texts_of
from modelshelf_safetensors.described import holds_controls, hostile_text
from modelshelf_safetensors.findings import shown
from modelshelf_safetensors.sharded import index_findings, repeated_findings
from modelshelf_safetensors.tail import zero_tail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_safetensors.checkpoint import Checkpoint
    from modelshelf_safetensors.layout import Header


def probe(artifact: Artifact, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Find what is wrong, as deep as `depth` says.

    Raises:
        ReadError: No header can be read.
    """
    if depth is Depth.QUICK:
        yield from _sizes(artifact)
        return
    checkpoint = read_checkpoint(reader)
    for fault in checkpoint.faults:
        yield Finding(
            code=fault.code, severity=Severity.ERROR, message=str(fault), file=fault.file, offset=fault.offset
        )
    yield from _missing(checkpoint.missing)
    for name, header in checkpoint.headers.items():
        yield from file_findings(header, reader.file(name))
    if len(checkpoint.headers) > 1 or checkpoint.index is not None:
        yield from _across(checkpoint)
    if depth is Depth.FULL:
        from modelshelf_safetensors.full import read_whole

        yield from read_whole(checkpoint, reader)


def _sizes(artifact: Artifact) -> Iterator[Finding]:
    yield from _missing(artifact.missing)
    for one in artifact.weights:
        if one.size == 0:
            yield Finding(
                code="truncated",
                severity=Severity.ERROR,
                message=f"{one.name}: is empty; fetch it again",
                file=one.name,
                offset=0,
            )


def _missing(names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        yield Finding(
            code="missing-shard",
            severity=Severity.ERROR,
            message=f"{name}: this shard is not there; fetch it again",
            file=name,
        )


def _across(checkpoint: Checkpoint) -> Iterator[Finding]:
    index = checkpoint.index
    first = index.file if index is not None else next(iter(checkpoint.headers))
    if index is not None:
        yield from index.findings
        yield from index_findings(index, checkpoint.headers, complete=checkpoint.complete)
    yield from repeated_findings(checkpoint.headers, first)


def file_findings(header: Header, file: FileReader) -> Iterator[Finding]:
    """Find what is wrong with one file whose header was read: its length, its text, its tail."""
    yield from header.findings
    yield from _length(header, file.name, file.size)
    yield from _text(header, file.name)
    if file.size >= header.data_start + header.data_size:
        yield from zero_tail(header, file)


def _length(header: Header, file: str, size: int) -> Iterator[Finding]:
    due = header.data_start + header.data_size
    if size < due:
        past = size - header.data_start
        at = min(
            (
                (begin, at)
                for at, (begin, end) in enumerate(zip(header.begins, header.ends, strict=True))
                if end > past
            )
        )[1]
        yield Finding(
            code="truncated",
            severity=Severity.ERROR,
            message=f"{file}: ends after {size} of {due} bytes, within tensor {shown(header.names[at])};"
            " fetch it again",
            file=file,
            offset=size,
        )
    elif size > due:
        yield Finding(
            code="trailing-bytes",
            severity=Severity.ERROR,
            message=f"{file}: {size - due} bytes follow the last tensor, where another file could hide;"
            " the weights are whole, and the reference loader refuses such a file",
            file=file,
            offset=due,
        )


def _text(header: Header, file: str) -> Iterator[Finding]:
    """Name hostile text. It harms nobody here, where every output neutralises it, and may elsewhere."""
    hostile = header.hostile or hostile_text(header.metadata)
    if hostile.markup is not None:
        yield _hostile(
            "markup-in-metadata", file, f"the value of {shown(hostile.markup)} in __metadata__ holds markup"
        )
    if hostile.controls or any(map(holds_controls, texts_of(header.names))):
        yield _hostile(
            "control-characters", file, "a name or __metadata__ holds control or direction characters"
        )


def _hostile(code: str, file: str, what: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.INFO,
        message=f"{file}: {what}; shown escaped here, other programs may not",
        file=file,
    )
