"""How the entries of tensors are spelled: in which pieces between quotes what of them stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf_safetensors.strict_json import (
    MOST_NESTED,
    Members,
    check_surrogates,
    depth_of,
    parse,
    unescaped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = (b"dtype", b"shape", b"data_offsets")

_WHITE = b" \t\n\r"
_PARTED = re.compile(rb"[0-9A-Za-z.+-][ \t\n\r]+[0-9A-Za-z.+-]")
_ARRAY = re.compile(rb":\[([0-9,]*)\]")
_NOT_CONTROLS = bytes(range(32, 256))
MOST_COLUMNS = 400
"""Pieces of an entry that is read by columns."""

# What stands for an escaped backslash and an escaped quote while a text is cut at its quotes.
_BACKSLASH, _QUOTE = b"\x01\x01", b"\x01\x02"


@frozen
class Form:
    """How an entry is spelled: pieces between quotes, and which of them are what.

    Attributes:
        pieces: Those of the first entry, from its name on.
        dtype: The column of the dtype.
        shape: The column with the shape, and what stands before and after its numbers there.
        offsets: The same of the offsets.
        free: Columns of fields of no known meaning.
        keys: Those of them that are such a field's key.
        unknown: The first such key, decoded, or None.
        odd: Whether it is spelled in a way that others than the reference may not take.
    """

    pieces: list[bytes]
    dtype: int
    shape: tuple[int, bytes, bytes]
    offsets: tuple[int, bytes, bytes]
    free: frozenset[int] = frozenset()
    keys: tuple[int, ...] = ()
    odd: bool = False


def cut_at_quotes(window: bytes) -> list[bytes]:
    """The pieces between quotes, escaped ones hidden; none where hiding them is not safe."""
    if b"\x01" in window or b"\x02" in window:
        return []
    if b"\\" in window:
        window = window.replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE)
    return window.split(b'"')


def without_white(outside: list[bytes]) -> list[bytes]:
    """Pieces outside of quotes without white space; none where it parts a number or a word."""
    joined = b'"'.join(outside)
    squeezed = joined.translate(None, _WHITE)
    if len(squeezed) == len(joined):
        return outside
    return [] if _PARTED.search(joined) else squeezed.split(b'"')


def decoded(texts: list[bytes]) -> list[bytes] | None:
    """What stands within quotes, as UTF-8 without escapes; None where one is not sound."""
    joined = b"\n".join(texts)
    if len(joined.translate(None, _NOT_CONTROLS)) == len(texts) - 1 and b"\\" not in joined:
        return texts
    shown = joined.replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\")
    if len(shown.translate(None, _NOT_CONTROLS)) != len(texts) - 1:
        return None
    text = shown.decode()
    try:
        check_surrogates(text)
        whole = unescaped(text).encode()
        if whole.count(b"\n") == len(texts) - 1:
            return whole.split(b"\n")
        return [unescaped(one).encode() for one in text.split("\n")]
    except ValueError:
        return None


def first_other(values: Sequence[bytes], due: bytes) -> int:
    """Where the first value stands that is not the one due; how many there are if none."""
    if values.count(due) == len(values):
        return len(values)
    return next(at for at, one in enumerate(values) if one != due)


def learn(entry: bytes, *, loose: bool = True) -> Form | None:
    """How an entry is spelled, ``"name":{…},`` up to the next one's quote; None if in no way known here.

    `loose`: without its white space.
    """
    try:
        told = parse("{" + entry.decode().rstrip(" \t\n\r").removesuffix(",") + "}")
    except ValueError:
        return None
    if not isinstance(told, Members) or len(told) != 1 or depth_of(told) > MOST_NESTED:
        return None
    cut = cut_at_quotes(entry)
    outside = without_white(cut[::2])
    if not outside or len(cut) > MOST_COLUMNS:
        return None
    if outside != cut[::2] and not loose:
        return None
    cut[::2] = outside
    return _as_array(cut) or _as_object(cut)


def _as_array(cut: list[bytes]) -> Form | None:
    """``"name":["F32",[2,3],[0,24]],``."""
    if len(cut) != len(("", "name", ":[", "F32", ",[2,3],[0,24]],")) or cut[2] != b":[":
        return None
    arrays = re.fullmatch(rb",\[([0-9,]*)\],\[([0-9]+,[0-9]+)\]\],", cut[4])
    if arrays is None:
        return None
    return Form(pieces=cut[1:], dtype=3, shape=(4, b",[", b"],["), offsets=(4, b"],[", b"]],"), odd=True)


def _as_object(cut: list[bytes]) -> Form | None:
    """``"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},``, in any order, other fields between."""
    if len(cut) < len(FIELDS) * 2 or cut[2] != b":{" or not cut[-1].endswith(b"},"):
        return None
    found: dict[bytes, tuple[int, bytes, bytes]] = {}
    free: set[int] = set()
    keys = []
    at, odd = 3, False
    while at + 1 < len(cut):
        key = decoded([cut[at]]) or [b""]
        if key[0] not in FIELDS:
            keys.append(at)
            end = _value_end(cut, at + 1)
            free.update(range(at, end + 1))
            at = end + 1
            continue
        if key[0] in found:
            return None
        value = cut[at + 1]
        if key[0] == b"dtype":
            odd |= value == b":{"
            found[key[0]] = (at + 2, b"", b"")
            after = cut[at + 3] if at + 3 < len(cut) else b""
            if value not in {b":", b":{"} or not after.startswith(b":null}" if odd else (b",", b"}")):
                return None
            at += 4
        else:
            match = _ARRAY.match(value)
            if match is None:
                return None
            found[key[0]] = (at + 1, b":[", value[match.end() - 1 :])
            at += 2
    if len(found) != len(FIELDS):
        return None
    return Form(
        pieces=cut[1:],
        dtype=found[b"dtype"][0],
        shape=found[b"shape"],
        offsets=found[b"data_offsets"],
        free=frozenset(free),
        keys=tuple(keys),
        odd=odd,
    )


def _value_end(cut: list[bytes], at: int) -> int:
    """The column of the punctuation after a value that begins in this one."""
    depth = 0
    while at < len(cut):
        for letter in cut[at]:
            if letter in b"[{":
                depth += 1
            elif letter in b"]}":
                depth -= 1
        text = cut[at].endswith((b":", b"[", b",")) and not (depth <= 0 and cut[at].endswith(b","))
        if depth < 0 or (depth == 0 and not text):
            return at
        at += 2
    return at
