"""A header as any JSON writer makes it, every member checked as the reference loader checks it.

The text is read through a window and the tensors are kept in columns, so that a header of any length and of
any shape is read in bounded memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf_safetensors.entries import Entries
from modelshelf_safetensors.findings import BoundedFindings, header_fault, shown
from modelshelf_safetensors.layout import LENGTH_BYTES, LONGEST_MEMBER, METADATA, Header, HostileText
from modelshelf_safetensors.text_map import LONGEST_VALUE, TextMap
from modelshelf_safetensors.window import Window

if TYPE_CHECKING:
    from modelshelf_safetensors.window import Fetch

TOGETHER = 1 << 14
"""Characters of members that are looked at together: few enough to lie in a processor's cache."""

_OTHER_VALUES = '"[-0123456789tfn'  # what values begin with that are no objects


def parse_strict(fetch: Fetch, length: int, file: str) -> Header:
    """Read the header of `length` bytes that `fetch` gives by offset and length; `file` names it in messages.

    Raises:
        FormatError: The reference loader refuses it, gaps and overlaps aside, which are findings of
            severity error: all else that such a header says still stands.
        ReadError: What `fetch` raises.
    """
    window = Window(fetch, length, file)
    try:
        return _Reader(window=window, file=file, length=length).read()
    except FormatError:
        # That it is not UTF-8 comes first, wherever it shows.
        window.check_rest()
        raise


@define(kw_only=True)
class _Reader:
    """Goes through the members of a header."""

    window: Window
    file: str
    length: int
    findings: BoundedFindings = field(init=False)
    entries: Entries = field(init=False)
    text_map: TextMap | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.findings = BoundedFindings(self.file)
        self.entries = Entries(file=self.file, findings=self.findings)

    def read(self) -> Header:
        window = self.window
        window.skip_white()
        if window.place:
            self.findings.warn(
                "leading-whitespace", "the header begins with white space where the format wants '{'"
            )
        if not window.take("{"):
            if not any(map(window.next_is, _OTHER_VALUES)):
                raise window.fault_here("Expecting value")
            raise header_fault(self.file, "is not JSON as the format has it: expected an object")
        window.skip_white()
        more = not window.take("}")
        while more:
            members = window.read_members(TOGETHER)
            if members.names:
                self.entries.add(members)
            else:
                self._read_alone()
            more = window.next_member()
        window.skip_white()
        if not window.ended():
            raise window.fault_here("Extra data")
        return self._finish()

    def _read_alone(self) -> None:
        start = self.window.place
        name, whole = self.window.read_key(LONGEST_MEMBER)
        if not whole:
            raise self.window.too_long(name)
        if name != METADATA:
            self.entries.add(self.window.read_member(name, start))
        elif self.text_map is not None:
            raise header_fault(self.file, "holds __metadata__ twice")
        else:
            self.text_map = TextMap(self.findings)
            self._read_metadata(self.text_map, start)

    def _read_metadata(self, text_map: TextMap, start: int) -> None:
        window = self.window
        if not window.take("{"):
            if window.read_member(METADATA, start).values != [None]:
                raise header_fault(self.file, "holds a __metadata__ that is no object")
            self.findings.warn("null-metadata", "__metadata__ is null where the format wants an object")
            return
        window.skip_white()
        more = not window.take("}")
        while more:
            keys, values = window.read_pairs(TOGETHER, LONGEST_VALUE)
            if keys:
                text_map.add(keys, values)
            else:
                self._read_entry(text_map)
            more = window.next_member()

    def _read_entry(self, text_map: TextMap) -> None:
        """Read an entry of ``__metadata__`` that may be of any length."""
        window = self.window
        key, whole_key = window.read_key(LONGEST_VALUE)
        if not window.next_is('"'):
            window.read_member(key, window.place)
            raise header_fault(
                self.file, f"holds a value that is no text in __metadata__, under {shown(key)}"
            )
        value, whole = window.read_text(LONGEST_VALUE)
        (text_map.add if whole and whole_key else text_map.add_long)([key], [value])

    def _finish(self) -> Header:
        tensors, text_map = self.entries.tensors, self.text_map or TextMap(self.findings)
        tensors.drop_repeated(self.findings)
        tensors.find_gaps(LENGTH_BYTES + self.length, self.findings)
        return Header(
            length=self.length,
            names=tensors.names,
            layouts=tensors.layouts,
            begins=tensors.begins,
            ends=tensors.ends,
            metadata=text_map.kept,
            hostile=HostileText(markup=text_map.markup, controls=text_map.controls or self.entries.controls),
            findings=self.findings.all(),
            counts=tensors.counts,
        )
