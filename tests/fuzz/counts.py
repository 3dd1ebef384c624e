"""What came of many cases: counts, the slowest, the memory, and each case that failed."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from typing import Any

import attrs

MOST_SECONDS = 1.0
"""Processor time that reading one header may take."""

MOST_MEGABYTES = 200.0
"""Memory that a process which reads headers may take at its peak."""

_MOST_FAILURES = 1000  # that are listed one by one


@attrs.frozen
class Failure:
    """One case that failed: its number, how, and the message."""

    number: int
    kind: str
    message: str


@attrs.define
class Counts:
    """Counts over a run of cases.

    Attributes:
        counts: ``total``, each status, each kind of failure, and ``judged``: by the real loader.
        codes: How often each finding came first.
        failures: The first of the cases that failed.
        longest: Seconds and number of the slowest case.
        seconds: Processor time of all cases, making and judging them included.
        peak: Megabytes of the process at its peak.
        base: Megabytes of the process before its first case.
    """

    counts: Counter[str] = attrs.Factory(Counter)
    codes: Counter[str] = attrs.Factory(Counter)
    failures: list[Failure] = attrs.Factory(list)
    longest: tuple[float, int] = (0.0, -1)
    seconds: float = 0.0
    peak: float = 0.0
    base: float = 0.0

    @property
    def rate(self) -> float:
        """Cases in a second of processor time."""
        return self.counts["total"] / self.seconds if self.seconds else 0.0

    def fail(self, number: int, kind: str, message: str) -> None:
        """Count and keep a failure."""
        self.counts[kind] += 1
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(Failure(number, kind, message[:400]))

    def add(self, other: Counts) -> None:
        """Take in what another process counted."""
        self.counts += other.counts
        self.codes += other.codes
        self.failures += other.failures[: _MOST_FAILURES - len(self.failures)]
        self.longest = max(self.longest, other.longest)
        self.seconds += other.seconds
        self.peak, self.base = max(self.peak, other.peak), max(self.base, other.base)

    def as_json(self) -> dict[str, Any]:
        """The counts for JSON."""
        return {**attrs.asdict(self), "codes": dict(self.codes.most_common())}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Counts:
        """The counts that `as_json` gave."""
        return cls(
            counts=Counter(document["counts"]),
            codes=Counter(document["codes"]),
            failures=[Failure(**one) for one in document["failures"]],
            longest=tuple(document["longest"]),
            seconds=document["seconds"],
            peak=document["peak"],
            base=document["base"],
        )


def megabytes() -> float:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
