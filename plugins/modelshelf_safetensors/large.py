"""Headers of a megabyte and more, read in bounded memory: a window at a time, and columns instead of objects.

What it gives of a header is what `from_json` gives, but for the dimensions of a shape of more than 64 and the
entries of ``__metadata__`` that nothing uses. It refuses what that refuses; of several faults, and within an
entry that is stepped over, it may name another. Most of the text is read by whole columns (`regular`);
an entry that is spelled otherwise is read alone, by the means of `from_json`; what is too long to be built at
once is stepped over (`skim`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf_safetensors.from_json import warn_of_white_space
from modelshelf_safetensors.giant import goes_on, read_key, read_long_metadata, read_long_tensor
from modelshelf_safetensors.kinds import Kind, Rows
from modelshelf_safetensors.layout import LENGTH_BYTES, METADATA, Header
from modelshelf_safetensors.mixed import read_mixed
from modelshelf_safetensors.reduction import NotJSONError
from modelshelf_safetensors.regular import RegularReader
from modelshelf_safetensors.skim import skim_value
from modelshelf_safetensors.strict_json import due_here, member_at, skip_white, value_at
from modelshelf_safetensors.table import Table
from modelshelf_safetensors.tensor import DEEPEST_FIELD
from modelshelf_safetensors.text import HeaderText

if TYPE_CHECKING:
    from modelshelf_safetensors.text import Fetch

_WINDOW = 1 << 18
_SMALLEST = 1 << 12
_SHORT = 1 << 14
_LONGEST_MEMBER = 1 << 17
"""Bytes of a tensor's entry that are read as one."""

_NEAR_END = 16  # characters from the end of a window at which a fault may be the window's alone
_MOST_ALONE = 512
_FEW = 8
_MOST_KINDS = 1 << 14
_VALUE = b'"[-0123456789tfn'  # what a value begins with that is no object


def parse_large(fetch: Fetch, length: int, file: str) -> Header:
    """Read the header of `length` bytes that `fetch` gives; `file` names it in messages and findings.

    Raises:
        FormatError: As `from_json.parse_json`, or it is not UTF-8.
        ReadError: What `fetch` raises.
    """
    text = HeaderText(fetch, length, file)
    reader = _Reader(text=text, table=Table(file=file, length=length))
    try:
        return reader.read()
    except FormatError:
        text.check_rest()
        raise


@define(kw_only=True)
class _Reader:
    """Goes through the members, by columns where it can."""

    text: HeaderText
    table: Table
    _regular: RegularReader = field(init=False)
    _window: int = _WINDOW
    _kinds: dict[bytes, Kind] = field(factory=dict)
    _alone: int = 1  # entries that are read one by one before columns are tried again

    def __attrs_post_init__(self) -> None:
        self._regular = RegularReader(self.table.tensors.unknown_dtypes)

    def read(self) -> Header:
        text = self.text
        try:
            text.skip_white()
            if text.base:
                warn_of_white_space(self.table.findings)
            if text.next != b"{":
                self._refuse_other()
            text.drop(1)
            text.skip_white()
            if text.next == b"}":
                text.drop(1)
            else:
                while self._members():
                    pass
            text.skip_white()
        except NotJSONError as error:
            if error.at is not None:
                self._refuse_at(error.at, str(error))
            self.table.tensors.refuse(f"is not JSON as the format has it: {error}")
        if text.held:
            self._refuse_at(text.base, "Extra data")
        return self.table.finished()

    def _refuse_at(self, place: int, what: str) -> NoReturn:
        at = LENGTH_BYTES + place
        self.table.tensors.refuse(f"is not JSON at byte {at}: {what}", offset=at)

    def _refuse_other(self) -> NoReturn:
        """Refuse what is no object: that it is not JSON at all, where this shows early."""
        if not self.text.next or self.text.next not in _VALUE:
            self._refuse_at(self.text.base, "Expecting value")
        self.table.tensors.refuse("is not JSON as the format has it: expected an object")

    def _members(self) -> bool:
        """Read some members, from a key on; whether another follows."""
        text, table = self.text, self.table
        text.skip_white()
        text.fill(self._window)
        due = table.ends[-1] if table.ends else 0
        window = bytes(text.held[: self._window])
        told = self._regular.read(window, due) if window.startswith(b'"') else None
        if told is None or len(told[0].names) <= _FEW:
            told = self._mixed(window) or told
        if told is None:
            if self._window > _SMALLEST and len(text.held) > _SMALLEST:
                self._window //= 8
                return True
            count, self._alone = self._alone, min(2 * self._alone, _MOST_ALONE)
            return self._one_by_one(count)
        rows, taken = told
        table.add_rows(rows)
        text.drop(taken)
        self._window = min(_WINDOW, self._window * 2) if 2 * taken > self._window else max(_SMALLEST, taken)
        if len(rows.names) > _FEW:
            self._alone = 1
            return True
        self._alone = min(2 * self._alone, _MOST_ALONE)
        return self._one_by_one(self._alone)

    def _mixed(self, window: bytes) -> tuple[Rows, int] | None:
        """Entries that are not spelled alike; fields of no known meaning only where they are but counted."""
        told = read_mixed(window, self._kinds) if window.startswith(b'"') else None
        if len(self._kinds) > _MOST_KINDS:
            self._kinds.clear()
        if told is None or (told[0].with_unknown and self.table.findings.left("unknown-tensor-field")):
            return None
        return told

    def _one_by_one(self, count: int) -> bool:
        """Read some members one after the other, as `from_json` does; whether another follows."""
        limit = _SHORT
        while True:
            self.text.fill(limit)
            last = self.text.ended and limit >= len(self.text.held)
            text = self.text.decoded(limit)
            done, more = self._from(text, count, last=last)
            if done:
                self.text.drop(len(text[:done].encode()))
                return more
            if last or limit >= _LONGEST_MEMBER:
                return self._long()
            limit *= 8

    def _from(self, text: str, count: int, *, last: bool) -> tuple[int, bool]:
        """Read members from a text; how far this came, and whether another follows.

        Nothing was read where the first member may go on after the text.
        """
        at = 0
        for _ in range(count):
            try:
                name, quick, begin, end = member_at(text, at)
                end = skip_white(text, end)
                if end == len(text) and not last:
                    return at, True
                self._add(name, quick, text, begin, end)
                due_here(text, end, ",}")
            except json.JSONDecodeError as error:
                if not last and (error.pos >= len(text) - _NEAR_END or error.msg.startswith("Unterminated")):
                    return at, True
                place = self.text.base + len(text[: error.pos].encode())
                self._refuse_at(place, error.msg)
            except ValueError as error:
                self.table.tensors.refuse(f"is not JSON as the format has it: {error}")
            at = skip_white(text, end + 1)
            if text[end] == "}":
                return at, False
        return at, True

    def _add(self, name: str, quick: Any, text: str, begin: int, end: int) -> None:
        tensors = self.table.tensors
        if name == METADATA:
            self.table.describe(value_at(text, begin))
            return
        # A minus is hidden from a quick look: -0 is no integer of the format's, and 0 of Python's.
        placed = tensors.plain(name, quick) if text.find("-", begin, end) < 0 else None
        self.table.add(name, *(placed or tensors.strict(name, value_at(text, begin))))

    def _long(self) -> bool:
        """Read a member that is too long to be built; whether another follows."""
        name = read_key(self.text)
        tensors = self.table.tensors
        if name != METADATA:
            self.table.add(name, *read_long_tensor(self.text, name, tensors))
        elif self.text.next == b"{":
            self.table.expect_metadata()
            self.table.description = read_long_metadata(self.text, tensors)
        else:
            skim_value(self.text, DEEPEST_FIELD)
            tensors.refuse("holds a __metadata__ that is no object")
        return goes_on(self.text)
