"""What can be read of a damaged LMDB file, page by page and without LMDB, which would end the process.

The newest state's tree is walked first. Where a page of it is damaged, the records that it held, or led to,
are looked for on every other page of the file: LMDB never writes a page in place, so that older copies of a
record, and the leaves below a branch that cannot be read, lie about until they are used again.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf.store import Remnant, Standing
from modelshelf_lmdb.environment import shut_off
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.folder import begin_lock_file, open_regular, persist_entries
from modelshelf_lmdb.pages import DATA_NAME, META_BYTES, PAGE_SIZES, Meta, Page, is_leaf, parse_meta
from modelshelf_lmdb.store import LmdbStore
from modelshelf_lmdb.tree import TreeLook

_FIRST_PAGE = 2  # behind the meta pages

_WORD = 8  # bytes of a page number in the lists of free pages


class Stretch(NamedTuple):
    """Keys from `low` up to, not including, `high` (None: to the end) whose page cannot be read."""

    low: bytes
    high: bytes | None

    def holds(self, key: bytes) -> bool:
        """Whether a key belongs here."""
        return self.low <= key and (self.high is None or key < self.high)


def salvage(folder: str) -> Iterator[Remnant]:
    """Every record that can be read of the store in a folder; see `StoreType.salvage`.

    Raises:
        StoreUnavailableError: There is no file, it cannot be opened, or is in another file format.
    """
    descriptor = open_regular(folder)
    try:
        yield from _Salvage(descriptor).remnants()
    finally:
        os.close(descriptor)


class _Salvage:
    """One reading of one file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._visited: set[int] = set()
        self._lost: list[Stretch] = []

    def remnants(self) -> Iterator[Remnant]:
        """What the newest tree holds, then what lies about elsewhere."""
        metas = self._metas()
        sure = len(metas) == 2 and abs(metas[0].revision - metas[1].revision) == 1  # noqa: PLR2004 - both are sound neighbours
        free: set[int] | None = None
        if sure:
            free = self._free_pages(metas[0])
            yield from self._tree(metas[0], Standing.CURRENT)
        else:
            self._lost.append(Stretch(b"", None))
            for meta in metas:
                yield from self._tree(meta, Standing.POSSIBLE)
        for stretch in self._lost:
            yield Remnant(key=stretch.low, value=None, standing=Standing.CURRENT)
        page_size = metas[0].page_size if metas else self._guessed_page_size()
        yield from self._elsewhere(page_size, free)

    def _metas(self) -> list[Meta]:
        """The meta pages that can be read, the newest state's first."""
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
        return sorted(metas, key=lambda meta: -meta.revision)[:2]

    def _guessed_page_size(self) -> int:
        """The page size at which most pages bear their own number."""

        def numbered(page_size: int) -> int:
            return sum(
                self._fetch(number * page_size, _WORD) == number.to_bytes(_WORD, "little")
                for number in range(_FIRST_PAGE, self._size // page_size)
            )

        return max(PAGE_SIZES, key=numbered)

    def _tree(self, meta: Meta, standing: Standing) -> Iterator[Remnant]:
        """The records of a tree; what cannot be read becomes a lost stretch."""
        look = TreeLook(self._fetch, meta, meta.main, self._size)
        waiting: list[tuple[int, int, bytes, bytes | None]] = []
        if meta.main.depth:
            waiting.append((meta.main.root, 1, b"", None))
        while waiting:
            number, level, low, high = waiting.pop()
            if number in self._visited:
                if standing is Standing.CURRENT:  # two pages lead to one: at least one of them lies
                    self._lost.append(Stretch(low, high))
                continue
            self._visited.add(number)
            try:
                if level < meta.main.depth:
                    waiting.extend(
                        (child, level + 1, begin, end)
                        for child, begin, end in look.branch(number, low, high).children()
                    )
                    continue
                look.leaf(number, low, high)
            except DamagedStoreError:
                self._lost.append(Stretch(low, high))
            yield from self._records(number, meta.page_size, standing)

    def _records(self, number: int, page_size: int, standing: Standing) -> Iterator[Remnant]:
        """The records of a leaf that lie within it, whatever else is wrong with the page."""
        raw = self._fetch(number * page_size, page_size)
        if len(raw) < page_size or (standing is Standing.FORMER and not is_leaf(raw, number)):
            return
        page = Page(raw)
        for offset in page.offsets:
            try:
                key, value = page.key(offset), page.value(offset, self._fetch, self._size)
            except struct.error:  # the node lies outside of the page
                continue
            if key:
                yield Remnant(key=key, value=value, standing=standing)

    def _elsewhere(self, page_size: int, free: set[int] | None) -> Iterator[Remnant]:
        """The records of every leaf that no tree led to.

        A page that the newest state has not given up is in use there; without its list any may be.
        """
        in_use = Standing.POSSIBLE if free is None else Standing.CURRENT
        for number in range(_FIRST_PAGE, self._size // page_size):
            if number in self._visited:
                continue
            for one in self._records(number, page_size, Standing.FORMER):
                if one.value is None:
                    continue
                if number not in (free or ()) and any(stretch.holds(one.key) for stretch in self._lost):
                    yield Remnant(key=one.key, value=one.value, standing=in_use)
                else:
                    yield one

    def _free_pages(self, meta: Meta) -> set[int] | None:
        """Pages that the newest state has given up; None where their list cannot be read."""
        look = TreeLook(self._fetch, meta, meta.free, self._size)
        free: set[int] = set()
        waiting = [(meta.free.root, 1)] if meta.free.depth else []
        try:
            while waiting:
                number, level = waiting.pop()
                if number in free:  # two pages lead to one
                    return None
                free.add(number)
                if level < meta.free.depth:
                    waiting.extend(
                        (child, level + 1) for child, _, _ in look.branch(number, b"", None).children()
                    )
                    continue
                look.leaf(number, b"", None)
                for one in self._records(number, meta.page_size, Standing.CURRENT):
                    words = memoryview(one.value or b"")
                    numbers = words[: len(words) // _WORD * _WORD].cast("Q")
                    free.update(numbers[1:])  # the first is their count
        except DamagedStoreError:
            return None
        return free

    def _fetch(self, offset: int, length: int) -> bytes:
        """Bytes at an offset; none where the disk fails, as a damaged page is."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError:
            return b""


_UNFINISHED = "repair-"


def replace(folder: str, fill: Callable[[LmdbStore], None]) -> str:
    """Have a new store filled and put it in the place of the one in a folder; see `StoreType.replace`.

    The one step that counts is the renaming of the new file over the old one. Before it the old store
    stands and has a second name at most; after it the new one does.

    Returns:
        The path of the old file, whose name tells that it was damaged and the time.

    Raises:
        StoreUnavailableError: There is no store, a program has it open, or the folder cannot be written.
        StoreFullError: There is no room for a second one.
    """
    current = Path(folder, DATA_NAME)
    if not current.is_file():
        raise StoreUnavailableError(f"{folder}: there is no store to repair; `modelshelf scan` makes one")
    with shut_off(folder):
        try:
            for left in Path(folder).glob(f"{_UNFINISHED}*"):  # of a repair that was killed
                shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
            try:
                _make(made, fill)
                kept = _keep(current)
                (made / DATA_NAME).replace(current)
                persist_entries(Path(folder))
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise translated(error, folder, "repairing") from error
        begin_lock_file(folder)
    return str(kept)


def _make(folder: Path, fill: Callable[[LmdbStore], None]) -> None:
    store = LmdbStore.open(os.fspath(folder))
    try:
        fill(store)
    finally:
        store.close()


def _keep(current: Path) -> Path:
    """A second name for the damaged file: under its first one it stands until the new one takes that."""
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
