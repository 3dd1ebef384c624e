"""Read LMDB's B+trees by plain reads: every page is checked before anything on it is believed.

Look-ups in one state come by the same few pages again and again, so those are cached.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import repeat
from operator import and_, lt
from typing import NamedTuple

from modelshelf.errors import DamagedStoreError
from modelshelf_lmdb.pages import (
    BIGDATA,
    BRANCH,
    EMPTY,
    HEADER,
    LEAF,
    METAS,
    NODE,
    OVERFLOW,
    Fetch,
    Meta,
    PageRange,
    Record,
    Tree,
    offsets_of,
    small_records,
)

_LARGE = struct.Struct("=QHHI")  # pgno, pad, flags, number of pages
_CHILD = struct.Struct("=IHH")  # a branch's node: its child's page in two parts, the lower first, key size
_LARGE_FIRST = struct.Struct("=Q")  # what a leaf has in place of a large value: its first page
_MIN_CHILDREN = 2
_MAX_CACHED = 512  # pages
_NEARLY_EMPTY = 3  # filled to a third; LMDB merges pages that are filled to a fourth (FILL_THRESHOLD)


class Branch(NamedTuple):
    """A branch page that was checked.

    Attributes:
        numbers: The pages below, in the order of their keys.
        keys: The first key that each of them but the first may hold.
        low: The first key that the first one may hold.
        high: The first key beyond the last one, or None.
    """

    numbers: list[int]
    keys: list[bytes]
    low: bytes
    high: bytes | None

    def child(self, key: bytes, *, before: bool = False) -> PageRange:
        """Return the page below where a key belongs, or where the keys right before it do."""
        return self._child((bisect_left if before else bisect_right)(self.keys, key))

    def children(self, start: bytes = b"", stop: bytes | None = None) -> list[PageRange]:
        """Return the pages below that can have keys from `start` up to `stop`, in the order of keys."""
        first = bisect_right(self.keys, start)
        last = len(self.keys) if stop is None else bisect_left(self.keys, stop)
        lows, highs = [self.low, *self.keys], [*self.keys, self.high]
        return list(
            zip(self.numbers[first : last + 1], lows[first : last + 1], highs[first : last + 1], strict=True)
        )

    def _child(self, index: int) -> PageRange:
        keys = self.keys
        return (
            self.numbers[index],
            keys[index - 1] if index else self.low,
            keys[index] if index < len(keys) else self.high,
        )


class Leaf(NamedTuple):
    """A leaf page that was checked.

    Attributes:
        raw: Its bytes.
        keys: Its keys, in the order of the tree.
        starts: Where the value of each begins on the page.
        stops: Where it ends there.
        large: By a key's index the bytes of a value that lies on pages of its own.
        filled: Bytes that its nodes take.
    """

    raw: bytes
    keys: list[bytes]
    starts: list[int]
    stops: list[int]
    large: dict[int, int]
    filled: int


class TreeReader:
    """Reads one tree of one state; whatever is not as it has to be is a `DamagedStoreError`.

    Args:
        fetch: Reads the file.
        meta: The state.
        tree: One of its trees.
        file_size: Bytes of the file.

    Attributes:
        leaves_read: Number of leaf pages that were read one by one.
    """

    def __init__(self, fetch: Fetch, meta: Meta, tree: Tree, file_size: int) -> None:
        self.fetch = fetch
        self.meta = meta
        self.tree = tree
        self.file_size = file_size
        # By range and not by number alone: where two pages lead to one, one of the two lies.
        self._branches: dict[PageRange, Branch] = {}
        self._leaves: dict[PageRange, Leaf] = {}
        self.leaves_read = 0
        # Page numbers are compared as numbers: with their bytes turned round, bytewise order is the same.
        self._backwards = tree.by_number and sys.byteorder == "little"

    def find_leaf(self, key: bytes) -> Leaf | None:
        """Read the leaf page where a key belongs; None in an empty tree."""
        return None if self.tree.root == EMPTY else self._cached_leaf(self._path(key)[-1])

    def check_neighbours(self, key: bytes) -> None:
        """Check the pages that LMDB may come by when it removes a key.

        It merges a page that got too empty with the one before or behind it in the order of keys, or takes a
        node from there; above the leaves it looks up the first key below each of them. A neighbour that is
        nearly empty itself leads on to the next one.
        """
        if self.tree.root == EMPTY:
            return
        for _, low, high in self._path(key):
            self.find_leaf(low)
            while low:
                page = self._path(low, before=True)[-1]
                low = page[1] if self._nearly_empty(page) else b""  # noqa: PLW2901 - the walk to the left
            while high is not None:
                page = self._path(high)[-1]
                high = page[2] if self._nearly_empty(page) else None  # noqa: PLW2901 - and to the right

    def _nearly_empty(self, page: PageRange) -> bool:
        leaf = self._cached_leaf(page)
        return leaf.filled * _NEARLY_EMPTY < len(leaf.raw)

    def _path(self, key: bytes, *, before: bool = False) -> list[PageRange]:
        """Find the pages from the root to the leaf where a key belongs, or the keys right before it do."""
        page: PageRange = (self.tree.root, b"", None)
        path = [page]
        for _ in range(self.tree.depth - 1):
            page = self._cached_branch(page).child(key, before=before)
            path.append(page)
        return path

    def _cached_leaf(self, page: PageRange) -> Leaf:
        leaf = self._leaves.get(page)
        if leaf is None:
            leaf = self.read_leaf(*page)
            self.leaves_read += 1
            if len(self._leaves) >= _MAX_CACHED:
                self._leaves.clear()
            self._leaves[page] = leaf
        return leaf

    def leaves(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Leaf]:
        """Read every leaf page that can hold a key from `start` up to `stop`, in the order of their keys."""
        for page in self._leaf_pages(start, stop):
            yield self._leaves.get(page) or self.read_leaf(*page)

    def _leaf_pages(self, start: bytes, stop: bytes | None) -> Iterator[PageRange]:
        """Find those leaf pages."""
        if self.tree.root == EMPTY:
            return
        root: PageRange = (self.tree.root, b"", None)
        if self.tree.depth == 1:
            yield root
            return
        waiting = [(1, root)]
        while waiting:
            level, page = waiting.pop()
            below = self._cached_branch(page).children(start, stop)
            if level + 1 < self.tree.depth:
                waiting.extend((level + 1, child) for child in reversed(below))
            else:
                yield from below

    def records(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Record]:
        """Read every key from `start` up to `stop`, with its value."""
        self.find_leaf(start)  # to be cached: whoever reads few records often asks for their neighbours next
        size, last_page, cached = self.meta.page_size, self.meta.last_page, self._leaves
        for page in self._leaf_pages(start, stop):
            found = None
            if page not in cached and page[0] <= last_page:
                found = small_records(self.fetch(page[0] * size, size), size, page)
            if found is None:
                found = self._records_of(cached.get(page) or self.read_leaf(*page))
            if found[0][0] >= start and (stop is None or found[-1][0] < stop):
                yield from found
            else:
                yield from (one for one in found if one[0] >= start and (stop is None or one[0] < stop))

    def _records_of(self, leaf: Leaf) -> list[Record]:
        return [(key, self.value(leaf, index)) for index, key in enumerate(leaf.keys)]

    def value(self, leaf: Leaf, index: int) -> bytes:
        """Read the value of a key of a leaf page, by the key's index."""
        begin, end = leaf.starts[index], leaf.stops[index]
        size = leaf.large.get(index)
        if size is None:
            return leaf.raw[begin:end]
        first = _LARGE_FIRST.unpack_from(leaf.raw, begin)[0]
        value = self.fetch(first * self.meta.page_size + HEADER.size, size)
        if len(value) != size:
            raise DamagedStoreError("the file ends inside a large record: it was truncated")
        return value

    def around(self, start: bytes, stop: bytes) -> Iterator[Record]:
        """Read the last record before `start` and the first from `stop`, each off the leaf it belongs to."""
        for key, step in ((start, -1), (stop, 0)):
            leaf = self.find_leaf(key)
            if leaf is not None:
                index = bisect_left(leaf.keys, key) + step
                if 0 <= index < len(leaf.keys):
                    yield leaf.keys[index], self.value(leaf, index)

    def check(self) -> None:
        """Check every page, and the number of keys."""
        count = sum(len(leaf.keys) for leaf in self.leaves())
        if count != self.tree.entries:
            raise DamagedStoreError(f"the tree holds {count} keys where it should hold {self.tree.entries}")

    def check_headers(self) -> None:
        """Check every branch page, and the headers of the leaves below."""
        waiting: list[tuple[int, PageRange]] = [(1, (self.tree.root, b"", None))] if self.tree.depth else []
        while waiting:
            level, page = waiting.pop()
            if level == self.tree.depth:  # the root is the only page
                self._read_header(page[0], LEAF, HEADER.size)
            elif level == self.tree.depth - 1:
                for number in self._cached_branch(page).numbers:
                    self._read_header(number, LEAF, HEADER.size)
            else:
                waiting.extend((level + 1, child) for child in self._cached_branch(page).children())

    def _cached_branch(self, page: PageRange) -> Branch:
        branch = self._branches.get(page)
        if branch is None:
            branch = self.read_branch(*page)
            if len(self._branches) >= _MAX_CACHED:
                self._branches.clear()
            self._branches[page] = branch
        return branch

    def read_branch(self, number: int, low: bytes, high: bytes | None) -> Branch:
        """Read and check a branch page that may hold keys from `low` up to `high`."""
        raw, offsets, upper = self._read_page(number, BRANCH)
        count = len(offsets)
        if count < _MIN_CHILDREN or any(map(and_, offsets, repeat(1))):
            raise _unlike_its_header(number)
        if min(offsets) < upper or max(offsets) > len(raw) - NODE.size:
            raise DamagedStoreError(f"a node of page {number} lies outside of it")
        firsts, seconds, sizes = zip(*map(_CHILD.unpack_from, repeat(raw), offsets), strict=True)
        begin = NODE.size
        keys = [raw[at + begin : at + begin + size] for at, size in zip(offsets, sizes, strict=True)]
        if sum(map(len, keys)) != sum(sizes):
            raise DamagedStoreError(f"a key of page {number} reaches past its end")
        if begin * count + sum(sizes) + sum(map(and_, sizes, repeat(1))) != len(raw) - upper:
            raise _unlike_its_header(number)
        numbers = [first | second << 32 for first, second in zip(firsts, seconds, strict=True)]
        del keys[0]  # it is empty, and stands for whatever comes before the second
        if self._backwards:
            keys = [key[::-1] for key in keys]
        if not all(map(lt, keys, keys[1:])):
            raise DamagedStoreError(f"the keys of page {number} are out of order")
        if keys[0] < low or (high is not None and keys[-1] >= high):
            raise _misplaced(number)
        return Branch(numbers=numbers, keys=keys, low=low, high=high)

    def read_leaf(self, number: int, low: bytes, high: bytes | None) -> Leaf:
        """Read and check a leaf page that may hold keys from `low` up to `high`."""
        raw, offsets, upper = self._read_page(number, LEAF)
        end, unpack, begin, backwards = len(raw), NODE.unpack_from, NODE.size, self._backwards
        keys: list[bytes] = []
        starts: list[int] = []
        stops: list[int] = []
        large: dict[int, int] = {}
        used, key = 0, b""
        for offset in offsets:
            if not upper <= offset <= end - begin:
                raise DamagedStoreError(f"a node of page {number} lies outside of it")
            size_low, size_high, flags, key_size = unpack(raw, offset)
            start = offset + begin + key_size
            stop = start + (_LARGE_FIRST.size if flags else size_low | size_high << 16)
            if flags & ~BIGDATA or stop > end or not key_size:
                raise DamagedStoreError(f"a record of page {number} reaches past its end")
            if flags:
                large[len(keys)] = size_low | size_high << 16
            before, key = key, raw[offset + begin : start]
            if backwards:
                key = key[::-1]
            if key <= before:
                raise DamagedStoreError(f"the keys of page {number} are out of order")
            keys.append(key)
            starts.append(start)
            stops.append(stop)
            used += (stop - offset + 1) & -2
        if used != end - upper or not keys:
            raise _unlike_its_header(number)
        if keys[0] < low or (high is not None and key >= high):
            raise _misplaced(number)
        for index, size in large.items():
            self._check_overflow(number, _LARGE_FIRST.unpack_from(raw, starts[index])[0], size)
        return Leaf(raw=raw, keys=keys, starts=starts, stops=stops, large=large, filled=used)

    def _read_page(self, number: int, kind: int) -> tuple[bytes, tuple[int, ...], int]:
        """Read a page: its bytes, the offsets of its nodes, and the offset where its nodes begin."""
        raw, lower, upper = self._read_header(number, kind, self.meta.page_size)
        return raw, offsets_of((lower - HEADER.size) >> 1)(raw, HEADER.size), upper

    def _read_header(self, number: int, kind: int, length: int) -> tuple[bytes, int, int]:
        """Read so many bytes of a page, and the offsets where its free space begins and ends."""
        size = self.meta.page_size
        if not METAS <= number <= self.meta.last_page:
            raise DamagedStoreError(f"a page refers to page {number}, which is not in use")
        raw = self.fetch(number * size, length)
        if len(raw) != length:
            raise DamagedStoreError(f"the file ends before page {number}: it was truncated")
        pgno, _, flags, lower, upper = HEADER.unpack_from(raw)
        if pgno != number or flags != kind or lower & 1 or not HEADER.size <= lower <= upper <= size:
            what = "is all zeros" if not any(raw) else "is not the page that it should be"
            raise DamagedStoreError(f"page {number} {what}")
        return raw, lower, upper

    def _check_overflow(self, number: int, first: int, size: int) -> None:
        """Check the header of a large value's own pages, and that they lie in the file."""
        page_size = self.meta.page_size
        count = (HEADER.size - 1 + size) // page_size + 1
        if first < METAS or (first + count) * page_size > self.file_size:
            raise DamagedStoreError(f"a large record of page {number} reaches past the end of the file")
        pgno, _, flags, pages = _LARGE.unpack(self.fetch(first * page_size, _LARGE.size))
        # A value that was replaced by a shorter one keeps the pages that it had.
        if pgno != first or flags != OVERFLOW or not count <= pages <= self.meta.last_page - first + 1:
            raise DamagedStoreError(f"page {first} is not the large record that it should be")


def _unlike_its_header(number: int) -> DamagedStoreError:
    return DamagedStoreError(f"page {number} does not hold what its header says")


def _misplaced(number: int) -> DamagedStoreError:
    return DamagedStoreError(f"page {number} holds keys that belong elsewhere")


def after_prefix(prefix: bytes) -> bytes | None:
    """Return the first key after all that begin with `prefix`, or None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
