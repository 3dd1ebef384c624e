"""Files that begin as one whose vocabulary is cached, and differ from it in ways that could mislead."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from modelshelf.reader import Budget, FileReader
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import pair, string, tensor

STRINGS = 5_000
KEYS = (b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges")
BEFORE = pair(b"general.architecture", forge.STRING, b"llama")
AFTER = pair(b"llama.context_length", forge.U32, 8192)


class Far(FileReader):
    """A file whose bytes are given, and of which nothing is in memory: a cold disk, another machine."""

    def __init__(self, content: bytes) -> None:
        super().__init__("model.gguf", Budget())
        self.content = content
        self.size = len(content)

    def _fetch(self, offset: int, length: int) -> bytes:
        return self.content[offset : offset + length]

    def close(self) -> None:
        pass


class Near(Far):
    """The same, all of it in memory: what the page cache has."""

    def matches_cached(self, offset: int, expected: bytes) -> bool | None:
        return self.read_up_to(offset, len(expected)) == expected


def vocabulary(seed: int) -> list[bytes]:
    draw = random.Random(seed)  # noqa: S311 - no secret
    return [b"%05d" % number + b"x" * draw.randrange(12) for number in range(STRINGS)]


TOKENS, MERGES = vocabulary(1), vocabulary(2)


def array(key: bytes, strings: list[bytes]) -> bytes:
    return string(key) + struct.pack("<IIQ", forge.ARRAY, forge.STRING, len(strings)) + chain(strings)


def chain(strings: list[bytes]) -> bytes:
    return b"".join(map(string, strings))


def model(
    tokens: list[bytes] = TOKENS, merges: list[bytes] = MERGES, after: bytes = AFTER, rows: int = 40
) -> bytes:
    """A sound file: two big arrays among its key-values, two tensors."""
    tensors = [tensor(b"blk.0.weight", (8, rows), 0, 0), tensor(b"norm", (8,), 0, 32 * rows)]
    data = b"\1" * 32 * (rows + 1)
    return forge.file([BEFORE, array(KEYS[0], tokens), array(KEYS[1], merges), after], tensors, data)


def regions(content: bytes) -> list[tuple[int, int]]:
    """Where the strings of the arrays of a file as `model` makes it begin and end."""
    found = []
    for key, strings in zip(KEYS, (TOKENS, MERGES), strict=True):
        begin = content.index(key) + len(key) + 16
        found.append((begin, begin + len(chain(strings))))
    return found


SOUND = model()
REGIONS = regions(SOUND)


def _late(draw: random.Random) -> int:
    return draw.randrange(STRINGS // 4, STRINGS)


def _other_strings(draw: random.Random) -> bytes:
    tokens = list(TOKENS)
    for at in {_late(draw) for _ in range(draw.randrange(1, 9))}:
        tokens[at] = draw.randbytes(len(tokens[at]))
    return model(tokens)


def _other_lengths(draw: random.Random) -> bytes:
    merges = list(MERGES)
    merges[_late(draw)] += draw.randbytes(draw.choice((1, 7, 8, 300)))
    return model(merges=merges, rows=draw.choice((40, 41)))


def _lengths_exchanged(draw: random.Random) -> bytes:
    tokens, one = list(TOKENS), _late(draw)
    other = draw.randrange(STRINGS // 4, STRINGS)
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return model(tokens)


def _cut(draw: random.Random) -> bytes:
    return SOUND[: draw.randrange(len(SOUND))]


def _shifted(draw: random.Random) -> bytes:
    at, more = draw.randrange(*REGIONS[draw.randrange(2)]), draw.choice((-8, -1, 1, 8, 32))
    return SOUND[:at] + (draw.randbytes(more) if more > 0 else b"") + SOUND[at - min(more, 0) :]


def _other_count(draw: random.Random) -> bytes:
    return model(TOKENS[: _late(draw)], MERGES)


def _other_rest(draw: random.Random) -> bytes:
    after = draw.choice((AFTER, pair(b"llama.context_length", forge.U32, draw.randrange(2**32))))
    return model(after=after, rows=draw.randrange(1, 60))


def _length_altered(draw: random.Random) -> bytes:
    begin, end = REGIONS[draw.randrange(2)]
    return _written(
        SOUND, draw.randrange(begin, end - 8), struct.pack("<Q", draw.choice((0, 3, 2**20, 2**63)))
    )


def _flipped(draw: random.Random) -> bytes:
    at = draw.randrange(len(SOUND))
    return _written(SOUND, at, bytes([SOUND[at] ^ 1 << draw.randrange(8)]))


def _hole(draw: random.Random) -> bytes:
    length = draw.choice((64, 1024, 16_384))
    return _written(SOUND, draw.randrange(REGIONS[0][0], REGIONS[1][1] - length), bytes(length))


def _faked(draw: random.Random) -> bytes:
    """One of the last strings holds the rest of the sound header, at its very place."""
    begin, end = REGIONS[1]
    number = STRINGS - draw.randrange(1, 300)
    at = begin + len(chain(MERGES[:number]))
    hidden = SOUND[end : end + len(AFTER)]
    rest = forge.tensor(b"true", (8,), 0, 0)
    after = pair(b"llama.context_length", forge.U32, 1)

    def laid_out(rows: int) -> tuple[bytes, bytes]:
        fake = hidden + tensor(b"blk.0.weight", (8, rows), 0, 0) + tensor(b"norm", (8,), 0, 32 * rows)
        inner = SOUND[at + 8 : end] + fake
        head = SOUND[:at] + string(inner) + bytes(8) * (STRINGS - number - 1) + after + rest
        head += forge.tensor(b"more", (8, 64), 0, 32)
        head += bytes(-len(head) % 32)
        return head, SOUND[:end] + fake

    rows = 0
    for _ in range(4):
        head, faked = laid_out(rows)
        rows = (len(head) + 32 * 65 - (len(faked) + -len(faked) % 32)) // 32 - 1
    return head + b"\1" * 32 * 65


def _written(content: bytes, at: int, put: bytes) -> bytes:
    return content[:at] + put + content[at + len(put) :]


VARIANTS: dict[str, Callable[[random.Random], bytes]] = {
    "other strings of the same lengths": _other_strings,
    "another length late in an array": _other_lengths,
    "two lengths exchanged": _lengths_exchanged,
    "cut": _cut,
    "shifted": _shifted,
    "fewer strings": _other_count,
    "another rest": _other_rest,
    "a length altered in place": _length_altered,
    "a bit flipped": _flipped,
    "a hole": _hole,
    "a rest hidden in a string": _faked,
}

ALTERED_IN_PLACE = {
    "a length altered in place",
    "a bit flipped",
    "a hole",
    "a rest hidden in a string",
}
"""Variants whose arrays differ from the cached ones in bytes alone that samples may miss."""
