"""What a scan counts, and what it reports on the way."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from modelshelf.model import DiscoveryStats, Orphan, Problem, UnfinishedDownload
from modelshelf.scan.passing import PASSED_OVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelshelf.model.failure import PluginFailure  # noqa: TC004 - an annotation; loaded where one failed

FOREIGN = "foreign"
"""Code of a file that is another program's and no model."""

HARMLESS = frozenset({FOREIGN, "no-format", "no-weights-here", "offline"})
"""Codes of problems that leave something out with a reason, and that are nobody's fault."""


PASSING = frozenset({PASSED_OVER, "linked-folder", "link-leaves-root"})
"""Codes of words on folders and links that were passed over, which are no problems."""


class Change(Enum):
    """What became of a model in a scan."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@frozen(kw_only=True)
class ScanProgress:
    """How far a scan is.

    Attributes:
        done: Artifacts that are examined or unchanged.
        found: Artifacts that were found so far.
        path: The last one.
        finished_listing: Whether `found` is all there is.
    """

    done: int
    found: int
    path: str
    finished_listing: bool = False


def plugin_problem(failure: PluginFailure) -> Problem:
    """A plugin's failure as a problem of the scan."""
    return Problem(code="plugin-failed", path=failure.path, message=str(failure), plugin=failure.plugin)


@define(kw_only=True, eq=False, repr=False)
class Counters:
    """What a scan has counted so far; see `DiscoveryStats`.

    Attributes:
        done: Artifacts that are examined or unchanged.
        failures: What plugins failed at in examinations.
    """

    folders: int = 0
    found: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    done: int = 0
    bytes_read: int = 0
    problems: list[Problem] = field(factory=list)
    passed_over: list[Problem] = field(factory=list)
    unfinished: list[UnfinishedDownload] = field(factory=list)
    orphans: list[Orphan] = field(factory=list)
    failures: list[PluginFailure] = field(factory=list)

    def add_unchanged(self, models: int) -> None:
        """Count models that are unchanged."""
        self.found += models
        self.unchanged += models
        self.done += models

    def add_examined(self, bytes_read: int, failures: Sequence[PluginFailure]) -> None:
        """Count one examination."""
        self.done += 1
        self.bytes_read += bytes_read
        self.problems += map(plugin_problem, failures)
        self.failures += failures

    def add_model(self, change: Change) -> None:
        """Count one model whose examination was committed."""
        self.found += 1
        self.added += change is Change.ADDED
        self.updated += change is Change.UPDATED
        self.unchanged += change is Change.UNCHANGED

    def stats(self, seconds: float) -> DiscoveryStats:
        """The counters as the scan's result."""
        return DiscoveryStats(
            total_scanned=self.folders,
            models_found=self.found,
            models_added=self.added,
            models_updated=self.updated,
            models_unchanged=self.unchanged,
            models_missing=self.missing,
            errors=sum(one.code not in HARMLESS for one in self.problems),
            unfinished_downloads=len(self.unfinished),
            bytes_read=self.bytes_read,
            seconds=seconds,
            problems=self.problems,
            passed_over=self.passed_over,
            unfinished=self.unfinished,
            orphans=self.orphans,
        )
