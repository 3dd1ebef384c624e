"""The header's text as any JSON writer makes it, checked member by member."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf.model import Severity
from modelshelf_safetensors.dtypes import BITS
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.layout import LENGTH_BYTES, MOST_U64, Header, Layout, lay_out
from modelshelf_safetensors.strict_json import MOST_NESTED, Members, depth_of, members_of, value_at

_METADATA = "__metadata__"
_FIELDS = ("dtype", "shape", "data_offsets")
_INTEGERS = frozenset({int})


def parse_json(text: str, length: int, file: str) -> Header:
    """Read the text of a header of `length` bytes; `file` names it in messages and findings.

    Raises:
        FormatError: The reference loader refuses it, gaps and overlaps aside, which are findings of
            severity error: all else that such a header says still stands.
    """
    table = _Table(file=file, length=length, findings=BoundedFindings(file))
    try:
        for name, quick, begin, end in members_of(text):
            if name == _METADATA:
                table.add_metadata(value_at(text, begin))
            # A minus is hidden from a quick look: -0 is no integer of the format's, and 0 of Python's.
            elif text.find("-", begin, end) >= 0 or not table.add_plain(name, quick):
                table.add_tensor(name, value_at(text, begin))
    except json.JSONDecodeError as error:
        at = LENGTH_BYTES + len(text[: error.pos].encode())
        table.refuse(f"is not JSON at byte {at}: {error.msg}", offset=at)
    except ValueError as error:
        table.refuse(f"is not JSON as the format has it: {error}")
    if not text.startswith("{"):
        table.findings.warn(
            "leading-whitespace", "the header begins with white space where the format wants '{'"
        )
    return table.finished()


@define(kw_only=True)
class _Table:
    """A header on its way: columns, and the row of each name; the last of equal names stands."""

    file: str
    length: int
    rows: dict[str, int] = field(factory=dict)
    columns: tuple[list[Layout], list[int], list[int]] = field(factory=lambda: ([], [], []))
    metadata: dict[str, str] | None = None
    seen_metadata: bool = False
    layouts: dict[tuple[str, tuple[int, ...]], Layout] = field(factory=dict)
    findings: BoundedFindings

    def refuse(self, what: str, code: str = "malformed-header", offset: int = LENGTH_BYTES) -> NoReturn:
        raise FormatError(
            f"{self.file}: the header {what}; fetch the file again or write it anew",
            code=code,
            file=self.file,
            offset=offset,
        )

    def refuse_tensor(self, name: str, what: str, code: str = "malformed-tensor") -> NoReturn:
        self.refuse(f"is wrong on tensor {shown(name)}: {what}", code)

    def add_metadata(self, value: Any) -> None:
        if self.seen_metadata:
            self.refuse("holds __metadata__ twice")
        self.seen_metadata = True
        if value is None:
            self.findings.warn("null-metadata", "__metadata__ is null where the format wants an object")
            return
        if not isinstance(value, Members):
            self.refuse("holds a __metadata__ that is no object")
        self.metadata = {}
        for key, text in value:
            if not isinstance(text, str):
                self.refuse(f"holds a value that is no text in __metadata__, under {shown(key)}")
            if key in self.metadata:
                self.findings.warn(
                    "duplicate-metadata-key", f"__metadata__ holds {shown(key)} twice; the last stands"
                )
            self.metadata[key] = text

    def add_tensor(self, name: str, value: Any) -> None:
        dtype, shape, begin, end = self.fields(name, value)
        layout = self.layout(name, dtype, shape)
        if end < begin:
            self.refuse_tensor(name, f"its data ends at {end}, before it begins at {begin}")
        if layout.size is not None and end - begin != layout.size:
            self.refuse_tensor(
                name,
                f"its shape asks for {layout.size} bytes and its offsets for {end - begin}",
                "tensor-size-mismatch",
            )
        self.place(name, layout, begin, end)

    def add_plain(self, name: str, told: Any) -> bool:
        """Take in a tensor that is spelled as writers spell it; False where it wants a closer look."""
        if not isinstance(told, tuple | list) or len(told) != len(_FIELDS):
            return False
        fields = dict(told) if type(told) is tuple else dict(zip(_FIELDS, told, strict=True))
        dtype, shape, offsets = map(fields.get, _FIELDS)
        if type(dtype) is not str or type(shape) is not list or type(offsets) is not list:
            return False
        if len(offsets) != len(("begin", "end")) or not _INTEGERS.issuperset(map(type, shape + offsets)):
            return False
        begin, end = offsets
        layout = self.layouts.get((dtype, tuple(shape)))
        if layout is None or layout.size not in {None, end - begin} or not begin <= end <= MOST_U64:
            return False
        if type(told) is list:
            self.note_form(name)
        self.place(name, layout, begin, end)
        return True

    def place(self, name: str, layout: Layout, begin: int, end: int) -> None:
        row = self.rows.setdefault(name, len(self.rows))
        layouts, begins, ends = self.columns
        if row < len(layouts):
            self.findings.warn(
                "duplicate-tensor", f"tensor {shown(name)} stands twice in the header; the last stands"
            )
            layouts[row], begins[row], ends[row] = layout, begin, end
            return
        layouts.append(layout)
        begins.append(begin)
        ends.append(end)

    def fields(self, name: str, value: Any) -> tuple[str, tuple[int, ...], int, int]:
        told = self.members(name, value)
        if missing := [one for one in _FIELDS if one not in told]:
            self.refuse_tensor(name, f"it has no {missing[0]}")
        dtype, shape, offsets = (told[one] for one in _FIELDS)
        if isinstance(dtype, Members) and len(dtype) == 1 and dtype[0][1] is None:
            dtype = dtype[0][0]
            self.note_form(name)
        if not isinstance(dtype, str):
            self.refuse_tensor(name, "its dtype is no text")
        if not _is_array(shape):
            self.refuse_tensor(name, "its shape is no array of integers of 0 to 2^64 - 1")
        if not _is_array(offsets) or len(offsets) != len(("begin", "end")):
            self.refuse_tensor(name, "its data_offsets are no two integers of 0 to 2^64 - 1")
        return dtype, tuple(shape), offsets[0], offsets[1]

    def members(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Members):
            # The reference loader's deserialiser takes a structure as an array of its fields too.
            if not isinstance(value, list) or len(value) != len(_FIELDS):
                self.refuse_tensor(name, "it is no object")
            self.note_form(name)
            return dict(zip(_FIELDS, value, strict=True))
        told: dict[str, Any] = {}
        for key, one in value:
            if key not in _FIELDS:
                self.unknown_field(name, key, one)
            elif key in told:
                self.refuse_tensor(name, f"it has two {key}")
            else:
                told[key] = one
        return told

    def unknown_field(self, name: str, key: str, value: Any) -> None:
        if depth_of(value) + 2 > MOST_NESTED:
            self.refuse("nests arrays or objects too deep")
        self.findings.warn(
            "unknown-tensor-field", f"tensor {shown(name)} has a field {shown(key)} of no known meaning"
        )

    def note_form(self, name: str) -> None:
        self.findings.add(
            "unusual-tensor-form",
            Severity.INFO,
            f"tensor {shown(name)} is spelled in a way that the reference loader takes and others may not",
        )

    def layout(self, name: str, dtype: str, shape: tuple[int, ...]) -> Layout:
        layout = self.layouts.get((dtype, shape))
        if layout is None:
            try:
                layout = lay_out(dtype, shape)
            except OverflowError as error:
                self.refuse_tensor(name, str(error), "size-overflow")
            except ValueError as error:
                self.refuse_tensor(name, str(error), "partial-byte")
            self.layouts[dtype, shape] = layout
            if layout.size is None:
                self.unknown_dtype(name, dtype)
        return layout

    def unknown_dtype(self, name: str, dtype: str) -> None:
        if dtype.upper() in BITS:
            self.refuse_tensor(name, f"its dtype {shown(dtype)} must be spelled {dtype.upper()!r}")
        self.findings.warn(
            "unknown-dtype",
            f"tensor {shown(name)} has the dtype {shown(dtype)}, which is not known here;"
            " its size is not checked against its shape",
        )

    def finished(self) -> Header:
        self.check_cover()
        layouts, begins, ends = self.columns
        return Header(
            length=self.length,
            names=list(self.rows),
            layouts=layouts,
            begins=begins,
            ends=ends,
            metadata=self.metadata or {},
            findings=self.findings.all(),
        )

    def check_cover(self) -> None:
        """Find gaps and overlaps: tensors must cover the data from its first byte on without either."""
        _, begins, ends = self.columns
        if begins == [0, *ends[:-1]]:
            return
        names = list(self.rows)
        due = 0
        order = sorted(range(len(names)), key=ends.__getitem__)
        order.sort(key=begins.__getitem__)
        for row in order:
            begin = begins[row]
            if begin != due:
                code, what = (
                    ("tensor-overlap", "overlaps the one before")
                    if begin < due
                    else ("tensor-gap", "leaves a hole")
                )
                self.findings.add(
                    code,
                    Severity.ERROR,
                    f"tensor {shown(names[row])} {what}: it begins at byte {begin} of the data where {due} is"
                    " due",
                    offset=LENGTH_BYTES + self.length + begin,
                )
            due = ends[row]


def _is_array(value: Any) -> bool:
    """Whether a parsed value is an array of unsigned 64-bit integers."""
    return (
        isinstance(value, list)
        and not isinstance(value, Members)
        and all(type(one) is int and 0 <= one <= MOST_U64 for one in value)
    )
