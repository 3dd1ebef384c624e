"""What is known of a model's health, in one word, and which models may be chosen.

The rule of the library, its JSON and the command line: a model whose files are missing, be it because their
volume is offline, is neither healthy nor ever chosen, whatever its last probe said; a disabled one is never
chosen. A listing gives the health of a missing one as unknown, beside the mark that it is missing.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

NOT_JUDGED = "not-judged"
"""Code of a finding that says which check did not finish: nothing becomes healthy by it."""


class HealthStatus(Enum):
    """What is known of a model's health.

    ``loading`` is set by the server that loads the model; a scan gives the others.
    """

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    LOADING = "loading"

    def __str__(self) -> str:
        return self.value


VERDICTS = (
    "offline",
    "missing",
    "unsafe",
    "damaged",
    "incomplete",
    "doubtful",
    "foreign",
    "not judged",
    "healthy",
)
"""The words of the verdict that people see, in their precedence."""

VERDICT_OF_STATUS = {
    "unhealthy": "damaged",
    "degraded": "doubtful",
    "unknown": "not judged",
    "loading": "healthy",
    "healthy": "healthy",
}
"""The verdict where only the status is known: of records of earlier releases, or set by a server."""


class HealthRecord(Protocol):
    """A record, be it whole (`ModelConfig`) or the summary of one that a listing reads."""

    @property
    def enabled(self) -> bool:
        """Whether a person lets it be chosen."""
        ...

    @property
    def missing(self) -> bool:
        """Whether its files are gone, or their volume is offline."""
        ...

    @property
    def offline(self) -> bool:
        """Whether they are missing because their volume is not there."""
        ...

    @property
    def verdict(self) -> str:
        """What its last probe found, in the word that people see; empty where an earlier release wrote it."""
        ...

    @property
    def health_status(self) -> HealthStatus | str:
        """What the last probe or its server said, as a status or its text."""
        ...


def is_available(record: HealthRecord) -> bool:
    """Whether a model may be the default or be chosen: it is enabled, and its files are there."""
    return record.enabled and not record.missing


def current_health(record: HealthRecord) -> str:
    """A model's health as a listing gives it: unknown while its files are missing."""
    return "unknown" if record.missing else str(record.health_status)


def current_verdict(record: HealthRecord) -> str:
    """The verdict in the word that people see, one of `VERDICTS`."""
    if record.missing:
        return "offline" if record.offline else "missing"
    return record.verdict or VERDICT_OF_STATUS.get(str(record.health_status), "not judged")


def is_healthy(record: HealthRecord) -> bool:
    """Whether a model's files are there and its last known health is healthy."""
    return not record.missing and str(record.health_status) == "healthy"
