"""One scan: places are listed, what is unchanged is left alone, the rest is examined and committed.

`Scan._scan_place` is the order of the steps. What walks, groups, examines and commits is imported with the
first folder or artifact that needs it: importing it takes longer than finding a small tree unchanged.
"""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from attrs import evolve

from modelshelf.errors import SourceError
from modelshelf.model import Depth, Orphan, Problem, UnfinishedDownload
from modelshelf.records.read import RecordReader
from modelshelf.records.write import Records
from modelshelf.scan.changed import Changes, present_models, rules_of
from modelshelf.scan.counters import FOREIGN, HARMLESS, PASSING, Counters, ScanProgress, plugin_problem
from modelshelf.scan.file_names import FormatTable
from modelshelf.scan.passing import RULES as PASSING_RULES
from modelshelf.scan.passing import PassingRules
from modelshelf.scan.places import make_sources, place_of, with_nested
from modelshelf.scan.volumes import Volumes, is_on
from modelshelf.source import LOCAL, Folder, Place, PlainFolders, room_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from modelshelf.model import Artifact, ArtifactFile, DiscoveryStats, ModelEvent
    from modelshelf.model.failure import PluginFailure
    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.batches import Examined
    from modelshelf.scan.commit import Outcome, ScanChoices
    from modelshelf.scan.links import LinkRule
    from modelshelf.scan.walk import FolderTree
    from modelshelf.source import Listing, Source
    from modelshelf.store import Store


def discover(  # noqa: PLR0913 - the arguments of `ModelRegistry.discover_models`, and what the registry has
    store: Store,
    plugins: PluginSet,
    paths: Sequence[str | Place],
    *,
    tables: Sequence[Mapping[str, Any]],
    depth: Depth,
    executor: Executor | None,
    workers: int | None,
    force: bool,
    everything: bool,
    progress: Callable[[ScanProgress], None] | None,
    emit: Callable[[Iterable[ModelEvent]], None],
) -> DiscoveryStats:
    """Scan paths; see `ModelRegistry.discover_models`."""
    before = len(plugins.failures)
    sources = make_sources(plugins, tables)
    formats = FormatTable.of(plugins.collect("modelshelf_formats"))
    places = with_nested(sources, [place_of(sources, one) for one in dict.fromkeys(paths)])
    failures = (*plugins.load_failures, *plugins.failures[before:])
    scan = Scan(
        store,
        plugins,
        formats,
        sources,
        depth=depth,
        force=force,
        everything=everything,
        executor=executor,
        workers=workers,
        emit=emit,
        progress=progress,
    )
    return scan.run(places, failures)


class Scan:
    """One run over some places.

    Args:
        store: Where the records are kept.
        plugins: The plugins that examine artifacts.
        formats: The names that their formats claim.
        sources: The sources, each of which opens its own artifacts' files.
        depth: How deep the probes look.
        force: Whether to examine unchanged artifacts too.
        everything: Whether to look into folders too that a walk passes over.
        executor: Where to examine, or None.
        workers: Worker processes; see `batches.examine_batches`.
        emit: Called with the events of each commit, after it.
        progress: Called now and then.
    """

    def __init__(  # noqa: PLR0913 - see `discover`
        self,
        store: Store,
        plugins: PluginSet,
        formats: FormatTable,
        sources: Sequence[Source],
        *,
        depth: Depth,
        force: bool,
        everything: bool = False,
        executor: Executor | None,
        workers: int | None,
        emit: Callable[[Iterable[ModelEvent]], None],
        progress: Callable[[ScanProgress], None] | None,
    ) -> None:
        self._store = store
        self._plugins = plugins
        self._formats = formats
        self._sources = sources
        self._depth = depth
        self._force = force
        self._everything = everything
        self._executor = executor
        self._workers = workers
        self._emit = emit
        self._progress = progress
        self._rules = rules_of(formats, plugins)
        self._counters = Counters()
        self._visited: set[str] = set()
        self._unlisted: list[str] = []
        self._followed: list[FolderTree] = []
        self._left_out: frozenset[str] = frozenset()
        self._choices: ScanChoices | None = None
        self._volumes = Volumes(store.view(lambda state: RecordReader(state).mounts()))

    def run(
        self, places: Sequence[tuple[Source, Place]], failures: Sequence[PluginFailure] = ()
    ) -> DiscoveryStats:
        """Scan the places one after another.

        Whatever ends it early, also Ctrl-C, leaves every batch that was committed.

        Args:
            places: The places, each with the source that lists it.
            failures: Plugins that had failed before the scan began; they count among its errors.
        """
        started = time.perf_counter()
        self._counters.problems += map(plugin_problem, failures)
        self._left_out = frozenset(place.root for source, place in places if source.name != LOCAL)
        for source, place in places:
            if not self._is_offline(place):
                self._scan_place(source, place, alone=len(places) == 1)
        self._save_failures()
        return self._counters.stats(time.perf_counter() - started)

    def _scan_place(self, source: Source, place: Place, *, alone: bool) -> None:
        """Bring the registry up to date with one place: list, group, compare, examine, commit."""
        changes = Changes(
            self._store,
            place.root,
            self._formats,
            self._rules,
            depth=self._depth,
            force=self._force,
            visited=self._visited,
        )
        listings = self._list(source, place, changes)
        self._followed = []
        artifacts = self._marked(self._group(listings, source.name, changes), place.root)
        changed = self._without_unchanged(artifacts, changes)
        for examined in self._examine(changed):
            self._commit(examined, changes)
        folders, models = changes.count_unchanged(alone=alone)
        self._counters.folders += folders
        self._counters.add_unchanged(models)
        self._mark_missing(changes.gone(self._unlisted))
        changes.save()
        self._report(place.root, finished=True)

    def _is_offline(self, place: Place) -> bool:
        """Whether the place went with its volume; then its models are marked so, and that is a problem."""
        if os.path.lexists(place.root) or not is_on(place.root, self._volumes.lost()):
            return False
        self._mark_missing(present_models(self._store, place.root))
        message = f"{place.root}: its volume is not there; nothing of it is forgotten"
        self._counters.problems.append(Problem(code="offline", path=place.root, message=message))
        return True

    def _list(self, source: Source, place: Place, changes: Changes) -> Iterator[Listing]:
        """What the source lists; of plain folders only those that changed."""
        try:
            listed = source.list(place, self._walk)
            if isinstance(listed, PlainFolders):
                listed = self._walk_changed(place.root, source.name, listed, changes)
            yield from listed
        except SourceError as error:
            self._unlisted.append(place.root)
            problem = Problem(code="unlisted-place", path=place.root, message=str(error))
            self._counters.problems.append(problem)

    def _walk(self, root: str, /, *, link_levels: int = 0) -> Iterator[Listing]:
        """All folders below a root of a tool's place."""
        from modelshelf.scan.walk import walk

        return walk(root, self._formats.wants, followed=self._followed, link_levels=link_levels)

    def _walk_changed(
        self, root: str, source: str, plain: PlainFolders, changes: Changes
    ) -> Iterator[Listing]:
        """The folders below a root that changed, with what the source knows of them.

        Depth full, which reads every byte of what it did not read before, lists all of them, and every
        file: a name does not say what is in it.
        """
        is_folder = os.path.isdir(root)
        if is_folder and self._depth is not Depth.FULL:
            listings = self._compare_folders(root, changes, follow_links=plain.follow_links)
        else:
            from modelshelf.scan.walk import walk

            rule = partial(self._plain_rule, follow_links=plain.follow_links)
            wants = _wants_all if is_folder else self._formats.wants
            passing = self._passing_rules(root) if is_folder else None
            listings = walk(root, wants, self._left_out, passing, rule, self._followed)
        for one in listings:
            described = plain.describe(one) if isinstance(one, Folder) else one
            if described is one:  # as the core listed it
                yield one
            else:
                from modelshelf.scan.listed_names import checked  # most places are as the core lists them

                yield from checked(described, root, source)

    def _plain_rule(self, *, follow_links: bool) -> LinkRule:
        from modelshelf.scan.links import plain_rule

        return plain_rule(self._formats, follow_links=follow_links)

    def _passing_rules(self, root: str) -> PassingRules:
        return PassingRules(root, everything=self._everything)

    def _compare_folders(self, root: str, changes: Changes, *, follow_links: bool) -> Iterator[Listing]:
        passing = self._passing_rules(root)
        rules = PASSING_RULES + bytes([self._everything, follow_links])
        wanted_paths = changes.compare_folders(self._left_out, rules)
        if changes.are_folders_unchanged:
            return
        from modelshelf.scan.walk import FolderTree, absent

        try:
            rule = partial(self._plain_rule, follow_links=follow_links)
            tree = FolderTree(root, self._formats.wants, self._left_out, wanted_paths, passing, rule)
            self._followed.append(tree)
            for listed in tree.walk(changes.enter_folder):
                changes.add_folder(listed)
                yield from listed.listings()
        except OSError as error:  # it was there a moment ago
            yield absent(root, error)

    def _group(self, listings: Iterator[Listing], source: str, changes: Changes) -> Iterator[Artifact]:
        """The artifacts that a source lists, or that the files of its folders make."""
        for one in listings:
            if isinstance(one, Folder):
                yield from self._group_folder(one, source, changes)
            elif isinstance(one, UnfinishedDownload):
                self._counters.unfinished.append(one)
            elif isinstance(one, Orphan):
                self._counters.orphans.append(one)
            elif isinstance(one, Problem) and (one.code in PASSING or self._is_foreign_link(one)):
                self._counters.passed_over.append(one)
                if one.path:  # a scan that names it may have found models there
                    self._unlisted.append(one.path)
            elif isinstance(one, Problem):
                self._counters.problems.append(one)
                if one.code in {"absent", "unreadable-folder", "unreadable"} and one.path:
                    self._unlisted.append(one.path)
            else:
                yield one

    def _marked(self, artifacts: Iterator[Artifact], root: str) -> Iterator[Artifact]:
        """The artifacts, those that lie out of the place with their real paths."""
        for artifact in artifacts:
            real = None
            for tree in self._followed:
                if tree.links is not None:
                    real = real or tree.links.real_path(artifact.path, root)
            yield artifact if real is None else evolve(artifact, facts={**artifact.facts, "real_path": real})

    def _group_folder(self, folder: Folder, source: str, changes: Changes) -> Iterable[Artifact]:
        from modelshelf.scan.group import group

        grouped = group(folder, self._formats, partial(self._shard_names, changes), source)
        self._counters.folders += 1
        self._counters.unfinished += map(_with_room, grouped.unfinished)
        self._counters.problems += grouped.problems
        models = [one.primary for one in grouped.artifacts]
        changes.set_models(folder.path, models, retry=bool(grouped.unfinished or grouped.problems))
        return grouped.artifacts

    def _shard_names(self, changes: Changes, folder: str, index: ArtifactFile) -> Sequence[str] | Problem:
        """The shards that an index names; it is read where it is new or changed."""
        path = f"{folder.rstrip('/')}/{index.name}"
        kept = changes.shard_names(path, index)
        if kept is not None:
            return kept
        from modelshelf.scan.group import read_index

        names = read_index(folder, index)
        if not isinstance(names, Problem):
            changes.add_shard_names(path, index, names)
        return names

    def _without_unchanged(self, artifacts: Iterator[Artifact], changes: Changes) -> Iterator[Artifact]:
        for artifact in artifacts:
            if not changes.is_first_visit(artifact):
                continue
            entry = changes.unchanged_entry(artifact)
            if entry is None:
                yield artifact
            elif entry.code is None:
                self._counters.add_unchanged(1)
            else:
                self._counters.done += 1
                reason = Problem(code=entry.code, path=artifact.path, message=entry.message or "")
                is_news = entry.code != FOREIGN and self._is_claimed(artifact)
                self._leave_out(artifact, reason, changes, is_news=is_news)

    def _examine(self, changed: Iterator[Artifact]) -> Iterator[Examined]:
        first = next(changed, None)
        if first is None:
            return
        from modelshelf.scan.batches import batched, examine_batches, gathered
        from modelshelf.scan.examine import Examiner

        examiner = Examiner(self._plugins, self._formats, self._sources)
        batches = batched(chain([first], changed))
        yield from gathered(
            examine_batches(examiner, batches, self._depth, executor=self._executor, workers=self._workers)
        )

    def _commit(self, examined: Examined, changes: Changes) -> None:
        from modelshelf.scan.commit import ScanChoices, commit

        self._choices = self._choices or ScanChoices(rules=self._rules)
        outcomes = commit(
            self._store,
            examined,
            self._volumes,
            changes.save_rejection,
            sources=self._sources,
            plugins=self._plugins,
            choices=self._choices,
        )
        for outcome in outcomes:
            self._count(outcome, changes)
            if outcome.committed is not None:
                self._emit(outcome.committed.events)
        self._report(examined[-1][0].path)

    def _count(self, outcome: Outcome, changes: Changes) -> None:
        artifact, examination = outcome.artifact, outcome.examination
        self._counters.add_examined(examination.bytes_read, examination.failures)
        if examination.rejected is not None:
            # A file that no format claims by name was examined by grace; leaving it out is no news.
            # Nor is another program's, whatever its name.
            code = examination.rejected.code
            is_news = artifact.named_directly or code not in HARMLESS
            is_news = is_news or (code != FOREIGN and self._is_claimed(artifact))
            if is_news:
                self._counters.problems.append(examination.rejected)
            if is_news or not examination.complete:  # whoever failed may know next time what it is
                changes.retry(artifact)
            else:
                changes.dismiss(artifact)
            return
        if not examination.complete or not examination.depth.reaches(Depth.HEADER):
            changes.retry(artifact)  # an ordinary scan looks deeper
        if outcome.committed is not None:
            self._counters.add_model(outcome.committed.change)

    def _leave_out(self, artifact: Artifact, reason: Problem, changes: Changes, *, is_news: bool) -> None:
        """Leave an artifact out of the registry: with a problem where that is news, else for good."""
        if is_news:
            self._counters.problems.append(reason)
            changes.retry(artifact)
        else:
            changes.dismiss(artifact)

    def _is_foreign_link(self, problem: Problem) -> bool:
        """Whether it is about a link to nothing, or to a device, whose name is no model's."""
        if problem.code not in {"unreadable", "not-a-regular-file"} or problem.path is None:
            return False
        return not self._formats.claims(problem.path) and os.path.islink(problem.path)

    def _is_claimed(self, artifact: Artifact) -> bool:
        """Whether a format claims the artifact by its name."""
        return self._formats.claims(artifact.weights[0].name)

    def _mark_missing(self, paths: list[str]) -> None:
        if not paths:
            return
        from modelshelf.model import EventKind
        from modelshelf.scan.commit import commit_missing

        events = commit_missing(self._store, paths, self._volumes)
        missing = sum(event.kind is EventKind.MISSING for event in events)
        self._counters.missing += missing
        self._counters.updated += len(events) - missing
        self._emit(events)

    def _save_failures(self) -> None:
        """Keep what plugins failed at, for later processes: an unchanged model is not asked again."""
        kept = self._store.view(lambda state: RecordReader(state).failures())
        all_failures = [*([] if self._force else kept), *self._counters.failures]
        judged = map(self._plugins.with_verdict, all_failures)
        failures = list({(one.plugin, one.hook, one.reason): one for one in judged}.values())
        if {(str(one), one.always) for one in failures} != {(str(one), one.always) for one in kept}:
            self._store.update(lambda state: Records(state).save_failures(failures))

    def _report(self, path: str, *, finished: bool = False) -> None:
        if self._progress is not None:
            done = self._counters.done
            found = max(len(self._visited), done)
            self._progress(ScanProgress(done=done, found=found, path=path, finished_listing=finished))


def _wants_all(name: str) -> bool:  # noqa: ARG001 - called as `FormatTable.wants` is
    return True


def _with_room(one: UnfinishedDownload) -> UnfinishedDownload:
    """An unfinished download of a plain folder with the room that it takes: some are sparse."""
    try:
        return evolve(one, size=room_of(os.stat(one.path)))
    except (OSError, ValueError):
        return one
