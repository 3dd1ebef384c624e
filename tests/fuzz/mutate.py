"""What may happen to any bytes, numbers and texts, whatever their format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

EDGES = tuple(
    sorted(
        {0, 3, 5, 10, 100, 1000, 65_534, 100_000_000, 100_000_001}
        | {(1 << power) + near for power in range(65) for near in (-1, 0, 1)}
    )
)
"""Numbers about which readers go wrong: powers of two and their neighbours, and known limits."""

TEXTS = (
    b"",
    b" ",
    b"\0",
    b"a\0b",
    b"\x1b]8;;http://x\x07",
    b"\x9b2J",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    "größe".encode(),
    "模型".encode(),
    b"..",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"a/b",
    b"a\\b",
    b"%2e%2e%2f",
    b"=1+1",
    b"\r\n",
    b"{{ 7*7 }}",
    b"x" * 63,
    b"x" * 64,
    b"x" * 65,
    b"x" * 256,
    b"x" * 70_000,
    b"-1",
    b"NaN",
    b"1e400",
    b"9" * 30,
)
"""Texts about which readers and screens go wrong."""


def number(draw: Random, old: int = 0, bits: int = 64) -> int:
    """Another unsigned number of so many bits: near the old one, at an edge, or any."""
    kind = draw.random()
    if kind < 0.4:
        value = old + draw.choice((-32, -8, -2, -1, 1, 1, 2, 4, 8, 32, 64))
    elif kind < 0.85:
        value = draw.choice(EDGES)
    else:
        value = draw.getrandbits(draw.randrange(1, bits + 1))
    return value & ((1 << bits) - 1)


def small(draw: Random) -> int:
    """A number as sound files have them."""
    return draw.choice((0, 1, 1, 2, 3, 4, 7, 8, 16, 32, 64, 256))


def position(draw: Random, content: Sequence[object]) -> int:
    """A place in the content, its end included; both ends are likelier than any other place."""
    kind = draw.random()
    if kind < 0.1:
        return 0
    return len(content) if kind > 0.9 else int(draw.random() * (len(content) + 1))


def _flip(draw: Random, content: bytearray) -> None:
    if content:
        content[int(draw.random() * len(content))] ^= 1 << draw.randrange(8)


def _put(draw: Random, content: bytearray) -> None:
    if content:
        content[int(draw.random() * len(content))] = draw.choice((0, 1, 0x20, 0x2E, 0x7F, 0x80, 0xFE, 0xFF))


def _insert(draw: Random, content: bytearray) -> None:
    at = position(draw, content)
    content[at:at] = draw.choice(TEXTS[:24]) or draw.randbytes(draw.randrange(1, 5))


def _delete(draw: Random, content: bytearray) -> None:
    at = position(draw, content)
    del content[at : at + draw.choice((1, 1, 2, 4, 8, 40))]


def _repeat(draw: Random, content: bytearray) -> None:
    at, length = position(draw, content), draw.choice((1, 4, 8, 24, 60))
    content[at:at] = content[at : at + length] * draw.choice((1, 1, 2, 9))


def _number(draw: Random, content: bytearray) -> None:
    at, width = position(draw, content), draw.choice((1, 2, 4, 8))
    order = "little" if draw.random() < 0.9 else "big"
    content[at : at + width] = number(
        draw, int.from_bytes(content[at : at + width], order), 8 * width
    ).to_bytes(width, order)


def _cut(draw: Random, content: bytearray) -> None:
    del content[position(draw, content) :]


def _extend(draw: Random, content: bytearray) -> None:
    content += draw.choice((b"\0", b"\0" * 64, b"\n", b"PK\5\6", b"}", b"\x80\x04K\x01."))


def _zero(draw: Random, content: bytearray) -> None:
    at = position(draw, content)
    until = min(len(content), at + draw.choice((4, 16, 64, 1 << 20)))
    content[at:until] = bytes(until - at)


def _move(draw: Random, content: bytearray) -> None:
    at, length = position(draw, content), draw.choice((1, 4, 8, 30))
    piece = content[at : at + length]
    del content[at : at + length]
    to = position(draw, content)
    content[to:to] = piece


_CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip,
    _flip,
    _put,
    _put,
    _insert,
    _delete,
    _repeat,
    _number,
    _number,
    _cut,
    _extend,
    _zero,
    _move,
)


def changed(draw: Random, content: bytes) -> bytes:
    """The bytes with one to three changes that know nothing of their format."""
    mutated = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        draw.choice(_CHANGES)(draw, mutated)
    return bytes(mutated)


def crossed(draw: Random, one: bytes, other: bytes) -> bytes:
    """The beginning of one file with the end of another."""
    return one[: position(draw, one)] + other[position(draw, other) :]
