"""An LMDB data file, read beside LMDB: which state is the newest, and whether its pages can be trusted.

LMDB's locks lie on the lock file, so that opening and closing the data file here does not disturb them.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf_lmdb.failures import damaged, translated
from modelshelf_lmdb.pages import META_BYTES, TXNID_OFFSET, Meta, Tree, check_tree, parse_meta, read_metas

NAME = "data.mdb"
_LARGEST_MAP = 1 << 46  # bytes; no machine maps more, so a larger one in a meta page is damage
_MOST_UNWRITTEN = 1 << 17  # pages; a transaction of LMDB's holds no more (MDB_IDL_UM_MAX)
# A FIFO in the file's place must not hang the open, and a child process must not inherit the descriptor.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

Identity = tuple[int, int]


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
        path = Path(folder, NAME)
        try:
            self._descriptor = os.open(path, _OPEN_FLAGS)
        except (OSError, ValueError) as error:
            raise translated(error, folder, "opening") from error
        try:
            told = os.fstat(self._descriptor)
            if not stat.S_ISREG(told.st_mode):
                raise StoreUnavailableError(f"{path}: is not a regular file; move it away")  # noqa: TRY301 - the descriptor is closed below
            self.identity: Identity = (told.st_dev, told.st_ino)
            self._checked: tuple[int, set[bytes]] = (-1, set())
            self._written = False
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
        if os.fstat(self._descriptor).st_size < 2 * self.page_size:
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

    def check(self, meta: Meta, prefix: bytes = b"") -> None:
        """Look over the pages that hold keys beginning with `prefix`, once for each committed state.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        revision, prefixes = self._checked
        if revision != meta.revision:
            prefixes = set()
        if prefix not in prefixes and b"" not in prefixes:
            self._check_tree(meta, meta.main, prefix)
            self._checked = (meta.revision, prefixes | {prefix})

    def check_for_writing(self, meta: Meta) -> None:
        """Look over all pages once before the first write, and over the list of free pages before each.

        A writer moves records between pages that it was not asked for, and LMDB ends the process when one of
        them is damaged.

        Raises:
            DamagedStoreError: One of them is damaged.
        """
        self._check_tree(meta, meta.free)
        if not self._written:
            self.check(meta)
            self._written = True

    def ensure_in_place(self) -> None:
        """Make sure that the folder still holds this very file.

        Raises:
            StoreUnavailableError: It was removed or replaced, so that a write would vanish.
        """
        try:
            told = Path(self.folder, NAME).stat()
        except OSError:
            told = None
        if told is None or (told.st_dev, told.st_ino) != self.identity:
            raise StoreUnavailableError(
                f"{self.folder}: the store was removed or replaced while it was open; open it again"
            )

    def open_to_others(self) -> bool:
        """Whether accounts beside the owner's may read or write the file."""
        return bool(stat.S_IMODE(os.fstat(self._descriptor).st_mode) & 0o077)

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

    def _check_tree(self, meta: Meta, tree: Tree, prefix: bytes = b"") -> None:
        try:
            check_tree(self._fetch, meta, tree, os.fstat(self._descriptor).st_size, prefix)
        except DamagedStoreError as error:
            raise self._named(error) from None

    def _fetch(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise translated(error, self.folder, "reading") from error

    def _named(
        self, error: DamagedStoreError | StoreUnavailableError
    ) -> DamagedStoreError | StoreUnavailableError:
        if isinstance(error, DamagedStoreError):
            return damaged(self.folder, error)
        return StoreUnavailableError(f"{self.folder}: the store cannot be used: {error}")
