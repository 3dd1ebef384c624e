"""Whether a model is sound and safe: findings, and the status that the worst of them gives."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.model.depth import Depth
from modelshelf.model.status import NOT_JUDGED, HealthStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(Enum):
    """How much a finding matters: an info leaves a model healthy, a warning degrades, an error fails it."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def __str__(self) -> str:
        return self.value


@frozen(kw_only=True)
class Finding:
    """One thing that a probe noticed.

    Attributes:
        code: A short kebab-case name, stable across releases.
        severity: How much it matters.
        message: What it is and what to do, for a person. May quote the file, so it is hostile text.
        file: The file's name relative to the artifact's folder, or None for the artifact as a whole.
        offset: The byte offset in that file, or None.
    """

    code: str
    severity: Severity = field(converter=Severity)
    message: str
    file: str | None = None
    offset: int | None = None


NOT_OPENED = "not-opened"
"""Code of the finding that a look at names and sizes leaves, which is no verdict on what is in the files."""

_NO_VERDICT = frozenset({NOT_JUDGED, NOT_OPENED})
_STATUS = {
    Severity.INFO: HealthStatus.HEALTHY,
    Severity.WARNING: HealthStatus.DEGRADED,
    Severity.ERROR: HealthStatus.UNHEALTHY,
}
_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def status_of(findings: Iterable[Finding]) -> HealthStatus:
    """The status that the worst finding gives; healthy when there is none.

    Unknown at best where a check did not finish, or where no file was opened.
    """
    kept = tuple(findings)
    worst = max((finding.severity for finding in kept), key=_RANK.__getitem__, default=Severity.INFO)
    if worst is Severity.INFO and any(finding.code in _NO_VERDICT for finding in kept):
        return HealthStatus.UNKNOWN
    return _STATUS[worst]


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


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without repeats, the worst first, otherwise in the order they were made."""
    unique = dict.fromkeys(findings)
    return tuple(sorted(unique, key=lambda finding: -_RANK[finding.severity]))
