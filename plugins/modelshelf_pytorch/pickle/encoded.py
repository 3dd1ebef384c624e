"""Text that stands for other bytes: hex, escaped hex and base64, found in a string and undone."""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

MOST = 4096
"""Encoded stretches of one kind in one string that are undone."""

LONG_WORD = b"a" * 16
"""The fewest characters that are taken for something encoded; shorter ones hold no pickle that calls."""

INFLATED = 64 * 1024
"""Bytes of a compressed string that are inflated."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}){8,}")
_ESCAPED = rb"(?:\\x[0-9a-fA-F]{2}){8,}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){7,}"
_FOLDED = rb"(?<=[A-Za-z0-9+/=])\s+(?=[A-Za-z0-9+/=])"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-="
_SPACES = b" \t\n\r\v\f"
_LETTERS = bytes(ord("a") if code in _ALPHABET + _SPACES else ord(".") for code in range(256))
_DIGITS = bytes(
    ord("a") if code in b"0123456789abcdefABCDEF" else code if code in b"\\x:" else ord(".")
    for code in range(256)
)
_ESCAPED_DIGITS, _PARTED_DIGITS = b"\\xaa" * 8, b"aa:" * 7
_PACKED = (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


@lru_cache(maxsize=2)
def layers(data: bytes) -> tuple[tuple[str, int, bytes], ...]:
    """All that `undone` gives, kept for whoever asks the same again."""
    return tuple(undone(data))


def undone(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Every stretch of `data` that could be hex or base64: how it is encoded, where, and what it means."""
    stretches = [(place, _unfolded(stretch)) for place, stretch in _stretches(data)]
    for place, digits in islice(_matches(_HEX, stretches), MOST):
        yield "hex", place, binascii.unhexlify(digits)
    for place, letters in islice(_matches(_BASE64, stretches), MOST):
        text = letters.rstrip(b"=").translate(_URL_SAFE)
        text = text[: len(text) - 1] if len(text) % 4 == 1 else text
        yield "base64", place, binascii.a2b_base64(text + b"=" * (-len(text) % 4))
    digits = data.translate(_DIGITS)
    if _ESCAPED_DIGITS in digits or _PARTED_DIGITS in digits:
        for match in islice(re.finditer(_ESCAPED, data), MOST):
            yield "hex", match.start(), binascii.unhexlify(match[0].translate(None, b"\\x:"))


def _unfolded(stretch: bytes) -> bytes:
    """The same without the spaces and line ends between its letters."""
    spaced = len(stretch.translate(None, _SPACES)) < len(stretch)
    return re.sub(_FOLDED, b"", stretch) if spaced else stretch  # most are one word


def _matches(pattern: re.Pattern[bytes], stretches: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    return (
        (place + match.start(), match[0]) for place, text in stretches for match in pattern.finditer(text)
    )


def _stretches(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where only letters of the alphabets and spaces stand, long enough to encode something."""
    letters = data.translate(_LETTERS)
    place = letters.find(LONG_WORD)
    while place >= 0:
        start = letters.rfind(b".", 0, place) + 1
        end = letters.find(b".", place)
        end = len(data) if end < 0 else end
        yield start, data[start:end]
        place = letters.find(LONG_WORD, end)


def inflated(data: bytes) -> bytes | None:
    """What a string that is gzip or zlib data from its beginning on inflates to; None where it is none."""
    if not data.startswith(_PACKED):
        return None
    try:
        return zlib.decompressobj(47).decompress(data, INFLATED)
    except zlib.error:
        return None
