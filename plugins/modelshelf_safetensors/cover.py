"""Whether tensors cover the data from its first byte on, without a gap and without an overlap."""

from __future__ import annotations

from array import array
from itertools import compress
from operator import eq, ne
from typing import TYPE_CHECKING

from modelshelf.model import Severity
from modelshelf_safetensors.findings import MOST_NAMED, BoundedFindings, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_PART = 1 << 20
"""Numbers that are held as objects together."""


def find_gaps(
    names: Sequence[str],
    begins: Sequence[int],
    ends: Sequence[int],
    data_start: int,
    findings: BoundedFindings,
) -> None:
    """Tell of each tensor that does not begin where the one before it ends."""
    if _lie_in_order(begins, ends) or _cover(begins, ends):
        return
    # One number for begin, end and row sorts by all three.
    row_bits = len(names).bit_length()
    end_bits = max(ends).bit_length()
    ordered = [
        (begin << end_bits | end) << row_bits | row
        for row, (begin, end) in enumerate(zip(begins, ends, strict=True))
    ]
    ordered.sort()
    due, rows, past = 0, (1 << row_bits) - 1, (1 << end_bits) - 1
    counts = [0, 0]
    for one in ordered:
        placed = one >> row_bits
        begin = placed >> end_bits
        if begin != due:
            gap = int(begin > due)
            counts[gap] += 1
            if counts[gap] <= MOST_NAMED:
                code, what = _KINDS[gap]
                findings.add(
                    code,
                    Severity.ERROR,
                    f"tensor {shown(names[one & rows])} {what}: it begins at byte {begin} of the data where"
                    f" {due} is due",
                    offset=data_start + begin,
                )
        due = placed & past
    for gap, count in enumerate(counts):
        findings.count(_KINDS[gap][0], Severity.ERROR, max(count - MOST_NAMED, 0))


_KINDS = (("tensor-overlap", "overlaps the one before"), ("tensor-gap", "leaves a hole"))


def _lie_in_order(begins: Sequence[int], ends: Sequence[int]) -> bool:
    return not begins or (not begins[0] and begins[1:] == ends[:-1])


def _cover(begins: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether tensors in any order cover all bytes up to the last, each once.

    Those with data do if their begins are the ends of others, each once, but for 0 and the last end; those
    without lie at one of these places.
    """
    last = max(ends)
    full = bytes(map(ne, begins, ends))
    starts, stops = (array("Q", compress(column, full)) for column in (begins, ends))
    empty = array("Q", compress(begins, bytes(map(eq, begins, ends))))
    # Numbers are held as objects a part at a time, by their remainder.
    parts = len(starts) // _PART + 1
    for part in range(parts):
        places = {one for one in starts if one % parts == part} if parts > 1 else set(starts)
        count = len(starts) if parts == 1 else sum(one % parts == part for one in starts)
        if len(places) != count:
            return False
        if last % parts == part:
            if last in places:
                return False
            places.add(last)
        if not places.issuperset(one for one in empty if one % parts == part):
            return False
        places.difference_update(one for one in stops if one % parts == part)
        if places != ({0} if not part else set()) and (starts or part):
            return False
    return bool(starts) or not last
