"""The key-value pairs of a header: keys are checked, small values kept, large arrays and texts passed over.

Source of the layout: the GGUF specification (ggml `docs/gguf.md`, `gguf_metadata_kv_t`).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model import Severity
from modelshelf_gguf.header import Field
from modelshelf_gguf.layout import MAX_KEY_BYTES, ValueType
from modelshelf_gguf.parse_state import (
    MAX_KEPT_ITEMS,
    MAX_KEPT_TEXT_BYTES,
    EntryTable,
    decode_utf8,
    while_reading,
)

if TYPE_CHECKING:
    from modelshelf_gguf.parse_state import ParseState

MAX_ARRAY_DEPTH = 8
"""Arrays within arrays that are read; no writer is known to nest any."""

_MAX_CACHED_KEY_BYTES = 256  # the same short keys are in every file
_FAST_TYPES = {int(kind): kind for kind in ValueType if kind not in {ValueType.ARRAY, ValueType.BOOL}}


class FieldTable(EntryTable[Field]):
    """The key-value pairs of a header being read."""

    def read_strict(self) -> None:
        """Read the pair at the cursor with every check.

        Raises:
            ReadError: It breaks the format's rules or reaches past the end of the file.
        """
        state, fields, index = self._state, self.entries, len(self.entries)
        cursor, layout = state.cursor, state.layout
        offset, key = cursor.position, f"number {index + 1}"
        try:
            (length,) = cursor.unpack(layout.length)
            key = _read_key(state, length, index, offset)
            if key in fields:
                raise FormatError(f"the key {key!r} stands twice", code="duplicate-key", offset=offset)
            kind = _value_type(cursor.unpack(layout.u32)[0], key, cursor.position)
            value, item_kind, items = _read_value(state, kind, key)
        except TruncatedFileError as error:
            raise while_reading(error, f"key-value pair {index + 1} of {self._count} ({key!r})") from None
        fields[key] = Field(key, kind, value, offset, item_kind, items)

    def read_fast(self) -> None:
        """Read numbers and texts under usual keys, as long as they lie within the window."""
        state, fields = self._state, self.entries
        cursor, layout, budget = state.cursor, state.layout, state.budget
        window, at = cursor.peek(0)
        begin, start = at, cursor.position - at
        length_at, width, number_at = layout.length.unpack_from, layout.length.size, layout.u32.unpack_from
        try:
            for _ in range(self._count - len(fields)):
                (length,) = length_at(window, at)
                if length > _MAX_CACHED_KEY_BYTES:
                    break
                place = at + width + length
                kind = _FAST_TYPES.get(number_at(window, place)[0])
                key = _usual_key(window[at + width : place])
                if kind is None or key is None or key in fields:
                    break
                place += layout.u32.size
                value: object
                if kind is ValueType.STRING:
                    (count,) = length_at(window, place)
                    end = place + width + count
                    if count > MAX_KEPT_TEXT_BYTES or end > len(window):
                        break
                    value, length = window[place + width : end].decode(), length + count
                else:
                    scalar, count = layout.scalars[kind], None
                    (value,), end = scalar.unpack_from(window, place), place + scalar.size
                if length > budget.text_bytes:
                    break
                budget.text_bytes -= length
                fields[key] = Field(key, kind, value, start + at, None, count)
                at = end
        except (struct.error, UnicodeDecodeError):
            pass
        cursor.skip(at - begin)


@lru_cache(maxsize=2048)
def _usual_key(raw: bytes) -> str | None:
    """Decode a key; None where `_read_key` refuses it or has a finding."""
    try:
        key = raw.decode("ascii")
    except UnicodeDecodeError:
        return None
    return key if key and not _key_finding(key) else None


def _key_finding(key: str) -> tuple[str, str, Severity] | None:
    """Give code, message and severity of the finding for an unusual key."""
    if not key.isascii() or not key.isprintable() or key.startswith("GGUF."):
        message = f"the key {key!r} is not made of lower-case words; loaders may misread it"
        return "odd-key", message, Severity.WARNING
    if not key.replace(".", "").replace("_", "").replace("-", "").isalnum() or key != key.lower():
        return "key-style", f"the key {key!r} is not written in lower_snake_case", Severity.INFO
    return None


def _read_key(state: ParseState, length: int, index: int, offset: int) -> str:
    if not 0 < length <= MAX_KEY_BYTES:
        raise FormatError(
            f"the key of pair {index + 1} claims {length} bytes; a key has 1 to {MAX_KEY_BYTES}",
            code="bad-key",
            offset=offset,
        )
    state.budget.spend("text_bytes", length, offset)
    key = decode_utf8(state.cursor.read(length), f"key of pair {index + 1}", "bad-key", offset)
    finding = _key_finding(key)
    if finding is not None:
        code, message, severity = finding
        state.add_finding(code, message, offset, severity)
    return key


def _value_type(number: int, key: str, offset: int) -> ValueType:
    """Look up a value type by its number.

    Raises:
        FormatError: There is none of that number.
    """
    try:
        return ValueType(number)
    except ValueError:
        raise FormatError(
            f"key {key!r} has value type {number}, and the format knows 0 to {max(ValueType)}",
            code="unknown-value-type",
            offset=offset,
        ) from None


def _read_value(state: ParseState, kind: ValueType, key: str) -> tuple[Any, ValueType | None, int | None]:
    """Read the value at the cursor.

    Returns:
        The value, None if it is not kept; an array's element type; an array's elements or a text's bytes.

    Raises:
        ReadError: The value breaks the format's rules or reaches past the end of the file.
    """
    if kind is ValueType.STRING:
        length = _read_length(state)
        return _read_text(state, length, key), None, length
    if kind is ValueType.ARRAY:
        return _read_array(state, key, MAX_ARRAY_DEPTH)
    offset = state.cursor.position
    (number,) = state.cursor.unpack(state.layout.scalars[kind])
    if kind is ValueType.BOOL:
        _check_bools(state, (number,), key, offset)
        return bool(number), None, None
    return number, None, None


def _read_length(state: ParseState) -> int:
    (length,) = state.cursor.unpack(state.layout.length)
    return int(length)


def _read_text(state: ParseState, length: int, key: str) -> str | None:
    cursor = state.cursor
    if length > MAX_KEPT_TEXT_BYTES or length > state.budget.text_bytes:
        cursor.skip(length)
        return None
    offset = cursor.position
    state.budget.spend("text_bytes", length, offset)
    raw = cursor.read(length)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        state.add_finding(
            "invalid-utf-8",
            f"the text of {key!r} is not UTF-8 at its byte {error.start}",
            offset + error.start,
        )
        return raw.decode(errors="replace")


def _read_array(state: ParseState, key: str, depth: int) -> tuple[Any, ValueType, int]:
    """Read an array's elements, element type and count; `depth` is how many arrays may still be nested."""
    cursor, layout = state.cursor, state.layout
    offset = cursor.position
    number, count = cursor.unpack(layout.array)
    kind = _value_type(number, key, offset)
    if kind is ValueType.STRING:
        _check_count(state, count, layout.length.size, key, offset)
        state.budget.spend("strings", count, offset)
        return _read_strings(state, count, key), kind, count
    if kind is ValueType.ARRAY:
        _check_count(state, count, layout.array.size, key, offset)
        state.budget.spend("arrays", count, offset)
        return _read_arrays(state, count, key, offset, depth), kind, count
    _check_count(state, count, layout.scalars[kind].size, key, offset)
    return _read_scalars(state, kind, count, key), kind, count


def _check_count(state: ParseState, count: int, least: int, key: str, offset: int) -> None:
    """Refuse a count of elements, of `least` bytes or more each, that the rest of the file cannot have."""
    if count * least > state.cursor.remaining:
        raise FormatError(
            f"the array {key!r} claims {count} elements, at least {count * least} bytes, and "
            f"{state.cursor.remaining} are left: the file is cut short, or altered; download it anew",
            code="impossible-count",
            offset=offset,
        )


def _read_scalars(state: ParseState, kind: ValueType, count: int, key: str) -> tuple[Any, ...] | None:
    scalar = state.layout.scalars[kind]
    offset = state.cursor.position
    if not state.budget.reserve_items(count):
        state.cursor.skip(count * scalar.size)
        return None
    order, code = scalar.format[0], scalar.format[1]
    items: tuple[Any, ...] = state.cursor.unpack(Struct(f"{order}{count}{code}"))
    if kind is ValueType.BOOL:
        _check_bools(state, items, key, offset)
        return tuple(map(bool, items))
    return items


def _read_strings(state: ParseState, count: int, key: str) -> tuple[str, ...] | None:
    if not state.budget.reserve_items(count):
        state.skip_strings(state.cursor, count, state.layout.length)
        return None
    items = [_read_text(state, _read_length(state), key) for _ in range(count)]
    return None if None in items else tuple(item for item in items if item is not None)


def _read_arrays(state: ParseState, count: int, key: str, offset: int, depth: int) -> tuple[Any, ...] | None:
    """Read the arrays of an array that begins at byte `offset`."""
    if depth == 0:
        raise FormatError(
            f"the array {key!r} nests arrays more than {MAX_ARRAY_DEPTH} deep",
            code="header-too-large",
            offset=offset,
        )
    state.add_finding(
        "nested-array",
        f"the array {key!r} holds arrays, which the format allows and llama.cpp refuses",
        offset,
    )
    items = [_read_array(state, key, depth - 1)[0] for _ in range(count)]
    return None if count > MAX_KEPT_ITEMS or None in items else tuple(items)


def _check_bools(state: ParseState, numbers: tuple[int, ...], key: str, offset: int) -> None:
    invalid = next((number for number in numbers if number > 1), None)
    if invalid is not None:
        state.add_finding(
            "invalid-bool", f"the truth value of {key!r} is {invalid}; the format knows 0 and 1", offset
        )
