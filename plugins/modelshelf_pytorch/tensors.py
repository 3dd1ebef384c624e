"""The tensors of a checkpoint by name, from the symbolic value of its pickle, and the model among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from modelshelf_pytorch.pickle.allowlist import ELEMENTS_PER_ITEM, ITEM_BYTES
from modelshelf_pytorch.pickle.symbols import Blob, Instance, Mapping, Tensor, type_name
from modelshelf_pytorch.pickle.tensor_run import TensorRun

_MOST_NESTED = 64
"""Containers within one another that are looked into; a real checkpoint nests less than ten."""

_LONGEST_NAME = 4096

MODEL_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "params",
)
"""Keys under which training programs keep the model, in order of preference."""

_OTHER_KEYS = (
    "optim",
    "lr_sched",
    "sched",
    "scaler",
    "amp",
    "rng",
    "cuda_rng",
    "callbacks",
    "loops",
    "hyper_param",
)


@frozen(kw_only=True, eq=False, repr=False)
class NamedTensor:
    """A tensor and its place in the checkpoint.

    Attributes:
        name: Its path: text keys joined by dots, other keys and positions in brackets.
        tensor: Its header.
    """

    name: str
    tensor: Tensor


@frozen(kw_only=True, eq=False, repr=False)
class NamedRun:
    """A run of tensors and its place in the checkpoint.

    Attributes:
        prefix: What precedes each tensor's own name: empty, or a path with its dot.
        run: The tensors.
    """

    prefix: str
    run: TensorRun

    @property
    def tensors(self) -> Iterator[NamedTensor]:
        """Each tensor with its path."""
        for name, tensor in zip(self.run.names, self.run.tensors, strict=True):
            yield NamedTensor(name=self.prefix + name, tensor=tensor)


Tensors = tuple[NamedTensor | NamedRun, ...]
"""Tensors in the order of the checkpoint."""


@frozen(kw_only=True, eq=False, repr=False)
class Contents:
    """A checkpoint's tensors.

    Attributes:
        all: All of them.
        model: Those of the model itself: optimizer state and the like left out.
        part: The key of the part that is the model, or empty where the checkpoint is flat.
    """

    all: Tensors = ()
    model: Tensors = ()
    part: str = ""

    @property
    def tensors(self) -> list[NamedTensor]:
        """All of them, one by one."""
        tensors: list[NamedTensor] = []
        for one in self.all:
            if isinstance(one, NamedRun):
                tensors.extend(one.tensors)
            else:
                tensors.append(one)
        return tensors


def contents_of(root: Any) -> Contents:
    """Find every tensor below `root`, and the part that is the model."""
    tensors = tuple(_find_tensors(root))
    part, model = _model_part(root, tensors)
    return Contents(all=tensors, model=model, part=part)


def _find_tensors(root: Any) -> list[NamedTensor | NamedRun]:
    """Walk depth first, each container once: shared ones are listed where they come first."""
    found: list[NamedTensor | NamedRun] = []
    entered: set[int] = set()
    todo: list[tuple[str, Any, int]] = [("", root, 0)]
    while todo:
        path, value, depth = todo.pop()
        kind = type(value)
        if kind is Tensor:
            found.append(NamedTensor(name=path, tensor=value))
            continue
        if kind is TensorRun:
            found.append(NamedRun(prefix=path, run=value))
            continue
        if (
            kind not in _CONTAINERS
            or depth > _MOST_NESTED
            or len(path) > _LONGEST_NAME
            or id(value) in entered
        ):
            continue
        entered.add(id(value))
        todo.extend((place, inner, depth + 1) for place, inner in reversed(_inner(value, path)))
    return found


_CONTAINERS = frozenset({Mapping, list, tuple, Instance})
_WALKED = _CONTAINERS | {Tensor}


def _inner(value: Any, path: str) -> list[tuple[str, Any]]:
    """Return the values in a container that are tensors or may contain some, after their paths."""
    if type(value) is Instance:
        return [(path, value.state)] if type(value.state) in _WALKED else []
    if type(value) is not Mapping:
        return [(f"{path}[{index}]", inner) for index, inner in enumerate(value) if type(inner) in _WALKED]
    dot = f"{path}." if path else ""
    if value.runs and _has_distinct_names(value):
        return _inner_parts(value, dot)
    last: dict[str, Any] = {}
    others: list[tuple[str, Any]] = []
    for key, inner in value.items():
        if type(key) is str:
            last[key] = inner  # a later key replaces an earlier one
        elif type(inner) in _WALKED:
            others.append((f"{path}[{_show_key(key)}]", inner))
    return [(dot + key, inner) for key, inner in last.items() if type(inner) in _WALKED] + others


def _has_distinct_names(value: Mapping) -> bool:
    """Return whether all keys are text, and no two the same."""
    keys = [key for part in value.parts for key in (part[::2] if type(part) is list else part.names)]
    return all(type(key) is str for key in keys) and len(set(keys)) == len(keys)


def _inner_parts(value: Mapping, dot: str) -> list[tuple[str, Any]]:
    """Return the same of a mapping of text keys, its runs as they are."""
    found: list[tuple[str, Any]] = []
    for part in value.parts:
        if type(part) is list:
            pairs = zip(part[::2], part[1::2], strict=True)
            found += [(dot + key, inner) for key, inner in pairs if type(inner) in _WALKED]
        else:
            found.append((dot, part))
    return found


def _show_key(key: Any) -> str:
    if type(key) in {int, float, bool, bytes} or key is None:
        return repr(key)
    return "…" if type(key) is Blob else type_name(key).lower()


def _model_part(root: Any, tensors: Tensors) -> tuple[str, Tensors]:
    """Return the key of the part that is the model, or an empty string, and the model's tensors."""
    if type(root) is not Mapping or root.runs or any(type(value) is Tensor for _, value in root.items()):
        return "", tensors
    keys = {key for key, _ in root.items() if type(key) is str}
    for key in MODEL_KEYS:
        if key in keys:
            inside = tuple(
                one for one in tensors if _path(one) == key or _path(one).startswith((f"{key}.", f"{key}["))
            )
            if inside:
                return key, inside
    return "", tuple(one for one in tensors if not _path(one).lower().startswith(_OTHER_KEYS))


def _path(one: NamedTensor | NamedRun) -> str:
    return one.name if isinstance(one, NamedTensor) else one.prefix


def count_of(tensors: Tensors) -> int:
    """Return how many tensors these are."""
    return sum(len(one.run.names) if type(one) is NamedRun else 1 for one in tensors)


def _counted_specs(tensors: Tensors) -> Iterator[tuple[str, int, int]]:
    """Yield element type, elements and how often, for each tensor or for what is alike in a run."""
    for one in tensors:
        if type(one) is NamedTensor:
            yield one.tensor.dtype, one.tensor.elements, 1
        elif type(one) is NamedRun:
            yield from ((spec.tensor.dtype, spec.elements, times) for spec, times in one.run.counts.items())


def types_of(tensors: Tensors) -> dict[str, int]:
    """Return how many tensors there are of each element type."""
    counts: dict[str, int] = {}
    for dtype, _, times in _counted_specs(tensors):
        counts[dtype] = counts.get(dtype, 0) + times
    return counts


def elements_of(tensors: Tensors, *, scalars: bool = False) -> dict[str, int]:
    """Return how many elements there are of each type; a storage that several tensors share counts once.

    Args:
        tensors: The tensors.
        scalars: Whether those without dimensions count.
    """
    elements: dict[str, int] = {}
    shared: dict[tuple[str, str], _Shared] = {}
    for one in tensors:
        if type(one) is NamedRun and one.run.shares_nothing:
            for spec, times in one.run.counts.items():
                dtype = spec.tensor.dtype
                if spec.tensor.shape or scalars:
                    elements[dtype] = elements.get(dtype, 0) + spec.elements * times
            continue
        views = (
            (
                (spec.tensor, key, spec.storage_bytes)
                for spec, key in zip(one.run.specs, one.run.keys, strict=True)
            )
            if type(one) is NamedRun
            else _views(one.tensor)  # type: ignore[union-attr] # one of the two
        )
        for tensor, key, size in views:
            if tensor.shape or scalars:
                shared.setdefault((key, tensor.dtype), _Shared(size)).add(tensor)
        if type(one) is NamedTensor and one.tensor.storage is None and (one.tensor.shape or scalars):
            elements[one.tensor.dtype] = elements.get(one.tensor.dtype, 0) + one.tensor.elements
    for (_, dtype), storage in shared.items():
        elements[dtype] = elements.get(dtype, 0) + storage.elements(dtype)
    return elements


def _views(tensor: Tensor) -> Iterator[tuple[Tensor, str, int]]:
    storage = tensor.storage
    if storage is not None:
        yield tensor, storage.key, storage.elements * ITEM_BYTES[storage.dtype]


class _Shared:
    """The views of one storage, equal ones once.

    Args:
        size: Bytes of the storage.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._views: dict[tuple[int, tuple[int, ...], tuple[int, ...]], int] = {}

    def add(self, tensor: Tensor) -> bool:
        """Add a view; returns whether the storage has elements that earlier views leave for it."""
        before = sum(self._views.values())
        self._views.setdefault((tensor.start, tensor.shape, tensor.stride), tensor.elements)
        return before < sum(self._views.values()) <= max(self._room(tensor.dtype), tensor.elements)

    def elements(self, dtype: str) -> int:
        """The elements of all views, at most those that the storage has."""
        return min(sum(self._views.values()), self._room(dtype))

    def _room(self, dtype: str) -> int:
        return self._size // ITEM_BYTES[dtype] * (2 if dtype == "F4" else ELEMENTS_PER_ITEM.get(dtype, 1))


def parameters_by_name(tensors: Tensors) -> dict[str, Tensor]:
    """Return each tensor by its path; of views of one storage no more than it has elements."""
    found: dict[str, Tensor] = {}
    shared: dict[tuple[str, str], _Shared] = {}
    for one in tensors:
        for named in one.tensors if isinstance(one, NamedRun) else (one,):
            tensor = named.tensor
            views = list(_views(tensor))
            if not views or shared.setdefault((views[0][1], tensor.dtype), _Shared(views[0][2])).add(tensor):
                found[named.name] = tensor
    return found


def stored_bytes(tensors: Tensors) -> int:
    """Return the bytes of the storages below these tensors, a shared one counted once."""
    storages: dict[str, int] = {}
    todo: list[Tensor] = []
    unshared = 0
    for one in tensors:
        if type(one) is NamedTensor:
            todo.append(one.tensor)
        elif type(one) is NamedRun and one.run.shares_nothing:
            unshared += sum(spec.storage_bytes * times for spec, times in one.run.counts.items())
        elif type(one) is NamedRun:
            sizes = [spec.storage_bytes for spec in one.run.specs]
            storages.update(zip(one.run.keys, sizes, strict=True))
    while todo:
        tensor = todo.pop()
        todo.extend(tensor.parts)
        if tensor.storage is not None:
            storages[tensor.storage.key] = tensor.storage.elements * ITEM_BYTES[tensor.storage.dtype]
    return unshared + sum(storages.values())
