"""What alone is longer than a window: an entry of a tensor, its shape, all of ``__metadata__``."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from attrs import define, field

from modelshelf_safetensors.described import LOOKED_THROUGH, Description
from modelshelf_safetensors.findings import shown
from modelshelf_safetensors.layout import MOST_U64
from modelshelf_safetensors.reduction import NotJSONError, is_open, letters_of, reduced
from modelshelf_safetensors.skim import WINDOW, go_on, skim_text, skim_value, structural_cut
from modelshelf_safetensors.spelling import cut_at_quotes, decoded, first_other, without_white
from modelshelf_safetensors.strict_json import parse, unescaped
from modelshelf_safetensors.tensor import DEEPEST_FIELD, FIELDS, LONGEST_DTYPE

if TYPE_CHECKING:
    from modelshelf_safetensors.tensor import Placed, TensorReader
    from modelshelf_safetensors.text import HeaderText

LONGEST_NAME = 1 << 20
"""Characters of a name that are kept as they are; no index has a longer one."""

_PAIRS = 1 << 18  # bytes of __metadata__ that are looked at together
_FIELD = 1 << 12  # bytes of a known field's value that are built
_KEYS = tuple(b'"%s"' % one.encode() for one in FIELDS)
_MOST_KEPT = 64  # dimensions of a long shape
_IN_MEMBER = re.compile(rb"\{(?:m,)?k(.*)", re.DOTALL)


@define
class _Text:
    """A text on its way, decoded, and cut where it is longer than `limit`."""

    limit: int
    length: int = 0
    _kept: list[str] = field(factory=list, init=False)
    _digest: Any = field(factory=hashlib.sha256, init=False)

    def take(self, piece: bytes) -> None:
        text = unescaped(piece.decode()) if b"\\" in piece else piece.decode()
        if self.length <= self.limit:
            self._kept.append(text[: self.limit + 1 - self.length])
        self._digest.update(text.encode())
        self.length += len(text)

    @property
    def begin(self) -> str:
        return "".join(self._kept)[: self.limit]

    @property
    def name(self) -> str:
        """The text; of a longer one the beginning, and a digest that tells it from others."""
        return self.begin if self.length <= self.limit else f"{self.begin[:100]}… {self._digest.hexdigest()}"


def read_text(text: HeaderText, limit: int = LONGEST_NAME) -> _Text:
    """Read the text that begins here at its quote.

    Raises:
        NotJSONError: There is none, or it is not sound.
    """
    if text.next != b'"':
        raise NotJSONError("Expecting property name enclosed in double quotes", text.base)
    told = _Text(limit)
    skim_text(text, told.take)
    return told


def read_key(text: HeaderText) -> str:
    """Read a member's key, and go on to its value."""
    name = read_text(text).name
    expect(text, b":")
    text.skip_white()
    return name


def expect(text: HeaderText, letter: bytes) -> None:
    """Go past white space and one letter.

    Raises:
        NotJSONError: Another stands there.
    """
    text.skip_white()
    if text.next != letter:
        raise NotJSONError(f"Expecting '{letter.decode()}' delimiter", text.base)
    text.drop(1)


def goes_on(text: HeaderText, closing: bytes = b"}") -> bool:
    """Go past the comma to the next member, or past the end of the object.

    Raises:
        NotJSONError: There is neither.
    """
    text.skip_white()
    if text.next == closing:
        text.drop(1)
        return False
    expect(text, b",")
    text.skip_white()
    return True


def read_long_metadata(text: HeaderText, tensors: TensorReader) -> Description:
    """Read ``__metadata__``, whose value begins here with its brace.

    Raises:
        NotJSONError: It is not JSON.
        FormatError: One of its values is no text.
    """
    told = Description()
    text.drop(1)
    text.skip_white()
    if text.next == b"}":
        text.drop(1)
        return told
    window = _PAIRS
    while True:
        text.fill(window)
        if taken := _add_pairs(bytes(text.held[:window]), told):
            text.drop(taken)
            window = _PAIRS
            continue
        if window > WINDOW // 16:
            window //= 8
            continue
        window = _PAIRS
        key = read_key(text)
        if text.next != b'"':
            skim_value(text, DEEPEST_FIELD)
            tensors.refuse(f"holds a value that is no text in __metadata__, under {shown(key)}")
        # What is looked for in a value is looked for in its beginning.
        value = read_text(text, LOOKED_THROUGH).begin
        told.add([key.encode()], [value.encode()])
        if not goes_on(text):
            told.finish(tensors.findings)
            return told


def _add_pairs(window: bytes, told: Description) -> int:
    """Add the pairs that are whole in a window, which begins at a key's quote; give the bytes they take."""
    whole = cut_at_quotes(window)
    outside = without_white(whole[::2])
    if len(outside) < len(("", ":", ",", "")):
        return 0
    count = (len(whole) - 2) // 4
    count = min(
        first_other(outside[1 : 2 * count : 2], b":"), first_other(outside[2 : 2 * count + 1 : 2], b",")
    )
    if not count:
        return 0
    keys, values = decoded(whole[1 : 4 * count : 4]), decoded(whole[3 : 4 * count : 4])
    if keys is None or values is None:
        return 0
    told.add(keys, values)
    left = whole[4 * count + 1 :]
    return len(window) - sum(map(len, left)) - len(left)


def read_long_tensor(text: HeaderText, name: str, tensors: TensorReader) -> Placed:
    """Read a tensor's entry, which begins here.

    Raises:
        NotJSONError: It is not JSON.
        FormatError: The reference loader refuses it.
    """
    if text.next == b"{":
        told = _fields(text, name, tensors)
    elif text.next == b"[":
        told = _array(text, name, tensors)
        tensors.note_form(name)
    else:
        skim_value(text, DEEPEST_FIELD)
        tensors.refuse_tensor(name, "it is no object")
    return tensors.placed(name, told)


def _array(text: HeaderText, name: str, tensors: TensorReader) -> dict[str, Any]:
    text.drop(1)
    told: dict[str, Any] = {}
    more = True
    for key in FIELDS:
        if not more:
            tensors.refuse_tensor(name, "it is no object")
        text.skip_white()
        told[key] = _value(text, key, name, tensors)
        more = goes_on(text, b"]")
    if more:
        tensors.refuse_tensor(name, "it is no object")
    return told


def _fields(text: HeaderText, name: str, tensors: TensorReader) -> dict[str, Any]:
    text.drop(1)
    text.skip_white()
    told: dict[str, Any] = {}
    unknown = False
    more = text.next != b"}"
    if not more:
        text.drop(1)
    window = WINDOW
    while more:
        if unknown:
            skimmed = _skim_fields(text, window)
            if skimmed is not None:
                more, window = skimmed, WINDOW
                continue
            if window > WINDOW // 64:
                window //= 8
                continue
        key = read_key(text)
        if key in told:
            tensors.refuse_tensor(name, f"it has two {key}")
        if key in FIELDS:
            told[key] = _value(text, key, name, tensors)
        else:
            skim_value(text, DEEPEST_FIELD)
            if not unknown:
                tensors.note_unknown_field(name, key)
                unknown = True
        more = goes_on(text)
    tensors.check_fields(name, told)
    return told


def _skim_fields(text: HeaderText, window: int) -> bool | None:
    """Step over fields of no known meaning, as far as a window shows them.

    Returns:
        Whether a field follows; None where the window shows none that can be stepped over.
    """
    text.fill(window)
    piece = bytes(text.held[:window])
    known = min((at for key in _KEYS if (at := piece.find(key)) >= 0), default=len(piece))
    piece = piece[:known]
    if b"\\" in piece or not (cut := structural_cut(piece)):
        return None
    letters, levels = reduced(b"{" + letters_of(piece[:cut]))
    if levels >= DEEPEST_FIELD or not letters.startswith(b"{") or not is_open(letters):
        return None
    value = _IN_MEMBER.fullmatch(letters)
    if letters == b"{m,":
        text.drop(cut)
        text.skip_white()
        return True
    if value is None:
        return None
    text.drop(cut)
    text.skip_white()
    if value[1]:
        go_on(text, value[1], DEEPEST_FIELD)
    else:
        skim_value(text, DEEPEST_FIELD)
    return goes_on(text)


def _value(text: HeaderText, key: str, name: str, tensors: TensorReader) -> Any:
    """A field's value, built where it is short; of a long shape what matters of it."""
    if key == "shape" and text.next == b"[":
        return _shape(text, name, tensors)
    text.fill(_FIELD)
    short = bytes(text.held[:_FIELD])
    before = text.base
    skim_value(text, DEEPEST_FIELD)
    taken = text.base - before
    if taken > len(short):
        what = (
            f"is longer than any of {LONGEST_DTYPE} characters" if key == "dtype" else "are no two integers"
        )
        tensors.refuse_tensor(name, f"its {key} {what}")
    return parse(short[:taken].decode())


def _shape(text: HeaderText, name: str, tensors: TensorReader) -> list[int]:
    """A shape of any number of dimensions: those that decide about its elements, and how the others begin."""
    text.drop(1)
    kept: list[int] = []
    elements, begun = 1, False
    while True:
        text.skip_white()
        text.fill(WINDOW)
        piece = bytes(text.held[:WINDOW])
        end = piece.find(b"]")
        cut = end if end >= 0 else piece.rfind(b",") + 1
        if not cut and end < 0:
            raise NotJSONError("Expecting ',' delimiter", text.base)
        letters, _ = reduced(b"[" + letters_of(piece[: cut if end < 0 else end + 1]))
        squeezed = b"".join(piece[:cut].split())
        if letters != (b"v" if end >= 0 else b"[v,") or (begun and not squeezed):
            raise NotJSONError("Expecting value", text.base + cut)
        begun = True
        numbers = squeezed.removesuffix(b",").split(b",") if squeezed else []
        elements = _multiplied(elements, numbers, kept, name, tensors)
        text.drop(cut)
        if end >= 0:
            text.drop(1)
            return kept


def _multiplied(
    elements: int, numbers: list[bytes], kept: list[int], name: str, tensors: TensorReader
) -> int:
    distinct = set(numbers)
    if not all(one.isdigit() and len(one) <= len(str(MOST_U64)) and int(one) <= MOST_U64 for one in distinct):
        tensors.refuse_tensor(name, "its shape is no array of integers of 0 to 2^64 - 1")
    if distinct == {b"1"}:
        numbers = numbers[:_MOST_KEPT]
    elif len(kept) >= _MOST_KEPT:
        numbers = [one for one in numbers if one != b"1"]
    for one in numbers:
        if not elements and len(kept) >= _MOST_KEPT:
            break
        dimension = int(one)
        if dimension != 1 or len(kept) < _MOST_KEPT:
            kept.append(dimension)
        elements *= dimension
        if elements > MOST_U64:
            tensors.refuse_tensor(name, "its elements cannot be counted in 64 bits", "size-overflow")
    return elements
