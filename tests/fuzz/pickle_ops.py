"""Pickle streams taken apart into opcodes, changed, and put together again."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from itertools import pairwise
from random import Random

from tests.fuzz import pickles
from tests.fuzz.mutate import number, position

GLOBALS = (
    b"collections\nOrderedDict\n",
    b"torch._utils\n_rebuild_tensor_v2\n",
    b"torch._utils\n_rebuild_parameter\n",
    b"torch\nFloatStorage\n",
    b"torch\nfloat32\n",
    b"torch\nSize\n",
    b"torch\ndevice\n",
    b"builtins\nset\n",
    b"builtins\nbytearray\n",
    b"_codecs\nencode\n",
    b"numpy\ndtype\n",
    b"numpy.core.multiarray\n_reconstruct\n",
    b"torch\nload\n",
    b"os\nsystem\n",
    b"builtins\neval\n",
    b"\n\n",
    b"a.b\nc.d\n",
    b"\xff\n\xff\n",
)
_SINGLE = tuple(bytes((code.code.encode("latin-1")[0],)) for code in pickletools.opcodes if code.arg is None)
_TEXTS = (
    b"",
    b"storage",
    b"cpu",
    b"cuda:0",
    b"meta",
    b"0",
    b"1",
    b"a" * 300,
    b"\xff",
    b"\xed\xa0\x80",
    b"os",
)


def streams_of(content: bytes) -> tuple[list[list[bytes]], bytes]:
    """The opcodes with their arguments of each sound stream at the beginning, and the bytes behind them."""
    streams: list[list[bytes]] = []
    at = 0
    while at < len(content):
        try:
            places = [place for _, _, place in pickletools.genops(content[at:]) if place is not None]
        except ValueError:
            break
        end = at + places[-1] + 1
        edges = [*(at + place for place in places), end]
        streams.append([content[begin:stop] for begin, stop in pairwise(edges)])
        at = end
    return streams, content[at:]


def _text(draw: Random, text: bytes) -> bytes:
    lie = number(draw, len(text)) if draw.random() < 0.15 else len(text)
    kind = draw.randrange(6)
    if kind <= 1:
        return b"X" + struct.pack("<I", lie & 0xFFFFFFFF) + text
    if kind == 2:
        return b"\x8c" + bytes((lie & 0xFF,)) + text
    if kind == 3:
        return b"\x8d" + struct.pack("<Q", lie) + text
    if kind == 4:
        return draw.choice((b"C", b"U")) + bytes((lie & 0xFF,)) + text
    return draw.choice((b"V", b"S")) + text + b"\n"


def _whole(draw: Random) -> bytes:
    value = number(draw)
    kind = draw.randrange(6)
    if kind == 0:
        return b"K" + bytes((value & 0xFF,))
    if kind == 1:
        return b"M" + struct.pack("<H", value & 0xFFFF)
    if kind == 2:
        return b"J" + struct.pack("<I", value & 0xFFFFFFFF)
    if kind == 3:
        raw = value.to_bytes(9, "little")
        return b"\x8a" + bytes((len(raw) if draw.random() < 0.8 else value & 0xFF,)) + raw
    if kind == 4:
        return draw.choice((b"I", b"L", b"F")) + str(value).encode() + draw.choice((b"\n", b"L\n", b"x\n"))
    return b"G" + draw.randbytes(8)


def _memo(draw: Random) -> bytes:
    index = draw.choice((0, 1, 2, 3, 5, 9, 255, number(draw, 4, 32)))
    kind = draw.randrange(5)
    if kind == 0:
        return draw.choice((b"h", b"q")) + bytes((index & 0xFF,))
    if kind == 1:
        return draw.choice((b"j", b"r")) + struct.pack("<I", index)
    if kind == 2:
        return draw.choice((b"g", b"p")) + str(index).encode() + b"\n"
    return b"\x94"


def _name(draw: Random) -> bytes:
    dotted = draw.choice(GLOBALS)
    if draw.random() < 0.7:
        return draw.choice((b"c", b"c", b"c", b"i")) + dotted
    module, name, _ = dotted.split(b"\n")
    return b"\x8c" + bytes((len(module),)) + module + b"\x8c" + bytes((len(name),)) + name + b"\x93"


def _odd(draw: Random) -> bytes:
    return draw.choice(
        (
            b"\x80" + bytes((draw.randrange(8),)),
            b"\x95" + struct.pack("<Q", number(draw, 20)),
            b"\x82\x01",
            b"\x84\x01\0\0\0",
            b"Pid\n",
            b"Q",
            b"\x96" + struct.pack("<Q", number(draw, 4)) + b"abcd",
            b"B" + struct.pack("<I", number(draw, 4, 32)) + b"abcd",
            b"\x8b" + struct.pack("<I", number(draw, 4, 32)) + b"abcd",
            draw.randbytes(1),
        )
    )


def opcode(draw: Random) -> bytes:
    """Any opcode with an argument."""
    kind = draw.random()
    if kind < 0.4:
        return draw.choice(_SINGLE)
    if kind < 0.52:
        return _text(draw, draw.choice(_TEXTS))
    if kind < 0.65:
        return _whole(draw)
    if kind < 0.78:
        return _memo(draw)
    return _name(draw) if kind < 0.9 else _odd(draw)


def _replaced(draw: Random, old: bytes) -> bytes:
    """The same opcode with another argument, where it has one that is easily changed."""
    code = old[:1]
    if code == b"c":
        return b"c" + draw.choice(GLOBALS)
    if code in b"XSVUC\x8c\x8d" and draw.random() < 0.7:
        return _text(draw, draw.choice(_TEXTS))
    if code in b"KMJ\x8a":
        if code == b"K" and draw.random() < 0.6:
            return b"K" + bytes((draw.choice((0, 1, 2, 3, 4, 6, 8, 255)),))
        return _whole(draw)
    return _memo(draw) if code in b"hjqrgp\x94" else opcode(draw)


def _drop(draw: Random, ops: list[bytes]) -> None:
    at = position(draw, ops)
    del ops[at : at + draw.choice((1, 1, 1, 2, 5))]


def _repeat(draw: Random, ops: list[bytes]) -> None:
    at = position(draw, ops)
    ops[at:at] = ops[at : at + draw.choice((1, 1, 2, 8))] * draw.choice((1, 1, 1, 3, 40))


def _insert(draw: Random, ops: list[bytes]) -> None:
    at = position(draw, ops)
    ops[at:at] = [opcode(draw) for _ in range(draw.choice((1, 1, 2, 3)))]


def _value(draw: Random, ops: list[bytes]) -> None:
    """A whole value that is thrown away, or memoized: the stream stays sound."""
    kept = draw.choice((b"0", b"0", b"\x940", b"q\xfe0", b"r\xff\0\0\x000"))
    made = draw.choice(
        (b"N", b"]", b"}", b")", b"K\x01\x85", b"(K\x01K\x02t", b"\x8f", b"\x8c\x01a", b"X\x01\0\0\0a")
    )
    ops.insert(position(draw, ops), made + kept)


def _swap(draw: Random, ops: list[bytes]) -> None:
    if len(ops) > 1:
        at = draw.randrange(len(ops) - 1)
        ops[at], ops[at + 1] = ops[at + 1], ops[at]


def _argument(draw: Random, ops: list[bytes]) -> None:
    if ops:
        at = draw.randrange(len(ops))
        ops[at] = _replaced(draw, ops[at])


def _hostile(draw: Random, ops: list[bytes]) -> None:
    opcodes = pickles.hostile(draw)
    at = position(draw, ops)
    ops[at:at] = [opcodes[:-1] + draw.choice((b"0", b"", b"."))]


_CHANGES: tuple[Callable[[Random, list[bytes]], None], ...] = (
    *(_argument,) * 5,
    *(_insert,) * 3,
    *(_value,) * 2,
    *(_drop,) * 3,
    _repeat,
    _swap,
    _hostile,
)


def changed_ops(draw: Random, ops: list[bytes]) -> bytes:
    """The stream with one to three opcodes or runs of opcodes changed."""
    changed = ops[:]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draw.choice(_CHANGES)(draw, changed)
    return b"".join(changed)
