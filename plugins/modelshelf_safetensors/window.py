"""The JSON text of a header of any length, read member by member through a window.

The text is fetched and decoded piece by piece and dropped as soon as it is read: what is in memory at once is
a piece, or a member of at most `LONGEST_MEMBER` characters. A text of ``__metadata__`` may be longer; it is
then stepped over.
"""

from __future__ import annotations

import codecs
import json
import re
from operator import sub
from typing import TYPE_CHECKING, Any

from attrs import define, field

from modelshelf.errors import FormatError
from modelshelf_safetensors.findings import header_fault, shown
from modelshelf_safetensors.layout import LENGTH_BYTES, LONGEST_MEMBER, METADATA
from modelshelf_safetensors.strict_json import TEXT, parse_at, scan, scan_text, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fetch = Callable[[int, int], bytes]

PIECE = 1 << 18
"""Bytes that are fetched at a time."""

_SLACK = 64  # characters; more than those before a cut that may be read otherwise than the whole text

_SPACE = r"[ \t\n\r]*+"
_SPACES = re.compile(_SPACE)
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_TEXT = re.compile(TEXT)
# What most writers put there is tried first, which saves a third of a key's time.
_COLON = rf"(?::(?![ \t\n\r])|{_SPACE}:{_SPACE})"
_COMMA = rf"(?:,|{_SPACE},{_SPACE})"
_KEY = re.compile(rf'"({TEXT})"{_COLON}')
_NEXT_KEY = re.compile(rf'{_COMMA}"({TEXT})"{_COLON}')
_PAIR = re.compile(rf'"({TEXT})"{_COLON}"({TEXT})"')
_NEXT_PAIR = re.compile(rf'{_COMMA}"({TEXT})"{_COLON}"({TEXT})"')


@define
class Members:
    """Consecutive members of an object.

    Attributes:
        text: What they were read from.
        names: Their keys.
        values: What `strict_json.scan` gives of their values.
        begins: Where in `text` their values begin.
        ends: Where they end.
    """

    text: str
    names: list[str] = field(factory=list)
    values: list[Any] = field(factory=list)
    begins: list[int] = field(factory=list)
    ends: list[int] = field(factory=list)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where in the text each value begins and ends."""
        return zip(self.begins, self.ends, strict=True)

    def drop_others(self, start: int) -> None:
        """Drop the members from the first on that is ``__metadata__`` or too long, and unescape the keys.

        `start` is where the first key begins.
        """
        if self.text.find("\\", start, self.ends[-1]) >= 0:
            self.names[:] = map(unescape, self.names)
        count = self.names.index(METADATA) if METADATA in self.names else len(self.names)
        if self.ends[-1] - start > LONGEST_MEMBER:
            lengths = map(sub, self.ends[:count], [start, *self.ends])
            count = next((row for row, one in enumerate(lengths) if one > LONGEST_MEMBER), count)
        for column in (self.names, self.values, self.begins, self.ends):
            del column[count:]


class Window:
    """Reads the text of a header from its beginning to its end.

    Args:
        fetch: Gives so many bytes of the header from an offset on.
        length: Bytes of the header.
        file: The file's name for messages.

    Attributes:
        text: The part of it that is in memory.
        at: The position in `text` of the next character.
    """

    def __init__(self, fetch: Fetch, length: int, file: str) -> None:
        self.text = ""
        self.at = 0
        self._fetch = fetch
        self._length = length
        self._file = file
        self._fetched = 0
        self._characters_before = 0
        self._bytes_before = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    @property
    def place(self) -> int:
        """The position of the next character in the whole text."""
        return self._characters_before + self.at

    @property
    def offset(self) -> int:
        """The byte of the file where the next character is."""
        return self._offset(self.at)

    def ended(self) -> bool:
        """Whether nothing is left."""
        return not self._fill(1)

    def fault_here(self, what: str) -> FormatError:
        """The error of a next character that JSON does not allow."""
        return self._not_json(what, self.offset)

    def check_rest(self) -> None:
        """Fetch what is left, only to check that it is UTF-8.

        Raises:
            FormatError: It is not.
        """
        while not self._all_fetched:
            self._next_piece()

    def skip_white(self) -> None:
        """Skip white space of any length."""
        while self._fill(1):
            match = _SPACES.match(self.text, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.text):
                return

    def take(self, letter: str) -> bool:
        """Skip one letter if it comes next; whether it did."""
        found = self.next_is(letter)
        self.at += found
        return found

    def next_is(self, letter: str) -> bool:
        """Whether this letter comes next."""
        self._fill(1)
        return self.text.startswith(letter, self.at)

    def next_member(self) -> bool:
        """Skip to the key of the next member of an object, or past its closing brace; whether there is one.

        Raises:
            FormatError: Neither comes next.
        """
        self.skip_white()
        if self.take("}"):
            return False
        self._expect(",")
        self.skip_white()
        return True

    def read_members(self, most: int) -> Members:
        """Read members, from a key on.

        Args:
            most: Characters after which no further one is begun.

        Returns:
            Those before the first that has to be read alone: ``__metadata__``, one that is too long, one with
            a fault, which is then reported, or one after white space longer than the window.
        """
        self._fill(LONGEST_MEMBER + _SLACK)
        text, start = self.text, self.at
        stop = min(start + most, len(text) - (0 if self._all_fetched else LONGEST_MEMBER + _SLACK))
        members = Members(text)
        names, values, begins, ends = members.names, members.values, members.begins, members.ends
        key = _KEY.match(text, start)
        try:
            while key is not None:
                begin = key.end()
                value, end = scan(text, begin)
                names.append(key[1])
                values.append(value)
                begins.append(begin)
                ends.append(end)
                if end >= stop:
                    break
                key = _NEXT_KEY.match(text, end)
        except (ValueError, StopIteration, RecursionError):
            pass  # the fault is named when this member is read alone
        if names:
            members.drop_others(start)
        if ends:
            self.at = ends[-1]
        return members

    def read_pairs(self, most: int, longest: int) -> tuple[list[str], list[str]]:
        """Read members whose values are texts, from a key on; give keys and values.

        Args:
            most: As in `read_members`.
            longest: Characters of a member; a longer one has to be read alone.
        """
        self._fill(_SLACK)
        text, at, stop = self.text, self.at, self.at + most
        keys: list[str] = []
        values: list[str] = []
        pair = _PAIR.match(text, at)
        while pair is not None and pair.end() - pair.start(1) <= longest:
            keys.append(pair[1])
            values.append(pair[2])
            at = pair.end()
            if at >= stop:
                break
            pair = _NEXT_PAIR.match(text, at)
        if text.find("\\", self.at, at) >= 0:
            keys, values = list(map(unescape, keys)), list(map(unescape, values))
        self.at = at
        return keys, values

    def read_key(self, longest: int) -> tuple[str, bool]:
        """Read a member's key, and skip to its value; the result is that of `read_text`.

        Raises:
            FormatError: There is no key that is valid JSON.
        """
        key = self.read_text(longest, "Expecting property name enclosed in double quotes")
        self._expect(":")
        self.skip_white()
        return key

    def read_text(self, longest: int, missing: str = "Expecting value") -> tuple[str, bool]:
        """Read a text of any length.

        Args:
            longest: Characters, as it is spelled, of a text that is given whole.
            missing: What the error says where no text comes next.

        Returns:
            The text or, if it is longer, its beginning; and whether it is whole.

        Raises:
            FormatError: There is no text that is valid JSON.
        """
        begin = self.offset
        if not self.take('"'):
            raise self._not_json(missing, begin)
        self._fill(longest + _SLACK)
        match = _TEXT.match(self.text, self.at, self.at + longest)
        text = unescape(match[0]) if match else ""
        self.at = match.end() if match else self.at
        whole = self.text.startswith('"', self.at)
        while not self.text.startswith('"', self.at):
            self._fill(_SLACK)
            match = _TEXT.match(self.text, self.at)
            stop = match.end() if match else self.at
            if stop == self.at and not self.text.startswith('"', stop):
                raise self._text_fault(begin)
            self.at = stop
        self.at += 1
        return text, whole

    def read_member(self, name: str, start: int) -> Members:
        """Read the value of one member with `parse_at`.

        Args:
            name: Its key.
            start: The `place` where it begins.

        Raises:
            FormatError: It is not valid JSON, or too long.
        """
        self._fill(LONGEST_MEMBER + _SLACK)
        begin, longest = self.at, start + LONGEST_MEMBER - self._characters_before
        text = self.text[: longest + _SLACK]  # so that what is wrong does not depend on the window
        try:
            value, end = parse_at(text, begin)
        except json.JSONDecodeError as error:
            endless = error.msg.startswith("Unterminated") and len(text) > longest
            if endless or error.pos >= longest:
                raise self.too_long(name) from None
            raise self._not_json(error.msg, self._offset(error.pos)) from None
        except ValueError as error:
            raise header_fault(self._file, f"is not JSON as the format has it: {error}") from None
        if end > longest:
            raise self.too_long(name)
        self.at = end
        return Members(text, [name], [value], [begin], [end])

    def too_long(self, name: str) -> FormatError:
        """The error of a member that is longer than `LONGEST_MEMBER`."""
        return header_fault(
            self._file,
            f"is not judged: its entry {shown(name)} has more than {LONGEST_MEMBER} characters, which no"
            " writer's has",
            "long-tensor-entry",
        )

    def _expect(self, letter: str) -> None:
        self.skip_white()
        if not self.take(letter):
            raise self.fault_here(f"Expecting '{letter}' delimiter")

    def _not_json(self, what: str, offset: int) -> FormatError:
        return header_fault(self._file, f"is not JSON at byte {offset}: {what}", offset=offset)

    def _text_fault(self, begin: int) -> FormatError:
        """The error of a next character that the text begun at byte `begin` of the file cannot have."""
        if _HALF_PAIR.match(self.text, self.at):
            what = "is not JSON as the format has it: an escape holds half of a surrogate pair"
            return header_fault(self._file, what)
        try:
            scan_text(self.text, self.at, True)  # noqa: FBT003 - positional only
        except json.JSONDecodeError as error:
            endless = error.msg.startswith("Unterminated")
            return self._not_json(error.msg, begin if endless else self._offset(error.pos))
        raise AssertionError("a text that is sound")

    def _offset(self, at: int) -> int:
        return LENGTH_BYTES + self._bytes_before + len(self.text[:at].encode())

    @property
    def _all_fetched(self) -> bool:
        return self._fetched == self._length

    def _fill(self, least: int) -> bool:
        """Fetch until so many characters are in memory, or all that are left; whether there are any."""
        if len(self.text) - self.at < least and not self._all_fetched:
            read = self.text[: self.at]
            self._characters_before += len(read)
            self._bytes_before += len(read.encode())
            pieces = [self.text[self.at :]]
            missing = least - len(pieces[0])
            while missing > 0 and not self._all_fetched:
                pieces.append(self._next_piece())
                missing -= len(pieces[-1])
            self.text, self.at = "".join(pieces), 0
        return self.at < len(self.text)

    def _next_piece(self) -> str:
        length = min(PIECE, self._length - self._fetched)
        piece = self._fetch(self._fetched, length)
        waiting = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(piece, self._fetched + length == self._length)
        except UnicodeDecodeError as error:
            offset = LENGTH_BYTES + self._fetched - waiting + error.start
            raise FormatError(
                f"{self._file}: the header is not UTF-8 at byte {offset}; fetch the file again",
                code="malformed-header",
                file=self._file,
                offset=offset,
            ) from None
        self._fetched += length
        return text
