"""The header's text as any JSON writer makes it, checked member by member."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field

from modelshelf_safetensors.cover import find_gaps
from modelshelf_safetensors.described import note_repeated_key
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.layout import LENGTH_BYTES, METADATA, Header, Layout
from modelshelf_safetensors.strict_json import Members, members_of, value_at
from modelshelf_safetensors.tensor import Placed, TensorReader


def parse_json(text: str, length: int, file: str) -> Header:
    """Read the text of a header of `length` bytes; `file` names it in messages and findings.

    Raises:
        FormatError: The reference loader refuses it, gaps and overlaps aside, which are findings of
            severity error: all else that such a header says still stands.
    """
    findings = BoundedFindings(file)
    tensors = TensorReader(file=file, findings=findings)
    table = _Table(length=length, findings=findings, tensors=tensors)
    try:
        for name, quick, begin, end in members_of(text):
            if name == METADATA:
                table.add_metadata(value_at(text, begin))
                continue
            # A minus is hidden from a quick look: -0 is no integer of the format's, and 0 of Python's.
            placed = tensors.plain(name, quick) if text.find("-", begin, end) < 0 else None
            table.place(name, placed or tensors.strict(name, value_at(text, begin)))
    except json.JSONDecodeError as error:
        at = LENGTH_BYTES + len(text[: error.pos].encode())
        tensors.refuse(f"is not JSON at byte {at}: {error.msg}", offset=at)
    except ValueError as error:
        tensors.refuse(f"is not JSON as the format has it: {error}")
    if not text.startswith("{"):
        warn_of_white_space(findings)
    return table.finished()


def warn_of_white_space(findings: BoundedFindings) -> None:
    """Say that the object is not the first thing in the header."""
    findings.warn("leading-whitespace", "the header begins with white space where the format wants '{'")


def metadata_of(value: Any, tensors: TensorReader) -> list[tuple[str, str]]:
    """The entries of ``__metadata__``, of which `value` is what `strict_json.value_at` gives.

    Raises:
        FormatError: It is neither null nor an object of texts.
    """
    if value is None:
        tensors.findings.warn("null-metadata", "__metadata__ is null where the format wants an object")
        return []
    if not isinstance(value, Members):
        tensors.refuse("holds a __metadata__ that is no object")
    for key, text in value:
        if not isinstance(text, str):
            tensors.refuse(f"holds a value that is no text in __metadata__, under {shown(key)}")
    return value


@define(kw_only=True)
class _Table:
    """A header on its way: columns, and the row of each name; the last of equal names stands."""

    length: int
    findings: BoundedFindings
    tensors: TensorReader
    rows: dict[str, int] = field(factory=dict)
    columns: tuple[list[Layout], list[int], list[int]] = field(factory=lambda: ([], [], []))
    metadata: dict[str, str] = field(factory=dict)
    seen_metadata: bool = False

    def add_metadata(self, value: Any) -> None:
        if self.seen_metadata:
            self.tensors.refuse("holds __metadata__ twice")
        self.seen_metadata = True
        self.metadata = {}
        for key, text in metadata_of(value, self.tensors):
            if key in self.metadata:
                note_repeated_key(key, self.findings)
            self.metadata[key] = text

    def place(self, name: str, placed: Placed) -> None:
        layout, begin, end = placed
        row = self.rows.setdefault(name, len(self.rows))
        layouts, begins, ends = self.columns
        if row < len(layouts):
            self.tensors.note_repeated(name)
            layouts[row], begins[row], ends[row] = layout, begin, end
            return
        layouts.append(layout)
        begins.append(begin)
        ends.append(end)

    def finished(self) -> Header:
        layouts, begins, ends = self.columns
        names = list(self.rows)
        find_gaps(names, begins, ends, LENGTH_BYTES + self.length, self.findings)
        return Header(
            length=self.length,
            names=names,
            layouts=layouts,
            begins=begins,
            ends=ends,
            metadata=self.metadata,
            findings=self.findings.all(),
        )
