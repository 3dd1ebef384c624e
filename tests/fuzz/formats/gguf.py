"""GGUF headers taken apart, changed in one part or more, and put together again.

The layout is the specification's (ggml ``docs/gguf.md``). Any part can lie: a length, a count, a type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.fuzz.formats import Case
from tests.fuzz.mutate import TEXTS, changed, crossed, number, position, small
from tests.fuzz.seeds import Seed

STRING, ARRAY = 8, 9
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value of each type."""

BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 24: (1, 1), 27: (1, 8), 30: (1, 2)}
"""Some tensor types with elements and bytes of a block: F32, F16, Q4_0, Q8_0, Q4_K, I8, I64, BF16."""

KEYS = (
    b"general.architecture",
    b"general.alignment",
    b"general.file_type",
    b"general.name",
    b"general.license",
    b"general.tags",
    b"general.quantization_version",
    b"general.parameter_count",
    b"llama.block_count",
    b"llama.context_length",
    b"llama.attention.head_count",
    b"llama.vocab_size",
    b"tokenizer.ggml.tokens",
    b"tokenizer.ggml.scores",
    b"tokenizer.ggml.token_type",
    b"tokenizer.ggml.merges",
    b"tokenizer.chat_template",
    b"split.no",
    b"split.count",
    b"split.tensors.count",
)


class Field(NamedTuple):
    """A key-value pair; the key's length as it is stated, or None for the true one."""

    key: bytes
    kind: int
    raw: bytes
    length: int | None = None


class Tensor(NamedTuple):
    """A line of the tensor table; lengths as they are stated, or None for the true ones."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int
    length: int | None = None
    dimensions: int | None = None


class Parts:
    """A file taken apart; counts as they are stated, or None for the true ones."""

    def __init__(self, order: str, fields: list[Field], tensors: list[Tensor], data: bytes) -> None:
        self.magic, self.version, self.order, self.count = b"GGUF", 3, order, "Q"
        self.fields, self.tensors, self.data = fields, tensors, data
        self.field_count: int | None = None
        self.tensor_count: int | None = None
        self.alignment = next(
            (int.from_bytes(one.raw, self.byte_order) for one in fields if one.key == b"general.alignment"),
            32,
        )

    @property
    def byte_order(self) -> str:
        return "little" if self.order == "<" else "big"

    def copy(self) -> Parts:
        twin = Parts.__new__(Parts)
        vars(twin).update(vars(self))
        twin.fields, twin.tensors = self.fields[:], self.tensors[:]
        return twin

    def text(self, raw: bytes) -> bytes:
        return struct.pack(self.order + self.count, len(raw)) + raw

    def encode(self) -> bytes:
        """The file's bytes, the data padded to where the true alignment puts it."""
        length, most = self.order + self.count, (1 << 32) - 1 if self.count == "I" else (1 << 64) - 1
        fields = len(self.fields) if self.field_count is None else self.field_count
        tensors = len(self.tensors) if self.tensor_count is None else self.tensor_count
        out = [
            self.magic,
            struct.pack(f"{self.order}I2{self.count}", self.version, tensors & most, fields & most),
        ]
        pack, u32 = struct.Struct(length).pack, struct.Struct(self.order + "I").pack
        for key, kind, raw, stated in self.fields:
            out += (pack(len(key) if stated is None else stated & most), key, u32(kind), raw)
        for name, shape, kind, offset, stated, dimensions in self.tensors:
            out += (
                pack(len(name) if stated is None else stated & most),
                name,
                u32(len(shape) if dimensions is None else dimensions),
                struct.pack(f"{self.order}{len(shape)}{self.count}", *(one & most for one in shape)),
                struct.pack(self.order + "IQ", kind, offset),
            )
        head = b"".join(out)
        return head + bytes(-len(head) % self.alignment) + self.data


def taken_apart(content: bytes) -> Parts:
    """The parts of a sound file of version 3."""
    order = "<" if content[4:8] == struct.pack("<I", 3) else ">"
    tensor_count, field_count = struct.unpack_from(order + "QQ", content, 8)
    at = 24

    def word(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(order + form, content, at)
        at += struct.calcsize(form)
        return int(value)

    def text() -> bytes:
        nonlocal at
        length = word("Q")
        at += length
        return content[at - length : at]

    def skip(kind: int) -> None:
        nonlocal at
        if kind == STRING:
            text()
        elif kind == ARRAY:
            item, count = word("I"), word("Q")
            for _ in range(count):
                skip(item)
        else:
            at += WIDTHS[kind]

    fields, tensors = [], []
    for _ in range(field_count):
        key, kind, begin = text(), word("I"), at
        skip(kind)
        fields.append(Field(key, kind, content[begin:at]))
    for _ in range(tensor_count):
        name, dimensions = text(), word("I")
        shape = tuple(word("Q") for _ in range(dimensions))
        tensors.append(Tensor(name, shape, word("I"), word("Q")))
    parts = Parts(order, fields, tensors, b"")
    parts.data = content[at + -at % parts.alignment :]
    return parts


def value(draw: Random, parts: Parts, kind: int) -> bytes:
    """Any value of a type."""
    if kind == STRING:
        return parts.text(draw.choice((b"llama", b"qwen2", b"mit", *TEXTS)))
    if kind == ARRAY:
        item, count = draw.choice((0, 4, 5, 6, 7, STRING, STRING, 12)), draw.choice((0, 1, 2, 3, 9))
        items = b"".join(value(draw, parts, item) for _ in range(count))
        return struct.pack(f"{parts.order}I{parts.count}", item, count) + items
    width = WIDTHS.get(kind, 4)
    stated = small(draw) if draw.random() < 0.5 else number(draw, 0, 8 * width)
    return (stated & ((1 << 8 * width) - 1)).to_bytes(width, "little" if parts.order == "<" else "big")


def _kind(draw: Random) -> int:
    return draw.choice((0, 1, 2, 3, 4, 4, 5, 6, 7, STRING, STRING, STRING, ARRAY, ARRAY, 10, 11, 12))


def _new_field(draw: Random, parts: Parts) -> None:
    kind = _kind(draw)
    key = draw.choice(KEYS) if draw.random() < 0.7 else draw.choice(TEXTS[:-4]) or b"a.b"
    parts.fields.insert(position(draw, parts.fields), Field(key, kind, value(draw, parts, kind)))


def _same_field_other_value(draw: Random, parts: Parts) -> None:
    at = draw.randrange(len(parts.fields))
    one = parts.fields[at]
    parts.fields[at] = one._replace(raw=value(draw, parts, one.kind))


def _other_type(draw: Random, parts: Parts) -> None:
    at, kind = draw.randrange(len(parts.fields)), draw.choice((*range(14), number(draw, 8, 32)))
    raw = value(draw, parts, kind) if draw.random() < 0.5 else parts.fields[at].raw
    parts.fields[at] = parts.fields[at]._replace(kind=kind, raw=raw)


def _other_key(draw: Random, parts: Parts) -> None:
    at = draw.randrange(len(parts.fields))
    parts.fields[at] = parts.fields[at]._replace(key=draw.choice((*KEYS, *TEXTS)))


def _key_length(draw: Random, parts: Parts) -> None:
    at = draw.randrange(len(parts.fields))
    parts.fields[at] = parts.fields[at]._replace(length=number(draw, len(parts.fields[at].key)))


def _inner_count(draw: Random, parts: Parts) -> None:
    """A lie in a value that holds a length: of a text, of an array, or of one of its texts."""
    places = [at for at, one in enumerate(parts.fields) if one.kind in (STRING, ARRAY)]
    if not places:
        return
    at = draw.choice(places)
    raw, width = parts.fields[at].raw, struct.calcsize(parts.count)
    begin = 0 if parts.fields[at].kind == STRING else draw.choice((4, 4, 4 + width, 4 + width))
    old = int.from_bytes(raw[begin : begin + width], parts.byte_order)
    lie = number(draw, old, 8 * width).to_bytes(width, parts.byte_order)
    parts.fields[at] = parts.fields[at]._replace(raw=raw[:begin] + lie + raw[begin + width :])


def _item_type(draw: Random, parts: Parts) -> None:
    places = [at for at, one in enumerate(parts.fields) if one.kind == ARRAY]
    if places:
        at = draw.choice(places)
        lie = draw.choice((*range(14), number(draw, 8, 32))).to_bytes(4, parts.byte_order)
        parts.fields[at] = parts.fields[at]._replace(raw=lie + parts.fields[at].raw[4:])


def _raw_value(draw: Random, parts: Parts) -> None:
    at = draw.randrange(len(parts.fields))
    parts.fields[at] = parts.fields[at]._replace(raw=changed(draw, parts.fields[at].raw))


def _drop(draw: Random, parts: Parts) -> None:
    entries = parts.tensors if draw.random() < 0.3 else parts.fields
    if entries:
        del entries[draw.randrange(len(entries))]


def _repeat(draw: Random, parts: Parts) -> None:
    entries = parts.tensors if draw.random() < 0.5 else parts.fields
    if entries:
        entries.insert(position(draw, entries), draw.choice(entries))  # type: ignore[arg-type]


def _shuffle(draw: Random, parts: Parts) -> None:
    draw.shuffle(parts.tensors if draw.random() < 0.5 else parts.fields)


def _counts(draw: Random, parts: Parts) -> None:
    if draw.random() < 0.5:
        parts.field_count = number(draw, len(parts.fields))
    else:
        parts.tensor_count = number(draw, len(parts.tensors))


def _tensor_part(draw: Random, parts: Parts) -> None:
    """One number or text of a line of the tensor table."""
    if not parts.tensors:
        return
    at = draw.randrange(len(parts.tensors))
    one = parts.tensors[at]
    kind = draw.randrange(7)
    if kind == 0:
        one = one._replace(name=draw.choice((*TEXTS, parts.tensors[0].name, b"blk.0.ffn_up.weight")))
    elif kind == 1:
        one = one._replace(length=number(draw, len(one.name)))
    elif kind == 2:
        one = one._replace(dimensions=draw.choice((*range(7), number(draw, len(one.shape), 32))))
    elif kind == 3 and one.shape:
        place, lie = draw.randrange(len(one.shape)), number(draw, one.shape[0])
        one = one._replace(shape=(*one.shape[:place], lie, *one.shape[place + 1 :]))
    elif kind == 4:
        one = one._replace(kind=draw.choice((*range(46), number(draw, 8, 32))))
    elif kind == 5:
        one = one._replace(offset=number(draw, one.offset))
    else:
        one = one._replace(shape=tuple(small(draw) for _ in range(draw.randrange(6))))
    parts.tensors[at] = one


def _other_table(draw: Random, parts: Parts) -> None:
    """A whole new tensor table that fits its data."""
    parts.tensors.clear()
    size = 0
    for index in range(draw.randrange(1, 5)):
        kind = draw.choice((*BLOCKS,))
        elements, width = BLOCKS[kind]
        shape = (elements * draw.choice((1, 1, 2, 3)), *(small(draw) for _ in range(draw.randrange(4))))
        blocks = shape[0] // elements
        for one in shape[1:]:
            blocks *= one
        if size + blocks * width > 20_000:
            break
        parts.tensors.append(Tensor(b"t%d" % index, shape, kind, size))
        size += blocks * width
        size += -size % parts.alignment
    parts.data = bytes(size)


def _other_data(draw: Random, parts: Parts) -> None:
    kind = draw.random()
    if kind < 0.4:
        parts.data = parts.data[: position(draw, parts.data)]
    elif kind < 0.7:
        parts.data += bytes(draw.choice((1, 4, 31, 32, 33, 4096)))
    else:
        parts.data = bytes(len(parts.data))


def _alignment(draw: Random, parts: Parts) -> None:
    alignment = draw.choice((0, 1, 2, 3, 8, 13, 16, 32, 64, 128, 4096, number(draw, 32, 32)))
    kind = draw.choice((4, 4, 4, 4, 5, 2, 10))
    parts.fields = [one for one in parts.fields if one.key != b"general.alignment"]
    raw = (alignment & ((1 << 8 * WIDTHS[kind]) - 1)).to_bytes(WIDTHS[kind], parts.byte_order)
    parts.fields.append(Field(b"general.alignment", kind, raw))
    if 0 < alignment <= 4096 and draw.random() < 0.7:
        parts.alignment = alignment


def _version(draw: Random, parts: Parts) -> None:
    kind = draw.random()
    if kind < 0.4:
        parts.version = 2
    elif kind < 0.7:
        parts.version = draw.choice((0, 1, 4, 3 << 24, number(draw, 3, 32)))
    elif kind < 0.85:
        parts.count = "I"
        parts.version = draw.choice((1, 1, 1, 3))
    else:
        parts.magic = draw.choice((b"FUGG", b"gguf", b"GGML", b"GGJT", b"GGU", b""))


_CHANGES: tuple[Callable[[Random, Parts], None], ...] = (
    *(_new_field,) * 3,
    *(_same_field_other_value,) * 4,
    _other_type,
    _other_key,
    _key_length,
    _inner_count,
    _inner_count,
    _item_type,
    _raw_value,
    *(_drop,) * 2,
    _repeat,
    _shuffle,
    _counts,
    *(_tensor_part,) * 4,
    *(_other_table,) * 3,
    _other_data,
    _alignment,
    _version,
)


class Changer:
    """Changes GGUF seeds."""

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._seeds = seeds
        self._parts = [taken_apart(one.content) for one in seeds]

    def __call__(self, draw: Random) -> Case:
        at = draw.randrange(len(self._seeds))
        name, content = self._seeds[at]
        kind = draw.random()
        if kind < 0.8:
            parts = self._parts[at].copy()
            for _ in range(draw.choice((1, 1, 1, 2, 3))):
                if not parts.fields:
                    _new_field(draw, parts)
                draw.choice(_CHANGES)(draw, parts)
            content = parts.encode()
        elif kind < 0.83:
            content = crossed(draw, content, draw.choice(self._seeds).content)
        if kind >= 0.72:
            content = changed(draw, content)
        return Case(name, content)


changer: Callable[[tuple[Seed, ...]], Changer] = Changer
