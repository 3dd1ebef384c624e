"""Read an LMDB data file beside LMDB: which state is the newest, and whether its pages can be trusted.

LMDB's locks are on the lock file, so that opening and closing the data file here does not disturb them.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf_lmdb.errors import damaged, foreign, translated
from modelshelf_lmdb.folder import FIRST_MAP, open_data_file, stored_ranges
from modelshelf_lmdb.identity import KEY, MARK, Origin, origin_of
from modelshelf_lmdb.pages import DATA_NAME, META_BYTES, TXNID_OFFSET, Meta, Tree, parse_meta, read_metas
from modelshelf_lmdb.tree import TreeReader, after_prefix

_MAX_MAP = 1 << 46  # bytes; no machine maps more, so a larger one in a meta page is damage
_TABLE = 2  # bytes that keys of one table begin with, which are often read together
_MANY_LEAVES = 128
_MANY_KEYS = 512
_MAX_UNWRITTEN = 1 << 17  # pages; a transaction of LMDB's has no more (MDB_IDL_UM_MAX)

_MARK = (KEY, MARK)

Identity = tuple[int, int]


class _CheckedState:
    """What was checked of one state.

    Attributes:
        revision: The state's transaction id.
        reader: Reads its tree of records; the pages on the way to some of them are cached.
        tables: Beginnings of keys; every page that can hold such keys is sound.
        keys: Number of keys whose pages were checked for a change.
    """

    def __init__(self, revision: int, reader: TreeReader) -> None:
        self.revision = revision
        self.reader = reader
        self.tables: set[bytes] = set()
        self.keys = 0


class DataFile:
    """The data file of one store, open for reading.

    Attributes:
        folder: The folder that it is in.
        identity: Device and inode.
        page_size: Bytes of a page.
        origin: Whose it is: never `Origin.FOREIGN`.

    Raises:
        DamagedStoreError: It is no LMDB file, was truncated, or its meta pages are damaged.
        StoreUnavailableError: It cannot be opened, is of another LMDB file format, or another program's.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._descriptor = open_data_file(folder)
        try:
            status = os.fstat(self._descriptor)
            self.identity: Identity = (status.st_dev, status.st_ino)
            self._checked: _CheckedState | None = None
            self._headers_checked = False
            self._all_checked = False
            self._short_checked = (-1, -1)  # revision, and bytes of a file that ends before its last page
            self.page_size = self._checked_meta().page_size
            self._map = mmap.mmap(self._descriptor, 2 * self.page_size, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._words = memoryview(self._map).cast("Q")
        self._slots = (TXNID_OFFSET // 8, (self.page_size + TXNID_OFFSET) // 8)

    def revision(self) -> int:
        """Return the id of the last committed transaction, out of the meta pages that every process maps."""
        first, second = self._slots
        words = self._words
        one, other = words[first], words[second]
        return one if one > other else other  # noqa: FURB136 - max() takes four times as long, on every look-up

    def newest(self) -> Meta:
        """Read the newest committed state.

        Raises:
            DamagedStoreError: A meta page is damaged.
        """
        try:
            return read_metas(self._fetch)
        except (DamagedStoreError, StoreUnavailableError) as error:
            raise self._with_folder(error) from None

    def meta_of(self, revision: int) -> Meta | None:
        """Read the state with that transaction id; None when a later commit has taken its meta page.

        Raises:
            DamagedStoreError: The meta page is damaged.
        """
        slot = revision & 1
        try:
            meta = parse_meta(self._fetch(slot * self.page_size, META_BYTES), slot)
        except (DamagedStoreError, StoreUnavailableError) as error:
            raise self._with_folder(error) from None
        return meta if meta.revision == revision else None

    def check_metas_present(self) -> None:
        """Check that LMDB finds its meta pages, which it reads before anything else can be checked.

        Raises:
            DamagedStoreError: The file was truncated while it was open.
        """
        # A seek gives the size in a quarter of a stat's time; every read here names its own offset.
        if os.lseek(self._descriptor, 0, os.SEEK_END) < 2 * self.page_size:
            raise damaged(self.folder, "its file was truncated while it was open")

    def check_length(self, meta: Meta) -> None:
        """Check that reading this state cannot run past the end of the file.

        LMDB does not write pages that one transaction both takes and gives back, so a sound file often
        ends before its last page: then every page in use is read.

        Raises:
            DamagedStoreError: The file was truncated.
        """
        size = os.fstat(self._descriptor).st_size
        if meta.frontier - size > _MAX_UNWRITTEN * meta.page_size:
            raise damaged(self.folder, f"its file was truncated, or its last page {meta.last_page} is a lie")
        if size < meta.frontier and (meta.revision, size) != self._short_checked:
            self._check_tree(meta, meta.main)
            self._check_tree(meta, meta.free)
            self._short_checked = (meta.revision, size)

    def check_extent(self) -> None:
        """Check that the file has about as many pages as its newest state says, holes not counted.

        Raises:
            DamagedStoreError: It has far fewer.
        """
        meta, size = self.newest(), os.fstat(self._descriptor).st_size
        stored = sum(end - begin for begin, end in stored_ranges(self._descriptor, size))
        if meta.frontier - stored > _MAX_UNWRITTEN * meta.page_size:
            raise damaged(
                self.folder, f"{stored} bytes of it are there, and its last page is {meta.last_page}"
            )

    def records(self, meta: Meta, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Read every key that begins with `prefix`, with its value, off pages that were checked.

        Raises:
            DamagedStoreError: The next page is damaged.
        """
        checked = self._state(meta)
        with self._folder_in_errors():
            found = checked.reader.records(prefix, after_prefix(prefix))
            yield from (one for one in found if one != _MARK) if KEY.startswith(prefix) else found
        if len(prefix) <= _TABLE:
            checked.tables.add(prefix)

    def around(self, meta: Meta, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """Read the last record before `start` and the first from `stop` on, as far as their pages have them.

        Raises:
            DamagedStoreError: A page on the way to them is damaged.
        """
        with self._folder_in_errors():
            return list(self._state(meta).reader.around(start, stop))

    def check_path(self, meta: Meta, key: bytes) -> None:
        """Check the pages on the way to a key, unless they were checked in this state.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        checked = self._state(meta)
        if checked.tables.isdisjoint((key[:_TABLE], b"")):
            with self._folder_in_errors():
                checked.reader.find_leaf(key)

    def check_for_writing(self, meta: Meta) -> None:
        """Check the list of free pages before a write, and before the first one the headers of all pages.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        self._check_tree(meta, meta.free)
        if not self._headers_checked:
            with self._folder_in_errors():
                self._reader(meta, meta.main).check_headers()
            self._headers_checked = True

    def check_change(self, meta: Meta, key: bytes, *, removal: bool = False) -> None:
        """Check the pages that LMDB may come by when it looks up, sets or removes a key in a state.

        It ends the process when one of them is damaged. Who changes many keys at once comes by most pages, so
        then all of them are checked, once in a process.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        if self._all_checked:
            return
        checked = self._state(meta)
        reader = checked.reader
        checked.keys += 1
        with self._folder_in_errors():
            reader.find_leaf(key)
            if removal:
                reader.check_neighbours(key)
            if reader.leaves_read > _MANY_LEAVES or checked.keys > _MANY_KEYS:
                self._reader(meta, meta.main).check()
                self._all_checked = True

    def check_range(self, meta: Meta, prefix: bytes) -> None:
        """Check as `check_change` does for all keys that begin with `prefix`, and for the one behind.

        Raises:
            DamagedStoreError: One of the pages is damaged.
        """
        if self._all_checked:
            return
        reader, stop = self._state(meta).reader, after_prefix(prefix)
        with self._folder_in_errors():
            for _ in reader.leaves(prefix, stop):
                pass
        if stop is not None:
            self.check_change(meta, stop)

    def check_in_place(self) -> None:
        """Check that the folder still has this very file.

        Raises:
            StoreUnavailableError: It was removed or replaced, so that a write would vanish.
        """
        try:
            status = os.stat(os.path.join(self.folder, DATA_NAME))
        except OSError:
            status = None
        if status is None or (status.st_dev, status.st_ino) != self.identity:
            raise StoreUnavailableError(
                f"{self.folder}: the store was removed or replaced while it was open; open it again"
            )

    def close(self) -> None:
        """Close the file."""
        self._words.release()
        self._map.close()
        os.close(self._descriptor)

    def _checked_meta(self) -> Meta:
        meta, self.origin = self._recognised()
        if os.fstat(self._descriptor).st_size < 2 * meta.page_size:
            raise damaged(self.folder, "its file was truncated")
        if meta.map_size > _MAX_MAP:
            raise damaged(self.folder, f"a meta page tells of a map of {meta.map_size} bytes")
        self.check_length(meta)
        return meta

    def _recognised(self) -> tuple[Meta, Origin]:
        """Read the newest state, and find out whose the file is.

        Raises:
            StoreUnavailableError: It is another program's.
        """
        while True:
            meta = self.newest()
            status = os.fstat(self._descriptor)
            origin = origin_of(self._fetch, meta, status.st_size)
            if origin is Origin.MARKED or self.newest().revision == meta.revision:
                break  # else another process may have taken the pages meanwhile
        if origin is Origin.FOREIGN:
            raise foreign(self.folder, "is an LMDB file of another program")
        if origin is Origin.EMPTY and not _was_made_by_0_1(meta, status.st_mode):
            raise foreign(self.folder, "is an empty LMDB file of another program")
        return meta, origin

    def check_origin(self) -> None:
        """Check before a write that the file is known to be a store.

        Raises:
            DamagedStoreError: Nothing of it can be read that says so.
        """
        if self.origin is Origin.UNKNOWN:
            raise damaged(self.folder, "none of its records can be read")

    def _state(self, meta: Meta) -> _CheckedState:
        checked = self._checked
        if checked is None or checked.revision != meta.revision:
            checked = self._checked = _CheckedState(meta.revision, self._reader(meta, meta.main))
        return checked

    def _reader(self, meta: Meta, tree: Tree) -> TreeReader:
        return TreeReader(self._fetch, meta, tree, os.fstat(self._descriptor).st_size)

    def _check_tree(self, meta: Meta, tree: Tree) -> None:
        with self._folder_in_errors():
            self._reader(meta, tree).check()

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise translated(error, self.folder, "reading") from error

    @contextmanager
    def _folder_in_errors(self) -> Iterator[None]:
        """Name the store's folder in the errors of a tree's reading."""
        try:
            yield
        except DamagedStoreError as error:
            raise damaged(self.folder, error) from None

    def _with_folder(
        self, error: DamagedStoreError | StoreUnavailableError
    ) -> DamagedStoreError | StoreUnavailableError:
        if isinstance(error, DamagedStoreError):
            return damaged(self.folder, error)
        return StoreUnavailableError(f"{self.folder}: the store cannot be used: {error}")


def _was_made_by_0_1(meta: Meta, mode: int) -> bool:
    """Whether an empty file is as release 0.1 made one: that has no mark, but is for its owner alone."""
    return not meta.revision and meta.map_size == FIRST_MAP and not mode & 0o077
