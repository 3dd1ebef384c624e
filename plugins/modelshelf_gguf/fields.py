"""The key-value pairs of a header, one after another.

Source of the layout: the GGUF specification (ggml `docs/gguf.md`, `gguf_metadata_kv_t`).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from modelshelf.errors import FormatError, TruncatedFileError
from modelshelf.model import Severity
from modelshelf_gguf.entries import EntryTable, within
from modelshelf_gguf.header import Field
from modelshelf_gguf.limits import KEPT_TEXT_BYTES, MOST_KEY_BYTES
from modelshelf_gguf.tables import ValueType
from modelshelf_gguf.values import read_value, value_type

if TYPE_CHECKING:
    from modelshelf_gguf.values import Reading

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
