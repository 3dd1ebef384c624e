r"""Tensor records as torch.save writes them, matched whole: the fast lane of the abstract interpreter.

A tensor in a state dict is always the same two dozen opcodes: its name, `_rebuild_tensor_v2`, the storage's
persistent id, offset, shape, stride, no gradient, no hooks (``torch/serialization.py``, ``persistent_id``;
``torch/_tensor.py``, ``_reduce_ex_internal``; pickle protocol 2 with each value memoized). One regular
expression matches the record, and what it cannot say (lengths, memo indexes in sequence, what the memo holds,
bounds) is checked by columns. Wherever anything does not fit, nothing is taken, and the interpreter goes on
one opcode at a time, with the same result.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from itertools import chain
from typing import Any

from modelshelf_pytorch import calls
from modelshelf_pytorch.allowlist import ITEM_BYTES
from modelshelf_pytorch.rebuild import BadArgumentsError
from modelshelf_pytorch.symbols import GlobalUse, Tensor
from modelshelf_pytorch.tensor_run import (
    HEAD,
    HOOKS,
    KEY,
    KEY_SIZE,
    NAME,
    NAME_PUT,
    NAME_SIZE,
    PLACE,
    PUTS,
    START,
    STRIDE,
    Form,
    Memo,
    TensorRun,
)

_GET = rb"(?:h.|j....)"
_PUT = rb"(?:q.|r....)"
_NUMBER = rb"(?:K.|M..|J....)"
_SIZES = rb"(?:\)|N\x85|NN\x86|NNN\x87|\(N{4,8}t)".replace(b"N", _NUMBER)
_RECORD = re.compile(
    rb"X(.)\0\0\0([\w./-]{1,255})(P)"  # the tensor's name
    rb"(G\(\(GG)X(.)\0\0\0([0-9]{1,7})(P)"  # _rebuild_tensor_v2, "storage", the class, the key
    rb"(GIN?)t(P)Q"  # the location, the elements, in a legacy checkpoint the view
    rb"(IS)(P|)(S)(P|)"  # the offset and the shape, the stride
    rb"(\x89G\))R(P)t(P)R(P)"  # no gradient, an empty OrderedDict of hooks
    rb"|(.+)".replace(b"S", _SIZES)
    .replace(b"I", _NUMBER)
    .replace(b"P", _PUT)
    .replace(b"G", _GET),
    re.DOTALL,
)
_OPCODE_BYTES = {0x4B: 2, 0x4D: 3, 0x4A: 5}  # of the three integer opcodes
_GETS = re.compile(_GET, re.DOTALL)
_NUMBERS = re.compile(rb"K(.)|M(..)|J(....)", re.DOTALL)
_CHUNK = 64 * 1024  # bytes matched at a time: what follows the last record is copied once for each
_FEWEST = 4  # records that are worth the checks
_SHORT = 256  # memo indexes below are set by BINPUT
_BLOCK = 1024

Row = tuple[bytes, ...]


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
    rows, after = _rows(data, index, end)
    if len(rows) < _FEWEST:
        return None
    columns = list(zip(*rows, strict=True))
    slot = _index_of(rows[0][NAME_PUT])
    puts = b"".join(chain.from_iterable(zip(*(columns[place] for place in PUTS), strict=True)))
    slots = _puts_in_sequence(puts, slot)
    if not slots or slot < memo.free or slot > base + index - start or not _lengths_agree(columns):
        return None
    try:
        forms = _forms(columns, memo, slot)
    except (BadArgumentsError, KeyError):
        return None  # the interpreter says what is wrong, and where
    if forms is None:
        return None
    names = b"\n".join(columns[NAME]).decode("ascii").split("\n")
    keys = b"\n".join(columns[KEY]).decode("ascii").split("\n")
    return TensorRun(names, keys, forms, rows, base + index, slot, slots), after


def _rows(data: bytes, index: int, end: int) -> tuple[list[Row], int]:
    """The records from `index` on, and the index after them; one that a chunk cuts begins the next."""
    rows: list[Row] = []
    while True:
        stop = min(end, index + _CHUNK)
        found: list[Row] = _RECORD.findall(data, index, stop)
        rest = len(found.pop()[-1]) if found and found[-1][-1] else 0
        rows += found
        index = stop - rest
        if not found or stop == end:
            return rows, index


def _lengths_agree(columns: list[Row]) -> bool:
    """Whether the names and keys are as long as the bytes before them say."""
    return all(
        bytes(map(len, columns[text])) == b"".join(columns[size])
        for text, size in ((NAME, NAME_SIZE), (KEY, KEY_SIZE))
    )


def _index_of(opcode: bytes) -> int:
    """The memo index of a PUT or GET opcode."""
    return int.from_bytes(opcode[1:], "little")


def _puts_in_sequence(puts: bytes, slot: int) -> int:
    """How many PUT opcodes there are, when they number their entries one by one from `slot`; else 0.

    Each is written as the C pickler does, so that the bytes can be compared as a whole.
    """
    short = max(0, min(_SHORT - slot, len(puts) // 2))
    count = short + (len(puts) - 2 * short) // 5
    first = max(slot, _SHORT)
    last = slot + count
    expected = b"".join([b"q%c" % index for index in range(slot, slot + short)])
    if last > first:
        blocks = b"".join(map(_long_puts, range(first // _BLOCK, (last - 1) // _BLOCK + 1)))
        begin = first % _BLOCK * 5
        expected += blocks[begin : begin + (last - first) * 5]
    return count if expected == puts else 0


@lru_cache(maxsize=64)
def _long_puts(block: int) -> bytes:
    """LONG_BINPUT for the memo indexes of one block of 1024."""
    pack = struct.Struct("<cI").pack
    return b"".join(pack(b"r", index) for index in range(block * _BLOCK, (block + 1) * _BLOCK))


def _forms(columns: list[Row], memo: Memo, slot: int) -> list[Form] | None:
    """What each record says, each distinct one checked once; None where a record calls something else.

    Raises:
        BadArgumentsError: torch would refuse the tensor.
        KeyError: A memo entry is asked for that was never made.
    """
    told = list(
        zip(columns[HEAD], columns[PLACE], columns[START], columns[STRIDE], columns[HOOKS], strict=True)
    )
    known: dict[tuple[bytes, ...], Form] = {}
    for one in set(told):
        form = _form(one, memo, slot)
        if form is None:
            return None
        known[one] = form
    return list(map(known.__getitem__, told))


def _form(told: tuple[bytes, ...], memo: Memo, slot: int) -> Form | None:
    head, place, start, stride, hooks = told
    gets = _GETS.findall(head + hooks) + _GETS.findall(place)[:1]
    indexes = [_index_of(get) for get in gets]
    if max(indexes) >= slot:
        return None
    rebuild, word, kind, empty, location = map(memo.__getitem__, indexes)
    if not _is_call(rebuild, "torch._utils", "_rebuild_tensor_v2"):
        return None
    if not _is_call(empty, "collections", "OrderedDict") or type(kind) is not GlobalUse:
        return None
    count = place[len(gets[-1]) :]
    (elements,) = _numbers(count)
    view = len(count) > _OPCODE_BYTES[count[0]]
    identity = (word, kind, "", location, elements)
    storage = calls.storage((*identity, None) if view else identity, 0)
    first, *shape = _numbers(start)
    tensor = rebuild.build((storage, first, tuple(shape), tuple(_numbers(stride)), False, empty.build(())))
    rebuild.called = empty.called = True
    if type(tensor) is not Tensor or type(location) is not str:
        return None
    return Form(kind, location, view, tensor, tensor.elements, storage.elements * ITEM_BYTES[storage.dtype])


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
