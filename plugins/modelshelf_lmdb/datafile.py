"""An LMDB data file, read beside LMDB: which state is the newest, and whether its pages can be trusted.

LMDB's locks lie on the lock file, so that opening and closing the data file here does not disturb them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf_lmdb.errors import damaged, translated
from modelshelf_lmdb.folder import open_regular
from modelshelf_lmdb.pages import DATA_NAME, META_BYTES, TXNID_OFFSET, Meta, Tree, parse_meta, read_metas
from modelshelf_lmdb.tree import TreeLook, after_prefix

_LARGEST_MAP = 1 << 46  # bytes; no machine maps more, so a larger one in a meta page is damage

_TABLE = 2  # bytes that keys of one kind begin with, which are often looked over together

_MANY = 128  # leaf pages

_MANY_KEYS = 512

_MOST_UNWRITTEN = 1 << 17  # pages; a transaction of LMDB's holds no more (MDB_IDL_UM_MAX)

Identity = tuple[int, int]


class _Checked:
    """What was looked over in one state.

    Attributes:
        revision: The state's transaction id.
        look: At its tree of records; the pages on the way to a few of them are kept.
        tables: Beginnings of keys; every page that can hold such keys is sound.
        keys: Number of keys whose pages were looked over for a change.
    """

    def __init__(self, revision: int, look: TreeLook) -> None:
        self.revision = revision
        self.look = look
        self.tables: set[bytes] = set()
        self.keys = 0


class DataFile:
    """The data file of one store, open for reading.

    Attributes:
        folder: The folder that holds it.
        identity: Device and inode.
        page_size: Bytes of a page.

    Raises:
        DamagedStoreError: It is no LMDB file, was truncated, or its meta pages are damaged.
        StoreUnavailableError: It cannot be opened, or is of another LMDB file format.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._descriptor = open_regular(folder)
        try:
            told = os.fstat(self._descriptor)
            self.identity: Identity = (told.st_dev, told.st_ino)
            self._checked: _Checked | None = None
            self._written = False
            self._whole = False
            self._short = (-1, -1)
            self.page_size = self._trusted().page_size
            self._map = mmap.mmap(self._descriptor, 2 * self.page_size, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._words = memoryview(self._map).cast("Q")
        self._slots = (TXNID_OFFSET // 8, (self.page_size + TXNID_OFFSET) // 8)

    def revision(self) -> int:
        """The id of the last committed transaction, out of the two meta pages that every process maps."""
        first, second = self._slots
        words = self._words
        one, other = words[first], words[second]
        return one if one > other else other  # noqa: FURB136 - max() takes four times as long, on every look-up

    def newest(self) -> Meta:
        """The newest committed state.

        Raises:
            DamagedStoreError: A meta page is damaged.
        """
        try:
            return read_metas(self._fetch)
        except (DamagedStoreError, StoreUnavailableError) as error:
            raise self._named(error) from None

    def meta_of(self, revision: int) -> Meta | None:
        """The state with that transaction id, or None when a later commit has taken its meta page.

        Raises:
            DamagedStoreError: The meta page is damaged.
        """
        slot = revision & 1
        try:
            meta = parse_meta(self._fetch(slot * self.page_size, META_BYTES), slot)
        except (DamagedStoreError, StoreUnavailableError) as error:
            raise self._named(error) from None
        return meta if meta.revision == revision else None

    def ensure_metas(self) -> None:
        """Make sure that LMDB finds its meta pages, which it reads before anything can be checked.

        Raises:
            DamagedStoreError: The file was truncated while it was open.
        """
        # A seek tells the size in a quarter of a stat's time; every read here names its own offset.
        if os.lseek(self._descriptor, 0, os.SEEK_END) < 2 * self.page_size:
            raise damaged(self.folder, "its file was truncated while it was open")

    def ensure_whole(self, meta: Meta) -> None:
        """Make sure that reading this state cannot run past the end of the file.

        LMDB does not write pages that one transaction both takes and gives back, so a sound file often
        ends before its last page: then every page in use is looked at.

        Raises:
            DamagedStoreError: The file was truncated.
        """
        size = os.fstat(self._descriptor).st_size
        if meta.frontier - size > _MOST_UNWRITTEN * meta.page_size:
            raise damaged(self.folder, f"its file was truncated, or its last page {meta.last_page} is a lie")
        if size < meta.frontier and (meta.revision, size) != self._short:
            self._check_tree(meta, meta.main)
            self._check_tree(meta, meta.free)
            self._short = (meta.revision, size)

    def records(self, meta: Meta, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every key that begins with `prefix`, with its value, each off a page that was looked over.

        Raises:
            DamagedStoreError: The next page is damaged.
        """
        checked = self._checked_of(meta)
        with self._naming():
            yield from checked.look.records(prefix, after_prefix(prefix))
        if len(prefix) <= _TABLE:
            checked.tables.add(prefix)

    def around(self, meta: Meta, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """The last record before `start` and the first from `stop` on, as far as their pages hold them.

        Raises:
            DamagedStoreError: A page on the way to them is damaged.
        """
        with self._naming():
            return list(self._checked_of(meta).look.around(start, stop))

    def check_path(self, meta: Meta, key: bytes) -> None:
        """Look over the pages on the way to a key, unless they were looked over in this state.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        checked = self._checked_of(meta)
        if checked.tables.isdisjoint((key[:_TABLE], b"")):
            with self._naming():
                checked.look.leaf_of(key)

    def _checked_of(self, meta: Meta) -> _Checked:
        checked = self._checked
        if checked is None or checked.revision != meta.revision:
            checked = self._checked = _Checked(meta.revision, self._look(meta, meta.main))
        return checked

    def check_for_writing(self, meta: Meta) -> None:
        """Look over the list of free pages before a write, and before the first one the headers of all pages.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        self._check_tree(meta, meta.free)
        if not self._written:
            with self._naming():
                self._look(meta, meta.main).check_headers()
            self._written = True

    def check_change(self, meta: Meta, key: bytes, *, removal: bool = False) -> None:
        """Look over the pages that LMDB may come by when it looks up, sets or removes a key in a state.

        It ends the process when one of them is damaged. Who changes many keys at once comes by most pages, so
        then all of them are looked over, once in a process.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        if self._whole:
            return
        checked = self._checked_of(meta)
        look = checked.look
        checked.keys += 1
        with self._naming():
            look.leaf_of(key)
            if removal:
                look.check_surroundings(key)
            if look.looked > _MANY or checked.keys > _MANY_KEYS:
                self._look(meta, meta.main).check()
                self._whole = True

    def check_range(self, meta: Meta, prefix: bytes) -> None:
        """As `check_change` for all keys that begin with `prefix`, and for the one behind.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        if self._whole:
            return
        look, stop = self._checked_of(meta).look, after_prefix(prefix)
        with self._naming():
            for _ in look.leaves(prefix, stop):
                pass
        if stop is not None:
            self.check_change(meta, stop)

    def ensure_in_place(self) -> None:
        """Make sure that the folder still holds this very file.

        Raises:
            StoreUnavailableError: It was removed or replaced, so that a write would vanish.
        """
        try:
            told = os.stat(os.path.join(self.folder, DATA_NAME))
        except OSError:
            told = None
        if told is None or (told.st_dev, told.st_ino) != self.identity:
            raise StoreUnavailableError(
                f"{self.folder}: the store was removed or replaced while it was open; open it again"
            )

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()
        os.close(self._descriptor)

    def _trusted(self) -> Meta:
        meta = self.newest()
        if os.fstat(self._descriptor).st_size < 2 * meta.page_size:
            raise damaged(self.folder, "its file was truncated")
        if meta.map_size > _LARGEST_MAP:
            raise damaged(self.folder, f"a meta page tells of a map of {meta.map_size} bytes")
        self.ensure_whole(meta)
        return meta

    def _look(self, meta: Meta, tree: Tree) -> TreeLook:
        return TreeLook(self._fetch, meta, tree, os.fstat(self._descriptor).st_size)

    def _check_tree(self, meta: Meta, tree: Tree) -> None:
        with self._naming():
            self._look(meta, tree).check()

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise translated(error, self.folder, "reading") from error

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Name the store in the errors of a look at its trees."""
        try:
            yield
        except DamagedStoreError as error:
            raise damaged(self.folder, error) from None

    def _named(
        self, error: DamagedStoreError | StoreUnavailableError
    ) -> DamagedStoreError | StoreUnavailableError:
        if isinstance(error, DamagedStoreError):
            return damaged(self.folder, error)
        return StoreUnavailableError(f"{self.folder}: the store cannot be used: {error}")
