"""Tensors that are all spelled alike, read column by column.

Cut at each quote, entries that one writer made are a table: in every one the same keys stand in the same
columns, with the same punctuation between them. The first entry is read as JSON; it tells in which columns
the names, dtypes, shapes and offsets stand, whatever the order of the fields and whatever else is there. All
other columns have to be as they are in the first entry, which then vouches for them, or may differ in their
digits, or in what stands within quotes. Where an entry is spelled otherwise the table ends before it.
"""

from __future__ import annotations

import operator
import re
from array import array
from collections import Counter
from collections.abc import Container
from itertools import accumulate
from typing import TypeVar

from attrs import define, field

from modelshelf_safetensors.kinds import DIGITS, Kind, Kinds, Rows, begins_with_zeros, kind_in, kinds_of_many
from modelshelf_safetensors.layout import METADATA
from modelshelf_safetensors.spelling import (
    FIELDS,
    MOST_COLUMNS,
    Form,
    cut_at_quotes,
    decoded,
    first_other,
    learn,
    without_white,
)

T = TypeVar("T")

_LEADING_ZERO = re.compile(rb"(?<![0-9.])0[0-9]")
_LONGEST_ENTRY = 1 << 14
_LONGEST_NUMBER = 200
_MOST_KNOWN = 1 << 16
_FEW_KINDS = 32
_EXPONENTS = (b".", b"e", b"E", b"+")


@define
class RegularReader:
    """Reads windows of entries; remembers how the last ones were spelled.

    Attributes:
        dtypes: Those that are read although their width is not known.
        form: How the last entries were spelled.
    """

    dtypes: Container[str] = ()
    form: Form | None = field(default=None, init=False)
    _loose: bool = field(default=False, init=False)
    _in_order: bool = field(default=True, init=False)  # whether data lies in the order of its tensors so far
    # By the text of a shape, after its dtype where they differ: the kind's row, dtype, elements and bytes.
    _known: dict[bytes, Kind] = field(factory=dict, init=False)
    _dtype: bytes = field(default=b"", init=False)

    def read(self, window: bytes, due: int) -> tuple[Rows, int] | None:
        """Read entries from the beginning of a window, which is a name's quote, up to another name's.

        Args:
            window: Bytes of the header.
            due: Where the data of the first entry begins if it lies after that of the one before.

        Returns:
            The entries and how many bytes they take; None where the first is not read by this means.
        """
        whole = cut_at_quotes(window)
        for loose in (self._loose, True):
            rows = self._read(window, whole, due, loose=loose) if whole else None
            if rows is not None:
                self._loose = loose
                left = whole[rows.pieces + 1 :]
                return rows, len(window) - sum(map(len, left)) - len(left)
        return None

    def _read(self, window: bytes, whole: list[bytes], due: int, *, loose: bool) -> Rows | None:
        """Read entries; `loose`: white space outside of quotes is taken out before anything is compared."""
        cut = whole
        if loose:
            outside = without_white(whole[::2])
            if not outside:
                return None
            cut = list(whole)
            cut[::2] = outside
        rows = None
        if self.form is not None and loose == self._loose:
            rows = self._rows(cut, self.form, due)
        if rows is None:
            form = self._learn(window, whole, loose=loose)
            if form is None or form == self.form:
                return None
            self.form = form
            self._known.clear()
            rows = self._rows(cut, form, due)
        return rows

    def _learn(self, window: bytes, cut: list[bytes], *, loose: bool) -> Form | None:
        """The spelling of the first entry, which ends where a closing brace stands before the next name."""
        depth = 0
        for at in range(2, min(len(cut) - 1, MOST_COLUMNS), 2):
            piece = cut[at]
            depth += piece.count(b"{") + piece.count(b"[") - piece.count(b"}") - piece.count(b"]")
            if depth <= 0:
                # Hidden escapes are as long as they were: the place in what was cut is that in the window.
                return learn(self._entry(window, at), loose=loose)
        return None

    @staticmethod
    def _entry(window: bytes, last: int) -> bytes:
        pieces = cut_at_quotes(window[:_LONGEST_ENTRY])[: last + 1]
        return window[: sum(map(len, pieces)) + last]

    def _rows(self, cut: list[bytes], form: Form, due: int) -> Rows | None:
        columns = self._columns(cut, form)
        names = decoded(columns[0]) if columns else None
        if names is None or METADATA.encode() in names:
            return None
        told = self._kinds(columns, form)
        if told is None:
            return None
        kinds, counts, sizes = told
        bounds = self._bounds(columns[form.offsets[0] - 1], form, sizes, due)
        if bounds is None:
            return None
        return Rows(
            names=names,
            kinds=kinds,
            counts=counts,
            begins=bounds[0],
            ends=bounds[1],
            unknown=columns[form.keys[0] - 1] if form.keys else [],
            with_unknown=len(names) if form.keys else 0,
            pieces=len(columns) * len(names),
            odd=form.odd,
        )

    def _columns(self, cut: list[bytes], form: Form) -> list[list[bytes]]:
        """The columns of the entries that are spelled like this; none where the first is not."""
        stride = len(form.pieces)
        count = (len(cut) - 2) // stride
        apart = {form.dtype, form.shape[0], form.offsets[0], 1}
        free = []
        for column, piece in enumerate(form.pieces, 1):
            if column in apart or count <= 0:
                continue
            same = first_other(cut[column : stride * count + 1 : stride], piece)
            if same < count and column in form.free:
                free.append(column)
            else:
                count = same
        if count <= 0:
            return []
        columns = [cut[column : stride * count + 1 : stride] for column in range(1, stride + 1)]
        return columns if all(self._vouched(columns[one - 1], form, one) for one in free) else []

    @staticmethod
    def _vouched(values: list[bytes], form: Form, column: int) -> bool:
        """Whether a column that is free to differ does so in its texts or its digits alone."""
        if column % 2:
            texts = decoded(values)
            return texts is not None and (column not in form.keys or not set(FIELDS).intersection(texts))
        joined = b'"'.join(values)
        due = form.pieces[column - 1].translate(None, DIGITS)
        if any(one in due for one in _EXPONENTS) or _LEADING_ZERO.search(joined):
            return False
        # Where a digit stands decides what it is part of: 1 and [] would be 1] and [ without it.
        shape = joined.translate(_ONE_DIGIT)
        for length in (8, 2):
            while b"1" * length in shape:
                shape = shape.replace(b"1" * length, b"1")
        first = form.pieces[column - 1].translate(_ONE_DIGIT)
        while b"11" in first:
            first = first.replace(b"11", b"1")
        return shape == b'"'.join([first] * len(values)) and max(map(len, values)) < _LONGEST_NUMBER

    def _kinds(self, columns: list[list[bytes]], form: Form) -> Kinds | None:
        """The kinds of entries, how often each stands there, and bytes; None where one is not plain."""
        kinds = columns[form.shape[0] - 1]
        if form.shape[0] == form.offsets[0]:
            kinds = [one.partition(b"],[")[0] for one in kinds]
        dtypes = columns[form.dtype - 1]
        dtype = dtypes[0]
        if dtypes.count(dtype) != len(dtypes):
            dtype, kinds = b"", list(map(operator.add, dtypes, kinds))
        if dtype != self._dtype:
            self._dtype = dtype
            self._known.clear()
        known = self._known
        if len(known) > _MOST_KNOWN:
            known.clear()
        counts = Counter(kinds) if kinds.count(kinds[0]) != len(kinds) else Counter({kinds[0]: len(kinds)})
        if (
            len(counts) > _FEW_KINDS
            and 2 * len(counts) > len(kinds)
            and (told := _of_many(dtype, kinds, form))
        ):
            return told
        if not all(kind in known or self._know(kind, dtype + kind, form) for kind in counts):
            return None
        return (
            _each(kinds, {kind: known[kind][0] for kind in counts}),
            [(times, known[kind][1], times * known[kind][2]) for kind, times in counts.items()],
            _each(kinds, {kind: known[kind][3] for kind in counts}),
        )

    def _know(self, key: bytes, kind: bytes, form: Form) -> bool:
        _, before, after = form.shape
        if form.shape[0] == form.offsets[0]:
            after = b""
        dtype, found, rest = kind.partition(before)
        if not found or not rest.endswith(after):
            return False
        told = kind_in(dtype, rest[: len(rest) - len(after)], self.dtypes)
        if told is None:
            return False
        self._known[key] = told
        return True

    def _bounds(
        self, told: list[bytes], form: Form, asked: list[int | None], due: int
    ) -> tuple[array[int], array[int]] | None:
        _, before, after = form.offsets
        if form.shape[0] == form.offsets[0]:
            told = [b"],[" + one.partition(b"],[")[2] for one in told]
        joined = b"".join(told)
        sizes = [size for size in asked if size is not None]
        if self._in_order and len(sizes) == len(asked):
            bounds = list(accumulate(sizes, initial=due))
            if joined == _offsets(bounds, before, after):
                both = array("Q", bounds)
                return both[:-1], both[1:]
            self._in_order = False
        between = after + before
        if joined.translate(None, DIGITS) != (before + b"," + after) * len(told):
            return None
        numbers = joined[len(before) : -len(after)].replace(between, b",").split(b",")
        if len(numbers) != 2 * len(told) or begins_with_zeros(joined):
            return None
        try:
            both = array("Q", map(int, numbers))
        except (OverflowError, ValueError):
            return None
        begins, ends = both[::2], both[1::2]
        told_sizes = list(map(operator.sub, ends, begins))
        if told_sizes != asked and any(
            size < 0 or wanted not in {None, size} for size, wanted in zip(told_sizes, asked, strict=True)
        ):
            return None
        return begins, ends


def _of_many(dtype: bytes, shapes: list[bytes], form: Form) -> Kinds | None:
    """As `kinds_of_many`, where shapes have a column of their own."""
    return None if form.shape[0] == form.offsets[0] else kinds_of_many(dtype, shapes, *form.shape[1:])


def _each(keys: list[bytes], values: dict[bytes, T]) -> list[T]:
    """The values of keys."""
    if len(values) == 1:
        return [*values.values()] * len(keys)
    return list(map(values.__getitem__, keys))


_ONE_DIGIT = bytes.maketrans(DIGITS, b"1" * 10)


def _offsets(bounds: list[int], before: bytes, after: bytes) -> bytes:
    """The column of the offsets as it must be between these bounds: ``:[0,4]},:[4,8]},`` for 0, 4, 8."""
    first, *inner, last = map(str, bounds)
    pieces = ["", (after + before).decode(), "", ","] * len(inner)
    pieces[0::4] = pieces[2::4] = inner
    return f"{before.decode()}{first},{''.join(pieces)}{last}{after.decode()}".encode()
