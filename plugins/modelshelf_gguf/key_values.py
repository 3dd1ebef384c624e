"""The key-value pairs of a header, one after another."""

from __future__ import annotations

import struct
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model import Severity
from modelshelf_gguf.header import Field
from modelshelf_gguf.layout import MOST_KEY_BYTES, ValueType
from modelshelf_gguf.parse_state import KEPT_ITEMS, KEPT_TEXT_BYTES, EntryTable, within
from modelshelf_gguf.string_arrays import skip_strings

if TYPE_CHECKING:
    from modelshelf_gguf.parse_state import Reading


_SHORT = 256  # bytes of keys that are remembered; the same ones stand in every file

_TYPES = {int(kind): kind for kind in ValueType if kind not in {ValueType.ARRAY, ValueType.BOOL}}


class FieldTable(EntryTable[Field]):
    """Key-value pairs being read."""

    def read_one(self) -> None:
        """Read the pair at the cursor, whatever it is.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """
        reading, fields, index = self._reading, self.entries, len(self.entries)
        cursor, layout = reading.cursor, reading.layout
        offset, key = cursor.position, f"number {index + 1}"
        try:
            (length,) = cursor.unpack(layout.length)
            key = _key(reading, length, index, offset)
            if key in fields:
                raise FormatError(f"the key {key!r} stands twice", code="duplicate-key", offset=offset)
            kind = value_type(cursor.unpack(layout.u32)[0], key, cursor.position)
            value, item_kind, items = read_value(reading, kind, key)
        except TruncatedFileError as error:
            raise within(error, f"key-value pair {index + 1} of {self._count} ({key!r})") from None
        fields[key] = Field(key, kind, value, offset, item_kind, items)

    def read_ordinary(self) -> None:
        """Read numbers and texts under usual keys, as long as they lie within the window."""
        reading, fields = self._reading, self.entries
        cursor, layout, allowance = reading.cursor, reading.layout, reading.allowance
        window, at = cursor.ahead(0)
        begin, start = at, cursor.position - at
        length_at, width, number_at = layout.length.unpack_from, layout.length.size, layout.u32.unpack_from
        try:
            for _ in range(self._count - len(fields)):
                (length,) = length_at(window, at)
                if length > _SHORT:
                    break
                place = at + width + length
                kind = _TYPES.get(number_at(window, place)[0])
                key = _usual_key(window[at + width : place])
                if kind is None or key is None or key in fields:
                    break
                place += layout.u32.size
                value: object
                if kind is ValueType.STRING:
                    (count,) = length_at(window, place)
                    behind = place + width + count
                    if count > KEPT_TEXT_BYTES or behind > len(window):
                        break
                    value, length = window[place + width : behind].decode(), length + count
                else:
                    scalar, count = layout.scalars[kind], None
                    (value,), behind = scalar.unpack_from(window, place), place + scalar.size
                if length > allowance.text_bytes:
                    break
                allowance.text_bytes -= length
                fields[key] = Field(key, kind, value, start + at, None, count)
                at = behind
        except (struct.error, UnicodeDecodeError):
            pass
        cursor.skip(at - begin)


@lru_cache(maxsize=2048)
def _usual_key(raw: bytes) -> str | None:
    """The key of these bytes, or None where `_key` refuses it or has a finding."""
    try:
        key = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    return key if key and not _oddity(key) else None


def _oddity(key: str) -> tuple[str, str, Severity] | None:
    """Code, message and severity of what is odd about a key."""
    if not key.isascii() or not key.isprintable() or key.startswith("GGUF."):
        message = f"the key {key!r} is not made of lower-case words; loaders may misread it"
        return "odd-key", message, Severity.WARNING
    if not key.replace(".", "").replace("_", "").replace("-", "").isalnum() or key != key.lower():
        return "key-style", f"the key {key!r} is not written in lower_snake_case", Severity.INFO
    return None


def _key(reading: Reading, length: int, index: int, offset: int) -> str:
    if not 0 < length <= MOST_KEY_BYTES:
        raise FormatError(
            f"the key of pair {index + 1} claims {length} bytes; a key has 1 to {MOST_KEY_BYTES}",
            code="bad-key",
            offset=offset,
        )
    reading.allowance.spend("text_bytes", length, offset)
    raw = reading.cursor.take(length)
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        raise FormatError(
            f"the key of pair {index + 1} is not UTF-8", code="bad-key", offset=offset
        ) from None
    oddity = _oddity(key)
    if oddity is not None:
        code, message, severity = oddity
        reading.note(code, message, offset, severity)
    return key


DEEPEST_ARRAY = 8
"""Arrays within arrays that are followed; no writer is known to nest any."""


def value_type(number: int, key: str, offset: int) -> ValueType:
    """The value type of that number.

    Raises:
        FormatError: There is none.
    """
    try:
        return ValueType(number)
    except ValueError:
        raise FormatError(
            f"key {key!r} has value type {number}, and the format knows 0 to {max(ValueType)}",
            code="unknown-value-type",
            offset=offset,
        ) from None


def read_value(reading: Reading, kind: ValueType, key: str) -> tuple[Any, ValueType | None, int | None]:
    """Read the value that begins at the cursor.

    Returns:
        The value, None if it is not kept; an array's element type; an array's elements or a text's bytes.

    Raises:
        ReadError: The value breaks the format's rules or reaches past the end of the file.
    """
    if kind is ValueType.STRING:
        length = _length(reading)
        return _text(reading, length, key), None, length
    if kind is ValueType.ARRAY:
        return _array(reading, key, DEEPEST_ARRAY)
    offset = reading.cursor.position
    (number,) = reading.cursor.unpack(reading.layout.scalars[kind])
    if kind is ValueType.BOOL:
        _note_bools(reading, (number,), key, offset)
        return bool(number), None, None
    return number, None, None


def _length(reading: Reading) -> int:
    (length,) = reading.cursor.unpack(reading.layout.length)
    return int(length)


def _text(reading: Reading, length: int, key: str) -> str | None:
    cursor = reading.cursor
    if length > KEPT_TEXT_BYTES or length > reading.allowance.text_bytes:
        cursor.skip(length)
        return None
    offset = cursor.position
    reading.allowance.spend("text_bytes", length, offset)
    raw = cursor.take(length)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        reading.note(
            "invalid-utf-8",
            f"the text of {key!r} is not UTF-8 at its byte {error.start}",
            offset + error.start,
        )
        return raw.decode(errors="replace")


def _array(reading: Reading, key: str, depth: int) -> tuple[Any, ValueType, int]:
    cursor, layout = reading.cursor, reading.layout
    offset = cursor.position
    number, count = cursor.unpack(layout.array)
    kind = value_type(number, key, offset)
    if kind is ValueType.STRING:
        _bounded(reading, count, layout.length.size, key, offset)
        reading.allowance.spend("strings", count, offset)
        return _strings(reading, count, key), kind, count
    if kind is ValueType.ARRAY:
        _bounded(reading, count, layout.array.size, key, offset)
        reading.allowance.spend("arrays", count, offset)
        return _nested(reading, count, key, offset, depth), kind, count
    _bounded(reading, count, layout.scalars[kind].size, key, offset)
    return _scalars(reading, kind, count, key), kind, count


def _bounded(reading: Reading, count: int, least: int, key: str, offset: int) -> None:
    if count * least > reading.cursor.left:
        raise FormatError(
            f"the array {key!r} claims {count} elements, at least {count * least} bytes, and "
            f"{reading.cursor.left} are left: the file is cut short, or altered; download it anew",
            code="impossible-count",
            offset=offset,
        )


def _scalars(reading: Reading, kind: ValueType, count: int, key: str) -> tuple[Any, ...] | None:
    one = reading.layout.scalars[kind]
    offset = reading.cursor.position
    if not reading.allowance.keeps(count):
        reading.cursor.skip(count * one.size)
        return None
    order, code = one.format[0], one.format[1]
    items: tuple[Any, ...] = reading.cursor.unpack(Struct(f"{order}{count}{code}"))
    if kind is ValueType.BOOL:
        _note_bools(reading, items, key, offset)
        return tuple(map(bool, items))
    return items


def _strings(reading: Reading, count: int, key: str) -> tuple[str, ...] | None:
    if not reading.allowance.keeps(count):
        skip = skip_strings if reading.recall is None else reading.recall.skip
        skip(reading.cursor, count, reading.layout.length)
        return None
    items = [_text(reading, _length(reading), key) for _ in range(count)]
    return None if None in items else tuple(item for item in items if item is not None)


def _nested(reading: Reading, count: int, key: str, offset: int, depth: int) -> tuple[Any, ...] | None:
    if depth == 0:
        raise FormatError(
            f"the array {key!r} nests arrays more than {DEEPEST_ARRAY} deep",
            code="header-too-large",
            offset=offset,
        )
    reading.note(
        "nested-array",
        f"the array {key!r} holds arrays, which the format allows and llama.cpp refuses",
        offset,
    )
    items = [_array(reading, key, depth - 1)[0] for _ in range(count)]
    return None if count > KEPT_ITEMS or None in items else tuple(items)


def _note_bools(reading: Reading, numbers: tuple[int, ...], key: str, offset: int) -> None:
    odd = next((number for number in numbers if number > 1), None)
    if odd is not None:
        reading.note("invalid-bool", f"the truth value of {key!r} is {odd}; the format knows 0 and 1", offset)
