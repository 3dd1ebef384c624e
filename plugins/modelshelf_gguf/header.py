"""A parsed GGUF header, as values: key-value pairs, tensors, and where the parsing ended."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from attrs import frozen

from modelshelf.errors import ReadError
from modelshelf.model import Finding, Severity
from modelshelf_gguf.layout import DEFAULT_ALIGNMENT, INTEGERS, ValueType, padded


class Field(NamedTuple):
    """A key-value pair. A tuple, as every file has dozens.

    Attributes:
        key: The key.
        kind: The value's type.
        value: A number, bool or text; a tuple of those for an array; None where it was too large to keep.
        offset: Byte offset of the pair in the file.
        item_kind: The type of an array's elements.
        length: An array's number of elements; a text's number of bytes.
    """

    key: str
    kind: ValueType
    value: Any
    offset: int
    item_kind: ValueType | None = None
    length: int | None = None


class TensorInfo(NamedTuple):
    """An entry of the tensor table. A tuple, as a file can have tens of thousands.

    Attributes:
        name: The tensor's name.
        shape: Elements per dimension, the row first, as the file has them.
        type: Number of the element type, known or not.
        offset: Bytes from the start of the data section.
        elements: Product of the shape; 1 for a scalar.
        size: Bytes of data, or None for an unknown type.
        entry: Byte offset of this entry in the file.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    elements: int
    size: int | None
    entry: int


@frozen(kw_only=True)
class Header:
    """The header of one file, as far as it could be read.

    Attributes:
        file: The file's name relative to the artifact's folder.
        file_size: Bytes of the whole file.
        version: 1 to 3; 0 where the file ends before it.
        byte_order: Byte order of all numbers.
        fields: Key-value pairs by key, in the order of the file.
        tensors: The tensor table, in the order of the file.
        alignment: Bytes; the data section and each tensor begin at a multiple.
        end: Byte offset behind the last thing that was read.
        findings: Breaches of the specification that did not end the parsing.
        fault: The error that ended the parsing, or None when the header was read to its end.
    """

    file: str
    file_size: int
    version: int = 0
    byte_order: Literal["little", "big"] = "little"
    fields: dict[str, Field]
    tensors: tuple[TensorInfo, ...] = ()
    alignment: int = DEFAULT_ALIGNMENT
    end: int = 0
    findings: tuple[Finding, ...] = ()
    fault: ReadError | None = None

    @property
    def data_offset(self) -> int:
        """Byte offset of the data section: the end of the header, rounded up to the alignment."""
        return padded(self.end, self.alignment)

    @property
    def data_end(self) -> int:
        """Byte offset behind the last tensor's data, its padding left out; without tensors the header's end.

        Tensors of unknown type count as empty.
        """
        start = self.data_offset
        ends = [tensor.offset + (tensor.size or 0) for tensor in self.tensors]
        return start + max(ends) if ends else self.end

    @property
    def fills_file(self) -> bool:
        """Whether the header is sound and the file ends with its last tensor or that tensor's padding."""
        if self.fault is not None or None in [tensor.size for tensor in self.tensors]:
            return False
        end = self.data_end
        return self.file_size in {end, padded(end, self.alignment)}

    def text(self, key: str) -> str | None:
        """Return the text at `key`, or None where it is absent, empty, or of another type."""
        field = self.fields.get(key)
        if field is None or field.kind is not ValueType.STRING:
            return None
        return field.value or None

    def integer(self, key: str) -> int | None:
        """Return the whole number at `key`, or None where it is absent, negative, or of another type."""
        field = self.fields.get(key)
        if field is None or field.kind not in INTEGERS or field.value < 0:
            return None
        return int(field.value)

    def items(self, key: str, kinds: frozenset[ValueType]) -> tuple[Any, ...] | None:
        """Return the elements of the array at `key`; None where it is absent, not kept, or of other types."""
        field = self.fields.get(key)
        if field is None or field.item_kind not in kinds or field.value is None:
            return None
        return tuple(field.value)

    def count(self, key: str) -> int | None:
        """Return the number of elements of the array at `key`, or None where there is no array."""
        field = self.fields.get(key)
        return field.length if field is not None and field.kind is ValueType.ARRAY else None

    def finding(
        self, code: str, problem: str, offset: int | None = None, severity: Severity = Severity.ERROR
    ) -> Finding:
        """Make a finding of a problem of this file, at byte `offset`."""
        return Finding(
            code=code, severity=severity, message=f"{self.file}: {problem}", file=self.file, offset=offset
        )
