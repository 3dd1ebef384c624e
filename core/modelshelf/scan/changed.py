"""One tree of plain folders in a scan: those that changed since the last one are looked into, no others.

Whatever an earlier scan of the tree has left in the store only spares work. A folder is taken for unchanged
where its census says so and no other change of the store has touched a path in it; else it is listed, and its
files meet the registry one by one.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from modelshelf.records.write import RecordReader, Records
from modelshelf.scan.folder_cache import MODEL, PLAIN, Census, Row, is_settled, packed

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator

    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.file_names import FormatTable
    from modelshelf.scan.walk import Listed
    from modelshelf.scan.walker import Walker
    from modelshelf.store import Snapshot, Store, Transaction

WORTH_WRITING = 128
"""Folders and files that the next scan would be spared; for fewer nothing is written."""


def rules_of(formats: FormatTable, plugins: PluginSet) -> bytes:
    """Digest of all that decides which files matter: names, formats, and the plugins that vote."""
    voters = [(one.plugin, one.version) for one in plugins.reports if one.hooks]
    return hashlib.blake2b(repr((formats.rules, voters)).encode(), digest_size=16).digest()


def bound(fingerprint: bytes, rules: bytes) -> bytes:
    """A fingerprint that holds under these rules only: of what was rejected, it says nothing to others."""
    return hashlib.blake2b(fingerprint + rules, digest_size=16).digest()


class TreeScan:
    """The folders below one root.

    Args:
        walker: Looks into folders.
        root: The root, which is a folder.
        rules: Digest of all that decides which files matter; a census made by other rules is of no use.
    """

    def __init__(self, walker: Walker, root: str, rules: bytes) -> None:
        self._walker = walker
        self._root = root
        self._rules = rules
        self._census: Census | None = None
        self._touched: list[str] = []
        self._to_list: set[int] = set()
        self._unchanged: list[int] = []
        self._order: dict[str, int | None] = {}
        self._rows: dict[str, Row] = {}
        self._dismissed: dict[str, set[str]] = {}

    def recall(self, state: Snapshot) -> None:
        """Read what the last scan left."""
        reader = RecordReader(state)
        content = reader.folder_cache(self._root)
        if content is not None and content[0] == self._rules:
            self._census = Census.unpack(self._root, content[1])
            self._touched = reader.changed_paths(self._root)

    @property
    def changed(self) -> int | None:
        """Number of folders that have to be looked into as far as is known; None before the first census."""
        return None if self._census is None else len(self._to_list)

    def compare(self, *, everything: bool = False) -> None:
        """Ask the system what became of the folders that the census knows; or take them all for changed."""
        census = self._census
        if census is None:
            return
        self._to_list = set(range(len(census.paths))) if everything else census.changed()
        if self._touched:
            numbers = {path: number for number, path in enumerate(census.paths)}
            for path in self._touched:
                number = numbers.get(os.path.dirname(path))
                if number is not None:
                    self._to_list.add(number)
        self._to_list = census.with_those_above(self._to_list)

    def stood(self) -> list[str] | None:
        """Paths at which models stood, in the folders that have to be looked into; None without a census."""
        return None if self._census is None else [*self._census.models(self._to_list), *self._touched]

    def folders(self, kept: Container[str] = ()) -> Iterator[Listed]:
        """Look into every folder that is new or changed, and into all those above it, in sorted order.

        Args:
            kept: Paths of files that matter whatever their names.

        Raises:
            OSError: The root is gone.
        """
        census = self._census
        if census is not None and not self._to_list:
            self._unchanged = list(range(len(census.paths)))
            self._order = dict(zip(census.paths, self._unchanged, strict=True))
            return
        tree = self._walker.tree(self._root, kept)
        numbers = {} if census is None else {path: number for number, path in enumerate(census.paths)}
        below = [] if census is None else census.below()
        waiting = [self._root]
        while waiting:
            path = waiting.pop()
            number = numbers.get(path)
            self._order[path] = number
            if census is not None and number is not None and number not in self._to_list:
                self._unchanged.append(number)
                waiting.extend(census.paths[child] for child in reversed(below[number]))
                continue
            listed = tree.look(path)
            self._rows[path] = _row(listed)
            yield listed
            waiting.extend(reversed(listed.below))

    def held(self, folder: str, models: Iterable[str]) -> None:
        """Note by which files the models of a listed folder are loaded."""
        self._rows[folder] = _marked(self._rows[folder], set(models), MODEL)

    def dismiss(self, folder: str, name: str) -> None:
        """Note that a file of a listed folder is no model; it is watched all the same."""
        if folder in self._rows:
            self._dismissed.setdefault(folder, set()).add(name)

    def look_again(self, folder: str) -> None:
        """Have a folder listed by the next scan too, because something in it was left open."""
        row = self._rows.get(folder)
        if row is not None:
            self._rows[folder] = row._replace(told=None)

    def passed_over(self) -> tuple[int, int]:
        """How many folders were not looked into, and the models in them, once `folders` has ended."""
        if self._census is None:
            return 0, 0
        return len(self._unchanged), self._census.count_models(self._unchanged)

    def models_passed_over(self) -> list[str]:
        """Paths of those models."""
        return [] if self._census is None else self._census.models(self._unchanged)

    def in_doubt(self) -> list[str] | None:
        """Paths at which models stood, and which are not among the unchanged; None without a census."""
        if self._census is None:
            return None
        if len(self._unchanged) == len(self._census.paths):
            return self._touched
        passed = set(self._unchanged)
        others = (number for number in range(len(self._census.paths)) if number not in passed)
        return [*self._census.models(others), *self._touched]

    def remember(self, store: Store, unseen: Collection[str]) -> None:
        """Leave the census for the next scan, where that spares it enough.

        Args:
            store: The store.
            unseen: Paths of models that this scan could not look for; they stay in doubt.
        """
        if not self._order:  # the root went before it was looked into
            return
        for folder, names in self._dismissed.items():
            self._rows[folder] = _marked(self._rows[folder], names, PLAIN)
        if self._spared(unseen) < WORTH_WRITING:
            return
        rows = {path: self._row(path, number) for path, number in self._order.items()}
        if self._census is not None:
            store.update(lambda state: self._write(Records(state), rows, unseen))
            return
        # Nobody noted what other processes did meanwhile. A view looks at so many records sooner than an
        # update does, and with less memory.
        revision, fallen = store.view(lambda state: (state.revision, self._fallen(RecordReader(state), rows)))

        def work(state: Transaction) -> None:
            records = Records(state)
            still = fallen if state.revision == revision else self._fallen(records, rows)
            doubted = {one: rows[one]._replace(told=None).for_census() for one in map(os.path.dirname, still)}
            self._write(records, rows | doubted, unseen)

        store.update(work)

    def _spared(self, unseen: Collection[str]) -> int:
        """About how many folders and files the next scan need not ask for, thanks to a census of this one."""
        if self._census is None:
            return sum(1 + len(row.kinds) for row in self._rows.values() if row.told is not None)
        spared = len({*self._touched}.difference(unseen))
        gone = len(self._census.paths) - len(self._unchanged)
        for path, row in self._rows.items():
            number = self._order[path]
            gone -= number is not None
            if number is None or self._census.row(number) != row.for_census():
                spared += 1 + len(row.kinds)
        return spared + gone

    def _write(self, records: Records, rows: dict[str, Row], unseen: Collection[str]) -> None:
        census = Census.of(rows)
        kept: set[str] = set()
        if self._census is not None:
            believed = set(census.models(range(len(rows))))
            kept = {
                path
                for path in records.changed_paths(self._root)
                if records.is_present(path) != (path in believed)
            }
        records.save_folder_cache(self._root, [self._rules, census.pack()])
        records.clear_changed(self._root, kept)
        for path in unseen:
            records.mark_changed(path)

    def _fallen(self, records: RecordReader, rows: dict[str, Row]) -> list[str]:
        """Paths of models that were found in these folders, and whose records do not stand any more."""
        missed = dict.fromkeys(Census.of(rows).models(range(len(rows))))
        for path in records.present_paths_below(self._root):
            missed.pop(path, None)
        return list(missed)

    def _row(self, path: str, number: int | None) -> Row:
        listed = self._rows.get(path)
        if listed is not None:
            return listed.for_census()
        assert self._census is not None  # noqa: S101 - what was not listed came out of the census
        assert number is not None  # noqa: S101
        return self._census.row(number)


def _row(listed: Listed) -> Row:
    """A folder as it was listed; its models are noted later."""
    told = listed.told
    if told is None or not listed.steady or not is_settled(told, listed.listed_at):
        trusted = None
    else:
        trusted = packed(told.st_ino, told.st_mtime_ns, told.st_ctime_ns)
    files = () if listed.folder is None else listed.folder.files
    stats = [packed(one.size, one.mtime_ns, one.inode) for one in files]
    stats += [packed(one.st_size, one.st_mtime_ns, one.st_ino) for _, one in listed.links]
    names = [*(one.name for one in files), *(name for name, _ in listed.links)]
    return Row(trusted, "\0".join(names), bytes([PLAIN]) * len(names), b"".join(stats))


def _marked(row: Row, names: Container[str], kind: int) -> Row:
    kinds = bytes(kind if name in names else old for name, old in zip(row.names, row.kinds, strict=True))
    return row._replace(kinds=kinds)
