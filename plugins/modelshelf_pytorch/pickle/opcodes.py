"""The opcodes of pickle protocols 0 to 5 and their arguments, read from a bounded window of a file.

Source: CPython ``Modules/_pickle.c`` and ``Lib/pickletools.py``. Where the two disagree (a line without its
newline, a length beyond the frame), the C unpickler's reading is the one that matters: it is what loads.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from attrs import frozen

from modelshelf.errors import FormatError
from modelshelf_pytorch.pickle.symbols import Blob
from modelshelf_pytorch.pickle.window import Window

KEEP = 64 * 1024
"""Bytes of one string that are kept; a longer one becomes a `Blob` with its head."""

LONGEST_FIXED = 9
"""Bytes of the longest opcode with an argument of fixed size (FRAME, BINFLOAT)."""

_LONGEST_DIGITS = 4300  # as Python's own int() limits it
_LARGEST_NUMBER = 64  # bytes of an integer that is still worth knowing

_U16 = struct.Struct("<H").unpack
_U32 = struct.Struct("<I").unpack
_I32 = struct.Struct("<i").unpack
_U64 = struct.Struct("<Q").unpack
_F64 = struct.Struct(">d").unpack


Argument = Callable[[Window, int], tuple[Any, int]]
"""Reads an argument at a file offset; gives its value and the offset after it."""


def _bad(window: Window, position: int, message: str) -> FormatError:
    return FormatError(
        f"{window.name}: {message}", code="pickle-malformed", file=window.name, offset=position
    )


def _nothing(window: Window, position: int) -> tuple[None, int]:  # noqa: ARG001  # one signature for all
    return None, position


def _fixed(length: int, unpack: Callable[[bytes], tuple[Any, ...]]) -> Argument:
    def read(window: Window, position: int) -> tuple[Any, int]:
        return unpack(window.at(position, length))[0], position + length

    return read


_SIZES: dict[int, Callable[[bytes], tuple[Any, ...]]] = {
    1: lambda data: (data[0],),
    2: _U16,
    4: _U32,
    8: _U64,
}


def _counted(width: int, *, text: bool, signed: bool = False) -> Argument:
    size_of = _I32 if signed else _SIZES[width]

    def read(window: Window, position: int) -> tuple[Any, int]:
        length = size_of(window.at(position, width))[0]
        start = position + width
        if length < 0:
            raise _bad(window, position, f"a string of negative length {length}")
        if start + length > window.limit:
            window.at(start, length)
        if length > KEEP:
            head = window.at(start, KEEP)
            window.skipped += length - KEEP
            return Blob(length, head, text, start), start + length
        data = window.at(start, length)
        return (decoded(data) if text else data), start + length

    return read


def _integer(width: int) -> Argument:
    size_of = _I32 if width > 1 else _SIZES[width]

    def read(window: Window, position: int) -> tuple[Any, int]:
        length = size_of(window.at(position, width))[0]
        start = position + width
        if length < 0:
            raise _bad(window, position, f"an integer of negative length {length}")
        if start + length > window.limit:
            window.at(start, length)
        if length > _LARGEST_NUMBER:
            return Blob(length, window.at(start, _LARGEST_NUMBER), text=False, offset=start), start + length
        return int.from_bytes(window.at(start, length), "little", signed=True), start + length

    return read


def decoded(data: bytes) -> str:
    """UTF-8 as the unpicklers read it (lone surrogates pass); bytes that are not UTF-8 stay visible."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise NotUtf8Error from None


class NotUtf8Error(ValueError):
    """Text in a stream that is not UTF-8."""


# Compiled where they are first needed: protocols after 0 write numbers as bytes.
_INTEGER = rb"\s*[+-]?[0-9](?:_?[0-9])*\s*"
_FLOAT = rb"(?i)\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf|nan|infinity)(?:e[+-]?[0-9]+)?\s*"


def _number(data: bytes, window: Window, position: int) -> int:
    if len(data) > _LONGEST_DIGITS or not (data.isdigit() or re.fullmatch(_INTEGER, data)):
        raise _bad(window, position, f"a number that is none: {data[:40]!r}")
    return int(data)


def _decimal(window: Window, position: int) -> tuple[Any, int]:
    data, end = window.line(position)
    if data in {b"00", b"01"}:
        return data == b"01", end
    return _number(data, window, position), end


def _long_decimal(window: Window, position: int) -> tuple[Any, int]:
    data, end = window.line(position)
    return _number(data.removesuffix(b"L"), window, position), end


def _index(window: Window, position: int) -> tuple[Any, int]:
    data, end = window.line(position)
    index = _number(data, window, position)
    if not 0 <= index < 1 << 32:
        raise _bad(window, position, f"a memo index out of range: {index}")
    return index, end


def _float_line(window: Window, position: int) -> tuple[Any, int]:
    data, end = window.line(position)
    if len(data) > _LONGEST_DIGITS or not re.fullmatch(_FLOAT, data):
        raise _bad(window, position, f"a float that is none: {data[:40]!r}")
    return float(data), end


def _quoted(window: Window, position: int) -> tuple[Any, int]:
    """STRING: quotes around a backslash-escaped text; the bytes with their escapes undone."""
    data, end = window.line(position)
    data = data.strip()
    quoted = len(data) > 1 and data[:1] in {b"'", b'"'} and data[-1:] == data[:1]
    if not quoted:
        raise _bad(window, position, "a STRING without its quotes")
    return _unescaped(data[1:-1]), end


_ESCAPE = rb"(?s)\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))"
_SIMPLE = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"a": b"\a"}


def _unescaped(data: bytes) -> bytes:
    def undo(match: re.Match[bytes]) -> bytes:
        if match[1] is not None:
            return bytes([int(match[1], 16)])
        if match[2] is not None:
            return bytes([int(match[2], 8) & 0xFF])
        return _SIMPLE.get(match[3], match[3])

    return re.sub(_ESCAPE, undo, data) if b"\\" in data else data


def _text_line(window: Window, position: int) -> tuple[Any, int]:
    r"""UNICODE: raw-unicode-escape, where ``\\uXXXX`` alone is an escape."""
    data, end = window.line(position)
    try:
        return data.decode("raw-unicode-escape"), end
    except UnicodeDecodeError:
        raise NotUtf8Error from None


def _raw_line(window: Window, position: int) -> tuple[Any, int]:
    return window.line(position)


def _two_lines(window: Window, position: int) -> tuple[Any, int]:
    module, middle = window.line(position)
    name, end = window.line(middle)
    return (module, name), end


@frozen(eq=False, repr=False)
class Opcode:
    """One opcode.

    Attributes:
        code: Its byte.
        name: Its name in `pickletools`.
        read: Reads its argument.
    """

    code: int
    name: str
    read: Argument


def _table() -> dict[int, Opcode]:
    byte = _fixed(1, _SIZES[1])
    rows: tuple[tuple[str, str, Argument], ...] = (
        *((code, name, _nothing) for code, name in _BARE.items()),
        ("I", "INT", _decimal),
        ("J", "BININT", _fixed(4, _I32)),
        ("K", "BININT1", byte),
        ("M", "BININT2", _fixed(2, _U16)),
        ("L", "LONG", _long_decimal),
        ("\x8a", "LONG1", _integer(1)),
        ("\x8b", "LONG4", _integer(4)),
        ("S", "STRING", _quoted),
        ("T", "BINSTRING", _counted(4, text=False, signed=True)),
        ("U", "SHORT_BINSTRING", _counted(1, text=False)),
        ("B", "BINBYTES", _counted(4, text=False)),
        ("C", "SHORT_BINBYTES", _counted(1, text=False)),
        ("\x8e", "BINBYTES8", _counted(8, text=False)),
        ("\x96", "BYTEARRAY8", _counted(8, text=False)),
        ("V", "UNICODE", _text_line),
        ("\x8c", "SHORT_BINUNICODE", _counted(1, text=True)),
        ("X", "BINUNICODE", _counted(4, text=True)),
        ("\x8d", "BINUNICODE8", _counted(8, text=True)),
        ("F", "FLOAT", _float_line),
        ("G", "BINFLOAT", _fixed(8, _F64)),
        ("g", "GET", _index),
        ("h", "BINGET", byte),
        ("j", "LONG_BINGET", _fixed(4, _U32)),
        ("p", "PUT", _index),
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


_BARE = {
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
