"""Repair a damaged store: read what can be read of its file, and put a new store in its place.

A damaged file is read page by page and without LMDB, which would end the process. The newest state's tree is
walked first. Where a page of it is damaged, the records that were on it, or below it, are looked for on every
other page of the file: LMDB never writes a page in place, so that older copies of a record, and the leaves
below a branch that cannot be read, remain until they are used again.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf.store import Remnant, RemnantState
from modelshelf_lmdb.datafile import DataFile
from modelshelf_lmdb.environment import exclusive_access
from modelshelf_lmdb.errors import foreign, translated
from modelshelf_lmdb.folder import open_data_file, persist_entries, reset_lock_file, stored_ranges
from modelshelf_lmdb.identity import Evidence, is_mark
from modelshelf_lmdb.pages import (
    DATA_NAME,
    META_BYTES,
    METAS,
    PAGE_SIZES,
    Meta,
    Page,
    PageRange,
    is_leaf,
    parse_meta,
)
from modelshelf_lmdb.store import LmdbStore
from modelshelf_lmdb.tree import TreeReader

_WORD = 8  # bytes of a page number in the lists of free pages
_UNFINISHED = "repair-"


class KeyRange(NamedTuple):
    """Keys from `low` up to, not including, `high` (None: to the end) whose page cannot be read."""

    low: bytes
    high: bytes | None

    def contains(self, key: bytes) -> bool:
        """Whether a key is one of these."""
        return self.low <= key and (self.high is None or key < self.high)


def salvage(folder: str) -> Iterator[Remnant]:
    """Read every record that can be read of the store in a folder; see `StoreType.salvage`.

    Raises:
        StoreUnavailableError: There is no file, it cannot be opened, is in another file format, or, as shows
            after its last record, is another program's.
    """
    _check_is_store(folder)
    descriptor = open_data_file(folder)
    evidence = Evidence()
    try:
        for one in _Salvage(descriptor).remnants():
            if one.value is not None and not evidence.proven:
                evidence.take(one.key, one.value)
            if not is_mark(one.key, one.value):
                yield one
    finally:
        os.close(descriptor)
    if evidence.is_foreign:
        raise foreign(folder, "is a damaged LMDB file of another program")


def _check_is_store(folder: str) -> None:
    """Check that the file is not whole and another program's.

    Raises:
        StoreUnavailableError: It is, or it is in another file format.
    """
    with suppress(DamagedStoreError):
        DataFile(folder).close()


class _Salvage:
    """Reads the records of one damaged file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._visited: set[int] = set()
        self._lost: list[KeyRange] = []

    def remnants(self) -> Iterator[Remnant]:
        """Read the records of the newest tree, then those on all other pages."""
        metas = self._metas()
        is_certain = len(metas) == METAS and abs(metas[0].revision - metas[1].revision) == 1
        free: set[int] | None = None
        total: int | None = None
        if is_certain:
            free = self._free_pages(metas[0])
            total = metas[0].main.entries
            for one in self._tree(metas[0], RemnantState.CURRENT):
                total -= is_mark(one.key, one.value)
                yield one
        else:
            self._lost.append(KeyRange(b"", None))
            for meta in metas:
                yield from self._tree(meta, RemnantState.POSSIBLE)
        for keys in self._lost:
            until = keys.high or b""
            yield Remnant(key=keys.low, value=None, state=RemnantState.CURRENT, until=until, total=total)
        page_size = metas[0].page_size if metas else self._guessed_page_size()
        yield from self._other_pages(page_size, free)

    def _metas(self) -> list[Meta]:
        """Read the meta pages that can be read, the newest state's first."""
        metas = []
        foreign = None
        for slot, page_size in ((0, 0), *((1, size) for size in PAGE_SIZES)):
            try:
                meta = parse_meta(self._fetch(slot * page_size, META_BYTES), slot)
            except DamagedStoreError:
                continue
            except StoreUnavailableError as error:
                foreign = error
                continue
            if not slot or meta.page_size == page_size:
                metas.append(meta)
        if foreign is not None and not metas:
            raise foreign
        return sorted(metas, key=lambda meta: -meta.revision)[:METAS]

    def _guessed_page_size(self) -> int:
        """Find the page size at which most pages begin with their own number."""

        def numbered(page_size: int) -> int:
            return sum(
                self._fetch(number * page_size, _WORD) == number.to_bytes(_WORD, "little")
                for number in self._stored_pages(page_size)
            )

        return max(PAGE_SIZES, key=numbered)

    def _stored_pages(self, page_size: int) -> Iterator[int]:
        """Find the whole pages behind the meta pages that are not holes of the file."""
        following = METAS
        for begin, end in stored_ranges(self._descriptor, self._size):
            pages = range(
                max(begin // page_size, following), min(-(-end // page_size), self._size // page_size)
            )
            yield from pages
            following = max(following, pages.stop)

    def _tree(self, meta: Meta, state: RemnantState) -> Iterator[Remnant]:
        """Read the records of a tree; the keys of a page that cannot be read are added to the lost ones."""
        reader = TreeReader(self._fetch, meta, meta.main, self._size)
        waiting: list[tuple[int, PageRange]] = []
        if meta.main.depth:
            waiting.append((1, (meta.main.root, b"", None)))
        while waiting:
            level, (number, low, high) = waiting.pop()
            if number in self._visited:
                if state is RemnantState.CURRENT:  # two pages lead to one: at least one of them lies
                    self._lost.append(KeyRange(low, high))
                continue
            self._visited.add(number)
            try:
                if level < meta.main.depth:
                    children = reader.read_branch(number, low, high).children()
                    waiting.extend((level + 1, child) for child in children)
                    continue
                reader.read_leaf(number, low, high)
            except DamagedStoreError:
                self._lost.append(KeyRange(low, high))
            yield from self._records(number, meta.page_size, state)

    def _records(self, number: int, page_size: int, state: RemnantState) -> Iterator[Remnant]:
        """Read the records of a leaf that lie within it, whatever else is wrong with the page."""
        raw = self._fetch(number * page_size, page_size)
        if len(raw) < page_size or (state is RemnantState.FORMER and not is_leaf(raw, number)):
            return
        page = Page(raw)
        for offset in page.offsets:
            try:
                key, value = page.key(offset), page.value(offset, self._fetch, self._size)
            except struct.error:  # the node lies outside of the page
                continue
            if key:
                yield Remnant(key=key, value=value, state=state)

    def _other_pages(self, page_size: int, free: set[int] | None) -> Iterator[Remnant]:
        """Read the records of every leaf that no tree led to.

        A page that the newest state has not given up is in use there; without its list any may be.
        """
        in_use = RemnantState.POSSIBLE if free is None else RemnantState.CURRENT
        for number in self._stored_pages(page_size):
            if number in self._visited:
                continue
            for record in self._records(number, page_size, RemnantState.FORMER):
                if record.value is None:
                    continue
                is_lost = any(keys.contains(record.key) for keys in self._lost)
                if number not in (free or ()) and is_lost:
                    yield Remnant(key=record.key, value=record.value, state=in_use)
                else:
                    yield record

    def _free_pages(self, meta: Meta) -> set[int] | None:
        """Read the list of pages that the newest state has given up; None where it cannot be read."""
        reader = TreeReader(self._fetch, meta, meta.free, self._size)
        free: set[int] = set()
        waiting = [(meta.free.root, 1)] if meta.free.depth else []
        try:
            while waiting:
                number, level = waiting.pop()
                if number in free:  # two pages lead to one
                    return None
                free.add(number)
                if level < meta.free.depth:
                    children = reader.read_branch(number, b"", None).children()
                    waiting.extend((child, level + 1) for child, _, _ in children)
                    continue
                reader.read_leaf(number, b"", None)
                for record in self._records(number, meta.page_size, RemnantState.CURRENT):
                    words = memoryview(record.value or b"")
                    numbers = words[: len(words) // _WORD * _WORD].cast("Q")
                    free.update(numbers[1:])  # the first is their count
        except DamagedStoreError:
            return None
        return free

    def _fetch(self, offset: int, length: int) -> bytes:
        """Read bytes at an offset; none where the disk fails, as if the page were damaged."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError:
            return b""


def replace(folder: str, fill: Callable[[LmdbStore], None]) -> str:
    """Have a new store filled and put it in the place of the one in a folder; see `StoreType.replace`.

    The one step that counts is the renaming of the new file over the old one. Before it the old store
    is in place and has a second name at most; after it the new one is.

    Returns:
        The path of the old file, whose name has the time and says that it was damaged.

    Raises:
        StoreUnavailableError: There is no store, a program has it open, or the folder cannot be written.
        StoreFullError: There is no room for a second one.
    """
    current = Path(folder, DATA_NAME)
    if not current.is_file():
        raise StoreUnavailableError(f"{folder}: there is no store to repair; `modelshelf scan` makes one")
    _check_is_store(folder)
    with exclusive_access(folder):
        try:
            for left in Path(folder).glob(f"{_UNFINISHED}*"):  # of a repair that was killed
                shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
            try:
                _fill_new(made, fill)
                kept = _link_damaged(current)
                (made / DATA_NAME).replace(current)
                persist_entries(Path(folder))
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise translated(error, folder, "repairing") from error
        reset_lock_file(folder)
    return str(kept)


def _fill_new(folder: Path, fill: Callable[[LmdbStore], None]) -> None:
    store = LmdbStore.open(os.fspath(folder))
    try:
        fill(store)
    finally:
        store.close()


def _link_damaged(current: Path) -> Path:
    """Give the damaged file a second name: under its first one it stays until the new one takes that."""
    moment = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    for number in range(1, 1000):
        kept = current.with_name(f"{current.name}.damaged-{moment}" + (f"-{number}" if number > 1 else ""))
        try:
            os.link(current, kept)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            shutil.copy2(current, kept)
        persist_entries(current.parent)
        return kept
    raise FileExistsError(f"{current}.damaged-{moment}")
