"""Read ``.npy`` files: the header's literal, and the pickle behind it where the array holds objects.

Source: ``numpy/lib/format.py`` (format versions 1.0 to 3.0). The header is Python text, which
numpy reads with `ast.literal_eval`; a small parser of literals reads it here, since the compiler behind that
function warns, recurses and runs out of memory on hostile text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.containers.inspection import Inspection
from modelshelf_pytorch.pickle.audit import interpret
from modelshelf_pytorch.pickle.symbols import Tensor
from modelshelf_pytorch.readers import allowance_of
from modelshelf_pytorch.tensors import Contents, NamedTensor
from modelshelf_pytorch.verdict import suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Limits

_MALFORMED = "npy-malformed"
LONGEST_HEADER = 1024 * 1024  # bytes
_USUAL_HEADER = 256  # bytes; that of an array of numbers has 118
_UTF8_VERSION = 3  # the format version whose header is UTF-8
_MOST_NESTED = 16  # types or containers within one another
_TOKEN = re.compile(
    r"[ \t\n\r\f]*(?:(?P<text>'[^'\\\n]*'|\"[^\"\\\n]*\")|(?P<number>[0-9]{1,19})L?"
    r"|(?P<word>True|False|None)|(?P<mark>[{}()\[\],:]))[ \t\n\r\f]*"
)
_QUOTED = re.compile(r"'[^'\\\n]*'|\"[^\"\\\n]*\"")
_PYTHON2_LONG = re.compile(r"[0-9]L")
_SCALAR = re.compile(r"[<>|=]?([biufcSUVmMO])([0-9]{0,9})(?:\[[0-9A-Za-z/]{1,16}\])?")
_DTYPES = {
    "b1": "BOOL", "f2": "F16", "f4": "F32", "f8": "F64", "f16": "F128", "c8": "C64", "c16": "C128",
    **{f"{sign}{size}": f"{sign.upper()}{size * 8}" for sign in "iu" for size in (1, 2, 4, 8)},
}  # fmt: skip


class _NestedError(ValueError):
    """It nests deeper than is judged, which numpy's own reader may take."""


def read(reader: FileReader, limits: Limits | None = None) -> Inspection:
    """Read the header, check the data's length, and interpret the pickle of an object array.

    Args:
        reader: The file.
        limits: How much of the pickle is judged.

    Raises:
        FormatError: The header is none.
        TruncatedFileError: The file ends before its header does.
    """
    descr, shape, start = _read_header(reader)
    size = item_bytes(descr)
    if size is None:
        return _read_objects(reader, start, limits)
    array = _array(descr, shape)
    present, needed = reader.size - start, array.elements * size
    issues = []
    if present < needed:
        message = f"the array needs {needed} bytes of data and the file has {present}: download it again"
        issues.append(unreadable("truncated", message, reader.size))
    elif present > needed:
        message = f"{present - needed} bytes follow the array's data"
        issues.append(suspicious("trailing-data", message, start + needed))
    tensor = NamedTensor(name="", tensor=array)
    return Inspection(kind="npy", issues=tuple(issues), contents=Contents(all=(tensor,), model=(tensor,)))


def tensor_of(reader: FileReader) -> Tensor | None:
    """Return the array's header as a tensor, or None where it holds Python objects.

    Raises:
        ReadError: The header is none.
    """
    descr, shape, _ = _read_header(reader)
    return None if item_bytes(descr) is None else _array(descr, shape)


def _array(descr: Any, shape: tuple[int, ...]) -> Tensor:
    dtype = _DTYPES.get(descr.lstrip("<>|=") if isinstance(descr, str) else "", "VOID")
    return Tensor(dtype, shape)


def _read_objects(reader: FileReader, start: int, limits: Limits | None) -> Inspection:
    """Interpret the pickle that the data of an object array is."""
    streams, issues = interpret(reader, start, reader.size, limits=limits)
    message = "an array of Python objects: its data is a pickle; numpy refuses it by default"
    issues.insert(0, suspicious("object-array", message, start))
    return Inspection(kind="npy", issues=tuple(issues), streams=tuple(streams))


def _read_header(reader: FileReader) -> tuple[Any, tuple[int, ...], int]:
    """Return the element type as numpy describes it, the shape, and the offset of the data."""
    *_, major, minor = reader.read(0, 8)
    wide = major > 1
    if major not in {1, 2, 3} or minor != 0:
        raise _malformed(reader, f"format version {major}.{minor}, which does not exist", 6)
    length = int.from_bytes(reader.read(8, 4 if wide else 2), "little")
    start = 12 if wide else 10
    if length > LONGEST_HEADER:
        code = NOT_JUDGED if start + length <= reader.size else _MALFORMED
        raise _malformed(reader, f"a header of {length} bytes", 8, code)
    if length > _USUAL_HEADER:
        allowance_of(reader).parse_header(length, reader.name)
    text = reader.read(start, length).decode("utf-8" if major == _UTF8_VERSION else "latin-1", "replace")
    if major == _UTF8_VERSION and _PYTHON2_LONG.search(_QUOTED.sub("", text)):
        raise _malformed(
            reader, "a number as Python 2 wrote it, which this version's header cannot hold", start
        )
    try:
        header = parse_literal(text)
    except ValueError as error:
        raise _malformed(reader, f"a header that is no literal ({error})", start, _code_of(error)) from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise _malformed(reader, "a header without descr, fortran_order and shape", start)
    shape = header["shape"]
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        raise _malformed(reader, "a shape that is none", start)
    try:
        item_bytes(header["descr"])
    except ValueError as error:
        raise _malformed(reader, str(error), start, _code_of(error)) from None
    return header["descr"], shape, start + length


def _code_of(error: ValueError) -> str:
    return NOT_JUDGED if isinstance(error, _NestedError) else _MALFORMED


def _malformed(reader: FileReader, what: str, offset: int, code: str = _MALFORMED) -> FormatError:
    return FormatError(f"{reader.name}: a .npy file with {what}", code=code, file=reader.name, offset=offset)


def item_bytes(descr: Any, _depth: int = 0) -> int | None:
    """Return the bytes of one element of a numpy type description; None where it holds Python objects.

    Raises:
        ValueError: It is no type description.
    """
    if _depth > _MOST_NESTED:
        raise _NestedError("an element type nests deeper than is judged")
    if isinstance(descr, str):
        match = _SCALAR.fullmatch(descr)
        if match is None:
            raise ValueError(f"an unknown element type {descr[:40]!r}")
        kind, count = match[1], int(match[2] or 0)
        return None if kind == "O" else 8 if kind in "mM" else count * 4 if kind == "U" else count
    if isinstance(descr, tuple) and len(descr) == 2:  # noqa: PLR2004  # a subarray: type and shape
        inner = item_bytes(descr[0], _depth + 1)
        return None if inner is None else inner * _product(descr[1])
    if not isinstance(descr, list):
        raise ValueError("an element type that is none")  # noqa: TRY004  # the file's fault, not a caller's
    total = 0
    for row in descr:
        if not isinstance(row, tuple) or not 2 <= len(row) <= 3:  # noqa: PLR2004
            raise ValueError("a structured element type that is none")
        size = item_bytes(row[1], _depth + 1)
        if size is None:
            return None
        total += size * (_product(row[2]) if len(row) > 2 else 1)  # noqa: PLR2004
    return total


def _product(shape: Any) -> int:
    count = 1
    for dimension in shape if isinstance(shape, tuple) else (shape,):
        if type(dimension) is not int:
            raise ValueError("a subarray whose shape is none")
        count *= dimension
    return count


def parse_literal(text: str) -> Any:
    """Parse a Python literal: dicts, lists, tuples, strings without escapes, integers, True, False, None.

    Raises:
        ValueError: The text is anything else.
    """
    value, index = _parse_value(text, 0, 0)
    if text[index:].strip(" \t\n\r\f"):
        raise ValueError("text follows it")
    return value


def _next_token(text: str, index: int) -> tuple[re.Match[str], int]:
    match = _TOKEN.match(text, index)
    if match is None:
        raise ValueError(f"nothing that belongs there at {index}")
    return match, match.end()


def _parse_value(text: str, index: int, depth: int) -> tuple[Any, int]:
    if depth > _MOST_NESTED:
        raise _NestedError("a value nests deeper than is judged")
    match, index = _next_token(text, index)
    if match["text"] is not None:
        return match["text"][1:-1], index
    if match["number"] is not None:
        return int(match["number"]), index
    if match["word"] is not None:
        return {"True": True, "False": False, "None": None}[match["word"]], index
    if match["mark"] not in _CLOSING:
        raise ValueError(f"a stray {match['mark']!r}")
    return _parse_container(text, index, _CLOSING[match["mark"]], depth + 1)


_CLOSING = {"{": "}", "(": ")", "[": "]"}


def _parse_container(text: str, index: int, closing: str, depth: int) -> tuple[Any, int]:
    items: list[Any] = []
    comma = True
    while True:
        match, after = _next_token(text, index)
        if match["mark"] == closing:
            return _container_of(closing, items, comma=comma), after
        if not comma:
            raise ValueError("a missing comma")
        item, index = _parse_value(text, index, depth)
        if closing == "}":
            item, index = _parse_pair(text, index, item, depth)
        items.append(item)
        match, after = _next_token(text, index)
        comma = match["mark"] == ","
        index = after if comma else index


def _parse_pair(text: str, index: int, key: Any, depth: int) -> tuple[tuple[str, Any], int]:
    match, index = _next_token(text, index)
    if match["mark"] != ":" or not isinstance(key, str):
        raise ValueError("a key that is none")
    value, index = _parse_value(text, index, depth)
    return (key, value), index


def _container_of(closing: str, items: list[Any], *, comma: bool) -> Any:
    if closing == "}":
        return dict(items)
    if closing == "]":
        return items
    return items[0] if len(items) == 1 and not comma else tuple(items)
