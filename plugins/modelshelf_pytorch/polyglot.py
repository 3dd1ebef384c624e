"""Files of other formats that are pickles as well: a loader of pickles runs what they say.

A pickle begins with its file's first byte, so that most files of other formats are ruled out by a few bytes,
and this module is imported for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Limits
from modelshelf_pytorch.readers import ReadAhead
from modelshelf_pytorch.verdict import LIMIT_CODES, Issue, Verdict, dangerous, not_judged
from modelshelf_pytorch.zip.read import read_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Finding
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Outcome

_LIMITS = Limits(structure=16 * 1024 * 1024)  # of what is a sound file of another format
_MAX_SHOWN = 100  # characters
_MOST_STREAMS = 16  # that follow each other; torch reads five of a legacy checkpoint


def polyglot_findings(file: FileReader, format: str) -> Iterator[Finding]:
    """Yield what a file of another format would do to a loader that takes it for a pickle.

    Raises:
        ReadError: The file cannot be read.
    """
    streams = _streams(file)
    issues = [issue for stream in streams for issue in stream.issues]
    attacks = [issue for issue in issues if issue.verdict is Verdict.DANGEROUS]
    message = f"a {format} file that is a pickle as well, from its first byte on"
    if attacks and any(map(_reaches_code, streams)):
        what = f"{message}: a loader that takes it for one runs what it calls; do not load or rename it"
        yield dangerous("polyglot", what, 0).finding(file.name)
        for issue in attacks:
            yield issue.finding(file.name)
    elif len(streams) == _MOST_STREAMS or any(issue.code in LIMIT_CODES for issue in issues):
        what = f"{message}, or begins as one: it is longer than what is judged of such a file"
        yield not_judged(what, 0).finding(file.name)


def archive_findings(file: FileReader, format: str) -> Iterator[Finding]:
    """Yield what a file of another format is that ends as a ZIP does, of which every offset is right.

    ``torch.jit.load`` and ``torch.package`` look at a file's end alone, so that they read such an archive.
    """
    try:
        names = read_directory(file).names
    except ReadError:  # no end record, or one that fits nothing here: bytes of a tensor
        return
    if names:
        message = (
            f"a {format} file that is a ZIP archive as well, by its end: a loader that looks there, as "
            f"torch.jit.load does, reads {names[0][:_MAX_SHOWN]!r} and whatever code is in it; do not load it"
        )
        yield dangerous("polyglot", message, file.size).finding(file.name)


def misnamed_finding(name: str, format: str) -> Finding:
    """Return the finding about a file of another format whose ending is that of pickles or checkpoints."""
    message = (
        f"its ending is that of a pickle or a checkpoint, its content is {format}: loaders that go by the "
        f"ending take it for what it is not; give it the ending of {format} files"
    )
    return Issue(code="misnamed", verdict=Verdict.CLEAN, message=message).finding(name)


def _streams(file: FileReader) -> list[Outcome]:
    """Interpret the streams from the file's first byte on, as far as one follows another."""
    source, position = ReadAhead(file), 0
    streams: list[Outcome] = []
    while position < file.size and len(streams) < _MOST_STREAMS:
        streams.append(Machine(source, position, file.size, limits=_LIMITS).run())
        if not streams[-1].stopped:
            break
        position = streams[-1].end
    return streams


def _reaches_code(stream: Outcome) -> bool:
    """Return whether a stream surely is one: it calls what it names, or names what runs code."""
    codes = {issue.code for issue in stream.issues}
    # A map of MessagePack begins with the byte of an extension: one that is followed by no pickle is none.
    extends = "extension-opcode" in codes and (stream.stopped or "unsafe-call" in codes)
    return stream.convinces(at_start=False) or stream.names_code or extends
