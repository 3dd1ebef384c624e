"""safetensors headers: JSON tokens changed one by one, and whole new tables of tensors that nearly fit."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.formats import Case
from tests.fuzz.json_tokens import STRINGS, changed_tokens, tokens_of
from tests.fuzz.mutate import changed, crossed, number, position, small
from tests.fuzz.seeds import Seed

DTYPES = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of an element of each type that the library writes (safetensors 0.8)."""

_UNKNOWN = ("f32", "F31", "", "I128", "F8", "q4_k", "F32 ")
_NAMES = ("", "a", "lm_head.weight", "model.layers.0.w", "__metadata__", "a\0b", "\x1b[2J", "größe", "é" * 40)

Table = list[tuple[str, dict[str, Any]]]


def encode(header: bytes, data: bytes, length: int | None = None) -> bytes:
    """A file of this header and data; `length` is what it says of the header, by default the truth."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _table(draw: Random) -> tuple[Table, int]:
    """Tensors that lie one after the other, and the bytes that they take."""
    table: Table = []
    at = 0
    for index in range(draw.choice((0, 1, 1, 2, 3, 5))):
        dtype = draw.choice((*DTYPES,))
        shape = [small(draw) for _ in range(draw.choice((0, 1, 1, 2, 2, 3)))]
        if dtype[:2] in {"F4", "F6"}:
            shape = [4, *shape]
        elements = 1
        for one in shape:
            elements *= one
        size = elements * DTYPES[dtype] // 8
        if size > 20_000:
            shape, size = [0], 0
        table.append((f"t.{index}", {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}))
        at += size
    return table, at


def _lie(draw: Random, table: Table) -> None:
    """One member of one tensor is something else."""
    at = draw.randrange(len(table))
    name, entry = table[at][0], dict(table[at][1])
    kind = draw.randrange(9)
    if kind == 0:
        entry["dtype"] = draw.choice((*_UNKNOWN, *DTYPES))
    elif kind == 1:
        entry["shape"] = [*entry["shape"], draw.choice((0, 1, 1, number(draw)))]
    elif kind == 2:
        side = draw.randrange(2)
        entry["data_offsets"] = [
            number(draw, one) if place == side else one for place, one in enumerate(entry["data_offsets"])
        ]
    elif kind == 3:
        entry[draw.choice(("extra", "shape", "dtype", "data_offsets"))] = draw.choice(
            (1, None, [], {}, "x", 1.5)
        )
    elif kind == 4:
        del entry[draw.choice((*entry,))]
    elif kind == 5:
        name = draw.choice(_NAMES)
    elif kind == 6:
        entry["data_offsets"] = [one + draw.choice((1, 8)) for one in entry["data_offsets"]]
    elif kind == 7:
        entry["shape"] = entry["shape"][::-1]
    else:
        entry = dict(reversed(entry.items()))
    table[at] = (name, entry)


def _written(draw: Random, table: Table) -> bytes:
    """The table as JSON in one of the ways that writers have; a name may stand twice."""
    if draw.random() < 0.3:
        draw.shuffle(table)
    spaced = draw.random() < 0.3
    between = (", ", ": ") if spaced else (",", ":")
    members = [
        json.dumps(name, ensure_ascii=draw.random() < 0.5)
        + between[1]
        + json.dumps(entry, separators=between, ensure_ascii=False)
        for name, entry in table
    ]
    if draw.random() < 0.3:
        metadata = {draw.choice(_NAMES): draw.choice(("pt", "", "x" * 300)) for _ in range(draw.randrange(4))}
        members.insert(position(draw, members), '"__metadata__"' + between[1] + json.dumps(metadata))
    return ("{" + between[0].join(members) + "}").encode("utf-8", "surrogatepass")


def _new(draw: Random) -> tuple[bytes, bytes]:
    table, size = _table(draw)
    if table and draw.random() < 0.65:
        _lie(draw, table)
    if table and draw.random() < 0.1:
        table.insert(position(draw, table), draw.choice(table))
    if draw.random() < 0.1:
        size = max(size + draw.choice((-8, -1, 1, 8)), 0)
    return _written(draw, table), bytes(size)


def _padded(draw: Random, header: bytes) -> bytes:
    padding = draw.choice((b" ", b" ", b" ", b"\n", b"\0", b"\t"))
    return header + padding * (-len(header) % 8 if draw.random() < 0.8 else draw.randrange(20))


class Changer:
    """Changes safetensors seeds."""

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._seeds = seeds
        self._parts = []
        for one in seeds:
            end = 8 + int.from_bytes(one.content[:8], "little")
            self._parts.append((tokens_of(one.content[8:end].decode().rstrip()), one.content[end:]))

    def __call__(self, draw: Random) -> Case:
        at = draw.randrange(len(self._seeds))
        name, content = self._seeds[at]
        kind = draw.random()
        if kind < 0.75:
            if kind < 0.4:
                tokens, data = self._parts[at]
                header = changed_tokens(draw, tokens, (*STRINGS, *DTYPES)).encode("utf-8", "surrogatepass")
            else:
                header, data = _new(draw)
            if draw.random() < 0.4:
                header = _padded(draw, header)
            content = encode(header, data, number(draw, len(header)) if draw.random() < 0.05 else None)
        elif kind < 0.8:
            content = crossed(draw, content, draw.choice(self._seeds).content)
        elif kind < 0.9:
            end = 8 + int.from_bytes(content[:8], "little")
            content = encode(changed(draw, content[8:end]), content[end:])
        if kind > 0.9 or draw.random() < 0.1:
            content = changed(draw, content)
        return Case(name, content)


changer: Callable[[tuple[Seed, ...]], Changer] = Changer
