"""Reading one metadata value: small ones are kept, large arrays and texts are passed over unread."""

from __future__ import annotations

from struct import Struct
from typing import Any

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf.model import Finding, Severity
from modelshelf_gguf.cursor import Cursor
from modelshelf_gguf.layout import Layout
from modelshelf_gguf.limits import KEPT_ITEMS, KEPT_TEXT_BYTES, Allowance
from modelshelf_gguf.strings import skip_strings
from modelshelf_gguf.tables import ValueType
from modelshelf_gguf.vocabulary import Recall

DEEPEST_ARRAY = 8
"""Arrays within arrays that are followed; no writer is known to nest any."""


@define
class Reading:
    """One header being read: where it stands, how its numbers look, what is left of its allowance.

    Attributes:
        cursor: The position in the file.
        layout: The structures of the file's version and byte order.
        allowance: What the header may still ask for.
        recall: What is remembered of vocabularies; None walks all of them.
        findings: The first of each kind of breach that did not hinder the reading, by code.
    """

    cursor: Cursor
    layout: Layout
    recall: Recall | None = None
    allowance: Allowance = field(factory=Allowance)
    findings: dict[str, Finding] = field(factory=dict)

    def note(self, code: str, message: str, offset: int, severity: Severity = Severity.WARNING) -> None:
        """Keep a finding, unless there is one of that code: a hostile file may hold thousands."""
        if code not in self.findings:
            self.findings[code] = Finding(
                code=code, severity=severity, message=message, file=self.cursor.file.name, offset=offset
            )


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
