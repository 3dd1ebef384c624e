"""One tensor's entry in a header: its fields, checked as the reference loader checks them."""

from __future__ import annotations

from typing import Any, NoReturn

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf.model import Severity
from modelshelf_safetensors.dtypes import BITS
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.layout import LENGTH_BYTES, MOST_U64, Layout, lay_out
from modelshelf_safetensors.strict_json import MOST_NESTED, Members, depth_of

FIELDS = ("dtype", "shape", "data_offsets")

DEEPEST_FIELD = MOST_NESTED - 2
"""Arrays and objects within each other in a field of no known meaning, which lies in two objects itself."""

LONGEST_DTYPE = 64
"""Characters of a dtype's name. The reference loader refuses every dtype that it does not know."""

MOST_UNKNOWN_DTYPES = 256
"""Dtypes of unknown width in one header, after which no more are believed."""

_INTEGERS = frozenset({int})
_MOST_LAYOUTS = 1 << 12

Placed = tuple[Layout, int, int]
"""A tensor's layout, and where its data begins and ends."""


@define(kw_only=True)
class TensorReader:
    """Checks entries one by one, and tells what departs from the specification.

    Attributes:
        file: The file's name for messages.
        findings: Where warnings go.
        unknown_dtypes: Those of unknown width that were met.
    """

    file: str
    findings: BoundedFindings
    unknown_dtypes: set[str] = field(factory=set)
    _layouts: dict[tuple[str, tuple[int, ...]], Layout] = field(factory=dict)

    def refuse(self, what: str, code: str = "malformed-header", offset: int = LENGTH_BYTES) -> NoReturn:
        """Refuse the header: it `what`."""
        raise FormatError(
            f"{self.file}: the header {what}; fetch the file again or write it anew",
            code=code,
            file=self.file,
            offset=offset,
        )

    def refuse_tensor(self, name: str, what: str, code: str = "malformed-tensor") -> NoReturn:
        """Refuse the header for one of its tensors."""
        self.refuse(f"is wrong on tensor {shown(name)}: {what}", code)

    def plain(self, name: str, told: Any) -> Placed | None:
        """A tensor that is spelled as writers spell it, and as one before; None where it wants a closer look.

        `told` is the entry as Python's `json` reads it, but objects as tuples of pairs.
        """
        if not isinstance(told, tuple | list) or len(told) != len(FIELDS):
            return None
        fields = dict(told) if type(told) is tuple else dict(zip(FIELDS, told, strict=True))
        dtype, shape, offsets = map(fields.get, FIELDS)
        if type(dtype) is not str or type(shape) is not list or type(offsets) is not list:
            return None
        if len(offsets) != len(("begin", "end")) or not _INTEGERS.issuperset(map(type, shape + offsets)):
            return None
        begin, end = offsets
        layout = self._layouts.get((dtype, tuple(shape)))
        if layout is None or layout.size not in {None, end - begin} or not begin <= end <= MOST_U64:
            return None
        if type(told) is list:
            self.note_form(name)
        return layout, begin, end

    def strict(self, name: str, value: Any) -> Placed:
        """A tensor whatever its spelling; `value` is what `strict_json.parse` gives.

        Raises:
            FormatError: The reference loader refuses it.
        """
        return self.placed(name, self._members(name, value))

    def placed(self, name: str, told: dict[str, Any]) -> Placed:
        """A tensor of these fields.

        Raises:
            FormatError: The reference loader refuses it.
        """
        self.check_fields(name, told)
        dtype, shape, offsets = (told[one] for one in FIELDS)
        if isinstance(dtype, Members) and len(dtype) == 1 and dtype[0][1] is None:
            dtype = dtype[0][0]
            self.note_form(name)
        if not isinstance(dtype, str):
            self.refuse_tensor(name, "its dtype is no text")
        if not _is_array(shape):
            self.refuse_tensor(name, "its shape is no array of integers of 0 to 2^64 - 1")
        if not _is_array(offsets) or len(offsets) != len(("begin", "end")):
            self.refuse_tensor(name, "its data_offsets are no two integers of 0 to 2^64 - 1")
        begin, end = offsets
        layout = self._layout(name, dtype, tuple(shape))
        if end < begin:
            self.refuse_tensor(name, f"its data ends at {end}, before it begins at {begin}")
        if layout.size is not None and end - begin != layout.size:
            self.refuse_tensor(
                name,
                f"its shape asks for {layout.size} bytes and its offsets for {end - begin}",
                "tensor-size-mismatch",
            )
        return layout, begin, end

    def _members(self, name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Members):
            # The reference loader's deserialiser takes a structure as an array of its fields too.
            if not isinstance(value, list) or len(value) != len(FIELDS):
                self.refuse_tensor(name, "it is no object")
            self.note_form(name)
            return dict(zip(FIELDS, value, strict=True))
        told: dict[str, Any] = {}
        unknown = None
        for key, one in value:
            if key not in FIELDS:
                if depth_of(one) > DEEPEST_FIELD:
                    self.refuse("nests arrays or objects too deep")
                unknown = key if unknown is None else unknown
            elif key in told:
                self.refuse_tensor(name, f"it has two {key}")
            else:
                told[key] = one
        if unknown is not None:
            self.note_unknown_field(name, unknown)
        return told

    def check_fields(self, name: str, told: dict[str, Any]) -> None:
        """Check that no field is missing.

        Raises:
            FormatError: One is.
        """
        if missing := [one for one in FIELDS if one not in told]:
            self.refuse_tensor(name, f"it has no {missing[0]}")

    def note_unknown_field(self, name: str, key: str) -> None:
        """Say that a tensor has a field that the format does not; once a tensor, of the first."""
        self.findings.warn(
            "unknown-tensor-field", f"tensor {shown(name)} has a field {shown(key)} of no known meaning"
        )

    def note_form(self, name: str) -> None:
        """Say that a tensor is spelled as only the reference loader takes it."""
        self.findings.add(
            "unusual-tensor-form",
            Severity.INFO,
            f"tensor {shown(name)} is spelled in a way that the reference loader takes and others may not",
        )

    def note_repeated(self, name: str) -> None:
        """Say that a name stands twice."""
        self.findings.warn(
            "duplicate-tensor", f"tensor {shown(name)} stands twice in the header; the last stands"
        )

    def _layout(self, name: str, dtype: str, shape: tuple[int, ...]) -> Layout:
        layout = self._layouts.get((dtype, shape))
        if layout is None:
            try:
                layout = lay_out(dtype, shape)
            except OverflowError as error:
                self.refuse_tensor(name, str(error), "size-overflow")
            except ValueError as error:
                self.refuse_tensor(name, str(error), "partial-byte")
            if layout.size is None:
                self._note_dtype(name, dtype)
            if len(self._layouts) == _MOST_LAYOUTS:
                self._layouts.clear()
            self._layouts[dtype, shape] = layout
        return layout

    def _note_dtype(self, name: str, dtype: str) -> None:
        """Warn of a dtype when it is first met."""
        if dtype in self.unknown_dtypes:
            return
        if dtype.upper() in BITS:
            self.refuse_tensor(name, f"its dtype {shown(dtype)} must be spelled {dtype.upper()!r}")
        if len(dtype) > LONGEST_DTYPE:
            self.refuse_tensor(name, f"its dtype {shown(dtype)} is longer than any")
        if len(self.unknown_dtypes) == MOST_UNKNOWN_DTYPES:
            self.refuse_tensor(name, f"its dtype {shown(dtype)} is one of too many that are not known here")
        self.unknown_dtypes.add(dtype)
        self.findings.warn(
            "unknown-dtype",
            f"tensor {shown(name)} has the dtype {shown(dtype)}, which is not known here;"
            " its size is not checked against its shape",
        )


def _is_array(value: Any) -> bool:
    """Whether a parsed value is an array of unsigned 64-bit integers."""
    return (
        isinstance(value, list)
        and not isinstance(value, Members)
        and all(type(one) is int and 0 <= one <= MOST_U64 for one in value)
    )
