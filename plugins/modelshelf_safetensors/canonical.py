"""The header's text as the reference writer makes it, read column by column.

The writer emits compact JSON, tensors in the order of their data, ``__metadata__`` first; Python's `json`
emits the same with a space after each comma and colon. Cut at each quote such a text is a table of ten
columns, six of which are constant. Everything is checked by whole columns, and the last, the offsets, by
writing out what the shapes ask for and comparing: text that passes has exactly one reading, the one that
`from_json` gives. Anything else, if only an escape, is left to that reader.
"""

from __future__ import annotations

import operator
import re
from itertools import accumulate
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from modelshelf_safetensors.layout import Header, Layout, lay_out
from modelshelf_safetensors.strict_json import parse_object_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_METADATA = "__metadata__"
# Characters cut up at a time: keeps a 100 MB header's columns, but not its pieces, in memory.
_BLOCK = 1 << 18
_COLUMNS = 10
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"


@frozen
class _Form:
    """What stands between quotes where a writer puts `gap` after commas and colons."""

    gap: str
    constant: tuple[tuple[int, str], ...] = field(init=False)
    layout: re.Pattern[str] = field(init=False)

    @constant.default
    def _constant_columns(self) -> tuple[tuple[int, str], ...]:
        # "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}, cut at its quotes: offsets are column 10.
        comma, colon = f",{self.gap}", f":{self.gap}"
        return (2, f"{colon}{{"), (3, "dtype"), (4, colon), (6, comma), (7, "shape"), (9, "data_offsets")

    @layout.default
    def _dtype_and_shape(self) -> re.Pattern[str]:
        gap = self.gap
        return re.compile(rf"([A-Z0-9_]+):{gap}\[({_NUMBER}(?:,{gap}{_NUMBER})*)?\],{gap}")


_COMPACT, _SPACED = _Form(""), _Form(" ")


def parse_canonical(text: str, length: int) -> Header | None:
    """Read the text of a header of `length` bytes, or give None where it is not in canonical form."""
    text = text.rstrip(" ")
    form = _COMPACT if '"data_offsets":[' in text else _SPACED
    metadata, begin = _metadata(text, form.gap)
    if begin is None or not text.startswith('"', begin) or not text.endswith("]}}"):
        return None
    columns = _Columns(form=form)
    if not all(map(columns.add, _blocks(text, begin, form.gap))) or not columns.names_differ():
        return None
    return Header(
        length=length,
        names=columns.names,
        layouts=columns.layouts,
        begins=columns.bounds[:-1],
        ends=columns.bounds[1:],
        metadata=metadata,
    )


def _metadata(text: str, gap: str) -> tuple[dict[str, str], int | None]:
    """``__metadata__`` and the place where the tensors begin, None where that is not canonical."""
    before = f'{{"{_METADATA}":{gap}'
    if not text.startswith(before + "{"):
        return {}, 1 if text.startswith("{") else None
    try:
        members, end = parse_object_at(text, len(before))
    except ValueError:
        return {}, None
    metadata = dict(members)
    sound = len(metadata) == len(members) and all(isinstance(one, str) for one in metadata.values())
    return metadata, end + len(f",{gap}") if sound and text.startswith(f",{gap}", end) else None


def _blocks(text: str, begin: int, gap: str) -> Iterator[str]:
    """Cut the tensors into blocks of whole entries, each of which begins at a quote."""
    between = f"]}},{gap}"
    while (cut := text.find(between + '"', begin + _BLOCK)) >= 0:
        yield text[begin : cut + len(between)]
        begin = cut + len(between)
    yield text[begin:]


@define(kw_only=True)
class _Columns:
    """The columns that were read so far; `bounds` are the tensors' ends after a first 0."""

    form: _Form
    names: list[str] = field(factory=list)
    layouts: list[Layout] = field(factory=list)
    bounds: list[int] = field(factory=lambda: [0])
    known: dict[str, Layout] = field(factory=dict)
    sizes: dict[str, int] = field(factory=dict)

    def add(self, block: str) -> bool:
        """Take in the tensors of a block, which begins at a quote; False where it is not canonical."""
        cut = block.split('"')
        tensors = len(cut) // _COLUMNS
        if len(cut) != tensors * _COLUMNS + 1 or not tensors:
            return False
        if any(cut[column::_COLUMNS].count(text) != tensors for column, text in self.form.constant):
            return False
        names = cut[1::_COLUMNS]
        together = "".join(names)
        if "\\" in together or not together.isprintable():
            return False
        # Joined text and not tuples: what the garbage collector tracks costs a tenth of the whole.
        kinds = list(map(operator.add, cut[5::_COLUMNS], cut[8::_COLUMNS]))
        if not all(map(self._know, set(kinds))):
            return False
        bounds = list(accumulate(map(self.sizes.__getitem__, kinds), initial=self.bounds[-1]))
        due = self._offsets(bounds)
        told = "".join(cut[_COLUMNS::_COLUMNS])
        if not told.startswith(due) or told[len(due) :] not in {"}", f",{self.form.gap}"}:
            return False
        self.names += names
        self.layouts += map(self.known.__getitem__, kinds)
        self.bounds += bounds[1:]
        return True

    def names_differ(self) -> bool:
        """Whether every tensor has a name of its own, and none the one that is set aside."""
        names = set(self.names)
        return len(names) == len(self.names) and _METADATA not in names

    def _know(self, kind: str) -> bool:
        if kind in self.known:
            return True
        match = self.form.layout.fullmatch(kind)
        if match is None:
            return False
        shape = tuple(map(int, match[2].split(","))) if match[2] else ()
        try:
            layout = lay_out(match[1], shape)
        except (OverflowError, ValueError):
            return False
        if layout.size is None:
            return False
        self.known[kind] = layout
        self.sizes[kind] = layout.size
        return True

    def _offsets(self, bounds: list[int]) -> str:
        """The last column as it must be between these bounds: ``:[0,4]},:[4,8]}`` for 0, 4, 8."""
        gap = self.form.gap
        first, *inner, last = map(str, bounds)
        pieces = ["", f"]}},{gap}:{gap}[", "", f",{gap}"] * len(inner)
        pieces[0::4] = pieces[2::4] = inner
        return f":{gap}[{first},{gap}{''.join(pieces)}{last}]}}"
