"""What a view or an update can do with an LMDB store: read one state, and change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

import lmdb

from modelshelf.errors import StoreError
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.identity import KEY, MARK, is_mark

if TYPE_CHECKING:
    from modelshelf_lmdb.datafile import DataFile
    from modelshelf_lmdb.pages import Meta

_MAX_KEY_BYTES = 511  # as `modelshelf.store.LONGEST_KEY`, whose module takes longer to load than all of this
_MAX_VALUE_BYTES = 2**31 - 1
_SMALL_BYTES = 1000  # LMDB gives pages of its own to what is longer than about half a page


class LmdbSnapshot:
    """One committed state, for reading inside one view.

    Args:
        file: The store's data file.
        txn: LMDB's transaction.
        meta: The state's meta page.

    Attributes:
        meta: The state's meta page.
    """

    __slots__ = ("_file", "_get", "_txn", "meta")

    def __init__(self, file: DataFile, txn: lmdb.Transaction[bytes], meta: Meta) -> None:
        self._file = file
        self._txn: lmdb.Transaction[bytes] | None = txn
        self._get: Callable[[bytes], bytes | None] = txn.get
        self.meta = meta

    @property
    def revision(self) -> int:
        """The id of the transaction that committed this state."""
        return self.meta.revision

    def get(self, key: bytes) -> bytes | None:
        """Read the value at `key`; None where there is none.

        Raises:
            DamagedStoreError: A page on the way to it is damaged.
            StoreError: The key is empty or too long, or the view is over.
        """
        if not 0 < len(key) <= _MAX_KEY_BYTES:
            raise self._bad_key(key)
        try:
            value = self._get(key)
        except lmdb.Error as error:
            raise self._translated(error, "reading") from error
        if value is None:
            self._check_absent(key)
        return value

    def _check_absent(self, key: bytes) -> None:
        """Check that the pages on the way to the key are sound, and do not hide it."""
        self._file.check_path(self.meta, key)

    def around(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        """Read the last record before `start` and the first from `stop` on, those of other pages left out.

        Raises:
            DamagedStoreError: A page on the way to them is damaged.
            StoreError: The view is over.
        """
        self._running()
        return self._file.around(self.meta, start, stop)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Read every key that begins with `prefix`, with its value; lazily, so only inside the view.

        Raises:
            DamagedStoreError: A page on the way is damaged.
            StoreError: The view is over.
        """
        self._running()
        # Read off the pages as they are checked: quicker than LMDB's cursor after a check of its own.
        for record in self._file.records(self.meta, prefix):
            yield record
            if self._txn is None:
                raise self._scan_outlived()

    def expire(self) -> None:
        """Refuse every further call. The transaction is left as it is: after a fork it is the parent's."""
        self._txn, self._get = None, self._refuse

    def end(self) -> None:
        """End the transaction, undoing what was not committed."""
        txn = self._txn
        self.expire()
        if txn is not None:
            txn.abort()

    def _running(self) -> lmdb.Transaction[bytes]:
        if self._txn is None:
            self._refuse()
        return self._txn

    def _refuse(self, *_: object) -> NoReturn:
        raise StoreError(f"{self._file.folder}: a view or update is over; collect what you need inside of it")

    def _translated(self, error: lmdb.Error, doing: str) -> StoreError:
        return self._scan_outlived() if self._txn is None else translated(error, self._file.folder, doing)

    def _scan_outlived(self) -> StoreError:
        return StoreError(f"{self._file.folder}: a scan was carried out of its view; collect it inside")

    def _bad_key(self, key: bytes) -> StoreError:
        if key == KEY:
            return StoreError(f"{self._file.folder}: the key {KEY!r} is the store's own, see its mark")
        return StoreError(f"{self._file.folder}: a key has 1 to {_MAX_KEY_BYTES} bytes, not {len(key)}")


class LmdbTransaction(LmdbSnapshot):
    """A state that is being changed; its own changes are read back.

    Attributes:
        outgrown: Whether the map had no room for a change, so that the work has to run again on a larger one.
        changes: How many keys were set or deleted.
    """

    __slots__ = ("_large", "changes", "outgrown")

    def __init__(self, file: DataFile, txn: lmdb.Transaction[bytes], meta: Meta) -> None:
        super().__init__(file, txn, meta)
        self.outgrown = False
        self.changes = 0
        self._large: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Read the value at `key` as in a snapshot, the changes included."""
        self._running()
        self._file.check_change(self.meta, key)
        return super().get(key)

    def _check_absent(self, key: bytes) -> None:
        """Do nothing: the pages on the way were checked before."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value at `key`.

        Raises:
            DamagedStoreError: A page on the way to it is damaged.
            StoreFullError: The disk has no room.
            StoreError: The key is empty, too long or the store's own, the value is too long, or the update is
                over.
        """
        txn = self._running()
        if len(value) > _MAX_VALUE_BYTES:
            raise StoreError(f"{self._file.folder}: a value of {len(value)} bytes is too long; split it")
        if not 0 < len(key) <= _MAX_KEY_BYTES or key == KEY:
            raise self._bad_key(key)
        self._file.check_change(self.meta, key, removal=key in self._large)
        self.changes += 1
        try:
            if key in self._large:
                # Replaced in place, a large value may keep pages that it no longer needs, which `lmdb.verify`
                # takes for damage.
                txn.delete(key)
            if len(key) + len(value) > _SMALL_BYTES:
                self._large.add(key)
            txn.put(key, value)
        except lmdb.MapFullError:
            self.outgrown = True
            raise
        except lmdb.Error as error:
            raise self._translated(error, "writing") from error

    def delete(self, key: bytes) -> bool:
        """Remove `key`; whether it was there.

        Raises:
            DamagedStoreError: A page on the way to it is damaged.
            StoreError: The key is empty, too long or the store's own, or the update is over.
        """
        txn = self._running()
        if not 0 < len(key) <= _MAX_KEY_BYTES or key == KEY:
            raise self._bad_key(key)
        self._file.check_change(self.meta, key, removal=True)
        self.changes += 1
        try:
            return bool(txn.delete(key))
        except lmdb.MapFullError:
            self.outgrown = True
            raise
        except lmdb.Error as error:
            raise self._translated(error, "writing") from error

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Read as a snapshot does; keys may be changed meanwhile, and later ones come as they then are.

        Raises:
            DamagedStoreError: A page on the way is damaged.
            StoreError: The update is over.
        """
        txn = self._running()
        self._file.check_range(self.meta, prefix)
        has_mark = KEY.startswith(prefix)
        try:
            cursor = txn.cursor()
            found = cursor.set_range(prefix)
            while found:
                key, value = cursor.item()
                if not key.startswith(prefix):
                    return
                before = self.changes
                if not (has_mark and is_mark(key, value)):
                    yield key, value
                # A deletion moves the cursor on by itself, so after a change it is set anew.
                found = cursor.next() if before == self.changes else cursor.set_range(key + b"\0")
        except lmdb.Error as error:
            raise self._translated(error, "reading") from error

    def mark(self) -> None:
        """Mark the file as a store, where it is not yet.

        Raises:
            DamagedStoreError: A page on the way to the mark is damaged.
            lmdb.Error: There is no room for it.
        """
        txn = self._running()
        self._file.check_change(self.meta, KEY)
        if txn.get(KEY) != MARK:
            txn.put(KEY, MARK)

    def commit(self) -> None:
        """Commit; durable when it returns.

        Raises:
            lmdb.Error: It was not committed.
        """
        txn = self._running()
        self.expire()
        txn.commit()
