"""One scan: places are listed, unchanged artifacts left alone, others examined and committed in batches."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from modelshelf.discovery.admit import Admission, Change, admit, mark_missing
from modelshelf.discovery.fanout import BATCH, Examined, fan_out
from modelshelf.discovery.group import group
from modelshelf.discovery.index import read_index
from modelshelf.discovery.walk import Walker
from modelshelf.errors import SourceError
from modelshelf.model import (
    Artifact,
    ArtifactFile,
    Depth,
    DiscoveryStats,
    ModelEvent,
    Orphan,
    Problem,
    UnfinishedDownload,
)
from modelshelf.records import RecordReader, Records, Seen
from modelshelf.source import Folder, Place, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    from modelshelf.discovery.examine import Examination, Examiner
    from modelshelf.model.failure import PluginFailure
    from modelshelf.store import Store, Transaction

# Left out with a reason, and nobody's fault.
_HARMLESS = frozenset({"no-format", "no-weights-here", "linked-folder", "link-leaves-root"})


@frozen(kw_only=True)
class ScanProgress:
    """How far a scan is.

    Attributes:
        done: Artifacts that are examined or known to be unchanged.
        found: Artifacts that were found so far.
        path: The last one.
        finished_listing: Whether `found` is all there is.
    """

    done: int
    found: int
    path: str
    finished_listing: bool = False


@define(kw_only=True)
class _Tally:
    folders: int = 0
    found: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    done: int = 0
    bytes_read: int = 0
    problems: list[Problem] = field(factory=list)
    unfinished: list[UnfinishedDownload] = field(factory=list)
    orphans: list[Orphan] = field(factory=list)


class Scan:
    """One run over some places.

    Args:
        store: Where the records are kept.
        examiner: Looks into artifacts.
        depth: How deep a probe looks.
        force: Examine unchanged artifacts too.
        emit: Told of every event, after its commit.
        progress: Told how far the scan is, now and then.
    """

    def __init__(
        self,
        store: Store,
        examiner: Examiner,
        *,
        emit: Callable[[Iterable[ModelEvent]], None],
        depth: Depth = Depth.HEADER,
        force: bool = False,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> None:
        self._store = store
        self._examiner = examiner
        self._emit = emit
        self._depth = depth
        self._force = force
        self._progress = progress
        self._tally = _Tally()
        self._visited: set[str] = set()
        self._walk = Walker(examiner.formats.wants)
        self._known: dict[str, Seen] = {}
        self._known_indexes: dict[str, tuple[int, int, int, list[str]]] = {}
        self._failures: list[PluginFailure] = []
        self._new_indexes: list[tuple[str, ArtifactFile, list[str]]] = []

    def run(
        self,
        places: Sequence[tuple[Source, Place]],
        *,
        executor: Executor | None = None,
        workers: int | None = None,
        failures: Sequence[PluginFailure] = (),
    ) -> DiscoveryStats:
        """List the places one after another and bring the registry up to date with each.

        Whatever ends it early, also Ctrl-C, leaves every batch that was committed.

        Args:
            failures: Plugins that had failed before the scan began; they count among its errors.
        """
        started = time.perf_counter()
        self._tally.problems += [_plugin_problem(one) for one in failures]
        for source, place in places:
            self._scan_place(source, place, executor, workers)
        self._remember_failures()
        tally = self._tally
        return DiscoveryStats(
            total_scanned=tally.folders,
            models_found=tally.found,
            models_added=tally.added,
            models_updated=tally.updated,
            models_unchanged=tally.unchanged,
            models_missing=tally.missing,
            errors=sum(one.code not in _HARMLESS for one in tally.problems),
            unfinished_downloads=len(tally.unfinished),
            bytes_read=tally.bytes_read,
            seconds=time.perf_counter() - started,
            problems=tally.problems,
            unfinished=tally.unfinished,
            orphans=tally.orphans,
        )

    def _scan_place(
        self, source: Source, place: Place, executor: Executor | None, workers: int | None
    ) -> None:
        # A file that is named brings its folder's shards and index with it.
        around = place.root if os.path.isdir(place.root) else os.path.dirname(place.root)
        self._known = self._store.view(lambda state: RecordReader(state).seen_below(around))
        self._known_indexes = self._store.view(lambda state: RecordReader(state).indexes_below(around))
        unlisted: list[str] = []
        batches = self._batches(source, place, unlisted)
        for examined in fan_out(self._examiner, batches, self._depth, executor=executor, workers=workers):
            self._commit(examined)
        self._mark_missing(place.root, unlisted)
        self._remember_indexes()
        self._tell(place.root, finished=True)

    def _batches(self, source: Source, place: Place, unlisted: list[str]) -> Iterator[list[Artifact]]:
        batch: list[Artifact] = []
        for artifact in self._artifacts(source, place, unlisted):
            if artifact.path in self._visited:
                continue
            self._visited.add(artifact.path)
            if self._is_known(artifact):
                continue
            batch.append(artifact)
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _is_known(self, artifact: Artifact) -> bool:
        seen = self._known.get(artifact.path)
        if seen is None or seen.missing or self._force or seen.fingerprint != artifact.fingerprint.digest:
            return False
        if seen.code is None:
            self._tally.found += 1
            self._tally.unchanged += 1
        elif self._examiner.formats.claims(artifact.weights[0].name):
            self._tally.problems.append(
                Problem(code=seen.code, path=artifact.path, message=seen.message or "")
            )
        self._tally.done += 1
        return True

    def _artifacts(self, source: Source, place: Place, unlisted: list[str]) -> Iterator[Artifact]:
        listing = source.list(place, self._walk)
        while True:
            try:
                one = next(listing, None)
            except SourceError as error:
                unlisted.append(place.root)
                self._tally.problems.append(
                    Problem(code="unlisted-place", path=place.root, message=str(error))
                )
                return
            if one is None:
                return
            if isinstance(one, Folder):
                self._tally.folders += 1
                grouped = group(one, self._examiner.formats, self._read_index, source.name)
                self._tally.unfinished += grouped.unfinished
                self._tally.problems += grouped.problems
                yield from grouped.artifacts
            elif isinstance(one, Artifact):
                yield one
            elif isinstance(one, UnfinishedDownload):
                self._tally.unfinished.append(one)
            elif isinstance(one, Orphan):
                self._tally.orphans.append(one)
            else:
                self._tally.problems.append(one)
                if one.code in {"absent", "unreadable-folder", "unreadable"} and one.path:
                    unlisted.append(one.path)

    def _read_index(self, folder: str, index: ArtifactFile) -> Sequence[str] | Problem:
        path = f"{folder.rstrip('/')}/{index.name}"
        known = self._known_indexes.get(path)
        if known is not None and known[:3] == (index.size, index.mtime_ns, index.inode):
            return known[3]
        names = read_index(folder, index)
        if not isinstance(names, Problem):
            self._new_indexes.append((path, index, names))
        return names

    def _commit(self, examined: Examined) -> None:
        now = int(time.time())

        def work(state: Transaction) -> list[tuple[Artifact, Examination, Admission | None]]:
            records = Records(state)
            outcome: list[tuple[Artifact, Examination, Admission | None]] = []
            for artifact, seen in examined:
                if seen.rejected is None:
                    outcome.append((artifact, seen, admit(records, artifact, seen, now)))
                else:
                    _note_rejection(records, artifact, seen.rejected)
                    outcome.append((artifact, seen, None))
            return outcome

        for artifact, seen, admission in self._store.update(work):
            self._count(artifact, seen, admission)
            if admission is not None:
                self._emit(admission.events)
        self._tell(examined[-1][0].path)

    def _count(self, artifact: Artifact, seen: Examination, admission: Admission | None) -> None:
        tally = self._tally
        tally.done += 1
        tally.bytes_read += seen.bytes_read
        tally.problems += [_plugin_problem(one) for one in seen.failures]
        self._failures += seen.failures
        if admission is None:
            # A file that no format claims by name was looked into by grace; leaving it out is no news.
            named = artifact.named_directly or self._examiner.formats.claims(artifact.weights[0].name)
            if seen.rejected is not None and (named or seen.rejected.code not in _HARMLESS):
                tally.problems.append(seen.rejected)
            return
        tally.found += 1
        tally.added += admission.change is Change.ADDED
        tally.updated += admission.change is Change.UPDATED
        tally.unchanged += admission.change is Change.UNCHANGED

    def _mark_missing(self, root: str, unlisted: list[str]) -> None:
        gone = [
            path
            for path, seen in self._known.items()
            if seen.model_id is not None
            and not seen.missing
            and path not in self._visited
            and _is_below(path, root)
            and not any(_is_below(path, one) for one in unlisted)
        ]
        if not gone:
            return
        now = int(time.time())
        events = self._store.update(lambda state: mark_missing(Records(state), gone, now))
        self._tally.missing += len(events)
        self._emit(events)

    def _remember_indexes(self) -> None:
        if self._new_indexes:
            self._store.update(partial(_write_indexes, self._new_indexes))
            self._new_indexes = []

    def _remember_failures(self) -> None:
        """Keep what plugins failed at, for later processes: an unchanged model is not asked again."""
        known = self._store.view(lambda state: RecordReader(state).failures())
        held = [] if self._force else known
        kept = list({(one.plugin, one.hook, one.reason): one for one in (*self._failures, *held)}.values())
        if {str(one) for one in kept} != {str(one) for one in known}:
            self._store.update(lambda state: Records(state).remember_failures(kept))

    def _tell(self, path: str, *, finished: bool = False) -> None:
        if self._progress is not None:
            found = max(len(self._visited), self._tally.done)
            self._progress(
                ScanProgress(done=self._tally.done, found=found, path=path, finished_listing=finished)
            )


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _note_rejection(records: Records, artifact: Artifact, rejected: Problem) -> None:
    # Only what its bytes decide is remembered: a file that could not be read may be readable next time.
    known = records.location(artifact.path)
    if rejected.code == "no-format" and known is None:
        digest = artifact.fingerprint.digest
        records.reject(artifact.path, digest, rejected.code, rejected.message)


def _write_indexes(indexes: list[tuple[str, ArtifactFile, list[str]]], state: Transaction) -> None:
    records = Records(state)
    for path, index, names in indexes:
        records.remember_index(path, index, names)


def _plugin_problem(failure: PluginFailure) -> Problem:
    return Problem(code="plugin-failed", path=failure.path, message=str(failure), plugin=failure.plugin)


def choose_source(sources: Sequence[Source], root: str) -> Source:
    """The source that lists a place which a person named: the one that claims it, else plain folders.

    Raises:
        SourceError: No plugin offers plain folders.
    """
    for source in sorted(sources, key=lambda one: one.name):
        if source.name != "local" and os.path.isdir(root) and source.claims(root):
            return source
    for source in sources:
        if source.name == "local":
            return source
    raise SourceError("no plugin lists plain folders; `modelshelf plugins` shows what failed or is disabled")
