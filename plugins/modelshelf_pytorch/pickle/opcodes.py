"""The opcodes of pickle protocols 0 to 5 and their arguments, read from a bounded window of a file.

Source: CPython ``Modules/_pickle.c`` and ``Lib/pickletools.py``. Where the two disagree (a line without its
newline, a length beyond the frame), the C unpickler's reading is the one that matters: it is what loads.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.pickle.symbols import Blob

if TYPE_CHECKING:
    from modelshelf.reader import FileReader

LONGEST_KEPT = 64 * 1024
"""Bytes of the longest string that is kept; a longer one becomes a `Blob` with its head."""

LONGEST_FIXED = 9
"""Bytes of the longest opcode with an argument of fixed size (FRAME, BINFLOAT)."""

_LONGEST_DIGITS = 4300  # as Python's own int() limits it
_LARGEST_NUMBER = 64  # bytes of an integer that is still worth knowing

_U16 = struct.Struct("<H").unpack
_U32 = struct.Struct("<I").unpack
_I32 = struct.Struct("<i").unpack
_U64 = struct.Struct("<Q").unpack
_F64 = struct.Struct(">d").unpack

WINDOW_BYTES = 256 * 1024
"""Bytes of a window."""

LONGEST_LINE = 1024 * 1024
"""Bytes of a newline-terminated argument that are kept; the names of a global may have no more."""


class Window:
    """The part of a file that opcodes are read from: bounded, and sliding forward with them.

    Attributes:
        data: The bytes of it.
        base: The file offset of the first of them.
        limit: The file offset that no read passes.
        skipped: Bytes of long strings that were passed over without being read.
    """

    __slots__ = ("_reader", "base", "data", "limit", "name", "skipped")

    def __init__(self, reader: FileReader, start: int, limit: int) -> None:
        self._reader = reader
        self.name = reader.name
        self.limit = limit
        self.base = start
        self.skipped = 0
        self.data = reader.read_up_to(start, min(WINDOW_BYTES, limit - start))

    def read(self, position: int, length: int) -> bytes:
        """Read exactly `length` bytes at a file offset.

        Raises:
            TruncatedFileError: They reach past the limit.
        """
        if position + length > self.limit:
            raise TruncatedFileError(
                f"{self.name}: the pickle stream ends inside an opcode's argument of {length} bytes",
                code="pickle-truncated",
                file=self.name,
                offset=position,
            )
        index = position - self.base
        if index < 0 or index + length > len(self.data):
            self.slide(position, length)
            index = 0
        return self.data[index : index + length]

    def slide(self, position: int, length: int = WINDOW_BYTES) -> None:
        """Read the bytes from a file offset on, `length` of them or more, up to the limit."""
        self.data = self._reader.read_up_to(position, min(max(length, WINDOW_BYTES), self.limit - position))
        self.base = position

    def read_line(self, position: int) -> tuple[bytes, int]:
        """Read the bytes up to the next newline; return them and the offset after it.

        Raises:
            TruncatedFileError: There is no newline before the limit.
            FormatError: The line is longer than `LONGEST_LINE`.
        """
        line, end = self.begin_line(position)
        if end - 1 - position > len(line):
            raise _malformed(self, position, f"a line of more than {LONGEST_LINE} bytes in a pickle stream")
        return line, end

    def begin_line(self, position: int) -> tuple[bytes, int]:
        """Read the bytes up to the next newline, of a long line the first `LONGEST_LINE` bytes alone.

        Returns:
            The bytes, and the offset after the newline.

        Raises:
            TruncatedFileError: There is no newline before the limit.
        """
        index = position - self.base
        end = self.data.find(b"\n", index) if 0 <= index < len(self.data) else -1
        if end < 0:
            self.slide(position, LONGEST_LINE)
            index = 0
            end = self.data.find(b"\n")
        if end >= 0:
            return self.data[index:end], self.base + end + 1
        start = self.data[:LONGEST_LINE]
        for place in range(position + len(start), self.limit, LONGEST_LINE):
            data = self._reader.read_up_to(place, min(LONGEST_LINE, self.limit - place))
            end = data.find(b"\n")
            if end >= 0:
                self.skipped += place + end - position - len(start)
                return start, place + end + 1
        raise TruncatedFileError(
            f"{self.name}: the pickle stream ends inside a line",
            code="pickle-truncated",
            file=self.name,
            offset=position,
        )


Unpack = Callable[[bytes], tuple[Any, ...]]

ArgumentReader = Callable[[Window, int], tuple[Any, int]]
"""Reads an argument at a file offset; returns its value and the offset after it."""


def _malformed(window: Window, position: int, message: str) -> FormatError:
    return FormatError(
        f"{window.name}: {message}", code="pickle-malformed", file=window.name, offset=position
    )


def _no_argument(window: Window, position: int) -> tuple[None, int]:  # noqa: ARG001  # one signature for all
    return None, position


def _fixed(length: int, unpack: Unpack) -> ArgumentReader:
    def read(window: Window, position: int) -> tuple[Any, int]:
        return unpack(window.read(position, length))[0], position + length

    return read


_SIZES: dict[int, Unpack] = {
    1: lambda data: (data[0],),
    2: _U16,
    4: _U32,
    8: _U64,
}


def _read_length(window: Window, position: int, width: int, size_of: Unpack, what: str) -> tuple[int, int]:
    """Read the length of an argument and check it; return it, and the offset of the argument's bytes."""
    length = size_of(window.read(position, width))[0]
    start = position + width
    if length < 0:
        raise _malformed(window, position, f"{what} of negative length {length}")
    if start + length > window.limit:
        window.read(start, length)  # raises
    return length, start


def _sized(width: int, *, text: bool, signed: bool = False) -> ArgumentReader:
    size_of = _I32 if signed else _SIZES[width]

    def read(window: Window, position: int) -> tuple[Any, int]:
        length, start = _read_length(window, position, width, size_of, "a string")
        if length > LONGEST_KEPT:
            head = window.read(start, LONGEST_KEPT)
            window.skipped += length - LONGEST_KEPT
            return Blob(length, head, text, start), start + length
        data = window.read(start, length)
        return (decode_text(data) if text else data), start + length

    return read


def _integer(width: int) -> ArgumentReader:
    size_of = _I32 if width > 1 else _SIZES[width]

    def read(window: Window, position: int) -> tuple[Any, int]:
        length, start = _read_length(window, position, width, size_of, "an integer")
        if length > _LARGEST_NUMBER:
            return Blob(length, window.read(start, _LARGEST_NUMBER), text=False, offset=start), start + length
        return int.from_bytes(window.read(start, length), "little", signed=True), start + length

    return read


def decode_text(data: bytes) -> str:
    """Decode UTF-8 as the unpicklers do, lone surrogates included.

    Raises:
        NotUtf8Error: It is none.
    """
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise NotUtf8Error from None


class NotUtf8Error(ValueError):
    """Text in a stream that is not UTF-8."""


# Compiled where they are first needed: protocols after 0 write numbers as bytes.
_OCTAL = rb"\s*[+-]?0[0-7]+"
_FLOAT = rb"(?i)\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf|nan|infinity)(?:e[+-]?[0-9]+)?\s*"


def _number_line(window: Window, position: int) -> tuple[bytes, int]:
    """Read the text of a number: a C string, so that whatever follows a NUL is passed over."""
    data, end = window.begin_line(position)
    text, nul, _ = data.partition(b"\0")
    if not nul and end - 1 - position > len(data):
        message = f"{window.name}: a number of more than {LONGEST_LINE} digits, which are not judged"
        raise FormatError(message, code=NOT_JUDGED, file=window.name, offset=position)
    return text, end


def _parse_integer(text: bytes, base: int, window: Window, position: int) -> int:
    if len(text) <= _LONGEST_DIGITS:
        try:
            return int(text, base)
        except ValueError:
            pass
    raise _malformed(window, position, "a number that is none")


def _decimal_line(window: Window, position: int) -> tuple[Any, int]:
    """Read the argument of INT, for which the C unpickler asks `strtol` first, and then Python's own int."""
    text, end = _number_line(window, position)
    length = end - 1 - position
    if not text and length:  # a NUL at once is 0 to strtol
        value = 0
    elif b"0" in text and re.fullmatch(_OCTAL, text):
        value = _parse_integer(text, 8, window, position)
    else:
        value = _parse_integer(text, 0, window, position)
    truth = length == len(b"01") and value in {0, 1} and not text[-1:].isspace()
    return (bool(value) if truth else value), end


def _long_line(window: Window, position: int) -> tuple[Any, int]:
    text, end = _number_line(window, position)
    if len(text) == end - 1 - position:
        text = text.removesuffix(b"L")
    decimal = text.strip().lstrip(b"+-").isdigit()  # zeros before it are found elsewhere
    return _parse_integer(text, 10 if decimal else 0, window, position), end


def _memo_index_line(window: Window, position: int) -> tuple[Any, int]:
    text, end = _number_line(window, position)
    index = _parse_integer(text, 10, window, position)
    if not 0 <= index < 1 << 32:
        raise _malformed(window, position, f"a memo index out of range: {index}")
    return index, end


def _float_line(window: Window, position: int) -> tuple[Any, int]:
    text, end = _number_line(window, position)
    if not re.fullmatch(_FLOAT, text):
        raise _malformed(window, position, "a float that is none")
    return float(text), end


def _text_line(window: Window, position: int, *, text: bool = False) -> tuple[bytes | Blob, int]:
    """Read a line that is text; one longer than `LONGEST_LINE` becomes a `Blob`."""
    data, end = window.begin_line(position)
    length = end - 1 - position
    return (data if length == len(data) else Blob(length, data[:LONGEST_KEPT], text, position)), end


def _quoted_line(window: Window, position: int) -> tuple[Any, int]:
    """Read the argument of STRING: quotes around text whose backslash escapes are undone."""
    data, end = _text_line(window, position)
    if isinstance(data, Blob):  # whether it ends with its quote is left open
        return data, end
    data = data.strip()
    quoted = len(data) > 1 and data[:1] in {b"'", b'"'} and data[-1:] == data[:1]
    if not quoted:
        raise _malformed(window, position, "a STRING without its quotes")
    return _unescape(data[1:-1]), end


_ESCAPE = rb"(?s)\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))"
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"a": b"\a"}


def _unescape(data: bytes) -> bytes:
    def undo(match: re.Match[bytes]) -> bytes:
        if match[1] is not None:
            return bytes([int(match[1], 16)])
        if match[2] is not None:
            return bytes([int(match[2], 8) & 0xFF])
        return _SIMPLE.get(match[3], match[3])

    return re.sub(_ESCAPE, undo, data) if b"\\" in data else data


def _unicode_line(window: Window, position: int) -> tuple[Any, int]:
    r"""Read the argument of UNICODE: raw-unicode-escape, where ``\\uXXXX`` alone is an escape."""
    data, end = _text_line(window, position, text=True)
    if isinstance(data, Blob):
        return data, end
    try:
        return data.decode("raw-unicode-escape"), end
    except UnicodeDecodeError:
        raise NotUtf8Error from None


def _raw_line(window: Window, position: int) -> tuple[Any, int]:
    return _text_line(window, position)


def _two_lines(window: Window, position: int) -> tuple[Any, int]:
    module, middle = window.read_line(position)
    name, end = window.read_line(middle)
    return (module, name), end


@frozen(eq=False, repr=False)
class Opcode:
    """One opcode.

    Attributes:
        code: Its byte.
        name: Its name in Python's `pickletools`.
        read: Reads its argument.
    """

    code: int
    name: str
    read: ArgumentReader


def _table() -> dict[int, Opcode]:
    byte = _fixed(1, _SIZES[1])
    rows: tuple[tuple[str, str, ArgumentReader], ...] = (
        *((code, name, _no_argument) for code, name in _WITHOUT_ARGUMENT.items()),
        ("I", "INT", _decimal_line),
        ("J", "BININT", _fixed(4, _I32)),
        ("K", "BININT1", byte),
        ("M", "BININT2", _fixed(2, _U16)),
        ("L", "LONG", _long_line),
        ("\x8a", "LONG1", _integer(1)),
        ("\x8b", "LONG4", _integer(4)),
        ("S", "STRING", _quoted_line),
        ("T", "BINSTRING", _sized(4, text=False, signed=True)),
        ("U", "SHORT_BINSTRING", _sized(1, text=False)),
        ("B", "BINBYTES", _sized(4, text=False)),
        ("C", "SHORT_BINBYTES", _sized(1, text=False)),
        ("\x8e", "BINBYTES8", _sized(8, text=False)),
        ("\x96", "BYTEARRAY8", _sized(8, text=False)),
        ("V", "UNICODE", _unicode_line),
        ("\x8c", "SHORT_BINUNICODE", _sized(1, text=True)),
        ("X", "BINUNICODE", _sized(4, text=True)),
        ("\x8d", "BINUNICODE8", _sized(8, text=True)),
        ("F", "FLOAT", _float_line),
        ("G", "BINFLOAT", _fixed(8, _F64)),
        ("g", "GET", _memo_index_line),
        ("h", "BINGET", byte),
        ("j", "LONG_BINGET", _fixed(4, _U32)),
        ("p", "PUT", _memo_index_line),
        ("q", "BINPUT", byte),
        ("r", "LONG_BINPUT", _fixed(4, _U32)),
        ("\x82", "EXT1", byte),
        ("\x83", "EXT2", _fixed(2, _U16)),
        ("\x84", "EXT4", _fixed(4, _I32)),
        ("c", "GLOBAL", _two_lines),
        ("i", "INST", _two_lines),
        ("\x80", "PROTO", byte),
        ("\x95", "FRAME", _fixed(8, _U64)),
        ("P", "PERSID", _raw_line),
    )
    return {ord(code): Opcode(ord(code), name, read) for code, name, read in rows}


_WITHOUT_ARGUMENT = {
    "\x97": "NEXT_BUFFER",
    "\x98": "READONLY_BUFFER",
    "N": "NONE",
    "\x88": "NEWTRUE",
    "\x89": "NEWFALSE",
    "]": "EMPTY_LIST",
    "a": "APPEND",
    "e": "APPENDS",
    "l": "LIST",
    ")": "EMPTY_TUPLE",
    "t": "TUPLE",
    "\x85": "TUPLE1",
    "\x86": "TUPLE2",
    "\x87": "TUPLE3",
    "}": "EMPTY_DICT",
    "d": "DICT",
    "s": "SETITEM",
    "u": "SETITEMS",
    "\x8f": "EMPTY_SET",
    "\x90": "ADDITEMS",
    "\x91": "FROZENSET",
    "0": "POP",
    "2": "DUP",
    "(": "MARK",
    "1": "POP_MARK",
    "\x94": "MEMOIZE",
    "\x93": "STACK_GLOBAL",
    "R": "REDUCE",
    "b": "BUILD",
    "o": "OBJ",
    "\x81": "NEWOBJ",
    "\x92": "NEWOBJ_EX",
    ".": "STOP",
    "Q": "BINPERSID",
}

OPCODES: dict[int, Opcode] = _table()
"""Every opcode by its byte."""

WEIGHTS_ONLY: frozenset[str] = frozenset(
    [
        "PROTO",
        "STOP",
        "MARK",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_TUPLE",
        "EMPTY_LIST",
        "EMPTY_DICT",
        "EMPTY_SET",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINSTRING",
        "BINGET",
        "LONG_BINGET",
        "BINPUT",
        "LONG_BINPUT",
        "APPEND",
        "APPENDS",
        "SETITEM",
        "SETITEMS",
        "GLOBAL",
        "NEWOBJ",
        "REDUCE",
        "BUILD",
        "BINPERSID",
    ]
)
"""Names of the opcodes that torch's ``weights_only`` unpickler knows."""
