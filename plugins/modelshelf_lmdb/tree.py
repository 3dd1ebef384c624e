"""Walking LMDB's B+trees by plain reads: every page is looked over before anything on it is believed.

A look-up in one state comes by the same few pages again and again, so those are kept; see `TreeLook`.
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
    Place,
    Record,
    Tree,
    offsets_of,
    plain_records,
)

_LARGE = struct.Struct("=QHHI")  # pgno, pad, flags, number of pages
_CHILD = struct.Struct("=IHH")  # a branch's node: its child's page in two parts, the lower first, key size
_LARGE_FIRST = struct.Struct("=Q")  # what a leaf holds in place of a large value: its first page
_FEWEST_CHILDREN = 2
_MOST_KEPT = 512  # pages
_NEARLY_EMPTY = 3  # LMDB takes a page for too empty that is filled to a fourth (FILL_THRESHOLD)


class Branch(NamedTuple):
    """A branch page that was looked over.

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

    def child(self, key: bytes, *, before: bool = False) -> Place:
        """The page below where a key belongs, or where the keys right before it do."""
        return self._place((bisect_left if before else bisect_right)(self.keys, key))

    def children(self, start: bytes = b"", stop: bytes | None = None) -> list[Place]:
        """The pages below that can hold a key from `start` up to `stop`, in the order of their keys."""
        first = bisect_right(self.keys, start)
        last = len(self.keys) if stop is None else bisect_left(self.keys, stop)
        lows, highs = [self.low, *self.keys], [*self.keys, self.high]
        return list(
            zip(self.numbers[first : last + 1], lows[first : last + 1], highs[first : last + 1], strict=True)
        )

    def _place(self, index: int) -> Place:
        keys = self.keys
        return (
            self.numbers[index],
            keys[index - 1] if index else self.low,
            keys[index] if index < len(keys) else self.high,
        )


class Leaf(NamedTuple):
    """A leaf page that was looked over.

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


class TreeLook:
    """A look at one tree of one state; whatever is not as it has to be is a `DamagedStoreError`.

    Args:
        fetch: Reads the file.
        meta: The state.
        tree: One of its trees.
        file_size: Bytes of the file.

    Attributes:
        looked: Number of leaf pages that were looked over one by one.
    """

    def __init__(self, fetch: Fetch, meta: Meta, tree: Tree, file_size: int) -> None:
        self.fetch = fetch
        self.meta = meta
        self.tree = tree
        self.file_size = file_size
        # By place and not by number: two pages that lead to one are told apart, for one of them lies.
        self._branches: dict[Place, Branch] = {}
        self._leaves: dict[Place, Leaf] = {}
        self.looked = 0
        # Page numbers are compared as numbers: with their bytes turned round, bytewise order is the same.
        self._backwards = tree.by_number and sys.byteorder == "little"

    def leaf_of(self, key: bytes) -> Leaf | None:
        """The leaf page where a key belongs; None in an empty tree."""
        return None if self.tree.root == EMPTY else self._kept(self._way(key)[-1])

    def check_surroundings(self, key: bytes) -> None:
        """Look over the pages that LMDB may come by when it removes a key.

        It merges a page that got too empty with the one before or behind it in the order of keys, or takes a
        node from there; above the leaves it looks up the first key below each of them. A neighbour that is
        nearly empty itself leads on to the next one.
        """
        if self.tree.root == EMPTY:
            return
        for _, low, high in self._way(key):
            self.leaf_of(low)
            while low:
                place = self._way(low, before=True)[-1]
                low = place[1] if self._nearly_empty(place) else b""  # noqa: PLW2901 - the walk to the left
            while high is not None:
                place = self._way(high)[-1]
                high = place[2] if self._nearly_empty(place) else None  # noqa: PLW2901 - and to the right

    def _nearly_empty(self, place: Place) -> bool:
        leaf = self._kept(place)
        return leaf.filled * _NEARLY_EMPTY < len(leaf.raw)

    def _way(self, key: bytes, *, before: bool = False) -> list[Place]:
        """The pages from the root to the leaf where a key belongs, or where the keys right before it do."""
        place: Place = (self.tree.root, b"", None)
        way = [place]
        for _ in range(self.tree.depth - 1):
            place = self._branch(place).child(key, before=before)
            way.append(place)
        return way

    def _kept(self, place: Place) -> Leaf:
        leaf = self._leaves.get(place)
        if leaf is None:
            leaf = self.leaf(*place)
            self.looked += 1
            if len(self._leaves) >= _MOST_KEPT:
                self._leaves.clear()
            self._leaves[place] = leaf
        return leaf

    def leaves(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Leaf]:
        """Every leaf page that can hold a key from `start` up to `stop`, in the order of their keys."""
        for place in self._places(start, stop):
            yield self._leaves.get(place) or self.leaf(*place)

    def _places(self, start: bytes, stop: bytes | None) -> Iterator[Place]:
        """Where those leaf pages are."""
        if self.tree.root == EMPTY:
            return
        root: Place = (self.tree.root, b"", None)
        if self.tree.depth == 1:
            yield root
            return
        waiting = [(1, root)]
        while waiting:
            level, place = waiting.pop()
            below = self._branch(place).children(start, stop)
            if level + 1 < self.tree.depth:
                waiting.extend((level + 1, child) for child in reversed(below))
            else:
                yield from below

    def records(self, start: bytes = b"", stop: bytes | None = None) -> Iterator[Record]:
        """Every key from `start` up to `stop`, with its value."""
        self.leaf_of(start)  # is kept: whoever reads few records often looks around them next
        size, last_page, kept = self.meta.page_size, self.meta.last_page, self._leaves
        for place in self._places(start, stop):
            found = None
            if place not in kept and place[0] <= last_page:
                found = plain_records(self.fetch(place[0] * size, size), size, place)
            if found is None:
                found = self._records_of(kept.get(place) or self.leaf(*place))
            if found[0][0] >= start and (stop is None or found[-1][0] < stop):
                yield from found
            else:
                yield from (one for one in found if one[0] >= start and (stop is None or one[0] < stop))

    def _records_of(self, leaf: Leaf) -> list[Record]:
        return [(key, self.value(leaf, index)) for index, key in enumerate(leaf.keys)]

    def value(self, leaf: Leaf, index: int) -> bytes:
        """The value of a key of a leaf page, by the key's index."""
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
        """The last record before `start` on the leaf where that belongs; the first from `stop` on, alike."""
        for key, step in ((start, -1), (stop, 0)):
            leaf = self.leaf_of(key)
            if leaf is not None:
                index = bisect_left(leaf.keys, key) + step
                if 0 <= index < len(leaf.keys):
                    yield leaf.keys[index], self.value(leaf, index)

    def check(self) -> None:
        """Look over every page, and count the keys."""
        seen = sum(len(leaf.keys) for leaf in self.leaves())
        if seen != self.tree.entries:
            raise DamagedStoreError(f"the tree holds {seen} keys where it should hold {self.tree.entries}")

    def check_headers(self) -> None:
        """Look over every branch page, and the headers of the leaves below."""
        waiting: list[tuple[int, Place]] = [(1, (self.tree.root, b"", None))] if self.tree.depth else []
        while waiting:
            level, place = waiting.pop()
            if level == self.tree.depth:  # the root is the only page
                self._header(place[0], LEAF, HEADER.size)
            elif level == self.tree.depth - 1:
                for number in self._branch(place).numbers:
                    self._header(number, LEAF, HEADER.size)
            else:
                waiting.extend((level + 1, child) for child in self._branch(place).children())

    def _branch(self, place: Place) -> Branch:
        branch = self._branches.get(place)
        if branch is None:
            branch = self.branch(*place)
            if len(self._branches) >= _MOST_KEPT:
                self._branches.clear()
            self._branches[place] = branch
        return branch

    def branch(self, number: int, low: bytes, high: bytes | None) -> Branch:
        """Check a branch page that may hold keys from `low` up to `high`."""
        raw, offsets, upper = self._page(number, BRANCH)
        count = len(offsets)
        if count < _FEWEST_CHILDREN or any(map(and_, offsets, repeat(1))):
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

    def leaf(self, number: int, low: bytes, high: bytes | None) -> Leaf:
        """Check a leaf page that may hold keys from `low` up to `high`."""
        raw, offsets, upper = self._page(number, LEAF)
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
            self._overflow(number, _LARGE_FIRST.unpack_from(raw, starts[index])[0], size)
        return Leaf(raw=raw, keys=keys, starts=starts, stops=stops, large=large, filled=used)

    def _page(self, number: int, kind: int) -> tuple[bytes, tuple[int, ...], int]:
        """A page, the offsets of its nodes, and the offset where its nodes begin."""
        raw, lower, upper = self._header(number, kind, self.meta.page_size)
        return raw, offsets_of((lower - HEADER.size) >> 1)(raw, HEADER.size), upper

    def _header(self, number: int, kind: int, length: int) -> tuple[bytes, int, int]:
        """So many bytes of a page, and the offsets where its free space begins and ends."""
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

    def _overflow(self, number: int, first: int, size: int) -> None:
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
    """The first key after all that begin with `prefix`, or None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None
