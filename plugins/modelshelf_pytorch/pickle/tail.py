"""What lies behind the last pickle of a file, or of a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf_pytorch.pickle import embedded
from modelshelf_pytorch.verdict import Issue, Verdict, suspicious

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

_NEAR = 64  # bytes of junk between two streams that hide nothing
_TAIL = 1024 * 1024
"""Bytes behind the last stream that are searched for another."""


def tail_issues(
    reader: FileReader,
    position: int,
    end: int,
    *,
    broken: bool = False,
    effort: embedded.Effort | None = None,
) -> list[Issue]:
    """What lies behind the last stream: nothing in an honest file.

    Args:
        reader: The file.
        position: Where the last stream ended.
        end: Where the file, or the part that belongs to the pickles, ends.
        broken: Whether the last stream broke off, so that the rest is not told apart from it.
        effort: What may still be spent in search of hidden pickles, where several sources share it.

    Raises:
        ReadError: The file could not be read.
    """
    if position >= end:
        return []
    issues = []
    if not broken:
        message = f"{end - position} bytes follow the last pickle, which no unpickler reads"
        issues.append(suspicious("trailing-data", message, position))
    data = reader.read_up_to(position, min(_TAIL, end - position))
    effort = effort or embedded.Effort()
    for hidden in embedded.hidden_in(data, whole=False, near=_NEAR, effort=effort):
        issues += [
            evolve(issue, offset=position + (issue.offset or 0))
            for issue in hidden.outcome.issues
            if issue.verdict is Verdict.DANGEROUS and hidden.encoding == "raw"
        ]
    return issues + effort.issues(position)
