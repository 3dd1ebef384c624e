"""The entries of tensors in a header, checked as the reference loader checks them.

Some hundreds of entries are checked together, column by column. Where that leaves a doubt they are checked
one by one, so that the first one with a fault is named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter, sub
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import define, field

from modelshelf.model import Severity
from modelshelf_safetensors.columns import Kind, Tensors, keys_of
from modelshelf_safetensors.findings import BoundedFindings, header_fault, shown
from modelshelf_safetensors.layout import BITS, MOST_U64
from modelshelf_safetensors.strict_json import MOST_NESTED, check_surrogates, depth_of, parse_at
from modelshelf_safetensors.text_map import has_controls

if TYPE_CHECKING:
    from modelshelf_safetensors.window import Members

LONGEST_DTYPE = 64
"""Characters of a dtype's name. The reference loader refuses every dtype that it does not know."""

MOST_UNKNOWN_DTYPES = 256
"""Dtypes of unknown width in one header, after which no more are believed."""

_FIELDS = ("dtype", "shape", "data_offsets")
_fields_of = itemgetter(*_FIELDS)
_SPAN = len(("begin", "end"))
_DEEPEST = MOST_NESTED - 1  # an entry lies within the header's object
_LONGEST_FINITE = 300  # digits
_DIGITS = frozenset("0123456789")
_MINUS_ZERO = re.compile(r"[\[,][ \t\n\r]*-0")  # in an array
_ODD_FORM = "unusual-tensor-form"
_UNKNOWN_FIELD = "unknown-tensor-field"

Rows = tuple[list[int], Sequence[int], Sequence[int]]
"""The numbers of the kinds of tensors, and where their data begins and ends."""


@define
class _Fields:
    """The fields of entries.

    Attributes:
        dtypes: Their dtypes.
        shapes: Their shapes.
        offsets: Their offsets.
        odd: Names of tensors that are spelled as only the reference loader takes it, once for each oddity.
        unknown: Names of tensors with a field that the format does not have, and the key of the first.
    """

    dtypes: Sequence[Any]
    shapes: Sequence[Any]
    offsets: Sequence[Any]
    odd: Sequence[str] = ()
    unknown: Sequence[tuple[str, str]] = ()


@define(kw_only=True)
class Entries:
    """Checks entries and collects their tensors.

    Attributes:
        file: The file's name for messages.
        findings: Where warnings go.
        tensors: What was checked.
        controls: Whether a name has control or direction characters.
    """

    file: str
    findings: BoundedFindings
    tensors: Tensors = field(factory=Tensors)
    controls: bool = False
    _unknown_dtypes: set[str] = field(factory=set, init=False)

    def add(self, members: Members) -> None:
        """Check entries, one at least, and add them.

        Raises:
            FormatError: The reference loader refuses one.
        """
        rows = self._check_together(members) or self._check_each(members)
        self.tensors.add(members.names, *rows)
        self.controls = self.controls or has_controls("\n".join(members.names))

    def _check_together(self, members: Members) -> Rows | None:
        """Check entries column by column; None where one is not beyond doubt."""
        fields = _usual_fields(members) or _other_fields(members)
        if fields is None:
            return None
        begins, ends = zip(*fields.offsets, strict=True)
        keys = keys_of(zip(fields.dtypes, fields.shapes, strict=True))
        table = self.tensors.kinds
        if not table.numbers.keys() >= set(keys):
            kinds = dict(zip(keys, zip(fields.dtypes, fields.shapes, strict=True), strict=True))
            new = [kind for key, kind in kinds.items() if key not in table.numbers]
            if not self._learn(new, fields.dtypes, members.names):
                return None
        numbers = list(map(table.numbers.__getitem__, keys))
        sizes = list(map(table.sizes.__getitem__, numbers))
        spans = list(map(sub, ends, begins))
        if spans != sizes and not all(
            span == size or (size is None and span >= 0) for span, size in zip(spans, sizes, strict=True)
        ):
            return None
        if min(begins) < 0 or max(ends) > MOST_U64:
            return None
        self._note_odd(fields.odd)
        self._note_unknown_fields(fields.unknown)
        return numbers, begins, ends

    def _learn(self, kinds: list[Kind], dtypes: Sequence[str], names: Sequence[str]) -> bool:
        """Measure new kinds among tensors of these dtypes and names; False if one is not beyond doubt."""
        lengths = list(chain.from_iterable(shape for _, shape in kinds))
        if lengths and not 0 <= min(lengths) <= max(lengths) <= MOST_U64:
            return False
        for dtype in dict.fromkeys(dtype for dtype, _ in kinds if dtype not in BITS):
            if dtype not in self._unknown_dtypes:
                # Half of a surrogate pair is not printable, and has to be named first.
                if not dtype.isprintable() or self._fault_of_dtype(dtype):
                    return False
                self._note_dtype(names[dtypes.index(dtype)], dtype)
        try:
            self.tensors.kinds.add(kinds)
        except (OverflowError, ValueError):
            return False
        return True

    def _check_each(self, members: Members) -> Rows:
        """Check entries one by one."""
        numbers, begins, ends = list[int](), list[int](), list[int]()
        for name, span in zip(members.names, members.spans(), strict=True):
            try:
                value, _ = parse_at(members.text, span[0])
            except ValueError as error:
                self._refuse(f"is not JSON as the format has it: {error}")
            fields = self._fields(name, value)
            if len(fields) > len(_FIELDS) and depth_of(members.text[slice(*span)]) > _DEEPEST:
                self._refuse("nests arrays or objects too deep")
            number, (begin, end) = self._check(name, fields)
            numbers.append(number)
            begins.append(begin)
            ends.append(end)
        return numbers, begins, ends

    def _fields(self, name: str, value: Any) -> dict[str, Any]:
        """The fields of one entry by their names, unknown ones among them."""
        if isinstance(value, list) and len(value) == len(_FIELDS):
            self._note_odd([name])
            return dict(zip(_FIELDS, value, strict=True))
        if not isinstance(value, tuple):
            self._refuse_tensor(name, "it is no object")
        keys = [key for key, _ in value]
        if twice := [key for at, key in enumerate(keys) if key in _FIELDS and key in keys[:at]]:
            self._refuse_tensor(name, f"it has two {twice[0]}")
        if missing := [one for one in _FIELDS if one not in keys]:
            self._refuse_tensor(name, f"it has no {missing[0]}")
        if unknown := [key for key in keys if key not in _FIELDS]:
            self._note_unknown_fields([(name, unknown[0])])
        return dict(value)

    def _check(self, name: str, fields: dict[str, Any]) -> tuple[int, list[int]]:
        """Check the fields of one entry; give the number of its kind, and its offsets."""
        dtype, shape, offsets = _fields_of(fields)
        if isinstance(dtype, tuple) and len(dtype) == 1 and dtype[0][1] is None:
            dtype = dtype[0][0]
            self._note_odd([name])
        if not isinstance(dtype, str):
            self._refuse_tensor(name, "its dtype is no text")
        if not _is_array(shape):
            self._refuse_tensor(name, "its shape is no array of integers of 0 to 2^64 - 1")
        if not _is_array(offsets) or len(offsets) != _SPAN:
            self._refuse_tensor(name, "its data_offsets are no two integers of 0 to 2^64 - 1")
        number = self._number(name, (dtype, shape))
        size, (begin, end) = self.tensors.kinds.sizes[number], offsets
        if end < begin:
            self._refuse_tensor(name, f"its data ends at {end}, before it begins at {begin}")
        if size is not None and end - begin != size:
            self._refuse_tensor(
                name,
                f"its shape asks for {size} bytes and its offsets for {end - begin}",
                "tensor-size-mismatch",
            )
        return number, offsets

    def _number(self, name: str, kind: Kind) -> int:
        """The number of the kind of the tensor of this name."""
        table = self.tensors.kinds
        (key,) = keys_of([kind])
        if key not in table.numbers:
            try:
                table.add([kind])
            except OverflowError as error:
                self._refuse_tensor(name, str(error), "size-overflow")
            except ValueError as error:
                self._refuse_tensor(name, str(error), "partial-byte")
            if kind[0] not in BITS and kind[0] not in self._unknown_dtypes:
                if fault := self._fault_of_dtype(kind[0]):
                    self._refuse_tensor(name, f"its dtype {shown(kind[0])} {fault}")
                self._note_dtype(name, kind[0])
        return table.numbers[key]

    def _fault_of_dtype(self, dtype: str) -> str:
        """Why a new dtype of unknown width is refused; empty if it is not."""
        if dtype.upper() in BITS:
            return f"must be spelled {dtype.upper()!r}"
        if len(dtype) > LONGEST_DTYPE:
            return "is longer than any"
        if len(self._unknown_dtypes) == MOST_UNKNOWN_DTYPES:
            return "is one of too many that are not known here"
        return ""

    def _note_dtype(self, name: str, dtype: str) -> None:
        """Warn of a new dtype of unknown width."""
        self._unknown_dtypes.add(dtype)
        self.findings.warn(
            "unknown-dtype",
            f"tensor {shown(name)} has the dtype {shown(dtype)}, which is not known here;"
            " its size is not checked against its shape",
        )

    def _note_unknown_fields(self, unknown: Sequence[tuple[str, str]]) -> None:
        named = self.findings.room(_UNKNOWN_FIELD)
        for name, key in unknown[:named]:
            message = f"tensor {shown(name)} has a field {shown(key)} of no known meaning"
            self.findings.warn(_UNKNOWN_FIELD, message)
        self.findings.count(_UNKNOWN_FIELD, Severity.WARNING, max(len(unknown) - named, 0))

    def _note_odd(self, names: Sequence[str]) -> None:
        named = self.findings.room(_ODD_FORM)
        for name in names[:named]:
            message = (
                f"tensor {shown(name)} is spelled in a way that the reference loader takes and others may not"
            )
            self.findings.add(_ODD_FORM, Severity.INFO, message)
        self.findings.count(_ODD_FORM, Severity.INFO, max(len(names) - named, 0))

    def _refuse(self, what: str, code: str = "malformed-header") -> NoReturn:
        raise header_fault(self.file, what, code)

    def _refuse_tensor(self, name: str, what: str, code: str = "malformed-tensor") -> NoReturn:
        raise header_fault(self.file, f"is wrong on tensor {shown(name)}: {what}", code)


def _usual_fields(members: Members) -> _Fields | None:
    """The fields of entries that all are objects of three fields, or all are arrays of them; else None."""
    values, text = members.values, members.text
    form = type(values[0])
    if (
        form not in (tuple, list)
        or set(map(type, values)) != {form}
        or set(map(len, values)) != {len(_FIELDS)}
    ):
        return None
    if text.find("-0", members.begins[0], members.ends[-1]) >= 0 and any(
        text.find("-0", begin, end) >= 0 for begin, end in members.spans()
    ):
        return None
    try:
        rows = values if form is list else map(_fields_of, map(dict, values))
        dtypes, shapes, offsets = zip(*rows, strict=True)
    except KeyError:
        return None
    fields = _Fields(dtypes, shapes, offsets, odd=members.names if form is list else ())
    return fields if _are_well_typed(fields) else None


def _other_fields(members: Members) -> _Fields | None:
    """The fields of entries that are spelled in any way; None where one leaves a doubt."""
    dtypes, shapes, offsets = list[Any](), list[Any](), list[Any]()
    odd, unknown = list[str](), list[tuple[str, str]]()
    for name, value, span in zip(members.names, members.values, members.spans(), strict=True):
        try:
            dtype, shape, offset, key = _fields_at(members.text, value, *span)
            if type(value) is list:
                # The reference loader's deserialiser takes a structure as an array of its fields too.
                odd.append(name)
            if type(dtype) is tuple:
                # And a choice as an object with nothing in it.
                ((dtype, nothing),) = dtype
                if nothing is not None:
                    return None
                odd.append(name)
        except (KeyError, TypeError, ValueError):
            return None
        dtypes.append(dtype)
        shapes.append(shape)
        offsets.append(offset)
        if key is not None:
            unknown.append((name, key))
    fields = _Fields(dtypes, shapes, offsets, odd, unknown)
    return fields if _are_well_typed(fields) else None


def _fields_at(text: str, value: Any, begin: int, end: int) -> tuple[Any, Any, Any, str | None]:
    """The three fields of an entry that spans these places of a text, and the first unknown one.

    Raises:
        KeyError: One is missing.
        TypeError: It is neither object nor array.
        ValueError: One is there twice, or there is a doubt.
    """
    if text.find("-0", begin, end) >= 0 and _MINUS_ZERO.search(text, begin, end):
        # It is no integer of the format's, and 0 where it is read by `json`.
        value, _ = parse_at(text, begin)
    if type(value) is list:
        dtype, shape, offsets = value
        return dtype, shape, offsets, None
    fields = dict(value)
    dtype, shape, offsets = _fields_of(fields)
    if len(value) == len(_FIELDS):
        return dtype, shape, offsets, None
    if len(fields) != len(value) and sum(key in _FIELDS for key, _ in value) > len(_FIELDS):
        raise ValueError("a field is there twice")
    if text.find("\\u", begin, end) >= 0:
        check_surrogates(text[begin:end])
    if not _DIGITS.isdisjoint(text[begin + _LONGEST_FINITE : end : _LONGEST_FINITE]):
        parse_at(text, begin)
    brackets = text.count("[", begin, end) + text.count("{", begin, end)
    if brackets > _DEEPEST and depth_of(text[begin:end]) > _DEEPEST:
        raise ValueError("arrays or objects are nested too deep")
    return dtype, shape, offsets, next(key for key, _ in value if key not in _FIELDS)


def _are_well_typed(fields: _Fields) -> bool:
    """Whether dtypes are texts, shapes arrays of integers, and offsets arrays of two."""
    arrays = list(chain(fields.shapes, fields.offsets))
    return (
        set(map(type, fields.dtypes)) == {str}
        and set(map(type, arrays)) == {list}
        and set(map(len, fields.offsets)) == {_SPAN}
        and set(map(type, chain.from_iterable(arrays))) == {int}
    )


def _is_array(value: Any) -> bool:
    """Whether a parsed value is an array of unsigned 64-bit integers."""
    return isinstance(value, list) and all(type(one) is int and 0 <= one <= MOST_U64 for one in value)
