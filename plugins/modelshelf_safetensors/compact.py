"""Columns of a million tensors in little more room than they have in the text."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress, islice
from typing import TypeVar, overload

from attrs import define, field

from modelshelf_safetensors.layout import Layout, lay_out

T = TypeVar("T")

_BETWEEN = b"\n"
_PART = 1 << 18
"""Numbers that are held as objects together."""

_MOST_PARTS = 16

Block = bytes | tuple[bytes, ...]


class _Blocks(Sequence[T]):
    """A column in blocks, each the UTF-8 of its rows with a line break between them.

    A block in which one of the rows holds a line break is a tuple of them.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._ends: list[int] = []

    def add(self, rows: Sequence[bytes]) -> None:
        """Add rows, one at least."""
        joined = _BETWEEN.join(rows)
        self.blocks.append(joined if joined.count(_BETWEEN) == len(rows) - 1 else tuple(rows))
        self._ends.append(len(self) + len(rows))

    def rows(self) -> Iterator[Sequence[bytes]]:
        """The rows as they are held, block by block."""
        for block in self.blocks:
            yield block.split(_BETWEEN) if isinstance(block, bytes) else block

    def keep(self, chosen: Sequence[int]) -> None:
        """Keep those rows alone whose entry in `chosen` is not 0."""
        held, self.blocks, self._ends = list(self.rows()), [], []
        at = 0
        for rows in held:
            if left := list(compress(rows, chosen[at : at + len(rows)])):
                self.add(left)
            at += len(rows)

    @abstractmethod
    def _of(self, row: bytes) -> T:
        """What a row stands for."""

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[T]:
        for rows in self.rows():
            yield from map(self._of, rows)

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> list[T]: ...
    def __getitem__(self, at: int | slice) -> T | list[T]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        number = bisect_right(self._ends, at)
        block = self.blocks[number]
        rows = block.split(_BETWEEN) if isinstance(block, bytes) else block
        return self._of(rows[at - self._ends[number]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(_equal, self, other))

    def __hash__(self) -> int:
        return hash((len(self), *self[:1]))


def _equal(one: object, other: object) -> bool:
    return one == other


class Names(_Blocks[str]):
    """Names of tensors."""

    def _of(self, row: bytes) -> str:
        return row.decode()

    def hashes(self) -> array[int]:
        """A hash of each."""
        told = array("q")
        for rows in self.rows():
            told.extend(map(hash, rows))
        return told


class Layouts(_Blocks[Layout]):
    """Dtypes and shapes: ``F32 2,3`` each."""

    def _of(self, row: bytes) -> Layout:
        return _layout(row)

    def counts(self) -> Iterator[tuple[Layout, int]]:
        """How often each stands in a block, block by block."""
        for rows in self.rows():
            for row, times in Counter(rows).items():
                yield _layout(row), times

    def move(self, places: Mapping[int, int]) -> None:
        """Give rows the layouts of others: by a row's number, another's."""
        wanted = sorted(places.values())
        taken: dict[int, bytes] = {}
        at = next_wanted = 0
        for rows in self.rows():
            while next_wanted < len(wanted) and wanted[next_wanted] < at + len(rows):
                taken[wanted[next_wanted]] = rows[wanted[next_wanted] - at]
                next_wanted += 1
            at += len(rows)
        held, self.blocks, self._ends = list(self.rows()), [], []
        firsts = iter(sorted(places))
        first = next(firsts, None)
        at = 0
        for rows in held:
            changed = list(rows)
            while first is not None and first < at + len(rows):
                changed[first - at] = taken[places[first]]
                first = next(firsts, None)
            self.add(changed)
            at += len(rows)


def texts_of(names: Sequence[str]) -> Iterator[str]:
    """Names put together with line breaks, a text for each block of them."""
    if isinstance(names, Names):
        for rows in names.rows():
            yield b"\n".join(rows).decode()
    else:
        yield "\n".join(names)


@lru_cache(maxsize=1024)
def _layout(row: bytes) -> Layout:
    dtype, _, shape = row.decode().rpartition(" ")
    return lay_out(dtype, tuple(map(int, shape.split(","))) if shape else ())


def kind_of(layout: Layout) -> bytes:
    """A layout as a row of `Layouts`."""
    return f"{layout.dtype} {','.join(map(str, layout.shape))}".encode()


@define
class Repeated:
    """Rows whose value stood before.

    Attributes:
        count: How many.
        first: The first of them, in order.
        standing: Where each value that is repeated stands first, and where last.
        kept: For every row 1, or 0 where its value stood before.
    """

    count: int = 0
    first: list[int] = field(factory=list)
    standing: tuple[array[int], array[int]] = field(factory=lambda: (array("L"), array("L")))
    kept: bytearray = field(factory=bytearray)


def all_distinct(values: array[int]) -> bool:
    """Whether no two numbers are equal."""
    return all(
        len(set(values if chosen is None else compress(values, chosen))) == count
        for chosen, count in _selections(values)
    )


def repeated(values: array[int], most: int) -> Repeated:
    """Find the rows whose value stands in an earlier one too, and name the first `most` of them."""
    told = Repeated()
    firsts, lasts = told.standing
    kept = 0
    for chosen, count in _selections(values):
        part = values if chosen is None else array(values.typecode, compress(values, chosen))
        places = range(len(values)) if chosen is None else array("L", compress(range(len(values)), chosen))
        before = dict(zip(reversed(part), reversed(places), strict=True))
        keep = bytearray(len(values))
        for row in before.values():
            keep[row] = 1
        kept |= int.from_bytes(keep, "little")
        if len(before) == count:
            continue
        told.count += count - len(before)
        rows = (row for row, value in zip(places, part, strict=True) if before[value] != row)
        told.first = sorted([*told.first, *islice(rows, most)])[:most]
        for value, last in dict(zip(part, places, strict=True)).items():
            if before[value] != last:
                firsts.append(before[value])
                lasts.append(last)
    told.kept = bytearray(kept.to_bytes(len(values), "little"))
    return told


def _selections(values: array[int]) -> Iterator[tuple[bytes | None, int]]:
    """Parts of an array of hashes, each few enough to be held as objects; equal ones are in the same part.

    Yields:
        Which rows belong to the part, or None for all, and how many.
    """
    most = max(_PART, len(values) // _MOST_PARTS)
    if len(values) <= most:
        yield None, len(values)
        return
    parts = len(values) // most + 1
    plane = memoryview(values).cast("B")[:: values.itemsize].tobytes()
    for part in range(parts):
        chosen = plane.translate(bytes(byte * parts // 256 == part for byte in range(256)))
        if count := chosen.count(1):
            yield None if count == len(values) else chosen, count
