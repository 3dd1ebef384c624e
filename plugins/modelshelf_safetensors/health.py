"""What is wrong with a model's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Depth, Finding, Severity
from modelshelf_safetensors.findings import shown
from modelshelf_safetensors.metadata import totals_of
from modelshelf_safetensors.sharded import index_findings, read_checkpoint, repeated_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader
    from modelshelf_safetensors.layout import Header
    from modelshelf_safetensors.sharded import Checkpoint

SHORTEST_ZEROS = 1 << 20
"""Bytes of zeros at a file's end that are worth a warning."""

_FARTHEST_ZERO = 16 << 20  # bytes looked back for the first of them
_WIDEST = 8  # bytes of an element
_LOOK = 4096  # bytes that clear nearly every file
_PIECE = 8 << 20  # bytes read at once where all are read


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
        yield _finding_of(fault, fault.file)
    yield from _missing(checkpoint.missing)
    for name, header in checkpoint.headers.items():
        yield from file_findings(header, reader.file(name))
    if len(checkpoint.headers) > 1 or checkpoint.index is not None:
        yield from _across(checkpoint)
    yield from _not_understood(checkpoint, reader)
    if depth is Depth.FULL:
        yield from _read_whole(checkpoint, reader)


def _not_understood(checkpoint: Checkpoint, reader: ArtifactReader) -> Iterator[Finding]:
    names = totals_of(checkpoint, reader).counted.not_understood
    if names:
        listed = ", ".join(map(shown, names))
        yield Finding(
            code="packing-unknown",
            severity=Severity.INFO,
            message=f"how weights are packed in {listed} is not known, so parameters are not counted",
            file=next(iter(checkpoint.headers)),
        )


def _finding_of(fault: ReadError, file: str | None) -> Finding:
    return Finding(
        code=fault.code, severity=Severity.ERROR, message=str(fault), file=file, offset=fault.offset
    )


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
    """Find what is wrong with one file whose header was read: its length, its text, its last bytes."""
    yield from header.findings
    yield from _length(header, file.name, file.size)
    yield from _text(header, file.name)
    if file.size >= header.data_start + header.data_size:
        yield from _zeros_at_end(header, file)


def _length(header: Header, file: str, size: int) -> Iterator[Finding]:
    due = header.data_start + header.data_size
    if size < due:
        past = size - header.data_start
        spans = enumerate(zip(header.begins, header.ends, strict=True))
        _, row = min((begin, row) for row, (begin, end) in spans if end > past)
        yield Finding(
            code="truncated",
            severity=Severity.ERROR,
            message=f"{file}: ends after {size} of {due} bytes, within tensor {shown(header.names[row])};"
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
    hostile = header.hostile
    if hostile.markup is not None:
        yield _hostile(
            "markup-in-metadata", file, f"the value of {shown(hostile.markup)} in __metadata__ holds markup"
        )
    if hostile.controls:
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


def _zeros_at_end(header: Header, file: FileReader) -> Iterator[Finding]:
    """Warn of zeros where the last weights should be: a broken download leaves them in a file of full length.

    Zeros that begin where a tensor begins are that tensor's own (a layer that training starts from zero),
    unless nothing but zeros is there: a download breaks off anywhere else.
    """
    end = header.data_start + header.data_size
    if header.data_size < SHORTEST_ZEROS or any(file.read(end - _LOOK, _LOOK)):
        return
    begin = _first_zero(file, max(header.data_start, end - _FARTHEST_ZERO), end)
    if end - begin < SHORTEST_ZEROS:
        return
    # The last element before the zeros may itself end in zero bytes.
    near = range(begin - header.data_start, begin - header.data_start + _WIDEST + 1)
    if begin > header.data_start and any(map(near.__contains__, header.begins)):
        return
    yield Finding(
        code="zero-tail",
        severity=Severity.WARNING,
        message=f"{file.name}: from byte {begin} on there are only zeros, as an unfinished download leaves"
        " them; compare the file's checksum with its source",
        file=file.name,
        offset=begin,
    )


def _first_zero(file: FileReader, begin: int, end: int) -> int:
    """Where the zeros begin that reach to `end`, looking back to `begin`."""
    at = end
    while at > begin:
        length = min(SHORTEST_ZEROS, at - begin)
        piece = file.read(at - length, length)
        # Comparing is forty times as fast as stripping, and zeros are what a long search meets.
        if piece != bytes(length):
            return at - length + len(piece.rstrip(b"\0"))
        at -= length
    return begin


def _read_whole(checkpoint: Checkpoint, reader: ArtifactReader) -> Iterator[Finding]:
    """Read every file from end to end, then open it with the ``safetensors`` package.

    Without that package, and for files that do not lie on this machine, only the reading is done.
    """
    for name, header in checkpoint.headers.items():
        file = reader.file(name)
        try:
            for offset in range(0, file.size, _PIECE):
                file.read_up_to(offset, _PIECE)
        except ReadError as error:
            yield _finding_of(error, name)
            continue
        # Of another length the file has its finding already, and the loader refuses it for that.
        if "://" not in reader.artifact.folder and file.size == header.data_start + header.data_size:
            yield from _refused(reader.artifact.path_of(name), name)


def _refused(path: str, name: str) -> Iterator[Finding]:
    """What the format's own loader says of a file, where it is installed; it is imported for this alone."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        return
    try:
        with safe_open(path, framework="numpy") as loaded:
            loaded.keys()
    except ImportError:
        return
    except (SafetensorError, OSError) as error:
        yield Finding(
            code="refused-by-loader",
            severity=Severity.ERROR,
            message=f"{name}: the safetensors package refuses it: {error}",
            file=name,
        )
