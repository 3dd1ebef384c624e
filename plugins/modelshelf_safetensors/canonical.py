"""The header's text as the reference writer makes it, read column by column.

The writer emits compact JSON, tensors in the order of their data, ``__metadata__`` first; Python's `json`
emits the same with a space after each comma and colon, others with white space elsewhere. Cut at each quote
such a text is a table of ten columns, six of which are constant once that space is taken out. Everything is
checked by whole columns, and the last, the offsets, by writing out what the shapes ask for and comparing:
text that passes has exactly one reading, the one that `from_json` gives. Anything else, if only an escape,
is left to that reader.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache
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
_LONGEST_ENTRY = 1 << 16
_COLUMNS = 10
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_LONGEST_KEPT = 128  # characters of a dtype and shape
_PRINTABLE = bytes(range(ord(" "), ord("~") + 1))

_WHITE = " \t\n\r"
_NO_WHITE = str.maketrans("", "", _WHITE)
_OPENING = re.compile(rf'\{{[{_WHITE}]*(?=")')
_METADATA_KEY = re.compile(rf'"{_METADATA}"[{_WHITE}]*:[{_WHITE}]*(?=\{{)')
_COMMA = re.compile(rf'[{_WHITE}]*,[{_WHITE}]*(?=")')
_ENTRY_END = re.compile(rf'\][{_WHITE}]*\}}[{_WHITE}]*,[{_WHITE}]*(?=")')
_BROKEN_NUMBER = re.compile(rf"[0-9][{_WHITE}]+[0-9]")


@frozen(eq=False)
class _Form:
    """What stands between quotes where a writer puts `gap` after commas and colons.

    In the `loose` form white space may stand anywhere, and is taken out before anything is compared.
    """

    gap: str
    loose: bool = False
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

    def cut(self, block: str) -> list[str]:
        """A block's pieces between quotes; none where white space parts the digits of a number."""
        cut = block.split('"')
        if self.loose:
            outside = '"'.join(cut[::2])
            if _BROKEN_NUMBER.search(outside):
                return []
            cut[::2] = outside.translate(_NO_WHITE).split('"')
        return cut


_COMPACT, _SPACED, _LOOSE = _Form(""), _Form(" "), _Form("", loose=True)


def parse_canonical(text: str, length: int) -> Header | None:
    """Read the text of a header of `length` bytes, or give None where it is not in canonical form."""
    text = text.rstrip(" ")
    metadata, begin = _metadata(text)
    if begin is None:
        return None
    columns = _Columns(form=_COMPACT if '"data_offsets":[' in text else _SPACED)
    if not all(map(columns.add, _blocks(text, begin))) or not columns.complete():
        return None
    return Header(
        length=length,
        names=columns.names,
        layouts=columns.layouts,
        begins=columns.bounds[:-1],
        ends=columns.bounds[1:],
        metadata=metadata,
        data_size=columns.bounds[-1],
    )


def _metadata(text: str) -> tuple[dict[str, str], int | None]:
    """``__metadata__`` and the place where the tensors begin, None where that is not canonical."""
    opening = _OPENING.match(text)
    if opening is None:
        return {}, None
    key = _METADATA_KEY.match(text, opening.end())
    if key is None:
        return {}, opening.end()
    try:
        members, end = parse_object_at(text, key.end())
    except ValueError:
        return {}, None
    metadata = dict(members)
    sound = len(metadata) == len(members) and all(isinstance(one, str) for one in metadata.values())
    comma = _COMMA.match(text, end)
    return metadata, comma.end() if sound and comma else None


def _blocks(text: str, begin: int) -> Iterator[str]:
    """Cut the tensors into blocks of whole entries, each of which begins at a quote.

    The last may be empty: where no end of an entry is near, so that the text is not canonical.
    """
    while len(text) - begin > _BLOCK + _LONGEST_ENTRY:
        cut = _ENTRY_END.search(text, begin + _BLOCK, begin + _BLOCK + _LONGEST_ENTRY)
        if cut is None:
            yield ""
            return
        yield text[begin : cut.end()]
        begin = cut.end()
    yield text[begin:]


def _parse_layout(form: _Form, kind: str) -> tuple[Layout, int] | None:
    """Layout and bytes of a dtype and shape as the text has them, or None where they are not canonical."""
    match = form.layout.fullmatch(kind)
    if match is None:
        return None
    shape = tuple(map(int, match[2].split(","))) if match[2] else ()
    try:
        layout = lay_out(match[1], shape)
    except (OverflowError, ValueError):
        return None
    return None if layout.size is None else (layout, layout.size)


# The models of a family have the same few, in every shard.
_kept_layout = lru_cache(maxsize=1024)(_parse_layout)


def _layout_of(form: _Form, kind: str) -> tuple[Layout, int] | None:
    return (_kept_layout if len(kind) <= _LONGEST_KEPT else _parse_layout)(form, kind)


@define(kw_only=True)
class _Columns:
    """The columns that were read so far; `bounds` are the tensors' ends after a first 0."""

    form: _Form
    names: list[str] = field(factory=list)
    layouts: list[Layout] = field(factory=list)
    bounds: list[int] = field(factory=lambda: [0])
    closed: bool = False

    def add(self, block: str) -> bool:
        """Take in the tensors of a block, which begins at a quote; False where it is not canonical."""
        if self._add(block):
            return True
        if self.form.loose or not any(white in block for white in _WHITE):
            return False
        self.form = _LOOSE
        return self._add(block)

    def _add(self, block: str) -> bool:
        cut = self.form.cut(block)
        tensors = len(cut) // _COLUMNS
        if len(cut) != tensors * _COLUMNS + 1 or not tensors:
            return False
        if any(cut[column::_COLUMNS].count(text) != tensors for column, text in self.form.constant):
            return False
        names = cut[1::_COLUMNS]
        if not _is_plain("".join(names)):
            return False
        dtypes, kinds = cut[5::_COLUMNS], cut[8::_COLUMNS]
        dtype = dtypes[0]
        if dtypes.count(dtype) != tensors:
            # Joined text and not tuples: what the garbage collector tracks costs a tenth of the whole.
            dtype, kinds = "", list(map(operator.add, dtypes, kinds))
        layouts, sizes = dict[str, Layout](), dict[str, int]()
        for kind in set(kinds):
            known = _layout_of(self.form, dtype + kind)
            if known is None:
                return False
            layouts[kind], sizes[kind] = known
        bounds = list(accumulate(map(sizes.__getitem__, kinds), initial=self.bounds[-1]))
        due = self._offsets(bounds)
        told = "".join(cut[_COLUMNS::_COLUMNS])
        rest = told[len(due) :]
        if not told.startswith(due) or rest not in {"}", f",{self.form.gap}"}:
            return False
        placed = map(layouts.__getitem__, kinds)
        if self.names:
            self.names += names
            self.layouts += placed
            self.bounds += bounds[1:]
        else:
            self.names, self.layouts, self.bounds = names, list(placed), bounds
        self.closed = rest == "}"
        return True

    def complete(self) -> bool:
        """Whether the object is closed, and every tensor has a name of its own that is not set aside."""
        names = set(self.names)
        return self.closed and len(names) == len(self.names) and _METADATA not in names

    def _offsets(self, bounds: list[int]) -> str:
        """The last column as it must be between these bounds: ``:[0,4]},:[4,8]}`` for 0, 4, 8."""
        gap = self.form.gap
        first, *inner, last = map(str, bounds)
        pieces = ["", f"]}},{gap}:{gap}[", "", f",{gap}"] * len(inner)
        pieces[0::4] = pieces[2::4] = inner
        return f":{gap}[{first},{gap}{''.join(pieces)}{last}]}}"


def _is_plain(names: str) -> bool:
    """Whether names hold no escape and nothing unprintable."""
    if "\\" in names:
        return False
    if names.isascii():
        return not names.encode().translate(None, _PRINTABLE)
    return names.isprintable()
