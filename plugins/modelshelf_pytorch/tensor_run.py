"""A run of tensor records that stand behind one another in a pickle, held by columns.

A state dict is mostly such runs. Whoever asks only how many tensors there are, of which types and sizes,
reads the columns; one value for each tensor is made when somebody asks for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import define, field, frozen

from modelshelf_pytorch.symbols import GlobalUse, Mapping, Storage, Tensor

SHORTEST_TEXT = 8
"""Characters of a text from which on it could be a pickle, or code."""

# Places in a record's columns, in the order that they stand in the stream.
NAME_SIZE, NAME, NAME_PUT, HEAD, KEY_SIZE, KEY, KEY_PUT, PLACE, PLACE_PUT = range(9)
START, SHAPE_PUT, STRIDE, STRIDE_PUT, HOOKS, HOOKS_PUT, ARGUMENTS_PUT, TENSOR_PUT = range(9, 17)
PUTS = (NAME_PUT, KEY_PUT, PLACE_PUT, SHAPE_PUT, STRIDE_PUT, HOOKS_PUT, ARGUMENTS_PUT, TENSOR_PUT)
_LEAD = 5  # bytes of BINUNICODE and its length
_BARE = 14  # bytes of a record that are in no column: two leads but for a byte, and five opcodes
OBJECTS = 7  # containers and calls that a record makes


@frozen(eq=False)
class Form:
    """What a tensor record says besides its name and its storage's key; most records share a few of these.

    Attributes:
        kind: The storage class that it names.
        location: The device it was saved from.
        view: Whether the persistent id has a sixth part, which is None.
        tensor: The tensor, over a storage without a key.
        elements: The product of its dimensions.
        stored: Bytes of its storage.
    """

    kind: GlobalUse
    location: str
    view: bool
    tensor: Tensor
    elements: int
    stored: int


@define(eq=False)
class TensorRun:
    """Tensor records behind one another.

    Attributes:
        names: The names before the tensors, in order.
        keys: The storages' keys.
        forms: What else each record says.
        rows: The records' arguments and memo opcodes as bytes, by the places above.
        offset: File offset of the first record.
        slot: The memo index that the first record sets; the others follow one by one.
        slots: How many they are.
    """

    names: list[str]
    keys: list[str]
    forms: list[Form]
    rows: Sequence[tuple[bytes, ...]]
    offset: int
    slot: int
    slots: int
    _counts: Counter[Form] | None = field(default=None, init=False)
    _tensors: list[Tensor] | None = field(default=None, init=False)
    _starts: list[int] | None = field(default=None, init=False)

    @property
    def counts(self) -> Counter[Form]:
        """How many records have each form."""
        if self._counts is None:
            self._counts = Counter(self.forms)
        return self._counts

    @property
    def tensors(self) -> list[Tensor]:
        """One tensor for each record."""
        if self._tensors is None:
            self._tensors = [
                _tensor(form.tensor, key, start + _identity_place(row))
                for form, key, row, start in zip(self.forms, self.keys, self.rows, self._offsets, strict=True)
            ]
        return self._tensors

    @property
    def storages(self) -> list[Storage]:
        """The tensors' storages."""
        return [one.storage for one in self.tensors if one.storage is not None]

    @property
    def suspects(self) -> list[tuple[int, str]]:
        """Names that are long enough to hide something, with the file offsets of their first bytes."""
        return [
            (start + _LEAD, name)
            for name, start in zip(self.names, self._offsets, strict=True)
            if len(name) >= SHORTEST_TEXT
        ]

    @property
    def pairs(self) -> list[Any]:
        """The names and the tensors in turn."""
        return [one for pair in zip(self.names, self.tensors, strict=True) for one in pair]

    def memo(self) -> list[Any]:
        """The values that the records set in the memo, from index `slot` on."""
        values: list[Any] = []
        for row, name, key, form, tensor in zip(
            self.rows, self.names, self.keys, self.forms, self.tensors, strict=True
        ):
            identity = ("storage", form.kind, key, form.location, form.tensor.storage.elements)  # type: ignore[union-attr]  # a form's tensor has one
            hooks = Mapping("OrderedDict")
            arguments = (tensor.storage, tensor.start, tensor.shape, tensor.stride, False, hooks)
            told = (
                name,
                key,
                (*identity, None) if form.view else identity,
                tensor.shape,
                tensor.stride,
                hooks,
                arguments,
                tensor,
            )
            values.extend(value for value, place in zip(told, PUTS, strict=True) if row[place])
        return values

    @property
    def _offsets(self) -> list[int]:
        if self._starts is None:
            self._starts = []
            start = self.offset
            for row in self.rows:
                self._starts.append(start)
                start += length_of(row)
        return self._starts


def length_of(row: tuple[bytes, ...]) -> int:
    """Bytes of a record."""
    return _BARE + sum(map(len, row[NAME : TENSOR_PUT + 1]))


def _identity_place(row: tuple[bytes, ...]) -> int:
    """Where a record's persistent id opcode stands, from the record's beginning."""
    return _LEAD + _LEAD - 1 + sum(map(len, row[NAME : PLACE_PUT + 1])) + 1


def _tensor(form: Tensor, key: str, offset: int) -> Tensor:
    held = form.storage
    assert held is not None  # noqa: S101  # a form's tensor always has one
    storage = Storage(held.dtype, key, held.location, held.elements, offset, held.untyped, held.view)
    return Tensor(form.dtype, form.shape, form.stride, storage, form.start)


class Memo(dict[int, Any]):
    """Values by memo index; those that runs set are written out when one of them is asked for.

    Attributes:
        runs: The runs whose values are not written out.
    """

    __slots__ = ("runs",)

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[TensorRun] = []

    def __missing__(self, slot: int) -> Any:
        for run in self.runs:
            if run.slot <= slot < run.slot + run.slots:
                self._write_out(run)
                return self[slot]
        raise KeyError(slot)

    @property
    def held(self) -> int:
        """Entries, one that was set again after a run set it counted twice."""
        return len(self) + sum(run.slots for run in self.runs)

    @property
    def entries(self) -> int:
        """Entries exactly, which MEMOIZE numbers the next one by."""
        for run in tuple(self.runs):
            self._write_out(run)
        return len(self)

    @property
    def free(self) -> int:
        """The index after the highest that is set."""
        return max(max(self, default=-1) + 1, *(run.slot + run.slots for run in self.runs), 0)

    def _write_out(self, run: TensorRun) -> None:
        self.runs.remove(run)
        for slot, value in enumerate(run.memo(), run.slot):
            self.setdefault(slot, value)  # what was set after the run stands
