"""A long header on its way, in columns."""

from __future__ import annotations

from array import array
from itertools import compress
from typing import TYPE_CHECKING, Any

from attrs import define, field

from modelshelf.model import Severity
from modelshelf_safetensors.compact import Layouts, Names, all_distinct, kind_of, repeated
from modelshelf_safetensors.cover import find_gaps
from modelshelf_safetensors.described import Description
from modelshelf_safetensors.findings import MOST_NAMED, BoundedFindings
from modelshelf_safetensors.from_json import metadata_of
from modelshelf_safetensors.layout import LENGTH_BYTES, Header, Layout
from modelshelf_safetensors.spelling import decoded
from modelshelf_safetensors.tensor import TensorReader

if TYPE_CHECKING:
    from modelshelf_safetensors.kinds import Rows

_MOST_ALONE = 512


@define(kw_only=True)
class Table:
    """A header on its way, in columns."""

    file: str
    length: int
    names: Names = field(factory=Names)
    layouts: Layouts = field(factory=Layouts)
    begins: array[int] = field(factory=lambda: array("Q"))
    ends: array[int] = field(factory=lambda: array("Q"))
    hashes: array[int] = field(factory=lambda: array("q"))
    description: Description | None = None
    seen_metadata: bool = False
    tally: dict[str, tuple[int, int]] = field(factory=dict)
    tensors: TensorReader = field(init=False)
    findings: BoundedFindings = field(init=False)
    _waiting: list[tuple[bytes, Layout]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.findings = BoundedFindings(self.file)
        self.tensors = TensorReader(file=self.file, findings=self.findings)

    def add_rows(self, rows: Rows) -> None:
        """Add tensors that were read together."""
        self.flush()
        self._note(rows)
        self.names.add(rows.names)
        self.layouts.add(rows.kinds)
        self.hashes.extend(map(hash, rows.names))
        self.begins += rows.begins
        self.ends += rows.ends
        for tensors, dtype, elements in rows.counts:
            self._count(dtype, tensors, elements)

    def _count(self, dtype: str, tensors: int, elements: int) -> None:
        before = self.tally.get(dtype, (0, 0))
        self.tally[dtype] = before[0] + tensors, before[1] + elements

    def _note(self, rows: Rows) -> None:
        """Tell of fields of no known meaning, and of odd spelling, row by row while there is room."""
        count = len(rows.names)
        if rows.with_unknown:
            named = min(len(rows.unknown), self.findings.left("unknown-tensor-field"))
            keys = decoded(rows.unknown[:named]) if named else None
            for name, key in zip(rows.names, keys or (), strict=False):
                self.tensors.note_unknown_field(name.decode(), key.decode())
            self.findings.count_warnings("unknown-tensor-field", rows.with_unknown - named)
        if rows.odd:
            named = min(count, self.findings.left("unusual-tensor-form"))
            for name in rows.names[:named]:
                self.tensors.note_form(name.decode())
            self.findings.count("unusual-tensor-form", Severity.INFO, count - named)

    def add(self, name: str, layout: Layout, begin: int, end: int) -> None:
        """Add one tensor."""
        row = name.encode()
        self._waiting.append((row, layout))
        self.begins.append(begin)
        self.ends.append(end)
        self._count(layout.dtype, 1, layout.elements)
        if len(self._waiting) == _MOST_ALONE:
            self.flush()

    def flush(self) -> None:
        """Put the tensors that were added one by one where the others are."""
        if self._waiting:
            names = [name for name, _ in self._waiting]
            self.names.add(names)
            self.hashes.extend(map(hash, names))
            self.layouts.add([kind_of(layout) for _, layout in self._waiting])
            self._waiting.clear()

    def expect_metadata(self) -> None:
        """Note that ``__metadata__`` comes.

        Raises:
            FormatError: It came before.
        """
        if self.seen_metadata:
            self.tensors.refuse("holds __metadata__ twice")
        self.seen_metadata = True

    def describe(self, value: Any) -> None:
        """Take in ``__metadata__``, whole."""
        self.expect_metadata()
        told = metadata_of(value, self.tensors)
        self.description = Description()
        if told:
            keys, values = zip(*((key.encode(), text.encode()) for key, text in told), strict=True)
            self.description.add(list(keys), list(values))
            self.description.finish(self.findings)

    def finished(self) -> Header:
        """The header of all that was added."""
        self.flush()
        self._leave_last()
        self.hashes = array("q")
        find_gaps(self.names, self.begins, self.ends, LENGTH_BYTES + self.length, self.findings)
        description = self.description or Description()
        return Header(
            length=self.length,
            names=self.names,
            layouts=self.layouts,
            begins=self.begins,
            ends=self.ends,
            metadata=description.kept,
            tally=self.tally,
            hostile=description.hostile,
            findings=self.findings.all(),
        )

    def _leave_last(self) -> None:
        """Of tensors of one name leave the last, in the place of the first."""
        if all_distinct(self.hashes):
            return
        told = repeated(self.hashes, MOST_NAMED)
        for row in told.first:
            self.tensors.note_repeated(self.names[row])
        self.findings.count_warnings("duplicate-tensor", told.count - len(told.first))
        moved = dict(zip(*told.standing, strict=True))
        for first, last in moved.items():
            self.begins[first], self.ends[first] = self.begins[last], self.ends[last]
        self.layouts.move(moved)
        for column in (self.names, self.layouts):
            column.keep(told.kept)
        self.begins = array("Q", compress(self.begins, told.kept))
        self.ends = array("Q", compress(self.ends, told.kept))
        self.tally.clear()
        for layout, times in self.layouts.counts():
            self._count(layout.dtype, times, times * layout.elements)
