"""The copies of one model: each has findings of its own, and the worst of those that are there decides."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from modelshelf.errors import ReadError
from modelshelf.model import Artifact, Role
from modelshelf.model.health import status_of, worst_first
from modelshelf.reader import ArtifactReader, open_local
from modelshelf.scan.hashing import fine_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Finding, Location, ModelConfig
    from modelshelf.source import Source

_BUDGET = 1 << 62  # bytes; a comparison reads what it needs


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


class FineDigests:
    """Fine digests of copies, each read once: a content digest only proposes that two are one model.

    Args:
        sources: The sources, each of which opens its own files.
    """

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self._openers = {one.name: one.open for one in reversed(tuple(sources))}
        self._digests: dict[str, bytes | None] = {}

    def of(self, place: Location) -> bytes | None:
        """The fine digest of the copy at a place; None where its files cannot be read as they were listed."""
        if place.path not in self._digests:
            artifact = Artifact(
                folder=place.folder,
                primary=os.path.relpath(place.path, place.folder),
                files=place.files,
                source=place.source,
            )
            opener = self._openers.get(place.source, open_local)
            try:
                with ArtifactReader(artifact, opener, _BUDGET) as reader:
                    self._digests[place.path] = fine_digest(reader)
            except (ReadError, OSError):
                self._digests[place.path] = None
        return self._digests[place.path]

    def is_copy(self, record: ModelConfig, place: Location) -> bool:
        """Whether what lies at a place, and has the record's content digest, is another copy of it.

        Where the sha256 of both are known, they decide; else the fine digests. What is out of reach is the
        same only where it was moved away: its old place is empty, and its sizes and times are the new ones'.
        """
        others = [one for one in record.locations if one.path != place.path]
        mine = place.content_names
        theirs = {one.content_names for one in others} - {None}
        if mine is not None and theirs:
            return mine in theirs
        for one in others:
            read = None if one.missing else self.of(one)
            if read is not None:
                return read == self.of(place)
        if len(others) < len(record.locations):  # bytes that were put back where they lay
            return True
        return any(not one.offline and _times(one) == _times(place) for one in others)


def _times(place: Location) -> list[tuple[int, int]]:
    return [(one.size, one.mtime_ns) for one in place.files if one.role is Role.WEIGHTS]
