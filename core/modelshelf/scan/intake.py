"""What a scan found to be new, changed or gone is brought into the registry, a batch in each commit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from modelshelf.errors import InvalidModelError
from modelshelf.model import Artifact, Depth, EventKind, ModelEvent, Problem
from modelshelf.records.write import Records
from modelshelf.scan.changed import bound
from modelshelf.scan.commit import Admission, Change, admit, mark_missing
from modelshelf.scan.counters import HARMLESS, plugin_problem
from modelshelf.scan.volumes import is_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modelshelf.scan.counters import Tally
    from modelshelf.scan.examine import Examination
    from modelshelf.scan.file_names import FormatTable
    from modelshelf.scan.remembered import Remembered
    from modelshelf.scan.worker_pool import Examined
    from modelshelf.store import Store, Transaction


class Intake:
    """Commits what was examined, and what is gone, and counts it.

    Args:
        store: Where the records are kept.
        formats: The names that the formats claim.
        rules: What a rejection holds under; see `rules_of`.
        remembered: What earlier scans left of the place that the scan is at.
        tally: Counts.
        emit: Told of every event, after its commit.
    """

    def __init__(
        self,
        store: Store,
        formats: FormatTable,
        rules: bytes,
        remembered: Remembered,
        tally: Tally,
        emit: Callable[[Iterable[ModelEvent]], None],
    ) -> None:
        self._store = store
        self._formats = formats
        self._rules = rules
        self._remembered = remembered
        self._tally = tally
        self._emit = emit

    def commit(self, examined: Examined) -> None:
        """Bring the registry up to date with some examined artifacts."""
        now = int(time.time())

        volumes = self._remembered.volumes.with_those_of({artifact.folder for artifact, _ in examined})

        def work(state: Transaction) -> list[tuple[Artifact, Examination, Admission | None]]:
            records = Records(state)
            if volumes is not None:
                records.save_mounts({*volumes.known, *records.mounts()})
            outcome: list[tuple[Artifact, Examination, Admission | None]] = []
            for artifact, seen in examined:
                if seen.rejected is None:
                    try:
                        outcome.append((artifact, seen, admit(records, artifact, seen, now)))
                    except InvalidModelError as error:  # a source's id, say, that is none
                        unfit = Problem(code="unfit-record", path=artifact.path, message=str(error))
                        outcome.append((artifact, attrs.evolve(seen, rejected=unfit), None))
                else:
                    self._note_rejection(records, artifact, seen.rejected)
                    outcome.append((artifact, seen, None))
            return outcome

        admitted = self._store.update(work)
        self._remembered.volumes = volumes or self._remembered.volumes
        for artifact, seen, admission in admitted:
            self._count(artifact, seen, admission)
            if admission is not None:
                self._emit(admission.events)

    def _note_rejection(self, records: Records, artifact: Artifact, rejected: Problem) -> None:
        # Only what its bytes decide is remembered: a file that could not be read may be readable next time.
        # Nor is it where depth full alone would ask for the name: every text file of a tree is one.
        wanted = self._formats.wants(artifact.primary)
        if wanted and rejected.code == "no-format" and records.location(artifact.path) is None:
            digest = bound(artifact.fingerprint.digest, self._rules)
            records.reject(artifact.path, digest, rejected.code, rejected.message)

    def _count(self, artifact: Artifact, seen: Examination, admission: Admission | None) -> None:
        tally = self._tally
        tally.done += 1
        tally.bytes_read += seen.bytes_read
        tally.problems += [plugin_problem(one) for one in seen.failures]
        tally.failures += seen.failures
        if admission is None:
            # A file that no format claims by name was looked into by grace; leaving it out is no news.
            named = artifact.named_directly or self._formats.claims(artifact.weights[0].name)
            if seen.rejected is not None and (named or seen.rejected.code not in HARMLESS):
                tally.problems.append(seen.rejected)
                self._remembered.leave_open(artifact)
            else:
                self._remembered.dismiss(artifact)
            return
        if not seen.complete or not seen.depth.reaches(Depth.HEADER):  # an ordinary scan looks deeper
            self._remembered.leave_open(artifact)
        tally.found += 1
        tally.added += admission.change is Change.ADDED
        tally.updated += admission.change is Change.UPDATED
        tally.unchanged += admission.change is Change.UNCHANGED

    def mark_missing(self, gone: list[str]) -> None:
        """Mark models as missing whose files are not at these paths any more."""
        lost = self._remembered.volumes.lost()
        away = [path for path in gone if is_on(path, lost)]
        here = [path for path in gone if path not in set(away)] if away else gone
        now = int(time.time())

        def work(state: Transaction) -> list[ModelEvent]:
            records = Records(state)
            return [*mark_missing(records, here, now), *mark_missing(records, away, now, offline=True)]

        events = self._store.update(work)
        missing = sum(event.kind is EventKind.MISSING for event in events)
        self._tally.missing += missing
        self._tally.updated += len(events) - missing
        self._emit(events)
