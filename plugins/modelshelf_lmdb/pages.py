"""LMDB's file format (data version 1, LMDB 0.9), as far as it takes to tell a sound file from a damaged one.

LMDB trusts its file: a zeroed page ends the process, a truncated file is a SIGBUS, a flipped bit in a page's
header hides records. So the pages that a read is about to pass are looked over here first, by plain reads.

Format: ``libraries/liblmdb/mdb.c`` of LMDB 0.9, structures ``MDB_page``, ``MDB_node``, ``MDB_meta``,
``MDB_db``. Integers are in the host's byte order; LMDB files do not travel between architectures.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from modelshelf.errors import DamagedStoreError, StoreUnavailableError

META_BYTES = 152
TXNID_OFFSET = 144
"""Byte offset of a meta page's transaction id: page header 16, ``MDB_meta`` up to ``mm_txnid`` 128."""

_HEADER = struct.Struct("=QHHHH")  # pgno, pad, flags, lower, upper
_LARGE = struct.Struct("=QHHI")  # pgno, pad, flags, number of pages
_NODE = struct.Struct(
    "=HHHH"
)  # size low, size high, flags, key size; a branch keeps its child's pgno in three
_META = struct.Struct(
    "=QHHHHIIQQ48s48sQQ"
)  # header, magic, version, address, mapsize, free, main, last_pg, txnid
_TREE = struct.Struct(
    "=IHHQQQQQ"
)  # pad (page size in the free tree), flags, depth, branch, leaf, overflow, entries, root
_MAGIC = 0xBEEFC0DE
_VERSION = 1
_META_PAGE = 0x08
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_BIGDATA = 0x01
_EMPTY = (1 << 64) - 1  # the root of an empty tree
_DEEPEST = 32  # CURSOR_STACK
_METAS = 2  # pages 0 and 1
_FEWEST_CHILDREN = 2
PAGE_SIZES = tuple(1 << shift for shift in range(9, 16))

Fetch = Callable[[int, int], bytes]
"""Reads at a byte offset that many bytes, or fewer where the file ends."""

Below = tuple[int, bytes, bytes | None]
"""A page below a branch page, the first key that it may hold, and the first one beyond (None: no end)."""

Branches = dict[Below, list[Below]]
"""What is below each branch page, by the page and the bounds that the page above gave it."""


class Tree(NamedTuple):
    """A B+tree's record in a meta page.

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
    """A committed state, as a meta page tells it.

    Attributes:
        page_size: Bytes of a page.
        map_size: Bytes that the map was when it was committed.
        last_page: Number of the last page that was ever used.
        revision: The transaction's id.
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
        """Bytes up to the end of the last page."""
        return (self.last_page + 1) * self.page_size


def _tree(raw: bytes, *, by_number: bool) -> tuple[int, Tree]:
    pad, _, depth, _, _, _, entries, root = _TREE.unpack(raw)
    return pad, Tree(depth=depth, entries=entries, root=root, by_number=by_number)


def parse_meta(raw: bytes, slot: int) -> Meta:
    """Read one meta page's first `META_BYTES`; `slot` is its page number, 0 or 1.

    Raises:
        DamagedStoreError: It is no meta page, or contradicts itself.
        StoreUnavailableError: It is one of another LMDB file format.
    """
    if len(raw) < META_BYTES:
        raise DamagedStoreError(f"the file ends inside meta page {slot}: it was truncated")
    pgno, _, flags, _, _, magic, version, _, map_size, free_raw, main_raw, last, txnid = _META.unpack_from(
        raw
    )
    if magic != _MAGIC:
        # LMDB 1.0 has a header of 24 bytes, so its magic stands 8 bytes later.
        if struct.unpack_from("=I", raw, 24)[0] == _MAGIC:
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
            tree.depth > _DEEPEST
            or (tree.root == _EMPTY) != (tree.depth == 0)
            or (tree.root != _EMPTY and tree.root > last)
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
    """Read both meta pages and give the newer state, as LMDB picks it.

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
    # Commits take turns between the two pages, so their transaction ids are neighbours.
    if first.page_size != second.page_size or abs(first.revision - second.revision) > 1:
        raise DamagedStoreError("the two meta pages do not belong together")
    return max(first, second, key=lambda meta: meta.revision)


class TreeLook:
    """One look over a part of a tree; whatever is not as it has to be is a `DamagedStoreError`."""

    def __init__(
        self, fetch: Fetch, meta: Meta, tree: Tree, file_size: int, branches: Branches | None = None
    ) -> None:
        self._branches: Branches = {} if branches is None else branches
        self.fetch = fetch
        self.meta = meta
        self.tree = tree
        self.file_size = file_size

    def page(self, number: int, kind: int) -> tuple[bytes, tuple[int, ...], int]:
        """A page, the offsets of its nodes, and the offset where its nodes begin."""
        size = self.meta.page_size
        if not _METAS <= number <= self.meta.last_page:
            raise DamagedStoreError(f"a page refers to page {number}, which is not in use")
        raw = self.fetch(number * size, size)
        if len(raw) != size:
            raise DamagedStoreError(f"the file ends before page {number}: it was truncated")
        pgno, _, flags, lower, upper = _HEADER.unpack_from(raw)
        if pgno != number or flags != kind or lower & 1 or not _HEADER.size <= lower <= upper <= size:
            what = "is all zeros" if not any(raw) else "is not the page that it should be"
            raise DamagedStoreError(f"page {number} {what}")
        return raw, struct.unpack_from(f"={(lower - _HEADER.size) >> 1}H", raw, _HEADER.size), upper

    def in_order(self, number: int, keys: list[bytes], low: bytes, high: bytes | None) -> None:
        """Check that keys rise, and lie where the pages above said."""
        if any(before >= after for before, after in pairwise(keys)):
            raise DamagedStoreError(f"the keys of page {number} are out of order")
        if keys and (keys[0] < low or (high is not None and keys[-1] >= high)):
            raise DamagedStoreError(f"page {number} holds keys that belong elsewhere")

    def sortable(self, key: bytes) -> bytes:
        """The key in a form whose bytewise order is the tree's."""
        return key[::-1] if self.tree.by_number and sys.byteorder == "little" else key

    def children(self, number: int, low: bytes, high: bytes | None) -> list[Below]:
        """The pages below a branch page, each with the bounds of its keys."""
        place = (number, low, high)  # two pages that lead to one are told apart, for one of them lies
        known = self._branches.get(place)
        if known is None:
            known = self._branches[place] = list(self._children(*place))
        return known

    def _children(self, number: int, low: bytes, high: bytes | None) -> Iterator[Below]:
        raw, offsets, upper = self.page(number, _BRANCH)
        numbers, keys, used = [], [], 0
        for offset in offsets:
            if not upper <= offset <= len(raw) - _NODE.size:
                raise DamagedStoreError(f"a node of page {number} lies outside of it")
            first, second, third, key_size = _NODE.unpack_from(raw, offset)
            start = offset + _NODE.size
            if start + key_size > len(raw):
                raise DamagedStoreError(f"a key of page {number} reaches past its end")
            numbers.append(first | second << 16 | third << 32)
            keys.append(self.sortable(raw[start : start + key_size]))
            used += _NODE.size + key_size + (key_size & 1)
        if len(keys) < _FEWEST_CHILDREN or used != len(raw) - upper:
            raise DamagedStoreError(f"page {number} does not hold what its header says")
        self.in_order(number, keys[1:], low, high)
        bounds = [low, *keys[1:], high]
        for child, (begin, end) in zip(numbers, pairwise(bounds), strict=True):
            yield child, begin or b"", end

    def leaf(self, number: int, low: bytes, high: bytes | None) -> int:
        """Check a leaf page; the number of its keys."""
        raw, offsets, upper = self.page(number, _LEAF)
        end, unpack, keys, used = len(raw), _NODE.unpack_from, [], 0
        for offset in offsets:
            if not upper <= offset <= end - _NODE.size:
                raise DamagedStoreError(f"a node of page {number} lies outside of it")
            size_low, size_high, flags, key_size = unpack(raw, offset)
            data = offset + _NODE.size + key_size
            size = size_low | size_high << 16
            inside = 8 if flags == _BIGDATA else size
            if flags not in (0, _BIGDATA) or data + inside > end or not key_size:
                raise DamagedStoreError(f"a record of page {number} reaches past its end")
            if flags == _BIGDATA:
                self.overflow(number, struct.unpack_from("=Q", raw, data)[0], size)
            keys.append(raw[offset + _NODE.size : data])
            length = _NODE.size + key_size + inside
            used += length + (length & 1)
        if used != end - upper or not keys:
            raise DamagedStoreError(f"page {number} does not hold what its header says")
        self.in_order(
            number, [self.sortable(key) for key in keys] if self.tree.by_number else keys, low, high
        )
        return len(keys)

    def overflow(self, number: int, first: int, size: int) -> None:
        """Check the header of a large value's own pages, and that they lie in the file."""
        page_size = self.meta.page_size
        count = (_HEADER.size - 1 + size) // page_size + 1
        if first < _METAS or (first + count) * page_size > self.file_size:
            raise DamagedStoreError(f"a large record of page {number} reaches past the end of the file")
        pgno, _, flags, pages = _LARGE.unpack(self.fetch(first * page_size, _LARGE.size))
        # A value that was replaced by a shorter one keeps the pages that it had.
        if pgno != first or flags != _OVERFLOW or not count <= pages <= self.meta.last_page - first + 1:
            raise DamagedStoreError(f"page {first} is not the large record that it should be")

    def over(self, start: bytes, stop: bytes | None) -> int:
        """Check every page that can hold a key from `start` up to `stop`; the number of keys in them."""
        if self.tree.root == _EMPTY:
            return 0
        seen = 0
        waiting: list[tuple[int, int, bytes, bytes | None]] = [(self.tree.root, 1, b"", None)]
        while waiting:
            number, level, low, high = waiting.pop()
            if level == self.tree.depth:
                seen += self.leaf(number, low, high)
                continue
            for child, begin, end in self.children(number, low, high):
                if (stop is None or begin < stop) and (end is None or end > start):
                    waiting.append((child, level + 1, begin, end))
        return seen


def check_tree(
    fetch: Fetch,
    meta: Meta,
    tree: Tree,
    file_size: int,
    prefix: bytes = b"",
    branches: Branches | None = None,
) -> None:
    """Look over the pages of a tree that can hold keys beginning with `prefix`.

    Args:
        fetch: Reads the file.
        meta: The state.
        tree: One of its trees.
        file_size: Bytes of the file.
        prefix: What the keys begin with.
        branches: Branch pages of this tree and state that were looked over before; more are added.

    Raises:
        DamagedStoreError: A page is not what it has to be.
    """
    seen = TreeLook(fetch, meta, tree, file_size, branches).over(prefix, after_prefix(prefix))
    if not prefix and seen != tree.entries:
        raise DamagedStoreError(f"the tree holds {seen} keys where it should hold {tree.entries}")


def after_prefix(prefix: bytes) -> bytes | None:
    """The first key after all that begin with `prefix`, or None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


class Page:
    """The raw bytes of one page with nodes, which the caller has checked or is ready to find broken.

    Attributes:
        raw: Its bytes.
        offsets: Where its nodes begin, in the order of their keys.
    """

    __slots__ = ("offsets", "raw")

    def __init__(self, raw: bytes) -> None:
        lower = min(max(_HEADER.unpack_from(raw)[3], _HEADER.size), len(raw))
        self.raw = raw
        self.offsets: tuple[int, ...] = struct.unpack_from(
            f"={(lower - _HEADER.size) >> 1}H", raw, _HEADER.size
        )

    def key(self, offset: int) -> bytes:
        """The key of the node at an offset."""
        start = offset + _NODE.size
        return self.raw[start : start + _NODE.unpack_from(self.raw, offset)[3]]

    def child(self, offset: int) -> int:
        """The page that the branch node at an offset leads to."""
        first, second, third, _ = _NODE.unpack_from(self.raw, offset)
        return int(first | second << 16 | third << 32)

    def value(self, offset: int, fetch: Fetch, file_size: int) -> bytes | None:
        """The value of the leaf node at an offset; None where it reaches past the page's or file's end."""
        low, high, flags, key_size = _NODE.unpack_from(self.raw, offset)
        start, size = offset + _NODE.size + key_size, low | high << 16
        if not flags & _BIGDATA:
            value = self.raw[start : start + size]
            return value if len(value) == size else None
        first = int.from_bytes(self.raw[start : start + 8], sys.byteorder) * len(self.raw) + _HEADER.size
        return fetch(first, size) if first + size <= file_size else None


def is_leaf(raw: bytes, number: int) -> bool:
    """Whether a page's header says that it is that page, and a leaf."""
    pgno, _, flags, _, _ = _HEADER.unpack_from(raw)
    return bool(pgno == number and flags == _LEAF)


def neighbours(
    fetch: Fetch, meta: Meta, file_size: int, start: bytes, stop: bytes
) -> Iterator[tuple[bytes, bytes]]:
    """The last record before `start` on the leaf where that belongs, and the first from `stop` on, alike.

    Raises:
        DamagedStoreError: A value reaches past the end of the file.
        struct.error, IndexError: A page on the way is damaged; one that was checked before never is.
    """
    if meta.main.root == _EMPTY:
        return
    pages: dict[int, Page] = {}
    for key, step in ((start, -1), (stop, 0)):
        page = _leaf_of(fetch, meta, key, pages)
        place = bisect_left(page.offsets, key, key=page.key) + step
        if 0 <= place < len(page.offsets):
            value = page.value(page.offsets[place], fetch, file_size)
            if value is None:
                raise DamagedStoreError("the file ends inside a large record: it was truncated")
            yield page.key(page.offsets[place]), value


def _leaf_of(fetch: Fetch, meta: Meta, key: bytes, pages: dict[int, Page]) -> Page:
    size, number = meta.page_size, meta.main.root
    for level in range(meta.main.depth):
        if number not in pages:
            pages[number] = Page(fetch(number * size, size))
        page = pages[number]
        if level < meta.main.depth - 1:
            # The first key of a branch is empty, and stands for whatever comes before the second.
            number = page.child(page.offsets[bisect_right(page.offsets, key, lo=1, key=page.key) - 1])
    return page
