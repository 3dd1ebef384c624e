"""Whether a long run of JSON is sound, told by rewriting it: nothing is built of it.

Python's `json` builds every value, at 50 bytes and more for one that takes two in the text. Here a piece of
text is rewritten as a whole, by what `bytes` does at the speed of memory: texts, numbers and words become one
letter each, then members and arrays their innermost first, until nothing more can be taken together. What is
left of a sound piece are the arrays and objects that are still open, a few letters, to which the next piece
is joined: ``[v,{m,k[`` is an array that has a value, an object in it that has a member, a key, an array.
"""

from __future__ import annotations

import math
import re

_WHITE = b" \t\n\r"
_SPACES = bytes.maketrans(_WHITE, b"    ")
_SCALAR = b"0123456789+-.eEtrufalsn"
_AS_SCALAR = bytes.maketrans(_SCALAR, b"a" * len(_SCALAR))
_ONES = bytes.maketrans(b"23456789E", b"11111111e")
_DIGITS_ALIKE = bytes.maketrans(b"0", b"1")
_VALUES = bytes.maketrans(b"1234#", b"vvvvv")
_BEFORE_NUMBER = bytes.maketrans(b"[:-", b",,,")
_BARE = b'{}[]:,"0123456789'
_KNOWN = _BARE + b"+-.eE#"
_LEFT = b'{}[]:,"v'
_NO_CONTROLS = bytes(range(32, 256))

_LONGEST_PLAIN = 200
"""Digits that are no matter to a number's range, if its exponent has two at most."""

_FAR = re.compile(rb"[0-9][0-9.]*[eE][+-]?[0-9]{3,}|[0-9.eE+-]{200,}")
_OPEN = re.compile(rb"(?:\[(?:v,)?|\{(?:m,)?k)*(?:\[v|\{m,?|\{)?")
_ONE_KIND = bytes.maketrans(b"[{]}", b"(())")
_NO_BRACKETS = bytes(range(256)).translate(None, b"[]{}")
_SEEN_FOR_REPEATS = 2048  # letters in which something that repeats itself is looked for

_HEX_KINDS = bytes.maketrans(b"0123456789aAbBcCeEfFdD", b"00000000888888ccccccdd")
_HEX = bytes.maketrans(b"08cd", b"hhhh")


class NotJSONError(ValueError):
    """A piece of text is not JSON as the format has it.

    Attributes:
        at: Byte of the header where this shows, or None.
    """

    def __init__(self, what: str, at: int | None = None) -> None:
        super().__init__(what)
        self.at = at


def hide_escapes(text: bytes) -> bytes:
    """The text without escaped quotes and backslashes, of the same length: each quote that is left counts."""
    if b"\\" not in text:
        return text
    return text.replace(b"\\\\", b"\\/").replace(b'\\"', b"\\/")


def check_texts(inside: bytes) -> None:
    """Check what stands within quotes, escaped quotes and backslashes hidden.

    Raises:
        NotJSONError: A raw control character, an unknown escape, or half a surrogate pair.
    """
    if inside.translate(None, _NO_CONTROLS):
        raise NotJSONError("a text holds a control character")
    if b"\\" not in inside:
        return
    for letter in b"/bfnrt":
        inside = inside.replace(b"\\%c" % letter, b" ")
    if b"\\" not in inside:
        return
    # Of the first two digits it depends whether an escape is half of a pair.
    kinds = inside.translate(_HEX_KINDS)
    kinds = kinds.replace(b"\\ud8", b"\x01").replace(b"\\udc", b"\x02").replace(b"\\udd", b"\x02")
    kinds = kinds.translate(_HEX).replace(b"\x01hh\x02hh", b" ")
    if b"\x01" in kinds or b"\x02" in kinds:
        raise NotJSONError("an escape holds half of a surrogate pair")
    if b"\\" in kinds.replace(b"\\uhhhh", b" "):
        raise NotJSONError("an escape is unknown")


def letters_of(text: bytes) -> bytes:
    """A piece of JSON, cut between tokens, as letters: ``{}[],``, ``v`` a value, ``k`` a key with its colon.

    Raises:
        NotJSONError: A text, a number or a word in it is not JSON's.
    """
    if b'"' in text:
        cut = hide_escapes(text).split(b'"')
        if not len(cut) % 2:
            raise NotJSONError("a text does not end")
        check_texts(b'"'.join(cut[1::2]))
        text = b'"'.join(cut[::2])
    text = _without_white(text)
    if text.translate(None, _BARE):
        text = _without_words(text)
    text = _without_numbers(text)
    if text.translate(None, _LEFT):
        raise NotJSONError("something stands outside of quotes")
    text = text.replace(b'":', b"k")
    if b":" in text:
        raise NotJSONError("a colon follows no text")
    return text.replace(b'"', b"v")


def _without_white(text: bytes) -> bytes:
    if not len(text) - len(text.translate(None, _WHITE)):
        return text
    text = text.translate(_SPACES)
    for length in (64, 8, 2):
        while b" " * length in text:
            text = text.replace(b" " * length, b" ")
    if b"a a" in text.translate(_AS_SCALAR):
        raise NotJSONError("white space parts a number or a word")
    return text.replace(b" ", b"")


def _without_words(text: bytes) -> bytes:
    if b"#" in text:
        raise NotJSONError("something stands outside of quotes")
    for word in (b"true", b"false", b"null"):
        text = text.replace(word, b"#")
    if text.translate(None, _KNOWN):
        raise NotJSONError("something stands outside of quotes")
    return text


def _without_numbers(text: bytes) -> bytes:
    """The text with ``v`` for each number and word.

    Raises:
        NotJSONError: A number begins with zeros, or is out of range.
    """
    ones = text.translate(_ONES)
    exponents = b"e" in ones
    if exponents:
        ones = ones.replace(b"e-", b"e").replace(b"e+", b"e")
    starts = b"," + ones.translate(_BEFORE_NUMBER)
    if b",00" in starts or b",01" in starts:
        raise NotJSONError("a number begins with zeros")
    ones = ones.translate(_DIGITS_ALIKE)
    if b"11" in ones:
        ones = _with_single_digits(ones, text)
    if exponents:
        ones = ones.replace(b"1e1", b"2")
    if b"." in ones:
        ones = ones.replace(b"1.1", b"3").replace(b"1.2", b"3")
    if b"-" in ones:
        for kind in (b"-1", b"-2", b"-3"):
            ones = ones.replace(kind, b"4")
    return ones.translate(_VALUES)


def _with_single_digits(ones: bytes, text: bytes) -> bytes:
    """The numbers of a text, in which every digit is a one, with one digit for several."""
    if b"e111" in ones or (b"1" * 16 in ones and b"1" * _LONGEST_PLAIN in ones):
        for number in set(_FAR.findall(text)):
            _check_range(number)
    for length in (16, 4, 2):
        while b"1" * length in ones:
            ones = ones.replace(b"1" * length, b"1")
    return ones


def _check_range(number: bytes) -> None:
    try:
        value = float(number.lstrip(b"+-"))
    except ValueError:
        raise NotJSONError("something is no number") from None
    if math.isinf(value):
        raise NotJSONError("a number is out of range")


def reduced(letters: bytes) -> tuple[bytes, int]:
    """Take together what is whole; give what is left, and how many levels were, or more."""
    levels = 0
    while True:
        letters = letters.replace(b"kv", b"m")
        for pair, one in ((b"v,v", b"v"), (b"m,m", b"m")):
            while pair in letters:
                letters = letters.replace(pair, one)
        before = len(letters)
        if levels in {2, 6, 14}:
            letters, more = _without_repeats(letters)
            levels += more
            if more:
                continue
        # One level at a time: what becomes a value now is not part of another one before the next turn.
        letters = (
            letters.replace(b"[v]", b"w").replace(b"[]", b"w").replace(b"{m}", b"w").replace(b"{}", b"w")
        )
        if b"w" not in letters and len(letters) == before:
            return letters, levels
        letters = letters.replace(b"w", b"v")
        levels += 1


def _without_repeats(letters: bytes) -> tuple[bytes, int]:
    """Take the longest whole value near the beginning together wherever it stands; give its levels too."""
    starts: list[int] = []
    longest = (0, 0)
    for at, letter in enumerate(letters[:_SEEN_FOR_REPEATS]):
        if letter in b"[{":
            starts.append(at)
        elif letter in b"]}" and starts:
            start = starts.pop()
            longest = max(longest, (at + 1 - start, start))
    length, start = longest
    value = letters[start : start + length]
    if length < len(b"[[v]]") or letters.count(value) < 4:  # noqa: PLR2004 - else the look costs more than it saves
        return letters, 0
    levels = 0
    whole = value
    while whole != b"v":
        less = whole.replace(b"kv", b"m")
        for pair, one in ((b"v,v", b"v"), (b"m,m", b"m")):
            while pair in less:
                less = less.replace(pair, one)
        less = less.replace(b"[v]", b"w").replace(b"[]", b"w").replace(b"{m}", b"w").replace(b"{}", b"w")
        if b"w" not in less:
            return letters, 0
        whole = less.replace(b"w", b"v")
        levels += 1
    return letters.replace(value, b"v"), levels


def is_open(letters: bytes) -> bool:
    """Whether what is left of a piece can go on to be whole: arrays and objects that are open."""
    return _OPEN.fullmatch(letters) is not None


def depth_within(text: bytes, base: int) -> int:
    """How deep arrays and objects nest in a piece of sound JSON that begins at a depth."""
    outside = b"".join(hide_escapes(text).split(b'"')[::2])
    # Brackets alone, of one kind, cut where the depth is least.
    pieces = outside.translate(_ONE_KIND, _NO_BRACKETS).split(b")(")
    depth = deepest = base
    for piece in pieces:
        opened = piece.count(b"(")
        deepest = max(deepest, depth + opened)
        # A cut takes a closing and an opening bracket away, which together change nothing.
        depth += 2 * opened - len(piece)
    return deepest
