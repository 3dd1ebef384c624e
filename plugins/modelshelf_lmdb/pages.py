"""LMDB's file format (data version 1, LMDB 0.9): its structures, and the checks of single pages.

LMDB trusts its file: a zeroed page ends the process, a truncated file is a SIGBUS, a flipped bit in a page's
header hides records. So the pages that a read is about to pass are checked here first, by plain reads.

Format: ``libraries/liblmdb/mdb.c`` of LMDB 0.9, structures ``MDB_page``, ``MDB_node``, ``MDB_meta``,
``MDB_db``. Integers are in the host's byte order; LMDB files do not travel between architectures.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from modelshelf.errors import DamagedStoreError, StoreUnavailableError

DATA_NAME = "data.mdb"
LOCK_NAME = "lock.mdb"
MAGIC = 0xBEEFC0DE
META_BYTES = 152
TXNID_OFFSET = 144
"""Byte offset of a meta page's transaction id: page header 16, ``MDB_meta`` up to ``mm_txnid`` 128."""

HEADER = struct.Struct("=QHHHH")
"""A page's: number, pad, flags, lower and upper end of its free space."""

NODE = struct.Struct("=HHHH")
"""A node's: size low, size high, flags, key size; in a branch the first three are its child."""

_WIDE_NODE = struct.Struct("=IHH")  # the same with the two halves of the size as one number
# Page header, magic, version, address, map size, free tree, main tree, last page, transaction id.
_META = struct.Struct("=QHHHHIIQQ48s48sQQ")
# Pad (page size in the free tree), flags, depth, branch, leaf and large pages, entries, root.
_TREE = struct.Struct("=IHHQQQQQ")
_VERSION = 1
_META_PAGE = 0x08
BRANCH, LEAF, OVERFLOW = 0x01, 0x02, 0x04
BIGDATA = 0x01
EMPTY = (1 << 64) - 1  # the root of an empty tree
_MAX_DEPTH = 32  # CURSOR_STACK
METAS = 2  # pages 0 and 1
PAGE_SIZES = tuple(1 << shift for shift in range(9, 16))

Fetch = Callable[[int, int], bytes]
"""Reads at a byte offset that many bytes, or fewer where the file ends."""
PageRange = tuple[int, bytes, bytes | None]
"""A page, the first key that it may hold, and the first one beyond (None: no end)."""
Record = tuple[bytes, bytes]


class Tree(NamedTuple):
    """A B+tree, as a meta page describes it.

    Attributes:
        depth: Levels from the root to the leaves; 0 when empty.
        entries: Number of keys.
        root: Page number of the root.
        by_number: Whether keys are 8-byte integers in the host's order (the tree of free pages).
    """

    depth: int
    entries: int
    root: int
    by_number: bool


class Meta(NamedTuple):
    """A committed state, as a meta page describes it.

    Attributes:
        page_size: Bytes of a page.
        map_size: Bytes of the map when the state was committed.
        last_page: Number of the last page that was ever used.
        revision: Id of the transaction that committed it.
        free: The tree of free pages.
        main: The tree of records.
    """

    page_size: int
    map_size: int
    last_page: int
    revision: int
    free: Tree
    main: Tree

    @property
    def frontier(self) -> int:
        """Byte offset behind the last page."""
        return (self.last_page + 1) * self.page_size


def _tree(raw: bytes, *, by_number: bool) -> tuple[int, Tree]:
    pad, _, depth, _, _, _, entries, root = _TREE.unpack(raw)
    return pad, Tree(depth=depth, entries=entries, root=root, by_number=by_number)


def parse_meta(raw: bytes, slot: int) -> Meta:
    """Parse the first `META_BYTES` of a meta page; `slot` is its page number, 0 or 1.

    Raises:
        DamagedStoreError: It is no meta page, or contradicts itself.
        StoreUnavailableError: It is one of another LMDB file format.
    """
    if len(raw) < META_BYTES:
        raise DamagedStoreError(f"the file ends inside meta page {slot}: it was truncated")
    pgno, _, flags, _, _, magic, version, _, map_size, free_raw, main_raw, last, txnid = _META.unpack_from(
        raw
    )
    if magic != MAGIC:
        # LMDB 1.0 has a header of 24 bytes, so its magic comes 8 bytes later.
        if struct.unpack_from("=I", raw, 24)[0] == MAGIC:
            raise StoreUnavailableError("it is in the file format of LMDB 1.0, and 0.9 is wanted")
        raise DamagedStoreError(f"meta page {slot} does not begin as an LMDB file's does")
    page_size, free = _tree(free_raw, by_number=True)
    _, main = _tree(main_raw, by_number=False)
    if version != _VERSION:
        raise StoreUnavailableError(f"it is in LMDB's data version {version}, and {_VERSION} is wanted")
    if (
        pgno != slot
        or flags != _META_PAGE
        or page_size not in PAGE_SIZES
        or last < 1
        or (txnid and txnid & 1 != slot)
    ):
        raise DamagedStoreError(f"meta page {slot} contradicts itself")
    for tree in (free, main):
        if (
            tree.depth > _MAX_DEPTH
            or (tree.root == EMPTY) != (tree.depth == 0)
            or (tree.root != EMPTY and tree.root > last)
        ):
            raise DamagedStoreError(f"meta page {slot} names an impossible root page")
    return Meta(page_size=page_size, map_size=map_size, last_page=last, revision=txnid, free=free, main=main)


def _is_meta(raw: bytes, slot: int) -> bool:
    try:
        parse_meta(raw, slot)
    except (DamagedStoreError, StoreUnavailableError):
        return False
    return True


def read_metas(fetch: Fetch) -> Meta:
    """Read both meta pages and return the newer state, as LMDB picks it.

    Raises:
        DamagedStoreError: One of them is damaged, or they do not belong together.
        StoreUnavailableError: The file is one of another LMDB file format.
    """
    try:
        first = parse_meta(fetch(0, META_BYTES), 0)
    except StoreUnavailableError:
        if any(_is_meta(fetch(page_size, META_BYTES), 1) for page_size in PAGE_SIZES):
            raise DamagedStoreError("the two meta pages are of different formats") from None
        raise
    try:
        second = parse_meta(fetch(first.page_size, META_BYTES), 1)
    except StoreUnavailableError:
        raise DamagedStoreError("the two meta pages are of different formats") from None
    # Commits take turns between the two pages, so their transaction ids are neighbours, unless other
    # processes committed between the two reads.
    if first.page_size != second.page_size or abs(first.revision - second.revision) > 1:
        if parse_meta(fetch(0, META_BYTES), 0) != first:
            return read_metas(fetch)
        raise DamagedStoreError("the two meta pages do not belong together")
    return max(first, second, key=lambda meta: meta.revision)


class Page:
    """A page with nodes, of which nothing is checked here.

    Attributes:
        raw: Its bytes.
        offsets: Where its nodes begin on it, in the order of their keys.
    """

    __slots__ = ("offsets", "raw")

    def __init__(self, raw: bytes) -> None:
        lower = min(max(HEADER.unpack_from(raw)[3], HEADER.size), len(raw))
        self.raw = raw
        self.offsets: tuple[int, ...] = struct.unpack_from(
            f"={(lower - HEADER.size) >> 1}H", raw, HEADER.size
        )

    def key(self, offset: int) -> bytes:
        """Return the key of the node at an offset."""
        start = offset + NODE.size
        return self.raw[start : start + NODE.unpack_from(self.raw, offset)[3]]

    def child(self, offset: int) -> int:
        """Return the number of the page that the branch node at an offset leads to."""
        first, second, third, _ = NODE.unpack_from(self.raw, offset)
        return int(first | second << 16 | third << 32)

    def value(self, offset: int, fetch: Fetch, file_size: int) -> bytes | None:
        """Return the value of the leaf node at an offset; None where it ends outside of the page or file."""
        low, high, flags, key_size = NODE.unpack_from(self.raw, offset)
        start, size = offset + NODE.size + key_size, low | high << 16
        if not flags & BIGDATA:
            value = self.raw[start : start + size]
            return value if len(value) == size else None
        first = int.from_bytes(self.raw[start : start + 8], sys.byteorder) * len(self.raw) + HEADER.size
        return fetch(first, size) if first + size <= file_size else None


def small_records(raw: bytes, size: int, page: PageRange) -> list[Record] | None:
    """Check a leaf page of `size` bytes and return its records, or None where `TreeReader.read_leaf` has to.

    It has to where a value lies on pages of its own, and where anything is wrong: this makes the same checks
    in the fewest steps, and names nothing.
    """
    if len(raw) != size:
        return None
    number, low, high = page
    pgno, _, flags, lower, upper = HEADER.unpack_from(raw)
    if pgno != number or flags != LEAF or lower & 1 or not HEADER.size <= lower <= upper <= size:
        return None
    found: list[Record] = []
    key, left, unpack = b"", size - upper, _WIDE_NODE.unpack_from
    last, begin = size - NODE.size, NODE.size
    for offset in offsets_of((lower - HEADER.size) >> 1)(raw, HEADER.size):
        if not upper <= offset <= last:
            return None
        length, flags, key_size = unpack(raw, offset)
        start = offset + begin + key_size
        stop = start + length
        before, key = key, raw[offset + begin : start]
        if flags or stop > size or key <= before:  # an empty key is not behind any other
            return None
        found.append((key, raw[start:stop]))
        left -= (stop - offset + 1) & -2
    if left or not found or found[0][0] < low or (high is not None and key >= high):
        return None
    return found


@lru_cache(maxsize=512)
def offsets_of(count: int) -> Callable[[bytes, int], tuple[int, ...]]:
    """Return what unpacks so many offsets of nodes, from a page and where they begin on it."""
    return struct.Struct(f"={count}H").unpack_from


def is_leaf(raw: bytes, number: int) -> bool:
    """Whether a page has this number and is a leaf, by its header."""
    pgno, _, flags, _, _ = HEADER.unpack_from(raw)
    return bool(pgno == number and flags == LEAF)
