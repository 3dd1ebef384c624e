"""Judge what a pickle would do, without unpickling it: the entry point for other programs.

Example::

    from modelshelf_pytorch.pickle.audit import audit

    result = audit(Path("model.pkl").read_bytes())
    print(result.verdict, [f"{use.module}.{use.name}" for use in result.globals])

The verdict is by allowlist, as torch draws it for ``weights_only`` loading (data-only pickles of any protocol
included), not by a list of known attacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.errors import ReadError
from modelshelf_pytorch.pickle.embedded import Effort, search, tail_issues
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.outcome import Dialect, Limits, Outcome
from modelshelf_pytorch.pickle.symbols import Global, expanded_size
from modelshelf_pytorch.readers import BytesReader, ReadAhead
from modelshelf_pytorch.verdict import Issue, Verdict, dangerous, issue_of, not_judged, worst

if TYPE_CHECKING:
    from modelshelf.model import Finding
    from modelshelf.reader import FileReader

__all__ = [
    "Dialect",
    "Global",
    "Issue",
    "Limits",
    "PickleAudit",
    "Verdict",
    "audit",
    "interpret",
]

_MOST_STREAMS = 5000
"""Streams of one file that are judged; more are an issue."""

_MOST_VALUES = 10_000_000
"""Values of a stream with every shared reference written out, from which on it is a bomb, unless longer."""


@frozen(kw_only=True)
class PickleAudit:
    """What the pickles of a file, or of a part of it, would do.

    Attributes:
        name: The file's name.
        streams: Every stream, in order.
        issues: What was noticed.
    """

    name: str
    streams: tuple[Outcome, ...] = ()
    issues: tuple[Issue, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the issues."""
        return worst(self.issues)

    @property
    def globals(self) -> tuple[Global, ...]:
        """Every global that any of the streams names, with its byte offset."""
        return tuple(use for stream in self.streams for use in stream.globals)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The issues as findings about the file."""
        return tuple(issue.finding(self.name) for issue in self.issues)


def audit(
    source: bytes | FileReader,
    *,
    start: int = 0,
    end: int | None = None,
    dialect: Dialect = Dialect.PYTHON,
    limits: Limits | None = None,
    name: str = "bytes",
    effort: Effort | None = None,
    first: Outcome | None = None,
) -> PickleAudit:
    """Audit every pickle stream in `source`, what lies between and behind them, and what their strings hide.

    Never raises for what the bytes are: a stream that does not parse is a verdict. What the system refuses to
    read is none, and raised.

    Args:
        source: The bytes, or a file to read them from.
        start: Offset of the first stream.
        end: Offset that the streams must not pass; the source's end by default.
        dialect: Who wrote them.
        limits: How much of a stream is judged.
        name: What the findings call the source where it is bytes.
        effort: What may still be spent in search of hidden pickles, where several sources share it.
        first: What interpreting the first stream gave, where that was done.
    """
    reader = BytesReader(source, name) if isinstance(source, bytes) else source
    end = reader.size if end is None else end
    effort = effort or Effort()
    streams: list[Outcome] = []
    issues: list[Issue] = []
    try:
        streams, issues = interpret(
            reader, start, end, dialect=dialect, limits=limits, effort=effort, first=first
        )
        for stream in streams:
            issues.extend(search(stream, reader, code=dialect is Dialect.PYTHON, effort=effort))
    except ReadError as error:
        issues.append(issue_of(error, error.offset))
    return PickleAudit(name=reader.name, streams=tuple(streams), issues=tuple(issues))


def interpret(
    reader: FileReader,
    start: int,
    end: int,
    *,
    dialect: Dialect = Dialect.PYTHON,
    limits: Limits | None = None,
    effort: Effort | None = None,
    first: Outcome | None = None,
) -> tuple[list[Outcome], list[Issue]]:
    """Interpret the streams between two offsets.

    Args:
        reader: The file.
        start: Offset of the first stream.
        end: Offset that the streams must not pass.
        dialect: Who wrote them.
        limits: How much of a stream is judged.
        effort: What may still be spent in search of hidden pickles.
        first: What interpreting the first stream gave, where that was done.

    Returns:
        The streams, and their issues, those of bombs and of what lies behind the last included.

    Raises:
        ReadError: The file could not be read.
    """
    streams: list[Outcome] = []
    issues: list[Issue] = []
    position, source = start, reader
    while True:
        outcome = first or Machine(source, position, end, dialect=dialect, limits=limits).run()
        first = None
        if streams and not (outcome.stopped or outcome.globals or outcome.convinces(at_start=True)):
            break
        streams.append(outcome)
        issues += [*outcome.issues, *_bomb_issues(outcome)]
        position = outcome.end
        if not outcome.stopped or position >= end:
            break
        if len(streams) == _MOST_STREAMS:
            message = f"over {_MOST_STREAMS} pickles follow each other; those behind are not judged"
            issues.append(not_judged(message, position))
            break
        if len(streams) == 1:
            source = ReadAhead(reader)
    try:
        behind = tail_issues(reader, position, end, broken=not streams[-1].stopped, effort=effort)
    except ReadError as error:  # beyond a limit, say: what was found before it stays
        behind = []
        issues.append(issue_of(error, error.offset))
    if any(issue.verdict is Verdict.NOT_JUDGED for issue in issues):
        # What follows is the same pickles' rest: that much of it looks like more of them says nothing.
        behind = [issue for issue in behind if issue.verdict is Verdict.DANGEROUS]
    issues.extend(behind)
    return streams, issues


def _bomb_issues(outcome: Outcome) -> list[Issue]:
    """Return the issue of a stream whose value is far larger than its bytes."""
    length = outcome.end - outcome.start
    most = max(_MOST_VALUES, length)
    if expanded_size(outcome.value, most) < most:
        return []
    message = (
        f"{length} bytes of nested references stand for over {most} values: "
        "whoever walks them runs out of memory; do not load it"
    )
    return [dangerous("memory-bomb", message, outcome.start)]
