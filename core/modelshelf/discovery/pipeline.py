"""One scan: places are listed, unchanged artifacts left alone, others examined and committed in batches."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs

from modelshelf.discovery.admit import Admission, Change, admit, mark_missing
from modelshelf.discovery.fanout import Examined, batched, fan_out, gathered
from modelshelf.discovery.group import Grouped, group
from modelshelf.discovery.index import read_index
from modelshelf.discovery.known import Known
from modelshelf.discovery.places import PLAIN_FOLDERS
from modelshelf.discovery.tally import HARMLESS, ScanProgress, Tally
from modelshelf.discovery.treescan import TreeScan
from modelshelf.discovery.volumes import Volumes, is_on
from modelshelf.discovery.walk import Walker
from modelshelf.errors import InvalidModelError, SourceError
from modelshelf.model import (
    Artifact,
    ArtifactFile,
    Depth,
    DiscoveryStats,
    EventKind,
    ModelEvent,
    Orphan,
    Problem,
    UnfinishedDownload,
)
from modelshelf.record_keys import path_bytes
from modelshelf.records import RecordReader, Records
from modelshelf.source import Folder, Listing, Place, Source, room_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    from modelshelf.discovery.examine import Examination, Examiner
    from modelshelf.model.failure import PluginFailure
    from modelshelf.store import Store, Transaction

__all__ = ["PLAIN_FOLDERS", "Scan", "ScanProgress"]

_FEW_FOLDERS = 256  # with changes; for more of them all that is known of the place is read at once


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
        self._tally = Tally()
        self._visited: set[str] = set()
        self._several = False
        self._walk = Walker(examiner.formats.wants)
        self._walk_plain = self._walk
        self._left_out: frozenset[str] = frozenset()
        self._unlisted: list[str] = []
        self._volumes = Volumes(store.view(lambda state: RecordReader(state).mounts()))
        self._known = Known(store, "", at_once=False)
        self._tree: TreeScan | None = None
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
        self._several = len(places) > 1
        self._left_out = frozenset(place.root for source, place in places if source.name != PLAIN_FOLDERS)
        self._walk_plain = Walker(self._examiner.formats.wants, self._left_out)
        for source, place in places:
            self._scan_place(source, place, executor, workers)
        self._remember_failures()
        return self._tally.stats(time.perf_counter() - started)

    def _scan_place(
        self, source: Source, place: Place, executor: Executor | None, workers: int | None
    ) -> None:
        if self._is_offline(place):
            return
        listings = self._listings(source, place)
        batches = batched(self._changed(source, listings))
        examined = fan_out(self._examiner, batches, self._depth, executor=executor, workers=workers)
        for some in gathered(examined):
            self._commit(some)
        tree = self._tree
        if tree is not None:
            self._count_passed_over(tree)
        unseen = self._known.standing(None if tree is None else tree.in_doubt())
        unseen = [path for path in unseen if path not in self._visited and _is_below(path, place.root)]
        hidden = {path for path in unseen if any(_is_below(path, one) for one in self._unlisted)}
        self._mark_missing([path for path in unseen if path not in hidden])
        self._remember_indexes()
        if tree is not None:
            tree.remember(self._store, hidden)
        self._tell(place.root, finished=True)

    def _is_offline(self, place: Place) -> bool:
        """Whether the place went with its volume; then what is known of it is marked so, and told."""
        if os.path.lexists(place.root) or not is_on(place.root, self._volumes.lost()):
            return False
        gone = Known(self._store, place.root, at_once=True).standing(None)
        self._mark_missing(gone)
        message = f"{place.root}: its volume is not there; nothing of it is forgotten"
        self._tally.problems.append(Problem(code="offline", path=place.root, message=message))
        return True

    def _listings(self, source: Source, place: Place) -> Iterator[Listing]:
        """What the source lists; of plain folders that are walked as they are, only those that changed."""
        # A file that is named brings its folder's shards and index with it.
        is_folder = os.path.isdir(place.root)
        around = place.root if is_folder else os.path.dirname(place.root)
        self._tree = None
        try:
            if is_folder and source.name == PLAIN_FOLDERS:
                yield from source.list(place, self._walk_of(place.root))
            else:
                self._known = Known(self._store, around, at_once=True)
                yield from source.list(place, self._walk)
        except SourceError as error:
            self._unlisted.append(place.root)
            self._tally.problems.append(Problem(code="unlisted-place", path=place.root, message=str(error)))

    def _walk_of(self, place: str) -> Callable[[str], Iterator[Listing]]:
        def walk(root: str) -> Iterator[Listing]:
            return self._changed_below(root) if root == place else self._walk_plain(root)

        return walk

    def _changed_below(self, root: str) -> Iterator[Listing]:
        below = sorted(path_bytes(one) for one in self._left_out if _is_below(one, root))
        rules = self._examiner.bound(b"\0".join(below))
        tree = self._tree = TreeScan(self._walk_plain, root, rules)
        self._store.view(tree.recall)
        tree.compare(everything=self._force)
        few = tree.changed is not None and tree.changed <= _FEW_FOLDERS
        self._known = Known(self._store, root, at_once=not few)
        try:
            for listed in tree.folders():
                yield from listed.problems
                if listed.folder is not None:
                    yield listed.folder
        except OSError as error:  # it was there a moment ago
            message = f"{root}: {error.strerror or error}; nothing there was changed"
            yield Problem(code="absent", path=root, message=message)

    def _count_passed_over(self, tree: TreeScan) -> None:
        folders, models = tree.passed_over()
        if self._several:  # another place may hold the same files, and each counts once
            fresh = set(tree.models_passed_over()) - self._visited
            self._visited |= fresh
            models = len(fresh)
        tally = self._tally
        tally.folders += folders
        tally.found += models
        tally.unchanged += models
        tally.done += models

    def _changed(self, source: Source, listings: Iterator[Listing]) -> Iterator[Artifact]:
        for artifact in self._artifacts(source, listings):
            if artifact.path in self._visited:
                self._leave_open(artifact)
                continue
            self._visited.add(artifact.path)
            if not self._is_known(artifact):
                yield artifact

    def _is_known(self, artifact: Artifact) -> bool:
        seen = None if self._force else self._known.seen(artifact.path)
        if seen is None or seen.missing:
            return False
        digest = artifact.fingerprint.digest
        if seen.code is None:
            if seen.fingerprint != digest:
                return False
            self._tally.found += 1
            self._tally.unchanged += 1
        else:
            if seen.fingerprint != self._examiner.bound(digest):
                return False
            if self._examiner.formats.claims(artifact.weights[0].name):
                self._leave_open(artifact)
                self._tally.problems.append(
                    Problem(code=seen.code, path=artifact.path, message=seen.message or "")
                )
            else:
                self._dismiss(artifact)
        self._tally.done += 1
        return True

    def _leave_open(self, artifact: Artifact) -> None:
        if self._tree is not None:
            self._tree.look_again(artifact.folder)

    def _dismiss(self, artifact: Artifact) -> None:
        if self._tree is not None:
            seen = self._known.seen(artifact.path)
            if seen is None or seen.model_id is None:
                self._tree.dismiss(artifact.folder, artifact.primary)
            else:  # a record lies there still, of other bytes
                self._tree.look_again(artifact.folder)

    def _artifacts(self, source: Source, listings: Iterator[Listing]) -> Iterator[Artifact]:
        for one in listings:
            if isinstance(one, Folder):
                self._tally.folders += 1
                grouped = group(one, self._examiner.formats, self._read_index, source.name)
                self._tally.unfinished += map(_with_room, grouped.unfinished)
                self._tally.problems += grouped.problems
                self._note(one, grouped)
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
                    self._unlisted.append(one.path)

    def _note(self, folder: Folder, grouped: Grouped) -> None:
        if self._tree is not None:
            self._tree.held(folder.path, (one.primary for one in grouped.artifacts))
            if grouped.unfinished or grouped.problems:
                self._tree.look_again(folder.path)

    def _read_index(self, folder: str, index: ArtifactFile) -> Sequence[str] | Problem:
        path = f"{folder.rstrip('/')}/{index.name}"
        known = self._known.shards(path, index)
        if known is not None:
            return known
        names = read_index(folder, index)
        if not isinstance(names, Problem):
            self._new_indexes.append((path, index, names))
        return names

    def _commit(self, examined: Examined) -> None:
        now = int(time.time())

        volumes = self._volumes.with_those_of({artifact.folder for artifact, _ in examined})

        def work(state: Transaction) -> list[tuple[Artifact, Examination, Admission | None]]:
            records = Records(state)
            if volumes is not None:
                records.remember_mounts({*volumes.known, *records.mounts()})
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
        self._volumes = volumes or self._volumes
        for artifact, seen, admission in admitted:
            self._count(artifact, seen, admission)
            if admission is not None:
                self._emit(admission.events)
        self._tell(examined[-1][0].path)

    def _note_rejection(self, records: Records, artifact: Artifact, rejected: Problem) -> None:
        # Only what its bytes decide is remembered: a file that could not be read may be readable next time.
        if rejected.code == "no-format" and records.location(artifact.path) is None:
            digest = self._examiner.bound(artifact.fingerprint.digest)
            records.reject(artifact.path, digest, rejected.code, rejected.message)

    def _count(self, artifact: Artifact, seen: Examination, admission: Admission | None) -> None:
        tally = self._tally
        tally.done += 1
        tally.bytes_read += seen.bytes_read
        tally.problems += [_plugin_problem(one) for one in seen.failures]
        self._failures += seen.failures
        if admission is None:
            # A file that no format claims by name was looked into by grace; leaving it out is no news.
            named = artifact.named_directly or self._examiner.formats.claims(artifact.weights[0].name)
            if seen.rejected is not None and (named or seen.rejected.code not in HARMLESS):
                tally.problems.append(seen.rejected)
                self._leave_open(artifact)
            else:
                self._dismiss(artifact)
            return
        if not seen.complete:
            self._leave_open(artifact)
        tally.found += 1
        tally.added += admission.change is Change.ADDED
        tally.updated += admission.change is Change.UPDATED
        tally.unchanged += admission.change is Change.UNCHANGED

    def _mark_missing(self, gone: list[str]) -> None:
        if not gone:
            return
        lost = self._volumes.lost()
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


def _with_room(one: UnfinishedDownload) -> UnfinishedDownload:
    """An unfinished download of a plain folder with the room that it takes: some are sparse."""
    try:
        return attrs.evolve(one, size=room_of(os.stat(one.path)))
    except (OSError, ValueError):
        return one


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _write_indexes(indexes: list[tuple[str, ArtifactFile, list[str]]], state: Transaction) -> None:
    records = Records(state)
    for path, index, names in indexes:
        records.remember_index(path, index, names)


def _plugin_problem(failure: PluginFailure) -> Problem:
    return Problem(code="plugin-failed", path=failure.path, message=str(failure), plugin=failure.plugin)
