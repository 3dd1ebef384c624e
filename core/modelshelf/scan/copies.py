"""The copies of one model: each has findings of its own, and the worst of those that are there decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from modelshelf.model.health import status_of, worst_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Finding, Location, ModelConfig


def findings_of(places: Iterable[Location]) -> tuple[Finding, ...]:
    """What is wrong with the copies at these places, worst first; what only a further one has names it."""
    return worst_first(_named(tuple(places)))


def _named(places: tuple[Location, ...]) -> Iterator[Finding]:
    for number, place in enumerate(places):
        for finding in place.findings:
            if number and finding not in places[0].findings and not finding.message.startswith(place.folder):
                yield attrs.evolve(finding, message=f"{place.folder}: {finding.message}")
            else:
                yield finding


def judged(config: ModelConfig) -> ModelConfig:
    """The record with the verdict of its present copies; one whose copies are all gone keeps its last."""
    present = [one for one in config.locations if not one.missing]
    if not present:
        return config
    findings = findings_of(present)
    if findings == config.findings:
        return config
    return attrs.evolve(config, findings=findings, health_status=status_of(findings))


def with_own_findings(config: ModelConfig) -> ModelConfig:
    """The record with findings at its places, also where release 0.1 kept them for the record alone.

    All present places get them: nobody knows which one was probed, and none becomes better by that.
    """
    if not config.findings or any(one.findings for one in config.locations):
        return config
    everywhere = all(one.missing for one in config.locations)
    return attrs.evolve(
        config,
        locations=tuple(
            attrs.evolve(one, findings=config.findings) if everywhere or not one.missing else one
            for one in config.locations
        ),
    )
