"""A run of tensor records that stand behind one another in a pickle, held by columns.

A state dict is mostly such runs. Whoever asks only how many tensors there are, of which types and sizes,
reads the columns; one value for each tensor is made when somebody asks for that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from attrs import frozen

from modelshelf_pytorch.pickle.symbols import GlobalUse, Mapping, Storage, Tensor

Column = Sequence[bytes]
"""One piece of every record of a run."""

SHORTEST_TEXT = 8
"""Characters of a text from which on it could be a pickle, or code."""

# Places of a run's columns, in the order that they stand in the stream.
_BEFORE_IDENTITY = 9  # columns before the one that begins with BINPERSID
_SHAPE_PUT, _STRIDE_PUT = 10, 12
_LEAD = 5  # bytes of BINUNICODE and its length
OBJECTS = 7  # containers and calls that a record makes


@frozen(eq=False, repr=False)
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


class TensorRun:
    """Tensor records behind one another.

    Attributes:
        names: The names before the tensors, in order.
        keys: The storages' keys.
        forms: What else each record says.
        stretches: The records' bytes, cut into pieces at the same opcodes in all of them: for each stretch
            of records, a column for each piece.
        offset: File offset of the first record.
        slot: The memo index that the first record sets; the others follow one by one.
        slots: How many they are.
        apart: Whether no two storages of the whole stream are known to have the same key.
    """

    __slots__ = (
        "_counts",
        "_starts",
        "_tensors",
        "apart",
        "forms",
        "keys",
        "names",
        "offset",
        "slot",
        "slots",
        "stretches",
    )

    def __init__(
        self,
        *,
        names: list[str],
        keys: list[str],
        forms: list[Form],
        stretches: list[list[Column]],
        offset: int,
        slot: int,
        slots: int,
    ) -> None:
        self.names = names
        self.keys = keys
        self.forms = forms
        self.stretches = stretches
        self.offset = offset
        self.slot = slot
        self.slots = slots
        self.apart = False
        self._counts: Counter[Form] | None = None
        self._tensors: list[Tensor] | None = None
        self._starts: list[int] | None = None

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
            before = map(_length, self._rows(slice(_BEFORE_IDENTITY)))
            self._tensors = [
                _tensor(form.tensor, key, start + length)
                for form, key, start, length in zip(self.forms, self.keys, self._offsets, before, strict=True)
            ]
        return self._tensors

    @property
    def alone(self) -> bool:
        """Whether no tensor outside of it can lie in one of its storages: none of its own was handed out."""
        return self.apart and self._tensors is None

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
        memoized = self._rows(slice(_SHAPE_PUT, _STRIDE_PUT + 1, _STRIDE_PUT - _SHAPE_PUT))
        for name, key, form, tensor, (shape_put, stride_put) in zip(
            self.names, self.keys, self.forms, self.tensors, memoized, strict=True
        ):
            identity = ("storage", form.kind, key, form.location, form.tensor.storage.elements)  # type: ignore[union-attr]  # a form's tensor has one
            hooks = Mapping("OrderedDict")
            arguments = (tensor.storage, tensor.start, tensor.shape, tensor.stride, False, hooks)
            values += (name, key, (*identity, None) if form.view else identity)
            if shape_put:
                values.append(tensor.shape)
            if stride_put:
                values.append(tensor.stride)
            values += (hooks, arguments, tensor)
        return values

    def _rows(self, places: slice) -> Iterator[tuple[bytes, ...]]:
        """The pieces of each record at some places."""
        for columns in self.stretches:
            yield from zip(*columns[places], strict=True)

    @property
    def _offsets(self) -> list[int]:
        if self._starts is None:
            lengths = map(_length, self._rows(slice(None)))
            self._starts = list(accumulate(lengths, initial=self.offset))[:-1]
        return self._starts


def _length(pieces: tuple[bytes, ...]) -> int:
    return sum(map(len, pieces))


def _tensor(form: Tensor, key: str, offset: int) -> Tensor:
    held = form.storage
    assert held is not None  # noqa: S101  # a form's tensor always has one
    storage = Storage(
        held.dtype, key, held.location, held.elements, offset, untyped=held.untyped, view=held.view
    )
    return Tensor(form.dtype, form.shape, form.stride, storage, form.start)


class Memo(dict[int, Any]):
    """Values by memo index; those that runs set are written out when one of them is asked for.

    Every question costs about the same however many runs and entries there are: a stream may have many.

    Attributes:
        runs: The runs whose values are not written out, by their indexes.
    """

    __slots__ = ("_free", "_looked_at", "_within", "runs")

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[TensorRun] = []
        self._within = 0
        self._free = 0
        self._looked_at = 0  # entries; later ones stand behind them

    def __missing__(self, slot: int) -> Any:
        number = bisect_right(self.runs, slot, key=_first_slot) - 1
        if number < 0 or slot >= self.runs[number].slot + self.runs[number].slots:
            raise KeyError(slot)
        self._write_out(self.runs.pop(number))
        return self[slot]

    def add(self, run: TensorRun) -> None:
        """Set the entries of a run, the first of which is `free` or comes after it."""
        self.runs.append(run)
        self._within += run.slots
        self._free = run.slot + run.slots

    @property
    def held(self) -> int:
        """Entries, one that was set again after a run set it counted twice."""
        return len(self) + self._within

    @property
    def entries(self) -> int:
        """Entries exactly, which MEMOIZE numbers the next one by."""
        for run in self.runs:
            self._write_out(run)
        self.runs.clear()
        return len(self)

    @property
    def free(self) -> int:
        """The index after the highest that is set."""
        later = len(self) - self._looked_at
        self._free = max(self._free, max(islice(reversed(self), later), default=-1) + 1)
        self._looked_at += later
        return self._free

    def _write_out(self, run: TensorRun) -> None:
        self._within -= run.slots
        for slot, value in enumerate(run.memo(), run.slot):
            self.setdefault(slot, value)  # what was set after the run stands


def _first_slot(run: TensorRun) -> int:
    return run.slot
