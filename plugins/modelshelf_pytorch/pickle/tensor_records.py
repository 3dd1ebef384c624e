r"""Tensor records as torch.save writes them, matched whole: the fast lane of the abstract interpreter.

A tensor in a state dict is always the same two dozen opcodes: its name, `_rebuild_tensor_v2`, the storage's
persistent id, offset, shape, stride, no gradient, no hooks (``torch/serialization.py``, ``persistent_id``;
``torch/_tensor.py``, ``_reduce_ex_internal``; pickle protocol 2 with each value memoized). One regular
expression picks out what differs between records; what a pickler would write of that, with its lengths and
with memo indexes in sequence, must be the very bytes that are there. What the memo holds and the bounds are
checked once for each form of record. Wherever anything does not fit, nothing is taken, and the interpreter
goes on one opcode at a time, with the same result.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from modelshelf_pytorch.pickle import calls
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.layers import Layer, last_of
from modelshelf_pytorch.pickle.rebuild import BadArgumentsError
from modelshelf_pytorch.pickle.symbols import GlobalUse, Tensor
from modelshelf_pytorch.pickle.tensor_run import Column, Form, Memo, TensorRun

_GET = rb"(?:h.|j....)"
_PUT = rb"(?:q.|r....)"
_NUMBER = rb"(?:K.|M..|J....)"
_SIZES = rb"(?:\)|N{1,3}[\x85-\x87]|\(N{4,8}t)".replace(b"N", _NUMBER)
_RECORD = re.compile(
    rb"X.\0\0\0([\w./-]{1,255})P"  # the tensor's name
    rb"(G\(\(GGX).\0\0\0([0-9]{1,7})P"  # _rebuild_tensor_v2, "storage", the class, the key
    rb"(GIN?t)P"  # the location, the elements, in a legacy checkpoint the view
    rb"(QIS)(P|)(S)(P|)"  # the offset and the shape, the stride
    rb"(\x89G\)R)PtPRP"  # no gradient, an empty OrderedDict of hooks
    rb"|(.+)".replace(b"S", _SIZES)
    .replace(b"I", _NUMBER)
    .replace(b"P", _PUT)
    .replace(b"G", _GET),
    re.DOTALL,
)
_OPCODE_BYTES = {0x4B: 2, 0x4D: 3, 0x4A: 5}  # of the three integer opcodes
_TUPLES = b")\x85\x86\x87"  # the opcodes that make one of 0 to 3 values
_GETS = re.compile(_GET, re.DOTALL)
_NUMBERS = re.compile(rb"K(.)|M(..)|J(....)", re.DOTALL)
_CHUNK = 64 * 1024  # bytes matched at a time: what follows the last record is copied once for each
_PROBE, _WIDER = 2560, 3  # bytes matched where layers may repeat, and how many times more if none does
_MOST_GUESSED = 16  # records for each that was taken
_FEWEST = 4  # records that are worth the checks
_SHORTEST = 49  # bytes of a record
_SHORT = 256  # memo indexes below are set by BINPUT
_BLOCK = 1024
_MOST_PUTS = 8  # of a record
_NO_SLOT = 1 << 32  # above every memo index that an opcode can name
_BINPUT, _BINGET = b"qh"
_NAME, _KEY = 0, 2  # places in what the expression picks out
_U32 = struct.Struct("<I")
_TEXTS = [b"X%c\0\0\0" % length for length in range(_SHORT)]
_LENGTHS = [text[1:] for text in _TEXTS]

_Caller = tuple[GlobalUse, Any, GlobalUse, GlobalUse]
"""The function that rebuilds a tensor, the word "storage", the storage's class, OrderedDict."""


def take(
    data: bytes, index: int, end: int, memo: Memo, base: int, start: int
) -> tuple[TensorRun, int] | None:
    """Take the run of tensor records that begins at `index`.

    Args:
        data: The bytes that the interpreter looks at.
        index: Where a record may begin.
        end: Where the bytes that may be read end.
        memo: The interpreter's memo; it is not changed.
        base: The file offset of the first byte.
        start: The file offset where the stream began.

    Returns:
        The run and the index behind it, or None where no run worth taking begins there.
    """
    if end - index < _FEWEST * _SHORTEST:
        return None
    taking = _Taking(data, index, end, memo)
    chunk = _PROBE
    while taking.match(chunk, base + index - start):
        chunk = _PROBE if taking.guess() else min(_WIDER * chunk, _CHUNK)
    if len(taking.names) < _FEWEST:
        return None
    run = TensorRun(
        names=b"\n".join(taking.names).decode("ascii").split("\n"),
        keys=b"\n".join(taking.keys).decode("ascii").split("\n"),
        forms=taking.forms,
        stretches=taking.stretches,
        offset=base + index,
        slot=taking.first,
        slots=taking.slot - taking.first,
    )
    return run, taking.after


class _Taking:
    """A run that is taken stretch by stretch, each compared with the stream as a whole.

    Attributes:
        names: The tensors' names.
        keys: The storages' keys.
        forms: What else each record says.
        stretches: The records' bytes in columns.
        after: The index behind them.
        first: The memo index that the first record sets; below 0 before there is one.
        slot: The memo index that the next record sets.
    """

    def __init__(self, data: bytes, index: int, end: int, memo: Memo) -> None:
        self._data = data
        self._end = end
        self._memo = memo
        self._known: dict[tuple[bytes, ...], Form] = {}
        self._layer: Layer | None = None
        self._like: list[Column] = []
        self.names: list[bytes] = []
        self.keys: list[bytes] = []
        self.forms: list[Form] = []
        self.stretches: list[list[Column]] = []
        self.after = index
        self.first = self.slot = -1

    def match(self, chunk: int, highest: int) -> bool:
        """Take records that the expression finds; whether there were any.

        Where the last of them are the beginning of another layer, they are left for `guess`.

        Args:
            chunk: How many bytes to look at.
            highest: The highest memo index that the first record may set.
        """
        rows = _RECORD.findall(self._data, self.after, min(self._end, self.after + chunk))
        if rows and rows[-1][-1]:
            rows.pop()
        if not rows or (not self.names and len(rows) < _FEWEST):
            return False
        parts: list[Column] = [*zip(*rows, strict=True)]
        parts.pop()  # what the expression left over
        if self.first < 0:
            self.first = self.slot = _slot_at(self._data, self.after + len(_TEXTS[0]) + len(parts[_NAME][0]))
            if not self._memo.free <= self.first <= highest:
                return False
        self._layer = last_of(parts[_NAME], parts[_KEY]) if chunk < _CHUNK else None
        if self._layer is not None:
            parts = [part[: self._layer.stop] for part in parts]
            self._like = [part[self._layer.start :] for part in parts]
        try:
            forms = _forms(parts, self._memo, self.first, self._known)
        except (BadArgumentsError, KeyError):
            return False  # the interpreter says what is wrong, and where
        return forms is not None and self._add(parts, forms)

    def guess(self) -> bool:
        """Take the layers that follow the last one and are like it; whether there were any."""
        layer = self._layer
        if layer is None:
            return False
        rows = layer.stop - layer.start
        length = sum(sum(map(len, column[-rows:])) for column in self.stretches[-1])
        most = _MOST_GUESSED * len(self.names) // rows  # so that to guess wrong costs like matching
        count = min(most, layer.following(self._data, self.after, self._end, length))
        parts = [list(part) * count for part in self._like]
        parts[_NAME], parts[_KEY] = layer.names(count), layer.keys(count)
        if not count or max(map(len, parts[_NAME][-rows:])) >= len(_TEXTS):
            return False
        forms = self.forms[-rows:] * count
        if self._add(parts, forms):
            return True
        there = self._there(parts, rows)
        return there > 0 and self._add([part[:there] for part in parts], forms[:there])

    def _add(self, parts: Sequence[Column], forms: list[Form]) -> bool:
        """Take these records, if they are what the stream holds; whether they are."""
        if self.slot + _MOST_PUTS * len(forms) > _NO_SLOT:
            return False
        columns, slots = _columns(parts, self.slot)
        text = b"".join(chain.from_iterable(zip(*columns, strict=True)))
        if len(text) > self._end - self.after or not self._data.startswith(text, self.after):
            return False
        self.names += parts[_NAME]
        self.keys += parts[_KEY]
        self.forms += forms
        self.stretches.append(columns)
        self.slot += slots
        self.after += len(text)
        return True

    def _there(self, parts: Sequence[Column], rows: int) -> int:
        """How many of the records that were guessed the stream holds: whole layers of so many rows each."""
        columns, _ = _columns(parts, self.slot)
        pieces = [b"".join(row) for row in zip(*columns, strict=True)]
        least, most = 0, len(pieces) // rows
        while least < most:
            middle = (least + most + 1) // 2
            text = b"".join(pieces[: middle * rows])
            if len(text) <= self._end - self.after and self._data.startswith(text, self.after):
                least = middle
            else:
                most = middle - 1
        return least * rows


def _slot_at(data: bytes, index: int) -> int:
    """The memo index that the PUT opcode at a place sets."""
    return _index_of(data[index : index + (2 if data[index] == _BINPUT else 5)])


def _index_of(opcode: bytes) -> int:
    """The memo index of a PUT or GET opcode."""
    return int.from_bytes(opcode[1:], "little")


def _columns(parts: Sequence[Column], slot: int) -> tuple[list[Column], int]:
    """The records as a pickler writes what differs in them, and the number of their PUT opcodes.

    Args:
        parts: What differs, by the places above.
        slot: The memo index that the first record sets; each PUT sets the next.
    """
    names, heads, keys, places, starts, shapes, strides, steps, hooks = parts
    puts: Sequence[Column]
    if b"" in shapes or b"" in steps:  # an empty tuple is not memoized
        memoized = [
            bytes((1, 1, 1, bool(shape), bool(step), 1, 1, 1))
            for shape, step in zip(shapes, steps, strict=True)
        ]
        slots = sum(map(sum, memoized))
        following = iter(_puts(slot, slots))
        puts = list(zip(*([next(following) if put else b"" for put in row] for row in memoized), strict=True))
    else:
        slots = _MOST_PUTS * len(names)
        row = _puts(slot, slots)
        puts = [row[place::_MOST_PUTS] for place in range(_MOST_PUTS)]
    name, key, place, shape, stride, hook, arguments, tensor = puts
    sizes = [_TEXTS[len(one)] for one in names]
    lengths = [_LENGTHS[len(one)] for one in keys]
    tuples, reduces = [b"t"] * len(names), [b"R"] * len(names)
    written: list[Column] = [sizes, names, name, heads, lengths, keys, key, places, place, starts, shape]
    return [*written, strides, stride, hooks, hook, tuples, arguments, reduces, tensor], slots


def _puts(slot: int, count: int) -> list[bytes]:
    """The opcodes that set as many memo entries from `slot` on, each written as the C pickler does."""
    puts: list[bytes] = []
    for block in range(slot // _BLOCK, (slot + count - 1) // _BLOCK + 1):
        puts += _put_block(block)
    return puts[slot % _BLOCK : slot % _BLOCK + count]


@lru_cache(maxsize=64)
def _put_block(block: int) -> list[bytes]:
    indexes = range(block * _BLOCK, (block + 1) * _BLOCK)
    return [b"q%c" % index if index < _SHORT else b"r" + _U32.pack(index) for index in indexes]


def _forms(
    parts: Sequence[Column], memo: Memo, slot: int, known: dict[tuple[bytes, ...], Form]
) -> list[Form] | None:
    """What each record says, each distinct one checked once; None where a record calls something else.

    Args:
        parts: What differs in the records.
        memo: The interpreter's memo.
        slot: The memo index that the run's first record sets.
        known: The forms that were checked before; new ones are added.

    Raises:
        BadArgumentsError: torch would refuse the tensor.
        KeyError: A memo entry is asked for that was never made.
    """
    _, heads, _, places, starts, _, strides, _, hooks = parts
    alike = heads.count(heads[0]) == hooks.count(hooks[0]) == len(heads)
    columns = (places, starts, strides) if alike else (places, starts, strides, heads, hooks)
    told: list[tuple[bytes, ...]] = list(zip(*columns, strict=True))
    shared = (heads[0], hooks[0]) if alike else ()
    callers: dict[tuple[bytes, bytes], _Caller | None] = {}
    found: dict[tuple[bytes, ...], Form] = {}
    for one in dict.fromkeys(told):
        whole = (*one, *shared)
        form = known.get(whole)
        if form is None:
            place, start, stride, head, hook = whole
            if (head, hook) not in callers:
                callers[head, hook] = _caller(head + hook, memo, slot)
            caller = callers[head, hook]
            form = None if caller is None else _form(caller, place, start, stride, memo, slot)
            if form is None:
                return None
            known[whole] = form
        found[one] = form
    return [found[one] for one in told]


def _caller(head: bytes, memo: Memo, slot: int) -> _Caller | None:
    """What a record calls, from the GET opcodes in it; None where it is not what makes a tensor."""
    indexes = [_index_of(get) for get in _GETS.findall(head)]
    if max(indexes) >= slot:
        return None
    rebuild, word, kind, empty = map(memo.__getitem__, indexes)
    if not _is_call(rebuild, "torch._utils", "_rebuild_tensor_v2"):
        return None
    if not _is_call(empty, "collections", "OrderedDict") or type(kind) is not GlobalUse:
        return None
    return rebuild, word, kind, empty


def _form(caller: _Caller, place: bytes, start: bytes, stride: bytes, memo: Memo, slot: int) -> Form | None:
    rebuild, word, kind, empty = caller
    width = 2 if place[0] == _BINGET else 5
    index = _index_of(place[:width])
    if index >= slot:
        return None
    location = memo[index]
    count = place[width:-1]  # without TUPLE
    (elements,) = _numbers(count)
    view = len(count) > _OPCODE_BYTES[count[0]]
    identity = (word, kind, "", location, elements)
    storage = calls.storage((*identity, None) if view else identity, 0)
    first, *shape = _numbers(start)
    steps = _numbers(stride)
    if not (_is_tuple(start, len(shape)) and _is_tuple(stride, len(steps))):
        return None
    assert rebuild.build is not None  # noqa: S101  # as _caller saw
    assert empty.build is not None  # noqa: S101
    tensor = rebuild.build((storage, first, tuple(shape), tuple(steps), False, empty.build(())))
    rebuild.called = empty.called = True
    if type(tensor) is not Tensor or type(location) is not str:
        return None
    return Form(kind, location, view, tensor, tensor.elements, storage.elements * ITEM_BYTES[storage.dtype])


def _is_tuple(data: bytes, count: int) -> bool:
    """Whether the opcodes end in the one that makes a tuple of so many values."""
    return count >= len(_TUPLES) or data[-1] == _TUPLES[count]


def _is_call(value: Any, module: str, name: str) -> bool:
    return type(value) is GlobalUse and value.path == (module, name) and value.build is not None


def _numbers(data: bytes) -> list[int]:
    """The integers that BININT1, BININT2 and BININT opcodes push, whatever else stands around them."""
    return [
        one[0]
        if one
        else int.from_bytes(two, "little")
        if two
        else int.from_bytes(four, "little", signed=True)
        for one, two, four in _NUMBERS.findall(data)
    ]
