"""Stepping over what is too long to be built: texts and values of any length, in bounded memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelshelf_safetensors.reduction import (
    NotJSONError,
    check_texts,
    depth_within,
    hide_escapes,
    is_open,
    letters_of,
    reduced,
)
from modelshelf_safetensors.strict_json import fault_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf_safetensors.text import HeaderText

WINDOW = 1 << 18
"""Bytes of a value that are looked at together."""

_TEXT_WINDOW = 1 << 20
_NEAR = 256
_LONGEST_PAIR = 12  # bytes of an escaped surrogate pair
_STRUCTURAL = (b"{", b"}", b"[", b"]", b",", b":")
_OPENING = (b"[", b"{")
_CLOSING = (b"]", b"}")
_SCALAR = re.compile(rb'[^ \t\n\r{}\[\]:,"]*')
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_HIGH_HALF = re.compile(rb"\\u[dD][89aAbB]")


def skim_text(text: HeaderText, take: Callable[[bytes], None]) -> None:
    """Step over the text that begins at its quote; what is within goes to `take` piece by piece.

    It goes there as it stands. No piece ends within an escape or a character.

    Raises:
        NotJSONError: It does not end, or holds what JSON does not have.
        FormatError: It is not UTF-8.
    """
    start = text.base
    text.drop(1)
    while True:
        text.fill(_TEXT_WINDOW)
        piece = bytes(text.held[:_TEXT_WINDOW])
        hidden = hide_escapes(piece)
        end = hidden.find(b'"')
        if end < 0:
            cut = len(piece) if text.ended and len(piece) == len(text.held) else _safe_cut(hidden)
            if text.ended and (len(piece) == len(text.held) or not cut):
                raise _fault(text, b'"', piece) or NotJSONError("Unterminated string starting at", start)
        else:
            cut = end
        try:
            check_texts(hidden[:cut])
        except NotJSONError as error:
            raise _fault(text, b'"', piece[:cut]) or error from None
        take(piece[:cut])
        text.drop(cut)
        if end >= 0:
            text.drop(1)
            return


def _fault(text: HeaderText, before: bytes, piece: bytes) -> NotJSONError | None:
    """What is wrong with a piece that stands here, after `before`; None where no one place tells it."""
    held = piece.decode(errors="ignore")
    told = fault_in(before.decode() + held)
    if told is None or not 0 <= told[1] - len(before) < len(held):
        return None
    what, place = told
    return NotJSONError(what, text.base + len(held[: place - len(before)].encode()))


def as_text(state: bytes) -> bytes:
    """JSON of which `reduction.reduced` leaves these letters."""
    return b"".join(_TEXTS[letter] for letter in state)


_TEXTS = {ord("v"): b"0", ord("k"): b'"":', ord("m"): b'"":0', **{one: bytes([one]) for one in b"{}[],"}}


def _safe_cut(hidden: bytes) -> int:
    """Where a piece can be cut, so that neither an escape, nor a pair, nor a character is."""
    cut = len(hidden)
    escape = hidden.find(b"\\", cut - _LONGEST_PAIR)
    if escape >= 0:
        # An escaped quote or backslash may be hidden by half: the piece ends within it.
        cut = escape
        if cut >= _LONGEST_PAIR // 2 and _HIGH_HALF.match(hidden, cut - _LONGEST_PAIR // 2):
            cut -= _LONGEST_PAIR // 2
    while cut and hidden[cut : cut + 1] and 0x80 <= hidden[cut] < 0xC0:  # noqa: PLR2004 - UTF-8's trailing bytes
        cut -= 1
    return _character_cut(hidden, cut)


def _character_cut(piece: bytes, cut: int) -> int:
    """The cut moved before the character that stands at its end, where that may go on."""
    at = cut
    while at and 0x80 <= piece[at - 1] < 0xC0 and cut - at < 3:  # noqa: PLR2004 - UTF-8's trailing bytes
        at -= 1
    return at - 1 if at and piece[at - 1] >= 0xC0 else cut  # noqa: PLR2004 - UTF-8's leading bytes


def skim_value(text: HeaderText, deepest: int) -> None:
    """Step over the value that begins here; arrays and objects in it may nest so deep.

    Raises:
        NotJSONError: It is not JSON as the format has it.
        FormatError: It is not UTF-8.
    """
    if text.next == b'"':
        skim_text(text, _let_go)
    elif text.next in {b"[", b"{"}:
        go_on(text, b"", deepest)
    else:
        start = text.base
        if letters_of(_scalar(text)) != b"v":
            raise NotJSONError("Expecting value", start)


def go_on(text: HeaderText, state: bytes, deepest: int) -> None:
    """Step over the rest of a value of which `reduction.reduced` left `state` so far.

    Raises:
        NotJSONError: As `skim_value`.
    """
    while state != b"v":
        state = _skim_piece(text, state, deepest)


def _skim_piece(text: HeaderText, state: bytes, deepest: int) -> bytes:
    """Go on by a window, or to the value's end: then what is left is ``v``."""
    text.skip_white()
    text.fill(WINDOW)
    piece = bytes(text.held[:WINDOW])
    cut = structural_cut(piece)
    if not cut and piece:
        letters, levels = reduced(state + _single(text))
        if is_open(letters):
            return letters
        raise NotJSONError("Expecting ',' delimiter", text.base)
    try:
        letters, levels = reduced(state + letters_of(piece[:cut]))
        if not letters.startswith((b"[", b"{")):
            # The value ends within this piece: what follows is looked at by others.
            cut = _value_end(piece, state)
            letters, levels = reduced(state + letters_of(piece[:cut]))
    except NotJSONError as error:
        raise _fault(text, as_text(state), piece) or error from None
    if not piece or (letters != b"v" and not is_open(letters)):
        unfit = NotJSONError("arrays and objects do not fit together")
        raise _fault(text, as_text(state), piece) or unfit
    opened = max(_opened(state), _opened(letters))
    if opened + levels > deepest and depth_within(piece[:cut], _opened(state)) > deepest:
        raise NotJSONError("arrays or objects are nested too deep")
    text.drop(cut)
    return letters


def _let_go(_: bytes) -> None:
    """Keep nothing of a text."""


def _opened(state: bytes) -> int:
    return state.count(b"[") + state.count(b"{")


def structural_cut(piece: bytes) -> int:
    """The place after the last bracket, comma or colon that is not within a text; 0 where there is none."""
    cut = hide_escapes(piece).split(b'"')
    at = len(piece)
    for number in range(len(cut) - 1, -1, -1):
        part = cut[number]
        if not number % 2:
            place = max(map(part.rfind, _STRUCTURAL))
            if place >= 0:
                return at - len(part) + place + 1
        at -= len(part) + 1
    return 0


def _single(text: HeaderText) -> bytes:
    """Step over a text or a number that alone fills a window; give its letter."""
    if text.next != b'"':
        return letters_of(_scalar(text))
    skim_text(text, _let_go)
    text.skip_white()
    if text.next != b":":
        return b"v"
    text.drop(1)
    return b"k"


def _scalar(text: HeaderText) -> bytes:
    """Take the number or word that stands here."""
    size = WINDOW
    while True:
        text.fill(size)
        match = _SCALAR.match(text.held)
        end = match.end() if match else 0
        if end < len(text.held) or text.ended:
            scalar = bytes(text.held[:end])
            text.drop(end)
            return scalar
        size *= 2


def _value_end(piece: bytes, state: bytes) -> int:
    """Where the arrays and objects end that are open where a piece begins, and that end in it.

    The place is closed in on by halves, and looked for token by token when it is near.
    """
    begin, end = 0, len(piece)
    while end - begin > _NEAR:
        half = structural_cut(piece[begin : (begin + end) // 2])
        if not half:
            break
        letters, _ = reduced(state + letters_of(piece[begin : begin + half]))
        if letters.startswith((b"[", b"{")):
            begin, state = begin + half, letters
        else:
            end = begin + half
    depth = _opened(state)
    for token in _TOKENS.finditer(piece, begin):
        if token[0] in _OPENING:
            depth += 1
        elif token[0] in _CLOSING:
            depth -= 1
            if not depth:
                return token.end()
    return len(piece)
