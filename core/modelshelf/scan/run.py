"""One scan: places are listed, unchanged artifacts left alone, others examined and committed in batches.

What sifts listings, and what examines and commits, is loaded when there is something for it: loading it takes
longer than finding a small tree unchanged.
"""

from __future__ import annotations

import os
import time
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from modelshelf.errors import SourceError
from modelshelf.model import Depth, Problem
from modelshelf.records.tables import path_bytes
from modelshelf.records.write import RecordReader, Records
from modelshelf.scan.changed import TreeScan, bound, rules_of
from modelshelf.scan.counters import ScanProgress, Tally, plugin_problem
from modelshelf.scan.known import Known
from modelshelf.scan.places import PLAIN_FOLDERS
from modelshelf.scan.remembered import Remembered
from modelshelf.scan.volumes import is_on
from modelshelf.scan.walker import Walker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Executor

    from modelshelf.model import DiscoveryStats, ModelEvent
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.file_names import FormatTable
    from modelshelf.scan.intake import Intake
    from modelshelf.scan.sieve import Sieve
    from modelshelf.source import Listing, Place, Source
    from modelshelf.store import Store

_FEW_FOLDERS = 256  # with changes; for more of them all that is known of the place is read at once


class Scan:
    """One run over some places.

    Args:
        store: Where the records are kept.
        plugins: The plugins that examine artifacts.
        formats: The names that their formats claim.
        sources: The sources, each of which opens its own artifacts' files.
        depth: How deep a probe looks.
        force: Examine unchanged artifacts too.
        emit: Told of every event, after its commit.
        progress: Told how far the scan is, now and then.
    """

    def __init__(
        self,
        store: Store,
        plugins: PluginSet,
        formats: FormatTable,
        sources: Sequence[Source],
        *,
        emit: Callable[[Iterable[ModelEvent]], None],
        depth: Depth = Depth.HEADER,
        force: bool = False,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._formats = formats
        self._sources = sources
        self._rules = rules_of(formats, plugins)
        self._emit = emit
        self._depth = depth
        self._force = force
        self._progress = progress
        self._tally = Tally()
        self._visited: set[str] = set()
        self._several = False
        self._walk = Walker(formats.wants)
        self._walk_plain = self._walk
        # A name does not tell what is in a file, and depth full has the time to look.
        self._wants_plain = _wants_all if depth is Depth.FULL else formats.wants
        self._left_out: frozenset[str] = frozenset()
        self._unlisted: list[str] = []
        self._remembered = Remembered(store)

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
        self._tally.problems += [plugin_problem(one) for one in failures]
        self._several = len(places) > 1
        self._left_out = frozenset(place.root for source, place in places if source.name != PLAIN_FOLDERS)
        self._walk_plain = Walker(self._wants_plain, self._left_out)
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
        first = next(listings, None)
        if first is not None:
            self._take_in(source, chain([first], listings), executor, workers)
        tree = self._remembered.tree
        if tree is not None:
            self._count_passed_over(tree)
        unseen = self._remembered.known.standing(None if tree is None else tree.in_doubt())
        unseen = [path for path in unseen if path not in self._visited and _is_below(path, place.root)]
        hidden = {path for path in unseen if any(_is_below(path, one) for one in self._unlisted)}
        gone = [path for path in unseen if path not in hidden]
        if gone:
            self._intake.mark_missing(gone)
        if tree is not None:
            tree.remember(self._store, hidden)
        self._tell(place.root, finished=True)

    def _take_in(
        self, source: Source, listings: Iterator[Listing], executor: Executor | None, workers: int | None
    ) -> None:
        """Examine and commit what is new or changed of what the source lists."""
        sieve = self._sieve()
        changed = sieve.changed(listings, source.name)
        first = next(changed, None)
        if first is not None:
            from modelshelf.scan.examine import Examiner
            from modelshelf.scan.worker_pool import batched, fan_out, gathered

            batches = batched(chain([first], changed))
            examiner = Examiner(self._plugins, self._formats, self._sources)
            examined = fan_out(examiner, batches, self._depth, executor=executor, workers=workers)
            for some in gathered(examined):
                self._intake.commit(some)
                self._tell(some[-1][0].path)
        sieve.remember_indexes(self._store)

    def _sieve(self) -> Sieve:
        from modelshelf.scan.sieve import Sieve

        return Sieve(
            self._formats,
            self._rules,
            self._remembered,
            self._tally,
            visited=self._visited,
            unlisted=self._unlisted,
            depth=self._depth,
            force=self._force,
        )

    @cached_property
    def _intake(self) -> Intake:
        from modelshelf.scan.intake import Intake

        return Intake(self._store, self._formats, self._rules, self._remembered, self._tally, self._emit)

    def _is_offline(self, place: Place) -> bool:
        """Whether the place went with its volume; then what is known of it is marked so, and told."""
        if os.path.lexists(place.root) or not is_on(place.root, self._remembered.volumes.lost()):
            return False
        gone = Known(self._store, place.root, at_once=True).standing(None)
        if gone:
            self._intake.mark_missing(gone)
        message = f"{place.root}: its volume is not there; nothing of it is forgotten"
        self._tally.problems.append(Problem(code="offline", path=place.root, message=message))
        return True

    def _listings(self, source: Source, place: Place) -> Iterator[Listing]:
        """What the source lists; of plain folders that are walked as they are, only those that changed.

        Depth full, which reads every byte of what it was not at before, looks into all of them.
        """
        # A file that is named brings its folder's shards and index with it.
        is_folder = os.path.isdir(place.root)
        around = place.root if is_folder else os.path.dirname(place.root)
        self._remembered.tree = None
        try:
            plain = is_folder and source.name == PLAIN_FOLDERS
            if plain and self._depth is not Depth.FULL:
                yield from source.list(place, self._walk_of(place.root))
            else:
                self._remembered.known = Known(self._store, around, at_once=True)
                yield from source.list(place, self._walk_plain if plain else self._walk)
        except SourceError as error:
            self._unlisted.append(place.root)
            self._tally.problems.append(Problem(code="unlisted-place", path=place.root, message=str(error)))

    def _walk_of(self, place: str) -> Callable[[str], Iterator[Listing]]:
        def walk(root: str) -> Iterator[Listing]:
            return self._changed_below(root) if root == place else self._walk_plain(root)

        return walk

    def _changed_below(self, root: str) -> Iterator[Listing]:
        below = sorted(path_bytes(one) for one in self._left_out if _is_below(one, root))
        rules = bound(b"\0".join(below), self._rules)
        tree = self._remembered.tree = TreeScan(self._walk_plain, root, rules)
        self._store.view(tree.recall)
        tree.compare(everything=self._force)
        few = tree.changed is not None and tree.changed <= _FEW_FOLDERS
        self._remembered.known = Known(self._store, root, at_once=not few)
        try:
            for listed in tree.folders(self._oddly_named(tree.stood())):
                yield from listed.problems
                if listed.folder is not None:
                    yield listed.folder
        except OSError as error:  # it was there a moment ago
            message = f"{root}: {error.strerror or error}; nothing there was changed"
            yield Problem(code="absent", path=root, message=message)

    def _oddly_named(self, paths: list[str] | None) -> frozenset[str]:
        """Models at these paths, or at all that are known, that nobody asks for by name.

        Somebody named the file once, or a scan at depth full found it.
        """
        wants = self._formats.wants
        standing = self._remembered.known.standing(paths)
        return frozenset(path for path in standing if not wants(os.path.basename(path)))

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

    def _remember_failures(self) -> None:
        """Keep what plugins failed at, for later processes: an unchanged model is not asked again."""
        known = self._store.view(lambda state: RecordReader(state).failures())
        held = [*self._tally.failures, *([] if self._force else known)]
        kept = list({(one.plugin, one.hook, one.reason): one for one in held}.values())
        if {str(one) for one in kept} != {str(one) for one in known}:
            self._store.update(lambda state: Records(state).save_failures(kept))

    def _tell(self, path: str, *, finished: bool = False) -> None:
        if self._progress is not None:
            found = max(len(self._visited), self._tally.done)
            self._progress(
                ScanProgress(done=self._tally.done, found=found, path=path, finished_listing=finished)
            )


def _wants_all(name: str) -> bool:  # noqa: ARG001 - called as `FormatTable.wants` is
    return True


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
