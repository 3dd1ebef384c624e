"""The verdict on a file, and the issues that lead to it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from modelshelf.errors import BudgetExceededError, FileChangedError, UnreadableFileError
from modelshelf.model.status import NOT_JUDGED

if TYPE_CHECKING:
    from modelshelf.errors import ReadError
    from modelshelf.model import Finding, Severity


class Verdict(Enum):
    """How far a file can be trusted, from best to worst.

    ``clean``: torch's ``weights_only`` loading would accept every import and every call. ``suspicious``:
    nothing runs by itself, but something is there that a checkpoint does not need.
    ``not-judged``: it is larger than what is judged, and what was read of it is no worse. ``unreadable``: it
    breaks its format's rules, so that it cannot be judged. ``dangerous``: loading it reaches code outside the
    allowlist.
    """

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    NOT_JUDGED = "not-judged"
    UNREADABLE = "unreadable"
    DANGEROUS = "dangerous"

    def __str__(self) -> str:
        return self.value


LIMIT_CODES = frozenset({NOT_JUDGED, BudgetExceededError.code})
"""Codes of the errors by which a limit of ours ends a check."""

_LONGEST = 2000  # characters of a message: a member's name may have 65,535
_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}
_SEVERITY = {
    Verdict.CLEAN: "info",
    Verdict.SUSPICIOUS: "warning",
    Verdict.NOT_JUDGED: "info",  # with the code that leaves a model's status unknown at best
    Verdict.UNREADABLE: "error",
    Verdict.DANGEROUS: "error",
}


@frozen(kw_only=True)
class Issue:
    """Something noticed in a file.

    Attributes:
        code: A short kebab-case name, stable across releases.
        verdict: What it makes of the file.
        message: What it is and what to do, for a person. May quote the file.
        offset: The byte offset in the file, or None.
        subject: The global, ``module.name``, that it is about, or None.
        doubt: Whether it leaves open what the file is, rather than showing damage.
    """

    code: str
    verdict: Verdict
    message: str
    offset: int | None = None
    subject: str | None = None
    doubt: bool = False

    def finding(self, file: str, severity: Severity | None = None) -> Finding:
        """Return it as a finding about a file.

        Args:
            file: The file's name.
            severity: The finding's severity; the verdict's own by default.
        """
        from modelshelf.model import Concern, Finding, Severity  # a sound file has no finding

        message = self.message if self.message.startswith(f"{file}: ") else f"{file}: {self.message}"
        return Finding(
            code=self.code,
            severity=severity or Severity(_SEVERITY[self.verdict]),
            message=message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…",
            file=file,
            offset=self.offset,
            **({"concern": Concern.SAFETY} if self.verdict is Verdict.DANGEROUS else {}),
            **({"concern": Concern.DOUBT} if self.doubt else {}),
        )

    def inside(self, size: int) -> Issue:
        """The same, with its place in a file of that many bytes: a forged record may point past the end."""
        return self if self.offset is None or self.offset <= size else evolve(self, offset=size)

    def within(self, member: str, offset: int) -> Issue:
        """Return the same, noticed in a compressed member, whose bytes have no offsets in the file."""
        where = "" if self.offset is None else f" (byte {self.offset} of it)"
        return evolve(self, message=f"in {member}{where}: {self.message}", offset=offset)


def worst(issues: tuple[Issue, ...] | list[Issue]) -> Verdict:
    """Return the worst verdict among issues; clean where there are none."""
    return max((issue.verdict for issue in issues), key=_RANK.__getitem__, default=Verdict.CLEAN)


def suspicious(code: str, message: str, offset: int | None = None) -> Issue:
    """Return an issue of something that a checkpoint does not need."""
    return Issue(code=code, verdict=Verdict.SUSPICIOUS, message=message, offset=offset)


def not_judged(message: str, offset: int | None = None) -> Issue:
    """Return the issue of what is larger than what is judged: no fault of the file, and no verdict."""
    return Issue(code=NOT_JUDGED, verdict=Verdict.NOT_JUDGED, message=message, offset=offset)


def unreadable(code: str, message: str, offset: int | None = None) -> Issue:
    """Return an issue of something that breaks the format's rules, or of a check that a limit ended."""
    if code in LIMIT_CODES:  # a limit of ours is no fault of the file
        return not_judged(message, offset)
    return Issue(code=code, verdict=Verdict.UNREADABLE, message=message, offset=offset)


def issue_of(error: ReadError, offset: int | None = None) -> Issue:
    """Return the issue of a part of a file that cannot be read.

    Raises:
        UnreadableFileError: The system refused, which says nothing of the file and may not be so next time.
        FileChangedError: It is another file by now.
    """
    if isinstance(error, UnreadableFileError | FileChangedError):
        raise error
    return unreadable(error.code, str(error), offset)


def dangerous(code: str, message: str, offset: int | None = None) -> Issue:
    """Return an issue of something that reaches for code, or that no honest writer does."""
    return Issue(code=code, verdict=Verdict.DANGEROUS, message=message, offset=offset)
