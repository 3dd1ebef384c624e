"""The header's text as the reference writer makes it, read column by column.

The writer emits compact JSON, tensors in the order of their data, ``__metadata__`` first. Cut at each quote
such a text is a table of ten columns, six of which are constant. Everything is checked by whole columns, and
the last, the offsets, by writing out what the shapes ask for and comparing: text that passes has exactly one
reading, the one that `from_json` gives. Anything else, if only a space or an escape, is left to that reader.
"""

from __future__ import annotations

import operator
import re
from itertools import accumulate
from typing import TYPE_CHECKING

from attrs import define, field

from modelshelf_safetensors.layout import Header, Layout, lay_out
from modelshelf_safetensors.strict_json import parse_object_at

if TYPE_CHECKING:
    from collections.abc import Iterator

_METADATA = '{"__metadata__":'
_BLOCK = (
    1 << 18
)  # characters cut up at a time; keeps a 100 MB header's columns, but not its pieces, in memory
_COLUMNS = 10
# "name":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}, cut at its quotes: column 10 holds the offsets.
_CONSTANT = ((2, ":{"), (3, "dtype"), (4, ":"), (6, ","), (7, "shape"), (9, "data_offsets"))
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_LAYOUT = re.compile(rf"([A-Z0-9_]+):\[({_NUMBER}(?:,{_NUMBER})*)?\],")


@define
class _Columns:
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
        if any(cut[column::_COLUMNS].count(text) != tensors for column, text in _CONSTANT):
            return False
        names = cut[1::_COLUMNS]
        together = "".join(names)
        if "\\" in together or not together.isprintable():
            return False
        # Joined text and not tuples: what the garbage collector tracks costs a tenth of the whole.
        kinds = list(map(operator.add, cut[5::_COLUMNS], cut[8::_COLUMNS]))
        if not self._know(set(kinds)):
            return False
        bounds = list(accumulate(map(self.sizes.__getitem__, kinds), initial=self.bounds[-1]))
        if "".join(cut[_COLUMNS::_COLUMNS])[:-1] != _offsets(bounds):
            return False
        self.names += names
        self.layouts += map(self.known.__getitem__, kinds)
        self.bounds += bounds[1:]
        return True

    def _know(self, kinds: set[str]) -> bool:
        for kind in kinds - self.known.keys():
            match = _LAYOUT.fullmatch(kind)
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


def parse_canonical(text: str, length: int) -> Header | None:
    """Read the text of a header of `length` bytes, or give None where it is not in canonical form."""
    text = text.rstrip(" ")
    metadata, begin = _metadata(text)
    if begin is None or not text.startswith('"', begin) or not text.endswith("]}}"):
        return None
    columns = _Columns()
    if not all(map(columns.add, _blocks(text, begin))):
        return None
    if len(set(columns.names)) != len(columns.names) or "__metadata__" in columns.names:
        return None
    return Header(
        length=length,
        names=columns.names,
        layouts=columns.layouts,
        begins=columns.bounds[:-1],
        ends=columns.bounds[1:],
        metadata=metadata,
    )


def _metadata(text: str) -> tuple[dict[str, str], int | None]:
    """``__metadata__`` and the place where the tensors begin, None where that is not canonical."""
    if not text.startswith(_METADATA):
        return {}, 1 if text.startswith("{") else None
    try:
        members, end = parse_object_at(text, len(_METADATA))
    except ValueError:
        return {}, None
    metadata = dict(members)
    sound = len(metadata) == len(members) and all(isinstance(one, str) for one in metadata.values())
    return metadata, end + 1 if sound and text.startswith(",", end) else None


def _blocks(text: str, begin: int) -> Iterator[str]:
    """Cut the tensors into blocks of whole entries; each ends in a comma, the last one in a brace."""
    while (cut := text.find(']},"', begin + _BLOCK)) >= 0:
        yield text[begin : cut + 3]
        begin = cut + 3
    yield text[begin:]


def _offsets(bounds: list[int]) -> str:
    """The last column as it must be between these bounds: ``:[0,4]},:[4,8]}`` for 0, 4, 8."""
    first, *inner, last = map(str, bounds)
    pieces = ["", "]},:[", "", ","] * len(inner)
    pieces[0::4] = pieces[2::4] = inner
    return f":[{first},{''.join(pieces)}{last}]}}"
