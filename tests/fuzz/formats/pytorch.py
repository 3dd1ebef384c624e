"""Checkpoints, pickles and numpy files: opcodes, ZIP fields, array headers and bytes changed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random

from tests.fuzz import pickles
from tests.fuzz.formats import Case
from tests.fuzz.mutate import TEXTS, changed, crossed, number
from tests.fuzz.pickle_ops import changed_ops, streams_of
from tests.fuzz.seeds import Seed
from tests.fuzz.zip_parts import Archive, change, taken_apart

_NUMPY = b"\x93NUMPY"
_DESCRIPTIONS = (
    b"'<f4'",
    b"'|O'",
    b"'<U3'",
    b"'>i8'",
    b"'|V8'",
    b"[('a', '<f4')]",
    b"[('a', '|O')]",
    b"'<f99'",
    b"__import__('os')",
    b"None",
    b"''",
)
_SHAPES = (
    b"()",
    b"(3,)",
    b"(2, 3)",
    b"(0,)",
    b"(-1,)",
    b"(99999999999999999999,)",
    b"(2, 2L)",
    b"[2]",
    b"(True,)",
)

Maker = Callable[[Random], bytes]


class _Zip:
    """A checkpoint, TorchScript or numpy archive."""

    def __init__(self, content: bytes) -> None:
        self._archive: Archive = taken_apart(content)
        self._streams = {
            at: streams_of(one.data)
            for at, one in enumerate(self._archive.members)
            if one.name.endswith(b".pkl")
        }

    def __call__(self, draw: Random) -> bytes:
        archive = self._archive.copy()
        kind = draw.random()
        if kind < 0.6 and self._streams:
            at = draw.choice((*self._streams,))
            archive.members[at].data = _changed_streams(draw, *self._streams[at])
        if kind >= 0.5:
            change(draw, archive)
        return archive.encode()


class _Pickle:
    """One stream or several, and what stands behind them."""

    def __init__(self, content: bytes) -> None:
        self._streams, self._rest = streams_of(content)

    def __call__(self, draw: Random) -> bytes:
        if not self._streams:
            return changed(draw, self._rest)
        return _changed_streams(draw, self._streams, self._rest)


class _Array:
    """A numpy file: magic, version, length of the header, header, data."""

    def __init__(self, content: bytes) -> None:
        self._head, self._data = content[10:].split(b"\n", 1)

    def __call__(self, draw: Random) -> bytes:
        head = self._head.rstrip()
        kind = draw.randrange(5)
        if kind == 0:
            head = b"{'descr': %s, 'fortran_order': False, 'shape': %s, }" % (
                draw.choice(_DESCRIPTIONS),
                draw.choice(_SHAPES),
            )
        elif kind <= 2:
            head = changed(draw, head)
        elif kind == 3:
            head = head.replace(b"shape", draw.choice(TEXTS[:-4]))
        head += b" " * (-(len(head) + 11) % 64) + b"\n"
        version = draw.choice((1, 1, 1, 2, 3, 0, 4))
        width = 2 if version == 1 else 4
        length = number(draw, len(head), 8 * width) if draw.random() < 0.1 else len(head)
        data = changed(draw, self._data) if draw.random() < 0.2 else self._data
        length &= (1 << 8 * width) - 1
        return _NUMPY + bytes((version, 0)) + length.to_bytes(width, "little") + head + data


class _Compressed:
    """A pickle that zlib packed, as joblib does."""

    def __init__(self, content: bytes) -> None:
        self._inner = _Pickle(zlib.decompress(content))

    def __call__(self, draw: Random) -> bytes:
        packed = zlib.compress(self._inner(draw), draw.choice((0, 1, 9)))
        return changed(draw, packed) if draw.random() < 0.3 else packed


def _changed_streams(draw: Random, streams: list[list[bytes]], rest: bytes) -> bytes:
    """The streams with one of them changed, or a stream more."""
    out = [b"".join(one) for one in streams]
    kind = draw.random()
    if kind < 0.9:
        at = draw.randrange(len(streams))
        out[at] = changed_ops(draw, streams[at])
    elif kind < 0.95:
        out.insert(draw.randrange(len(out) + 1), draw.choice((pickles.hostile(draw), out[0])))
    else:
        rest = changed(draw, rest)
    return b"".join((*out, rest))


def _maker(content: bytes) -> Maker | None:
    if content.startswith(b"PK\3\4"):
        return _Zip(content)
    if content.startswith(_NUMPY):
        return _Array(content)
    if content.startswith(b"\x78\x9c"):
        return _Compressed(content)
    return None if content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) else _Pickle(content)


class Changer:
    """Changes seeds of all of the plugin's formats."""

    def __init__(self, seeds: tuple[Seed, ...]) -> None:
        self._seeds = seeds
        self._makers = [_maker(one.content) for one in seeds]
        # Most files are torch's own.
        self._places = [
            at for at, one in enumerate(seeds) for _ in range(5 if one.name.endswith((".pt", ".bin")) else 1)
        ]

    def __call__(self, draw: Random) -> Case:
        at = draw.choice(self._places)
        name, content = self._seeds[at]
        maker, kind = self._makers[at], draw.random()
        if kind < 0.85 and maker is not None:
            content = maker(draw)
        elif kind < 0.88:
            content = crossed(draw, content, draw.choice(self._seeds).content)
        if kind > 0.8:
            content = changed(draw, content)
        return Case(name, content)


changer: Callable[[tuple[Seed, ...]], Changer] = Changer
