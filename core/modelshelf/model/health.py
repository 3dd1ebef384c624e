"""Whether a model is sound and safe: findings, and the status that the worst of them gives."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.model.depth import Depth
from modelshelf.model.status import HealthStatus

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


_STATUS = {
    Severity.INFO: HealthStatus.HEALTHY,
    Severity.WARNING: HealthStatus.DEGRADED,
    Severity.ERROR: HealthStatus.UNHEALTHY,
}
_RANK = {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


def status_of(findings: Iterable[Finding]) -> HealthStatus:
    """The status that the worst finding gives; healthy when there is none."""
    worst = max((finding.severity for finding in findings), key=_RANK.__getitem__, default=Severity.INFO)
    return _STATUS[worst]


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
