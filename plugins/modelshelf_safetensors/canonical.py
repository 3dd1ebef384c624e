"""The header's text as the reference writer makes it, read column by column.

The writer emits compact JSON, tensors in the order of their data, ``__metadata__`` first; Python's `json`
emits the same with a space after each comma and colon, others with white space elsewhere. Cut at each quote
such a text is a table of ten columns, six of which are constant once that space is taken out. Everything is
checked by whole columns, and the last, the offsets, by writing out what the shapes ask for and comparing:
text that passes has exactly one reading, the one that `strict` gives. Anything else, if only an escape, is
left to that reader.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache
from itertools import accumulate

from attrs import field, frozen

from modelshelf_safetensors.findings import BoundedFindings
from modelshelf_safetensors.layout import LONGEST_MEMBER, METADATA, Header, Layout, lay_out
from modelshelf_safetensors.strict_json import parse_at
from modelshelf_safetensors.text_map import TextMap

_COLUMNS = 10
_NUMBER = r"(?:0|[1-9][0-9]{0,18})"
_LONGEST_KEPT = 128  # characters of a dtype and shape
_LONGEST_PIECE = LONGEST_MEMBER // (2 * _COLUMNS)  # an entry of such pieces is not too long
_PRINTABLE = bytes(range(ord(" "), ord("~") + 1))

_WHITE = " \t\n\r"
_NO_WHITE = str.maketrans("", "", _WHITE)
_OPENING = re.compile(rf'\{{[{_WHITE}]*(?=")')
_METADATA_KEY = re.compile(rf'"{METADATA}"[{_WHITE}]*:[{_WHITE}]*(?=\{{)')
_COMMA = re.compile(rf'[{_WHITE}]*,[{_WHITE}]*(?=")')
_BROKEN_NUMBER = re.compile(rf"[0-9][{_WHITE}]+[0-9]")


@frozen(eq=False)
class _Form:
    """The pieces between quotes where a writer puts `gap` after commas and colons.

    In the `loose` form white space may be anywhere, and is taken out before anything is compared.
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

    def offsets(self, bounds: list[int]) -> str:
        """The last column as it must be between these bounds: ``:[0,4]},:[4,8]}`` for 0, 4, 8."""
        gap = self.gap
        first, *inner, last = map(str, bounds)
        pieces = ["", f"]}},{gap}:{gap}[", "", f",{gap}"] * len(inner)
        pieces[0::4] = pieces[2::4] = inner
        return f":{gap}[{first},{gap}{''.join(pieces)}{last}]}}"


_COMPACT, _SPACED, _LOOSE = _Form(""), _Form(" "), _Form("", loose=True)


def parse_canonical(raw: bytes) -> Header | None:
    """Read the text of a header, or give None where it is not in canonical form."""
    try:
        text = raw.decode().rstrip(" ")
    except UnicodeDecodeError:
        return None
    text_map, begin = _metadata(text)
    if begin is None:
        return None
    form = _COMPACT if '"data_offsets":[' in text else _SPACED
    tensors = text[begin:]
    columns = _columns(tensors, form)
    if columns is None and any(white in tensors for white in _WHITE):
        columns = _columns(tensors, _LOOSE)
    if columns is None:
        return None
    names, layouts, bounds = columns
    return Header(
        length=len(raw),
        names=names,
        layouts=layouts,
        begins=bounds[:-1],
        ends=bounds[1:],
        metadata=text_map.kept,
        hostile=text_map.hostile,
        data_size=bounds[-1],
    )


def _metadata(text: str) -> tuple[TextMap, int | None]:
    """``__metadata__`` and the place where the tensors begin, None where that is not canonical."""
    text_map = TextMap(BoundedFindings(""))
    opening = _OPENING.match(text)
    if opening is None:
        return text_map, None
    key = _METADATA_KEY.match(text, opening.end())
    if key is None:
        return text_map, opening.end()
    try:
        members, end = parse_at(text, key.end())
    except ValueError:
        return text_map, None
    comma = _COMMA.match(text, end)
    entries = dict(members)
    if comma is None or len(entries) != len(members) or not all(type(one) is str for one in entries.values()):
        return text_map, None
    if entries:
        text_map.add(list(entries), list(entries.values()))
    return text_map, comma.end()


def _columns(tensors: str, form: _Form) -> tuple[list[str], list[Layout], list[int]] | None:
    """Names, layouts and, after a first 0, ends of tensors; None where their text is not in this form."""
    cut = _cut(tensors, loose=form.loose)
    count = len(cut) // _COLUMNS
    if len(cut) != count * _COLUMNS + 1 or not count:
        return None
    if any(cut[column::_COLUMNS].count(text) != count for column, text in form.constant):
        return None
    names, dtypes, kinds = cut[1::_COLUMNS], cut[5::_COLUMNS], cut[8::_COLUMNS]
    if not _is_printable("".join(names)) or METADATA in names or len(set(names)) != count:
        return None
    dtype = dtypes[0]
    if dtypes.count(dtype) != count:
        # Joined text and not tuples: what the garbage collector tracks costs a tenth of the whole.
        dtype, kinds = "", list(map(operator.add, dtypes, kinds))
    measured = {kind: _layout_of(form, dtype + kind) for kind in set(kinds)}
    layouts = {kind: one[0] for kind, one in measured.items() if one is not None}
    sizes = {kind: one[1] for kind, one in measured.items() if one is not None}
    if len(sizes) != len(measured):
        return None
    bounds = list(accumulate(map(sizes.__getitem__, kinds), initial=0))
    if "".join(cut[_COLUMNS::_COLUMNS]) != form.offsets(bounds) + "}":
        return None
    return names, list(map(layouts.__getitem__, kinds)), bounds


def _cut(tensors: str, *, loose: bool) -> list[str]:
    """The pieces between quotes, without white space outside of quotes if `loose`.

    None where white space parts the digits of a number, or an entry may be longer than is judged.
    """
    cut = tensors.split('"')
    if len(tensors) > LONGEST_MEMBER and max(map(len, cut)) > _LONGEST_PIECE:
        return []
    if loose:
        outside = '"'.join(cut[::2])
        if _BROKEN_NUMBER.search(outside):
            return []
        cut[::2] = outside.translate(_NO_WHITE).split('"')
    return cut


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


def _is_printable(names: str) -> bool:
    """Whether names have no escape and nothing unprintable."""
    if "\\" in names:
        return False
    if names.isascii():
        return not names.encode().translate(None, _PRINTABLE)
    return names.isprintable()
