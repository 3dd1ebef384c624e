"""The tensors of a header in columns, in about the room that they have in its text.

A header of 100 MB can name five million tensors; as Python objects they would take ten times as much.
"""

from __future__ import annotations

import heapq
import marshal
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, compress, count, repeat
from typing import overload

from attrs import define, field

from modelshelf.model import Severity
from modelshelf_safetensors.findings import MOST_NAMED, BoundedFindings, shown
from modelshelf_safetensors.layout import Layout, lay_out, measure

Kind = tuple[str, list[int]]
"""Dtype and shape."""

MOST_ROWS = 1 << 20
"""Tensors whose shapes are kept; the largest models of 2025 have 210,000."""

MOST_KINDS = 1 << 15
"""Dtypes with shapes that are kept; a model has some dozens."""

MOST_DIMENSIONS = 1 << 19
"""Dimensions of all the shapes that are kept."""

ROOM = 88 << 20
"""Bytes that columns, and what of them is sorted or compared at once, may take together."""

_FEW_KINDS = 1 << 8  # that are in memory at once where not all are kept: few enough for a processor's cache
_FEWEST = 1 << 17  # rows that are sorted or compared at once, even where the columns leave no room for that
# Bytes of a hash in a list and a set, of a hash and a row in a dictionary, of a row and its key in two lists.
_BYTES_COMPARED, _BYTES_PLACED, _BYTES_SORTED = 150, 220, 120
_WITHOUT_REFERENCES = 1  # the version of marshal that writes equal values as equal bytes
_BETWEEN = b"\xff"  # no byte of UTF-8
_WIDE = 1 << 32
_BLOCK = 1 << 16


class Names(Sequence[str]):
    """Names of tensors, in blocks that are their UTF-8 joined."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._ends: list[int] = []

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(map(len, self._blocks))

    def add(self, names: Sequence[str]) -> None:
        """Add names, one at least."""
        self._blocks.append(_BETWEEN.join(map(str.encode, names)))
        self._ends.append(len(self) + len(names))

    def blocks(self) -> Iterator[list[bytes]]:
        """The names as UTF-8, block by block."""
        for block in self._blocks:
            yield block.split(_BETWEEN)

    def texts(self) -> Iterator[str]:
        """The names with line breaks between them, block by block."""
        for block in self._blocks:
            yield block.replace(_BETWEEN, b"\n").decode()

    def keep(self, chosen: Sequence[int]) -> None:
        """Drop the names whose entry in `chosen` is 0."""
        counts, first = [], 0
        for place, last in enumerate(self._ends):
            names = self._blocks[place].split(_BETWEEN)
            self._blocks[place] = _BETWEEN.join(compress(names, chosen[first:last]))
            counts.append(sum(chosen[first:last]))
            first = last
        self._blocks = list(compress(self._blocks, counts))
        self._ends = list(accumulate(filter(None, counts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[str]:
        for names in self.blocks():
            yield from map(bytes.decode, names)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        place = bisect_right(self._ends, at)
        before = self._ends[place - 1] if place else 0
        return self._blocks[place].split(_BETWEEN)[at - before].decode()


def texts_of(names: Sequence[str]) -> Iterator[str]:
    """Names with line breaks between them, in pieces that are small enough to look at."""
    return names.texts() if isinstance(names, Names) else iter(["\n".join(names)])


def keys_of(kinds: Iterable[Kind]) -> list[bytes]:
    """What kinds are looked up by: their bytes.

    Python hashes bytes with a secret and integers without one: whoever writes a header could choose shapes
    that hash alike as tuples, and looking up some thousands of them would take minutes.
    """
    return list(map(marshal.dumps, kinds, repeat(_WITHOUT_REFERENCES)))


class Kinds:
    """Dtypes with shapes, each measured once and numbered.

    Args:
        most: How many are kept.

    Attributes:
        numbers: Their numbers, by what `keys_of` gives.
        dtypes: The dtype of each, by its number.
        shapes: The shape of each.
        elements: Elements of each.
        sizes: Bytes of each, or None where its dtype's width is not known.
    """

    def __init__(self, most: int = MOST_KINDS) -> None:
        self.numbers: dict[bytes, int] = {}
        self.dtypes: list[str] = []
        self.shapes: list[tuple[int, ...]] = []
        self.elements: list[int] = []
        self.sizes: list[int | None] = []
        self._most = most
        self._dimensions = 0

    @property
    def full(self) -> bool:
        """Whether these are more than are kept."""
        return len(self.numbers) > self._most or self._dimensions > MOST_DIMENSIONS

    def add(self, kinds: Sequence[Kind]) -> None:
        """Measure kinds that are not known yet, each once.

        Raises:
            OverflowError: As `layout.measure`; then none is known.
            ValueError: As `layout.measure`; then none is known.
        """
        measured = [measure(*kind) for kind in kinds]
        dtypes, shapes = zip(*kinds, strict=True)
        elements, sizes = zip(*measured, strict=True)
        self.numbers.update(zip(keys_of(kinds), count(len(self.sizes))))
        self.dtypes += dtypes
        self.shapes += map(tuple, shapes)
        self.elements += elements
        self.sizes += sizes
        self._dimensions += sum(map(len, shapes))


class Layouts(Sequence[Layout]):
    """Dtypes and shapes of tensors, by their numbers."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._numbers = array("H")

    def add(self, numbers: Sequence[int]) -> None:
        """Add one for each tensor."""
        self._numbers.extend(numbers)

    def keep(self, chosen: Sequence[int]) -> None:
        """Drop those whose entry in `chosen` is 0."""
        self._numbers = array("H", compress(self._numbers, chosen))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Layout]:
        layouts = list(map(lay_out, self._kinds.dtypes, self._kinds.shapes))
        return map(layouts.__getitem__, self._numbers)

    @overload
    def __getitem__(self, at: int) -> Layout: ...
    @overload
    def __getitem__(self, at: slice) -> list[Layout]: ...
    def __getitem__(self, at: int | slice) -> Layout | list[Layout]:
        return list(self)[at]


@define
class Tensors:
    """The columns of a header that is being read.

    Attributes:
        kinds: The dtypes and shapes so far or, where they are too many to keep, the last ones.
        names: The tensors' names; equal ones are repeated here until `drop_repeated`.
        layouts: Their dtypes and shapes; None where there are more than are kept.
        begins: Where the data of each begins.
        ends: Where it ends.
        counts: Tensors and elements by dtype; None once tensors were dropped.
    """

    kinds: Kinds = field(factory=Kinds)
    names: Names = field(factory=Names)
    layouts: Layouts | None = field()
    begins: array[int] = field(factory=lambda: array("I"))
    ends: array[int] = field(factory=lambda: array("I"))
    counts: dict[str, tuple[int, int]] | None = field(factory=dict)

    @layouts.default
    def _no_layouts(self) -> Layouts:
        return Layouts(self.kinds)

    def add(
        self, names: Sequence[str], numbers: list[int], begins: Sequence[int], ends: Sequence[int]
    ) -> None:
        """Add tensors, one at least; `numbers` are those of their kinds."""
        if self.ends.typecode == "I" and max(ends) >= _WIDE:
            self.begins, self.ends = array("Q", self.begins), array("Q", self.ends)
        self.begins.extend(begins)
        self.ends.extend(ends)
        self.names.add(names)
        self._count(numbers)
        if self.layouts is not None:
            self.layouts.add(numbers)
        if self.kinds.full or len(self.names) > MOST_ROWS:
            self.layouts = None
        if self.kinds.full:
            self.kinds = Kinds(_FEW_KINDS)

    def _count(self, numbers: list[int]) -> None:
        if self.counts is None:
            return
        dtypes = Counter(map(self.kinds.dtypes.__getitem__, numbers))
        elements = dict.fromkeys(dtypes, 0)
        if len(dtypes) == 1:
            elements[next(iter(dtypes))] = sum(map(self.kinds.elements.__getitem__, numbers))
        else:
            for number, times in Counter(numbers).items():
                elements[self.kinds.dtypes[number]] += times * self.kinds.elements[number]
        for dtype, times in dtypes.items():
            before = self.counts.get(dtype, (0, 0))
            self.counts[dtype] = before[0] + times, before[1] + elements[dtype]

    def drop_repeated(self, findings: BoundedFindings) -> None:
        """Drop all but the last of tensors of one name, and warn of them."""
        names, beside = self.names, 2 * len(self.ends) * self.ends.itemsize
        if next(repeated_hashes([names], beside), None) is None:
            return
        chosen = bytearray(len(names))
        parts = _parts([names], beside, _BYTES_PLACED)
        for part in range(parts):
            places = zip(_all_hashes([names]), count())
            last = dict(places) if parts == 1 else {one: row for one, row in places if one % parts == part}
            for row in last.values():
                chosen[row] = 1
        left_out = chosen.count(0)
        row = -1
        for _ in range(min(left_out, MOST_NAMED)):
            row = chosen.index(0, row + 1)
            findings.warn(
                "duplicate-tensor", f"tensor {shown(names[row])} stands twice in the header; the last stands"
            )
        findings.count("duplicate-tensor", Severity.WARNING, max(left_out - MOST_NAMED, 0))
        self._keep(chosen)

    def _keep(self, chosen: bytearray) -> None:
        self.names.keep(chosen)
        for column in (self.begins, self.ends):
            kept = 0
            for first in range(0, len(column), _BLOCK):
                block = array(
                    column.typecode, compress(column[first : first + _BLOCK], chosen[first : first + _BLOCK])
                )
                column[kept : kept + len(block)] = block
                kept += len(block)
            del column[kept:]
        self.counts = None
        if self.layouts is not None:
            self.layouts.keep(chosen)

    def find_gaps(self, data_start: int, findings: BoundedFindings) -> None:
        """Report each tensor that does not begin where the one before it ends, in the order of their data.

        `data_start` is the byte of the file at which data begins.
        """
        begins, ends = self.begins, self.ends
        if not begins or (not begins[0] and memoryview(begins)[1:] == memoryview(ends)[:-1]):
            return
        counts, due = [0, 0], 0
        for row in self._in_data_order():
            begin = begins[row]
            if begin != due:
                gap = int(begin > due)
                counts[gap] += 1
                if counts[gap] <= MOST_NAMED:
                    code, what = _GAPS[gap]
                    findings.add(
                        code,
                        Severity.ERROR,
                        f"tensor {shown(self.names[row])} {what}: it begins at byte {begin} of the data where"
                        f" {due} is due",
                        offset=data_start + begin,
                    )
            due = ends[row]
        for (code, _), found in zip(_GAPS, counts, strict=True):
            findings.count(code, Severity.ERROR, max(found - MOST_NAMED, 0))

    def _in_data_order(self) -> Iterator[int]:
        """The rows sorted by begin and end: runs that fit into memory, merged."""
        begins, ends, total = self.begins, self.ends, len(self.begins)
        most = _rows_at_once(self.names.size + total * (2 * ends.itemsize + 4), _BYTES_SORTED)
        runs = []
        for first in range(0, total, most):
            rows = sorted(range(first, min(first + most, total)), key=ends.__getitem__)
            rows.sort(key=begins.__getitem__)
            runs.append(array("I", rows))
        return heapq.merge(*runs, key=lambda row: (begins[row], ends[row]))


_GAPS = (("tensor-overlap", "overlaps the one before"), ("tensor-gap", "leaves a hole"))


def repeated_hashes(columns: Sequence[Sequence[str]], beside: int = 0) -> Iterator[set[int]]:
    """Find names that occur more than once in columns together.

    Args:
        columns: Names.
        beside: Bytes of other columns that are in memory meanwhile.

    Yields:
        Hashes of such names as UTF-8, in parts that fit into memory; nothing where all are distinct.
    """
    parts = _parts(columns, beside, _BYTES_COMPARED)
    for part in range(parts):
        every = _all_hashes(columns)
        hashes = list(every) if parts == 1 else [one for one in every if one % parts == part]
        if len(set(hashes)) != len(hashes):
            yield {one for one, times in Counter(hashes).items() if times > 1}


def _parts(columns: Sequence[Sequence[str]], beside: int, bytes_each: int) -> int:
    """How many parts names make that fit into memory, one by one, at so many bytes a name."""
    size = sum(column.size for column in columns if isinstance(column, Names))
    return sum(map(len, columns)) // _rows_at_once(size + beside, bytes_each) + 1


def _all_hashes(columns: Sequence[Sequence[str]]) -> Iterator[int]:
    """The hashes of names as UTF-8."""
    for column in columns:
        if isinstance(column, Names):
            yield from chain.from_iterable(map(hash, block) for block in column.blocks())
        else:
            yield from map(hash, map(str.encode, column))


def _rows_at_once(taken: int, bytes_each: int) -> int:
    """Rows that may be sorted or compared at once where columns take so many bytes."""
    return max((ROOM - taken) // bytes_each, _FEWEST)
