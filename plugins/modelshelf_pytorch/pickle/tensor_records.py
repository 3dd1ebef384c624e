r"""Match tensor records as torch.save writes them, whole runs at a time: the fast lane of the interpreter.

A tensor in a state dict is always the same two dozen opcodes: its name, `_rebuild_tensor_v2`, the storage's
persistent id, offset, shape, stride, no gradient, no hooks (``torch/serialization.py``, ``persistent_id``;
``torch/_tensor.py``, ``_reduce_ex_internal``; pickle protocol 2 with each value memoized). One regular
expression picks out what differs between records; what a pickler would write of that, with its lengths and
with memo indexes in sequence, must be the very bytes that are there. A model's layers are alike but for their
number, so that the records of the next ones are guessed from the last, and compared in the same way. What
the memo refers to and the bounds are checked once for each kind of record. Wherever anything does not fit,
nothing is taken, and the interpreter goes on one opcode at a time, with the same result.
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
from modelshelf_pytorch.pickle.rebuild import BadArgumentsError
from modelshelf_pytorch.pickle.symbols import Global, Tensor
from modelshelf_pytorch.pickle.tensor_run import Column, Memo, TensorRun, TensorSpec

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
_NAME, _KEY = 0, 2  # groups of the expression
_OPCODE_BYTES = {0x4B: 2, 0x4D: 3, 0x4A: 5}  # of the three integer opcodes
_TUPLES = b")\x85\x86\x87"  # the opcodes that make one of 0 to 3 values
_GETS = re.compile(_GET, re.DOTALL)
_NUMBERS = re.compile(rb"K(.)|M(..)|J(....)", re.DOTALL)
_BINPUT, _BINGET = b"qh"
_CHUNK = 64 * 1024  # bytes matched at a time: what follows the last record is copied once for each
_PROBE, _WIDER = 2560, 3  # bytes matched where layers may repeat, and how many times more if none does
_MOST_GUESSED = 16  # records for each that was taken
_FEWEST = 4  # records that are worth the checks
_SHORTEST = 49  # bytes of a record
_BINPUT_INDEXES = 256  # memo indexes below are set by BINPUT, those above by LONG_BINPUT
_BLOCK = 1024  # PUT opcodes that are made at once
_MOST_PUTS = 8  # of a record
_MEMO_INDEXES = 1 << 32  # an opcode cannot name more
_LONGEST_NUMBER = 8  # digits of a layer's number
_U32 = struct.Struct("<I")
_STRING_LEADS = [b"X%c\0\0\0" % length for length in range(256)]  # BINUNICODE and the length
_LENGTHS = [lead[1:] for lead in _STRING_LEADS]

_Caller = tuple[Global, Any, Global, Global]
"""The function that rebuilds a tensor, the word "storage", the storage's class, OrderedDict."""


def match_run(
    data: bytes, index: int, end: int, memo: Memo, base: int, start: int
) -> tuple[TensorRun, int] | None:
    """Match the run of tensor records that begins at `index`.

    Args:
        data: The interpreter's window.
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
    matcher = _RunMatcher(data, index, end, memo)
    chunk = _PROBE
    while matcher.match(chunk, base + index - start):
        chunk = _PROBE if matcher.guess() else min(_WIDER * chunk, _CHUNK)
    if len(matcher.names) < _FEWEST:
        return None
    run = TensorRun(
        names=b"\n".join(matcher.names).decode("ascii").split("\n"),
        keys=b"\n".join(matcher.keys).decode("ascii").split("\n"),
        specs=matcher.specs,
        segments=matcher.segments,
        offset=base + index,
        first_index=matcher.first_index,
        index_count=matcher.next_index - matcher.first_index,
    )
    return run, matcher.end


class _RunMatcher:
    """Matches a run segment by segment, each compared with the stream as a whole.

    Attributes:
        names: The tensors' names.
        keys: The storages' keys.
        specs: What else each record says.
        segments: The records' bytes in columns.
        end: The index in the data behind them.
        first_index: The memo index that the first record sets; below 0 before there is one.
        next_index: The memo index that the next record sets.
    """

    def __init__(self, data: bytes, index: int, end: int, memo: Memo) -> None:
        self._data = data
        self._data_end = end
        self._memo = memo
        self._checked: dict[tuple[bytes, ...], TensorSpec] = {}
        self._layer: Layer | None = None
        self._layer_parts: list[Column] = []
        self.names: list[bytes] = []
        self.keys: list[bytes] = []
        self.specs: list[TensorSpec] = []
        self.segments: list[list[Column]] = []
        self.end = index
        self.first_index = self.next_index = -1

    def match(self, chunk: int, highest: int) -> bool:
        """Take records that the expression finds; return whether there were any.

        Where the last of them are the beginning of another layer, they are left for `guess`.

        Args:
            chunk: How many bytes to look at.
            highest: The highest memo index that the first record may set.
        """
        rows = _RECORD.findall(self._data, self.end, min(self._data_end, self.end + chunk))
        if rows and rows[-1][-1]:
            rows.pop()
        if not rows or (not self.names and len(rows) < _FEWEST):
            return False
        parts: list[Column] = [*zip(*rows, strict=True)]
        parts.pop()  # what the expression left over
        if self.first_index < 0:
            first_put = self.end + len(_STRING_LEADS[0]) + len(parts[_NAME][0])
            self.first_index = self.next_index = _index_set_at(self._data, first_put)
            if not self._memo.next_free <= self.first_index <= highest:
                return False
        self._layer = last_layer(parts[_NAME], parts[_KEY]) if chunk < _CHUNK else None
        if self._layer is not None:
            parts = [part[: self._layer.stop] for part in parts]
            self._layer_parts = [part[self._layer.start :] for part in parts]
        try:
            specs = _check_specs(parts, self._memo, self.first_index, self._checked)
        except (BadArgumentsError, KeyError):
            return False  # the interpreter says what is wrong, and where
        return specs is not None and self._add(parts, specs)

    def guess(self) -> bool:
        """Take the layers that follow the last one and are like it; return whether there were any."""
        layer = self._layer
        if layer is None:
            return False
        rows = layer.stop - layer.start
        length = sum(sum(map(len, column[-rows:])) for column in self.segments[-1])
        most = _MOST_GUESSED * len(self.names) // rows  # so that to guess wrong costs like matching
        count = min(most, layer.most_following(self._data, self.end, self._data_end, length))
        parts = [list(part) * count for part in self._layer_parts]
        parts[_NAME], parts[_KEY] = layer.next_names(count), layer.next_keys(count)
        if not count or max(map(len, parts[_NAME][-rows:])) >= len(_STRING_LEADS):
            return False
        specs = self.specs[-rows:] * count
        if self._add(parts, specs):
            return True
        present = self._count_present(parts, rows)
        return present > 0 and self._add([part[:present] for part in parts], specs[:present])

    def _add(self, parts: Sequence[Column], specs: list[TensorSpec]) -> bool:
        """Take these records, if they are what the stream has there; return whether they are."""
        if self.next_index + _MOST_PUTS * len(specs) > _MEMO_INDEXES:
            return False
        columns, index_count = _write_records(parts, self.next_index)
        text = b"".join(chain.from_iterable(zip(*columns, strict=True)))
        if len(text) > self._data_end - self.end or not self._data.startswith(text, self.end):
            return False
        self.names += parts[_NAME]
        self.keys += parts[_KEY]
        self.specs += specs
        self.segments.append(columns)
        self.next_index += index_count
        self.end += len(text)
        return True

    def _count_present(self, parts: Sequence[Column], rows: int) -> int:
        """Return how many of the guessed records the stream has: whole layers of so many rows each."""
        columns, _ = _write_records(parts, self.next_index)
        records = [b"".join(row) for row in zip(*columns, strict=True)]
        least, most = 0, len(records) // rows
        while least < most:
            middle = (least + most + 1) // 2
            text = b"".join(records[: middle * rows])
            if len(text) <= self._data_end - self.end and self._data.startswith(text, self.end):
                least = middle
            else:
                most = middle - 1
        return least * rows


def _index_set_at(data: bytes, index: int) -> int:
    """Return the memo index that the PUT opcode at a place sets."""
    return _memo_index(data[index : index + (2 if data[index] == _BINPUT else 5)])


def _memo_index(opcode: bytes) -> int:
    """Return the memo index of a PUT or GET opcode."""
    return int.from_bytes(opcode[1:], "little")


def _write_records(parts: Sequence[Column], first_index: int) -> tuple[list[Column], int]:
    """Write records as a pickler does, from what differs in them.

    Args:
        parts: What differs, by the expression's groups.
        first_index: The memo index that the first record sets; each PUT sets the next.

    Returns:
        The records by columns, and the number of their PUT opcodes.
    """
    names, heads, keys, storages, shapes, shape_puts, strides, stride_puts, hooks = parts
    puts: Sequence[Column]
    if b"" in shape_puts or b"" in stride_puts:  # an empty tuple is not memoized
        memoized = [
            bytes((1, 1, 1, bool(shape_put), bool(stride_put), 1, 1, 1))
            for shape_put, stride_put in zip(shape_puts, stride_puts, strict=True)
        ]
        count = sum(map(sum, memoized))
        following = iter(_put_opcodes(first_index, count))
        puts = list(zip(*([next(following) if put else b"" for put in row] for row in memoized), strict=True))
    else:
        count = _MOST_PUTS * len(names)
        opcodes = _put_opcodes(first_index, count)
        puts = [opcodes[place::_MOST_PUTS] for place in range(_MOST_PUTS)]
    name_put, key_put, storage_put, shape_put, stride_put, hooks_put, arguments_put, tensor_put = puts
    leads = [_STRING_LEADS[len(name)] for name in names]
    lengths = [_LENGTHS[len(key)] for key in keys]
    tuples, reduces = [b"t"] * len(names), [b"R"] * len(names)
    written: list[Column] = [leads, names, name_put, heads, lengths, keys, key_put, storages, storage_put]
    written += [shapes, shape_put, strides, stride_put, hooks, hooks_put, tuples, arguments_put, reduces]
    return [*written, tensor_put], count


def _put_opcodes(first_index: int, count: int) -> list[bytes]:
    """Return the opcodes that set so many memo entries, each written as the C pickler does."""
    opcodes: list[bytes] = []
    for block in range(first_index // _BLOCK, (first_index + count - 1) // _BLOCK + 1):
        opcodes += _put_block(block)
    return opcodes[first_index % _BLOCK : first_index % _BLOCK + count]


@lru_cache(maxsize=64)
def _put_block(block: int) -> list[bytes]:
    indexes = range(block * _BLOCK, (block + 1) * _BLOCK)
    return [b"q%c" % index if index < _BINPUT_INDEXES else b"r" + _U32.pack(index) for index in indexes]


def _check_specs(
    parts: Sequence[Column], memo: Memo, first_index: int, checked: dict[tuple[bytes, ...], TensorSpec]
) -> list[TensorSpec] | None:
    """Return what each record says, each distinct one checked once; None where one calls something else.

    Args:
        parts: What differs in the records.
        memo: The interpreter's memo.
        first_index: The memo index that the run's first record sets.
        checked: The specs that were checked before; new ones are added.

    Raises:
        BadArgumentsError: torch would refuse the tensor.
        KeyError: A memo entry is asked for that was never made.
    """
    _, heads, _, storages, shapes, _, strides, _, hooks = parts
    one_call = heads.count(heads[0]) == hooks.count(hooks[0]) == len(heads)
    columns = (storages, shapes, strides) if one_call else (storages, shapes, strides, heads, hooks)
    rows: list[tuple[bytes, ...]] = list(zip(*columns, strict=True))
    shared = (heads[0], hooks[0]) if one_call else ()
    callers: dict[tuple[bytes, bytes], _Caller | None] = {}
    specs: dict[tuple[bytes, ...], TensorSpec] = {}
    for row in dict.fromkeys(rows):
        whole = (*row, *shared)
        spec = checked.get(whole)
        if spec is None:
            storage, shape, stride, head, hook = whole
            if (head, hook) not in callers:
                callers[head, hook] = _check_caller(head + hook, memo, first_index)
            caller = callers[head, hook]
            spec = None if caller is None else _check_spec(caller, storage, shape, stride, memo, first_index)
            if spec is None:
                return None
            checked[whole] = spec
        specs[row] = spec
    return [specs[row] for row in rows]


def _check_caller(opcodes: bytes, memo: Memo, first_index: int) -> _Caller | None:
    """Return what a record calls, from the GET opcodes in it; None where it is not what makes a tensor."""
    indexes = [_memo_index(get) for get in _GETS.findall(opcodes)]
    if max(indexes) >= first_index:
        return None
    rebuild, word, storage_class, hooks_class = map(memo.__getitem__, indexes)
    if not _is_function(rebuild, "torch._utils", "_rebuild_tensor_v2"):
        return None
    if not _is_function(hooks_class, "collections", "OrderedDict") or type(storage_class) is not Global:
        return None
    return rebuild, word, storage_class, hooks_class


def _check_spec(
    caller: _Caller,
    storage_opcodes: bytes,
    shape_opcodes: bytes,
    stride_opcodes: bytes,
    memo: Memo,
    first_index: int,
) -> TensorSpec | None:
    """Return what a record says, its bounds checked; None where its opcodes say something else."""
    rebuild, word, storage_class, hooks_class = caller
    width = 2 if storage_opcodes[0] == _BINGET else 5
    index = _memo_index(storage_opcodes[:width])
    if index >= first_index:
        return None
    location = memo[index]
    count = storage_opcodes[width:-1]  # without TUPLE
    (elements,) = _numbers(count)
    view = len(count) > _OPCODE_BYTES[count[0]]
    identity = (word, storage_class, "", location, elements)
    storage = calls.persistent_storage((*identity, None) if view else identity, 0)
    start, *shape = _numbers(shape_opcodes)
    stride = _numbers(stride_opcodes)
    if not (_is_tuple(shape_opcodes, len(shape)) and _is_tuple(stride_opcodes, len(stride))):
        return None
    assert rebuild.build is not None  # noqa: S101  # as _check_caller saw
    assert hooks_class.build is not None  # noqa: S101
    tensor = rebuild.build((storage, start, tuple(shape), tuple(stride), False, hooks_class.build(())))
    rebuild.called = hooks_class.called = True
    if type(tensor) is not Tensor or type(location) is not str:
        return None
    storage_bytes = storage.elements * ITEM_BYTES[storage.dtype]
    return TensorSpec(storage_class, location, view, tensor, tensor.elements, storage_bytes)


def _is_tuple(opcodes: bytes, count: int) -> bool:
    """Return whether the opcodes end in the one that makes a tuple of so many values."""
    return count >= len(_TUPLES) or opcodes[-1] == _TUPLES[count]


def _is_function(value: Any, module: str, name: str) -> bool:
    return type(value) is Global and value.path == (module, name) and value.build is not None


def _numbers(opcodes: bytes) -> list[int]:
    """Return the integers that BININT1, BININT2 and BININT push, whatever else is around them."""
    return [
        one[0]
        if one
        else int.from_bytes(two, "little")
        if two
        else int.from_bytes(four, "little", signed=True)
        for one, two, four in _NUMBERS.findall(opcodes)
    ]


class Layer:
    """The records of the last whole layer among some, from which the following layers are guessed.

    Attributes:
        start: The number of its first record.
        stop: The number after its last.
    """

    __slots__ = ("_key", "_number", "_prefix", "_suffixes", "start", "stop")

    def __init__(self, prefix: bytes, number: int, suffixes: list[bytes], start: int, key: int) -> None:
        self._prefix = prefix
        self._number = number
        self._suffixes = suffixes
        self._key = key
        self.start = start
        self.stop = start + len(suffixes)

    def most_following(self, data: bytes, index: int, end: int, length: int) -> int:
        """Return how many layers may follow: as often as the first name's ending occurs and they have room.

        Args:
            data: The interpreter's window.
            index: Where they would begin.
            end: Where it ends.
            length: The bytes of a layer, at least.
        """
        return min((end - index) // length, data.count(self._suffixes[0], index, end))

    def next_names(self, count: int) -> list[bytes]:
        """Return the names of so many layers after it."""
        first = self._number + 1
        leads = [b"%b%d" % (self._prefix, number) for number in range(first, first + count)]
        return [lead + suffix for lead in leads for suffix in self._suffixes]

    def next_keys(self, count: int) -> list[bytes]:
        """Return the keys of their storages."""
        first = self._key + len(self._suffixes)
        return [b"%d" % key for key in range(first, first + count * len(self._suffixes))]


def last_layer(names: Sequence[bytes], keys: Sequence[bytes]) -> Layer | None:
    """Return the last whole layer, the one before that of the last name; None where there is none."""
    numbered = _first_number(names[-1])
    if numbered is None or not numbered[1]:
        return None
    prefix, number = numbered
    stop = _first_with_prefix(names, b"%b%d." % (prefix, number), len(names))
    lead = b"%b%d" % (prefix, number - 1)
    start = _first_with_prefix(names, lead + b".", stop)
    if not 0 < start < stop:
        return None
    first_key = int(keys[start])
    if any(key != b"%d" % expected for expected, key in enumerate(keys[start:stop], first_key)):
        return None
    return Layer(prefix, number - 1, [name[len(lead) :] for name in names[start:stop]], start, first_key)


def _first_number(name: bytes) -> tuple[bytes, int] | None:
    """Return the first number that is a part of a dotted name, after what precedes it."""
    place = 0
    for part in name.split(b".")[:-1]:
        if part.isdigit() and len(part) <= _LONGEST_NUMBER and b"%d" % int(part) == part:
            return name[:place], int(part)
        place += len(part) + 1
    return None


def _first_with_prefix(names: Sequence[bytes], prefix: bytes, stop: int) -> int:
    """Return the number of the first of the names before `stop` that all begin so."""
    start = stop
    while start and names[start - 1].startswith(prefix):
        start -= 1
    return start
