"""What changed in a place since the last scan: the one owner of "unchanged".

An artifact is unchanged where its record has the fingerprint of its files and a probe looked as deep as this
scan does; what was rejected stays so under the same fingerprint and rules. A folder of a tree is unchanged
where the folder cache says so and no other change of the store has touched a path in it; else it is listed,
and its artifacts are compared one by one. All that is read and written here only spares work: without it a
scan examines everything anew.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from modelshelf.records.read import RecordReader
from modelshelf.records.tables import path_bytes
from modelshelf.records.write import Records
from modelshelf.scan.counters import FOREIGN
from modelshelf.scan.folder_cache import MODEL, OTHER, CachedFolder, FolderCache, is_settled, pack_status
from modelshelf.scan.places import is_below
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from modelshelf.model import Artifact, ArtifactFile, Depth, Problem
    from modelshelf.plugin.call import PluginSet
    from modelshelf.records.read import PathEntry
    from modelshelf.scan.file_names import FormatTable
    from modelshelf.scan.walk import ListedFolder
    from modelshelf.store import Snapshot, Store, Transaction

WORTH_WRITING = 128
"""Folders and files that the next scan would be spared; for fewer the cache of a tree is not written."""

FEW_FOLDERS = 256
"""Changed folders of a tree; for more of them the entries of the whole place are read at once."""


def rules_of(formats: FormatTable, plugins: PluginSet) -> bytes:
    """Digest of all that decides which files matter: names, formats, and the plugins that vote."""
    voters = [(one.plugin, one.version) for one in plugins.reports if one.hooks]
    return _digest(repr((formats.rules, voters)).encode())


def under_rules(fingerprint: bytes, rules: bytes) -> bytes:
    """What is kept in place of a fingerprint where only other rules, or another release, may say more."""
    return _digest(fingerprint + rules)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


class Changes:
    """Compares one place with what the last scan left in the store.

    Args:
        store: The store.
        root: The root of the place: a folder, or a file.
        formats: The names that the formats claim.
        rules: See `rules_of`.
        depth: How deep the scan looks: what no probe looked at so deeply is changed.
        force: Whether everything counts as changed.
        visited: Paths of the artifacts that the scan came by, in other places too; grows.
    """

    def __init__(
        self,
        store: Store,
        root: str,
        formats: FormatTable,
        rules: bytes,
        *,
        depth: Depth,
        force: bool,
        visited: set[str],
    ) -> None:
        self._store = store
        self._root = root
        self._formats = formats
        self._rules = rules
        self._depth = depth
        self._force = force
        self._visited = visited
        self._loaded: _Entries | None = None
        self._tree: FolderChanges | None = None
        self._new_indexes: list[tuple[str, ArtifactFile, list[str]]] = []
        self._not_listed: set[str] = set()

    @property
    def _entries(self) -> _Entries:
        if self._loaded is None:
            # A file that is named brings its folder's shards and index with it.
            around = self._root if os.path.isdir(self._root) else os.path.dirname(self._root)
            self._loaded = _Entries(self._store, around, at_once=True)
        return self._loaded

    def compare_folders(self, left_out: Iterable[str], passing: bytes = b"") -> frozenset[str]:
        """Compare the folders below the root, which is one, with the folder cache.

        Args:
            left_out: Folders that are not walked.
            passing: All that decides which others are passed over.

        Returns:
            Paths of models in changed folders that lie under names that nobody wants: somebody named the file
            once, or a scan at depth full found it.
        """
        below = sorted(path_bytes(one) for one in left_out if is_below(one, self._root))
        rules = _digest(b"\0".join([*below, passing]) + self._rules)
        self._tree = tree = FolderChanges(self._store, self._root, rules)
        tree.compare(everything=self._force)
        self._loaded = _Entries(self._store, self._root, at_once=not tree.has_few_changes)
        present = self._entries.present(tree.paths_in_changed_folders())
        return frozenset(path for path in present if not self._formats.wants(os.path.basename(path)))

    @property
    def are_folders_unchanged(self) -> bool:
        """Whether no folder has to be listed; after `compare_folders`."""
        return self._tree is not None and self._tree.is_unchanged

    def enter_folder(self, path: str) -> Sequence[str] | None:
        """Paths of the folders directly in an unchanged folder; None for one that has to be listed.

        Called for every folder of a walk, each before those in it.
        """
        return None if self._tree is None else self._tree.enter(path)

    def add_folder(self, listed: ListedFolder) -> None:
        """Keep the stat data of a changed folder that was listed, for the next scan."""
        if self._tree is not None:
            self._tree.add(listed)

    def set_models(self, folder: str, names: Iterable[str], *, retry: bool) -> None:
        """Keep by which files the models of a listed folder are loaded.

        Args:
            folder: The folder.
            names: Names of the files.
            retry: Whether something else in it has to be listed again, whatever becomes of the models.
        """
        if self._tree is not None:
            self._tree.mark(folder, set(names), MODEL)
            if retry:
                self._tree.retry(folder)

    def count_unchanged(self, *, alone: bool) -> tuple[int, int]:
        """How many folders were not listed, and the models in them that the scan did not come by yet.

        Args:
            alone: Whether the scan has no other place, which might list the same files.
        """
        if self._tree is None:
            return 0, 0
        if alone:
            return self._tree.count_unchanged()
        models = set(self._tree.unchanged_models()) - self._visited
        self._visited |= models
        return self._tree.count_unchanged()[0], len(models)

    def shard_names(self, path: str, index: ArtifactFile) -> Sequence[str] | None:
        """The shards that an index names, by an earlier scan; None where it is new or changed."""
        return self._entries.shard_names(path, index)

    def add_shard_names(self, path: str, index: ArtifactFile, names: list[str]) -> None:
        """Keep the shards that a new or changed index names."""
        self._new_indexes.append((path, index, names))

    def is_first_visit(self, artifact: Artifact) -> bool:
        """Whether the scan comes by an artifact for the first time."""
        if artifact.path in self._visited:
            self.retry(artifact)
            return False
        self._visited.add(artifact.path)
        return True

    def unchanged_entry(self, artifact: Artifact) -> PathEntry | None:
        """What an earlier scan made of an artifact that is unchanged; None where it has to be examined."""
        entry = None if self._force else self._entries.get(artifact.path)
        if entry is None or entry.missing:
            return None
        fingerprint = artifact.fingerprint.digest
        if entry.code is not None:
            return entry if entry.fingerprint == under_rules(fingerprint, self._rules) else None
        # A check that a limit ended is not tried again until the rules are others.
        is_same = entry.fingerprint == fingerprint or entry.fingerprint == under_rules(
            fingerprint, self._rules
        )
        # A plain folder may name it otherwise by now; what a tool named, or no format claims, keeps its id.
        if artifact.source == LOCAL and self._formats.claims(artifact.primary):
            is_same = is_same and entry.proposed_id == artifact.proposed_id
        return entry if is_same and entry.depth.reaches(self._depth) else None

    def save_rejection(self, records: Records, artifact: Artifact, reason: Problem) -> None:
        """Write that an artifact is no model, where it is, so that no scan opens it until it changes."""
        # Only its bytes decide that: a file that could not be read may be readable next time. Nor is it
        # written where depth full alone would ask for the name: every text file of a tree is one.
        wanted = self._formats.wants(artifact.primary)
        if wanted and reason.code in {FOREIGN, "no-format"} and records.location(artifact.path) is None:
            fingerprint = under_rules(artifact.fingerprint.digest, self._rules)
            records.reject(artifact.path, fingerprint, reason.code, reason.message)

    def dismiss(self, artifact: Artifact) -> None:
        """Have the next scan take the artifact for no model while its folder is unchanged."""
        if self._tree is not None:
            entry = self._entries.get(artifact.path)
            if entry is None or entry.model_id is None:
                self._tree.dismiss(artifact.folder, artifact.primary)
            else:  # a record of other bytes is still there
                self._tree.retry(artifact.folder)

    def retry(self, artifact: Artifact) -> None:
        """Have the next scan list the artifact's folder, even if that is unchanged by then."""
        if self._tree is not None:
            self._tree.retry(artifact.folder)

    def gone(self, unlisted: Collection[str]) -> list[str]:
        """Paths of models that the scan did not find.

        Args:
            unlisted: Places and folders that could not be listed: nothing below them is taken for gone.
        """
        paths = self._entries.present(None if self._tree is None else self._tree.paths_not_unchanged())
        paths = [path for path in paths if path not in self._visited and is_below(path, self._root)]
        self._not_listed = {path for path in paths if any(is_below(path, one) for one in unlisted)}
        return [path for path in paths if path not in self._not_listed]

    def save(self) -> None:
        """Write what spares the next scan work; after `gone`."""
        if self._new_indexes:
            self._store.update(self._write_indexes)
        if self._tree is not None:
            self._tree.save(self._not_listed)

    def _write_indexes(self, state: Transaction) -> None:
        records = Records(state)
        for path, index, names in self._new_indexes:
            records.save_shard_index(path, index, names)


def present_models(store: Store, root: str) -> list[str]:
    """Paths at or below a root at which a model lay at the last scan."""
    return _Entries(store, root, at_once=True).present(None)


class _Entries:
    """The store's entries of the paths below a root: one by one, or all at once where many are needed."""

    def __init__(self, store: Store, root: str, *, at_once: bool) -> None:
        self._store = store
        self._paths: dict[str, PathEntry] | None = None
        self._indexes: dict[str, tuple[int, int, int, list[str]]] | None = None
        if at_once:
            self._paths = store.view(lambda state: RecordReader(state).path_entries_below(root))
            self._indexes = store.view(lambda state: RecordReader(state).shard_indexes_below(root))

    def get(self, path: str) -> PathEntry | None:
        """What an earlier scan made of a path."""
        if self._paths is not None:
            return self._paths.get(path)
        return self._store.view(
            lambda state: RecordReader(state).location(path) or RecordReader(state).rejection(path)
        )

    def shard_names(self, path: str, index: ArtifactFile) -> Sequence[str] | None:
        """The shards that an index names, where an earlier scan read it and it is unchanged."""
        if self._indexes is not None:
            entry = self._indexes.get(path)
        else:
            entry = self._store.view(lambda state: RecordReader(state).shard_index(path))
        if entry is None or entry[:3] != (index.size, index.mtime_ns, index.inode):
            return None
        return entry[3]

    def present(self, paths: Iterable[str] | None) -> list[str]:
        """Of these paths, or of all below the root, those of a model that is not missing."""
        if self._paths is not None and paths is None:
            found = list(self._paths.items())
        elif self._paths is not None:
            found = [(path, self._paths[path]) for path in dict.fromkeys(paths or ()) if path in self._paths]
        else:
            asked = list(dict.fromkeys(paths or ()))
            found = self._store.view(
                lambda state: [
                    (path, entry)
                    for path in asked
                    if (entry := RecordReader(state).location(path)) is not None
                ]
            )
        return [path for path, entry in found if entry.model_id is not None and not entry.missing]


class FolderChanges:
    """The folders below one root: those of the cache that are unchanged, and those that were listed anew.

    Args:
        store: The store.
        root: The root, which is a folder.
        rules: Digest of all that decides which files matter; a cache made under other rules is of no use.
    """

    def __init__(self, store: Store, root: str, rules: bytes) -> None:
        self._store = store
        self._root = root
        self._rules = rules
        self._cache: FolderCache | None = None
        self._touched: list[str] = []  # paths whose entries other changes of the store have touched since
        self._to_list: set[int] = set()
        self._numbers: dict[str, int] = {}  # of the cache's folders, by their paths
        self._subfolders: list[list[int]] = []
        self._unchanged: list[int] = []
        self._order: dict[str, int | None] = {}  # every folder of the walk, with its number in the cache
        self._listed: dict[str, CachedFolder] = {}
        self._dismissed: dict[str, set[str]] = {}
        store.view(self._load)

    def _load(self, state: Snapshot) -> None:
        reader = RecordReader(state)
        content = reader.folder_cache(self._root)
        if content is not None and content[0] == self._rules:
            self._cache = FolderCache.unpack(self._root, content[1])
            self._touched = reader.changed_paths(self._root)

    def compare(self, *, everything: bool) -> None:
        """Ask the system what became of the folders of the cache; or take them all for changed."""
        cache = self._cache
        if cache is None:
            return
        to_list = set(range(len(cache.paths))) if everything else cache.changed_folders()
        if to_list or self._touched:
            self._numbers = {path: number for number, path in enumerate(cache.paths)}
            self._subfolders = cache.subfolders()
            for path in self._touched:
                number = self._numbers.get(os.path.dirname(path))
                if number is not None:
                    to_list.add(number)
        self._to_list = cache.with_parents(to_list)
        if not self._to_list:
            self._unchanged = list(range(len(cache.paths)))
            self._order = dict(zip(cache.paths, self._unchanged, strict=True))

    @property
    def has_few_changes(self) -> bool:
        """Whether few folders have to be listed, as far as the cache knows."""
        return self._cache is not None and len(self._to_list) <= FEW_FOLDERS

    @property
    def is_unchanged(self) -> bool:
        """Whether no folder has to be listed."""
        return self._cache is not None and not self._to_list

    def paths_in_changed_folders(self) -> list[str] | None:
        """Paths of models in the folders that have to be listed; None where all have to be."""
        return None if self._cache is None else [*self._cache.models(self._to_list), *self._touched]

    def enter(self, path: str) -> list[str] | None:
        """Paths of the folders directly in an unchanged folder; None for one that has to be listed."""
        number = self._numbers.get(path)
        self._order[path] = number
        if self._cache is None or number is None or number in self._to_list:
            return None
        self._unchanged.append(number)
        return [self._cache.paths[one] for one in self._subfolders[number]]

    def add(self, listed: ListedFolder) -> None:
        """Keep a folder as it was listed."""
        self._listed[listed.path] = _cached(listed)

    def mark(self, folder: str, names: Container[str], kind: int) -> None:
        """Mark files of a listed folder: as models, or as something else that is watched all the same."""
        cached = self._listed.get(folder)
        if cached is not None:
            self._listed[folder] = cached.with_kind(names, kind)

    def dismiss(self, folder: str, name: str) -> None:
        """Mark a file of a listed folder as no model, at the end of the scan."""
        if folder in self._listed:
            self._dismissed.setdefault(folder, set()).add(name)

    def retry(self, folder: str) -> None:
        """Have a folder listed by the next scan too."""
        cached = self._listed.get(folder)
        if cached is not None:
            self._listed[folder] = cached._replace(status=None)

    def count_unchanged(self) -> tuple[int, int]:
        """How many folders are unchanged, and how many models are in them."""
        if self._cache is None:
            return 0, 0
        return len(self._unchanged), self._cache.count_models(self._unchanged)

    def unchanged_models(self) -> list[str]:
        """Paths of the models in unchanged folders."""
        return [] if self._cache is None else self._cache.models(self._unchanged)

    def paths_not_unchanged(self) -> list[str] | None:
        """Paths of all other models of the cache, and those that were touched; None without a cache."""
        if self._cache is None:
            return None
        if len(self._unchanged) == len(self._cache.paths):
            return self._touched
        unchanged = set(self._unchanged)
        others = (number for number in range(len(self._cache.paths)) if number not in unchanged)
        return [*self._cache.models(others), *self._touched]

    def save(self, not_listed: Collection[str]) -> None:
        """Write the cache for the next scan, where that spares it enough.

        Args:
            not_listed: Paths of models that this scan could not look for; the next one has to.
        """
        if not self._order:  # the root went before it was listed
            return
        for folder, names in self._dismissed.items():
            self.mark(folder, names, OTHER)
        if self._spared(not_listed) < WORTH_WRITING:
            return
        folders = {path: self._folder(path, number) for path, number in self._order.items()}
        if self._cache is not None:
            self._store.update(lambda state: self._write(Records(state), folders, not_listed))
            return
        # Nobody marked what other processes changed meanwhile. A view reads so many records sooner than an
        # update does, and with less memory.
        revision, vanished = self._store.view(
            lambda state: (state.revision, self._vanished(RecordReader(state), folders))
        )

        def work(state: Transaction) -> None:
            records = Records(state)
            still = vanished if state.revision == revision else self._vanished(records, folders)
            doubted = {
                one: folders[one]._replace(status=None).trimmed() for one in map(os.path.dirname, still)
            }
            self._write(records, folders | doubted, not_listed)

        self._store.update(work)

    def _spared(self, not_listed: Collection[str]) -> int:
        """About how many folders and files the next scan need not ask for, if the cache is written."""
        if self._cache is None:
            return sum(1 + len(one.kinds) for one in self._listed.values() if one.status is not None)
        spared = len({*self._touched}.difference(not_listed))
        gone = len(self._cache.paths) - len(self._unchanged)
        for path, cached in self._listed.items():
            number = self._order[path]
            gone -= number is not None
            if number is None or self._cache.folder(number) != cached.trimmed():
                spared += 1 + len(cached.kinds)
        return spared + gone

    def _write(self, records: Records, folders: dict[str, CachedFolder], not_listed: Collection[str]) -> None:
        cache = FolderCache.of(folders)
        kept: set[str] = set()
        if self._cache is not None:
            believed = set(cache.models(range(len(folders))))
            kept = {
                path
                for path in records.changed_paths(self._root)
                if records.is_present(path) != (path in believed)
            }
        records.save_folder_cache(self._root, [self._rules, cache.pack()])
        records.clear_changed(self._root, kept)
        for path in not_listed:
            records.mark_changed(path)

    def _vanished(self, records: RecordReader, folders: dict[str, CachedFolder]) -> list[str]:
        """Paths of models that were found in these folders, and whose records are not there any more."""
        missed = dict.fromkeys(FolderCache.of(folders).models(range(len(folders))))
        for path in records.present_paths_below(self._root):
            missed.pop(path, None)
        return list(missed)

    def _folder(self, path: str, number: int | None) -> CachedFolder:
        listed = self._listed.get(path)
        if listed is not None:
            return listed.trimmed()
        assert self._cache is not None  # noqa: S101 - what was not listed came out of the cache
        assert number is not None  # noqa: S101
        return self._cache.folder(number)


def _cached(listed: ListedFolder) -> CachedFolder:
    """A folder as it was listed; its models are marked later."""
    status = listed.status
    if status is None or not listed.repeatable or not is_settled(status, listed.listed_at):
        trusted = None
    else:
        trusted = pack_status(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    files = () if listed.folder is None else listed.folder.files
    stats = [pack_status(one.size, one.mtime_ns, one.ctime_ns) for one in files]
    stats += [pack_status(one.st_size, one.st_mtime_ns, one.st_ctime_ns) for _, one in listed.links]
    names = [*(one.name for one in files), *(name for name, _ in listed.links)]
    return CachedFolder(trusted, "\0".join(names), bytes([OTHER]) * len(names), b"".join(stats))
