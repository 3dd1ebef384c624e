"""Files that are cut short or lie, made out of a sound one: the same ones each time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_EACH_TO = 48  # bytes from the beginning: the file is cut after each of them
_SPREAD = 40  # further cuts, evenly spread
_LIES = 250
_FIRST, _NEAR = 64, 1024  # bytes: where most lies are told
_WORDS = (b"\xff", b"\0", b"\x7f", b"\x80", b"\xff" * 4, b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f")


def cuts(content: bytes, may_lack: int = 0) -> Iterator[tuple[str, bytes]]:
    """The content cut short in many places, each with words that say where.

    Args:
        content: The whole file.
        may_lack: Bytes at its end that are not cut into.
    """
    size = len(content) - may_lack
    ends = {*range(1, min(_EACH_TO, size)), *range(1, size, max(size // _SPREAD, 1)), size - 1}
    for end in sorted(one for one in ends if 0 < one < size):
        yield f"cut after {end} of {len(content)} bytes", content[:end]


def lies(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The content with bytes overwritten, left out or put in, mostly near its ends."""
    chosen = random.Random(len(content))  # noqa: S311 - the same lies each time
    for _ in range(_LIES):
        first, near = min(_FIRST, len(content)), min(_NEAR, len(content))
        at = chosen.choice(
            (chosen.randrange(first), chosen.randrange(near), len(content) - 1 - chosen.randrange(near))
        )
        word = chosen.choice((*_WORDS, chosen.randbytes(1), chosen.randbytes(4)))
        kind = chosen.choice(("overwritten", "overwritten", "left out", "put in"))
        rest = {"overwritten": at + len(word), "left out": at + len(word), "put in": at}[kind]
        held = b"" if kind == "left out" else word
        yield f"{word.hex()} {kind} at {at}", content[:at] + held + content[rest:]
