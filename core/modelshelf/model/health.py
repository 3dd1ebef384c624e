"""Whether a model is sound and safe: findings, and the status that the worst of them gives."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.converters import optional

from modelshelf.model.depth import Depth
from modelshelf.model.status import NOT_JUDGED, VERDICT_OF_STATUS, HealthStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(Enum):
    """How much a finding matters: an info leaves a model healthy, a warning degrades, an error fails it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value


class Concern(Enum):
    """What a finding is about, which is another question than how much it matters.

    ``safety``: loading it may run code. ``damage``: its bytes are not what their writer wrote.
    ``incomplete``: a part of it is not there. ``foreign``: it is another program's file. ``doubt``: something
    to look at.
    """

    SAFETY = "safety"
    DAMAGE = "damage"
    INCOMPLETE = "incomplete"
    FOREIGN = "foreign"
    DOUBT = "doubt"

    def __str__(self) -> str:
        return self.value


_CODES_OF_INCOMPLETE = frozenset(
    {
        "empty-file",
        "git-lfs-pointer",
        "missing-file",
        "missing-shard",
        "no-files",
        "pointer",
        "truncated",
        "zero-tail",
    }
)


def usual_concern(code: str, severity: Severity) -> Concern | None:
    """The concern of a finding that names none, as none of release 0.1 does.

    An error is damage, or incomplete where its code says so; a warning is doubt; an info is about nothing.
    """
    if severity is Severity.ERROR:
        return Concern.INCOMPLETE if code in _CODES_OF_INCOMPLETE else Concern.DAMAGE
    return Concern.DOUBT if severity is Severity.WARNING else None


@frozen(kw_only=True)
class Finding:
    """One thing that a probe noticed.

    Attributes:
        code: A short kebab-case name, stable across releases.
        severity: How much it matters.
        message: What it is and what to do, for a person. May quote the file, so it is hostile text.
        file: The file's name relative to the artifact's folder, or None for the artifact as a whole.
        offset: The byte offset in that file, or None.
        concern: What it is about; where none is given, see `usual_concern`.
    """

    code: str
    severity: Severity = field(converter=Severity)
    message: str
    file: str | None = None
    offset: int | None = None
    concern: Concern | None = field(converter=optional(Concern))

    @concern.default
    def _usual_concern(self) -> Concern | None:
        return usual_concern(self.code, self.severity)


NOT_OPENED = "not-opened"
"""Code of the finding that a look at names and sizes leaves, which is no verdict on what is in the files."""

_NO_VERDICT = frozenset({NOT_JUDGED, NOT_OPENED})
_STATUS = {
    Severity.INFO: HealthStatus.HEALTHY,
    Severity.WARNING: HealthStatus.DEGRADED,
    Severity.ERROR: HealthStatus.UNHEALTHY,
}
_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}
_WORDS = {  # the worst first
    Concern.SAFETY: "unsafe",
    Concern.DAMAGE: "damaged",
    Concern.INCOMPLETE: "incomplete",
    Concern.DOUBT: "doubtful",
    Concern.FOREIGN: "foreign",
}


def status_of(findings: Iterable[Finding]) -> HealthStatus:
    """The status that the worst finding gives; healthy when there is none.

    Unknown at best where a check did not finish, warnings or not: worse may be where nobody looked. Likewise
    where no file was opened, or nothing here reads it, and there is no warning.
    """
    kept = tuple(findings)
    worst = _worst_severity(kept)
    if worst is Severity.INFO and any(map(_is_no_verdict, kept)):
        return HealthStatus.UNKNOWN
    if worst is Severity.WARNING and is_unfinished(kept):
        return HealthStatus.UNKNOWN
    return _STATUS[worst]


def verdict_of(findings: Iterable[Finding], status: HealthStatus) -> str:
    """The verdict in the word that people see: that of the concern of the worst finding.

    Of several equally severe ones the first in the order unsafe, damaged, incomplete, doubtful, foreign.
    Where somebody else set the status, so that the findings do not explain it, the status decides.

    Args:
        findings: What the last probe noticed.
        status: The record's status.
    """
    kept = tuple(findings)
    found = status_of(kept)
    if status not in (found, HealthStatus.LOADING):
        return VERDICT_OF_STATUS[status.value]
    worst = _worst_severity(kept)
    concerns = {one.concern for one in kept if one.severity is worst} - {None}
    if worst is Severity.INFO:
        concerns &= {Concern.FOREIGN}  # an info about anything else leaves a model healthy
    return next(
        (word for concern, word in _WORDS.items() if concern in concerns), VERDICT_OF_STATUS[found.value]
    )


def _worst_severity(findings: Iterable[Finding]) -> Severity:
    return max((one.severity for one in findings), key=_RANK.__getitem__, default=Severity.INFO)


def _is_no_verdict(finding: Finding) -> bool:
    return finding.code in _NO_VERDICT or finding.concern is Concern.FOREIGN


def is_unfinished(findings: Iterable[Finding]) -> bool:
    """Whether a check did not finish; of another program's file, which nothing here reads, none began."""
    return any(one.code == NOT_JUDGED and one.concern is not Concern.FOREIGN for one in findings)


def not_judged(message: str, file: str | None = None, offset: int | None = None) -> Finding:
    """The finding that a check leaves which did not finish."""
    return Finding(code=NOT_JUDGED, severity=Severity.INFO, message=message, file=file, offset=offset)


def combine(earlier: Iterable[Finding], later: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings of two looks at the same bytes, where the later one saw less than the earlier one.

    What the earlier look found is kept: a shallower or an unfinished look improves nothing.
    """
    kept = tuple(earlier)
    opened = not any(finding.code == NOT_OPENED for finding in kept)
    return worst_first([*kept, *(one for one in later if not (opened and one.code == NOT_OPENED))])


@frozen(kw_only=True)
class HealthReport:
    """What a check of one model, or of the whole registry, found.

    Attributes:
        status: The verdict.
        findings: All that was noticed, worst first.
        depth: How deep the probe looked.
        checked_at: Unix time in seconds.
    """

    status: HealthStatus
    findings: tuple[Finding, ...] = ()
    depth: Depth = Depth.HEADER
    checked_at: int | None = None

    @property
    def verdict(self) -> str:
        """The verdict in the word that people see."""
        return verdict_of(self.findings, self.status)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without repeats, the worst first, otherwise in the order they were made."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda finding: -_RANK[finding.severity]))
