"""A run of tensor records that follow one another in a pickle, kept by columns, and the memo over it.

A state dict is mostly such runs. Whoever asks only how many tensors there are, of which types and sizes,
reads the columns; one value for each tensor is made when somebody asks for that.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from attrs import frozen

from modelshelf_pytorch.pickle.symbols import Global, Mapping, Storage, Tensor

Column = Sequence[bytes]
"""One piece of every record of a run."""

SHORTEST_STRING = 8
"""Characters from which on a string could be a pickle, or code."""

WORTH_A_SEARCH = re.compile(  # most strings are names: one search rules them out
    rb"[(\n\x80-\xff]|[A-Za-z0-9+/_-]{16,}|\\x[0-9a-fA-F]{2}\\|(?:[0-9a-fA-F]{2}[: ]){7}"
)
"""What a string holds that may hide a pickle or code, be it as UTF-8 or as Latin-1."""

OBJECTS_PER_RECORD = 7
"""Containers and calls that a record makes."""

# A run's columns, in the order of the stream.
_BEFORE_PERSISTENT_ID = 9  # columns before the one that begins with BINPERSID
_SHAPE_PUT, _STRIDE_PUT = 10, 12
_STRING_LEAD = 5  # bytes of BINUNICODE and its length


@frozen(eq=False, repr=False)
class TensorSpec:
    """What a tensor record says besides its name and its storage's key; most records share a few of these.

    Attributes:
        storage_class: The storage class that it names.
        location: The device that it was saved from.
        view: Whether the persistent id has a sixth part, which is None.
        tensor: The tensor, over a storage without a key.
        elements: The product of its dimensions.
        storage_bytes: Bytes of its storage.
    """

    storage_class: Global
    location: str
    view: bool
    tensor: Tensor
    elements: int
    storage_bytes: int


class TensorRun:
    """Tensor records that follow one another.

    Attributes:
        names: The names before the tensors, in order.
        keys: The storages' keys.
        specs: What else each record says.
        segments: The records' bytes, cut into pieces at the same opcodes in all of them: for each segment of
            the run, a column for each piece.
        offset: File offset of the first record.
        first_index: The memo index that the first record sets; the others follow one by one.
        index_count: How many they are.
        keys_distinct: Whether no two storages of the whole stream are known to have the same key.
    """

    __slots__ = (
        "_counts",
        "_offsets",
        "_tensors",
        "first_index",
        "index_count",
        "keys",
        "keys_distinct",
        "names",
        "offset",
        "segments",
        "specs",
    )

    def __init__(
        self,
        *,
        names: list[str],
        keys: list[str],
        specs: list[TensorSpec],
        segments: list[list[Column]],
        offset: int,
        first_index: int,
        index_count: int,
    ) -> None:
        self.names = names
        self.keys = keys
        self.specs = specs
        self.segments = segments
        self.offset = offset
        self.first_index = first_index
        self.index_count = index_count
        self.keys_distinct = False
        self._counts: Counter[TensorSpec] | None = None
        self._tensors: list[Tensor] | None = None
        self._offsets: list[int] | None = None

    @property
    def counts(self) -> Counter[TensorSpec]:
        """How many records have each spec."""
        if self._counts is None:
            self._counts = Counter(self.specs)
        return self._counts

    @property
    def tensors(self) -> list[Tensor]:
        """One tensor for each record."""
        if self._tensors is None:
            before = map(_length, self._rows(slice(_BEFORE_PERSISTENT_ID)))
            columns = zip(self.specs, self.keys, self.record_offsets, before, strict=True)
            self._tensors = [
                _tensor(spec.tensor, key, offset + length) for spec, key, offset, length in columns
            ]
        return self._tensors

    @property
    def shares_nothing(self) -> bool:
        """Whether no tensor outside of it can lie in one of its storages: none of its own was given out."""
        return self.keys_distinct and self._tensors is None

    @property
    def storages(self) -> list[Storage]:
        """The tensors' storages."""
        return [tensor.storage for tensor in self.tensors if tensor.storage is not None]

    @property
    def strings(self) -> list[tuple[int, str]]:
        """Names that may hide something, with the file offsets of their first bytes."""
        return [
            (offset + _STRING_LEAD, name)
            for name, offset in zip(self.names, self.record_offsets, strict=True)
            if len(name) >= SHORTEST_STRING and WORTH_A_SEARCH.search(name.encode())
        ]

    @property
    def pairs(self) -> list[Any]:
        """The names and the tensors in turn."""
        return [value for pair in zip(self.names, self.tensors, strict=True) for value in pair]

    @property
    def record_offsets(self) -> list[int]:
        """File offsets of the records."""
        if self._offsets is None:
            lengths = map(_length, self._rows(slice(None)))
            self._offsets = list(accumulate(lengths, initial=self.offset))[:-1]
        return self._offsets

    def memo_values(self) -> list[Any]:
        """Return the values that the records set in the memo, from index `first_index` on."""
        values: list[Any] = []
        puts = self._rows(slice(_SHAPE_PUT, _STRIDE_PUT + 1, _STRIDE_PUT - _SHAPE_PUT))
        for name, key, spec, tensor, (shape_put, stride_put) in zip(
            self.names, self.keys, self.specs, self.tensors, puts, strict=True
        ):
            identity = ("storage", spec.storage_class, key, spec.location, spec.tensor.storage.elements)  # type: ignore[union-attr]  # a spec's tensor has one
            hooks = Mapping("OrderedDict")
            arguments = (tensor.storage, tensor.start, tensor.shape, tensor.stride, False, hooks)
            values += (name, key, (*identity, None) if spec.view else identity)
            if shape_put:
                values.append(tensor.shape)
            if stride_put:
                values.append(tensor.stride)
            values += (hooks, arguments, tensor)
        return values

    def _rows(self, places: slice) -> Iterator[tuple[bytes, ...]]:
        """Yield the pieces of each record that some of the columns hold."""
        for columns in self.segments:
            yield from zip(*columns[places], strict=True)


def _length(pieces: tuple[bytes, ...]) -> int:
    return sum(map(len, pieces))


def _tensor(template: Tensor, key: str, offset: int) -> Tensor:
    """Return a tensor like a spec's, over the storage of a key."""
    like = template.storage
    assert like is not None  # noqa: S101  # a spec's tensor always has one
    storage = Storage(
        like.dtype, key, like.location, like.elements, offset, untyped=like.untyped, view=like.view
    )
    return Tensor(template.dtype, template.shape, template.stride, storage, template.start)


class Memo(dict[int, Any]):
    """Values by memo index; those that a run sets are made when one of them is asked for.

    Every question costs about the same however many runs and entries there are: a stream may have many.

    Attributes:
        runs: The runs whose values were not made, by their indexes.
    """

    __slots__ = ("_counted", "_next_free", "_within_runs", "runs")

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[TensorRun] = []
        self._within_runs = 0  # entries
        self._next_free = 0
        self._counted = 0  # entries that `_next_free` takes into account; later ones come after them

    def __missing__(self, index: int) -> Any:
        number = bisect_right(self.runs, index, key=_first_index) - 1
        if number < 0 or index >= self.runs[number].first_index + self.runs[number].index_count:
            raise KeyError(index)
        self._expand(self.runs.pop(number))
        return self[index]

    def add(self, run: TensorRun) -> None:
        """Set the entries of a run, the first of which is `next_free` or comes after it."""
        self.runs.append(run)
        self._within_runs += run.index_count
        self._next_free = run.first_index + run.index_count

    @property
    def size_at_most(self) -> int:
        """How many entries there are, one that was set again after a run set it counted twice."""
        return len(self) + self._within_runs

    @property
    def size(self) -> int:
        """How many entries there are exactly, which is the index that MEMOIZE sets next."""
        for run in self.runs:
            self._expand(run)
        self.runs.clear()
        return len(self)

    @property
    def next_free(self) -> int:
        """The index after the highest that is set."""
        later = len(self) - self._counted
        self._next_free = max(self._next_free, max(islice(reversed(self), later), default=-1) + 1)
        self._counted += later
        return self._next_free

    def _expand(self, run: TensorRun) -> None:
        self._within_runs -= run.index_count
        for index, value in enumerate(run.memo_values(), run.first_index):
            self.setdefault(index, value)  # what was set after the run counts


def _first_index(run: TensorRun) -> int:
    return run.first_index
