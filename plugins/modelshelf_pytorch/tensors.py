"""From the symbolic value that a checkpoint leaves to its tensors by name, and to the model among them."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from modelshelf_pytorch.allowlist import ITEM_BYTES
from modelshelf_pytorch.symbols import Blob, Made, Mapping, Tensor

_DEEPEST = 64
"""Containers within containers that are looked into; a real checkpoint nests less than ten."""

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


@frozen(kw_only=True)
class NamedTensor:
    """A tensor and where it stands in the checkpoint.

    Attributes:
        name: Its path: text keys joined by dots, other keys and positions in brackets.
        tensor: Its header.
    """

    name: str
    tensor: Tensor


@frozen(kw_only=True)
class Contents:
    """A checkpoint's tensors.

    Attributes:
        tensors: All of them, in the order they stand.
        model: Those of the model itself: optimizer state and the like left out.
        part: The key of the part that holds the model, or empty where the checkpoint is flat.
    """

    tensors: tuple[NamedTensor, ...] = ()
    model: tuple[NamedTensor, ...] = ()
    part: str = ""


def contents_of(root: Any) -> Contents:
    """Every tensor below `root`, and the part that is the model."""
    tensors = tuple(_named(root, ""))
    part, model = _model_part(root, tensors)
    return Contents(tensors=tensors, model=model, part=part)


def _named(root: Any, name: str) -> list[NamedTensor]:
    """Walk depth first, each container once: shared ones are listed where they stand first."""
    found: list[NamedTensor] = []
    seen: set[int] = set()
    todo: list[tuple[str, Any, int]] = [(name, root, 0)]
    while todo:
        path, value, depth = todo.pop()
        kind = type(value)
        if kind is Tensor:
            found.append(NamedTensor(name=path, tensor=value))
            continue
        if kind not in _CONTAINERS or depth > _DEEPEST or len(path) > _LONGEST_NAME or id(value) in seen:
            continue
        seen.add(id(value))
        todo.extend((where, inner, depth + 1) for where, inner in reversed(_inner(value, path)))
    return found


_CONTAINERS = frozenset({Mapping, list, tuple, Made})
_WALKED = _CONTAINERS | {Tensor}


def _inner(value: Any, path: str) -> list[tuple[str, Any]]:
    """What a container holds that can hold tensors, with paths."""
    if type(value) is Made:
        return [(path, value.state)] if type(value.state) in _WALKED else []
    if type(value) is not Mapping:
        return [(f"{path}[{index}]", inner) for index, inner in enumerate(value) if type(inner) in _WALKED]
    dot = f"{path}." if path else ""
    last: dict[str, Any] = {}
    others: list[tuple[str, Any]] = []
    for key, inner in value.items():
        if type(key) is str:
            last[key] = inner  # a later key replaces an earlier one
        elif type(inner) in _WALKED:
            others.append((f"{path}[{_shown(key)}]", inner))
    return [(dot + key, inner) for key, inner in last.items() if type(inner) in _WALKED] + others


def _shown(key: Any) -> str:
    if type(key) in {int, float, bool, bytes} or key is None:
        return repr(key)
    return "…" if type(key) is Blob else type(key).__name__.lower()


def _model_part(root: Any, tensors: tuple[NamedTensor, ...]) -> tuple[str, tuple[NamedTensor, ...]]:
    if type(root) is not Mapping or any(type(value) is Tensor for _, value in root.items()):
        return "", tensors
    keys = {key for key, _ in root.items() if type(key) is str}
    for key in MODEL_KEYS:
        if key in keys:
            inside = tuple(
                one for one in tensors if one.name == key or one.name.startswith((f"{key}.", f"{key}["))
            )
            if inside:
                return key, inside
    return "", tuple(one for one in tensors if not one.name.lower().startswith(_OTHER_KEYS))


def types_of(tensors: tuple[NamedTensor, ...]) -> dict[str, int]:
    """How many tensors there are of each element type."""
    counts: dict[str, int] = {}
    for one in tensors:
        dtype = one.tensor.dtype
        counts[dtype] = counts.get(dtype, 0) + 1
    return counts


def dominant_type(tensors: tuple[NamedTensor, ...]) -> str | None:
    """The element type that most of the elements have, or None where there are none."""
    elements: dict[str, int] = {}
    for one in tensors:
        dtype = one.tensor.dtype
        elements[dtype] = elements.get(dtype, 0) + one.tensor.elements
    return max(elements, key=elements.__getitem__, default=None)


def stored_bytes(tensors: tuple[NamedTensor, ...]) -> int:
    """Bytes of the storages below these tensors, a shared one counted once."""
    storages: dict[str, int] = {}
    todo = [one.tensor for one in tensors]
    while todo:
        tensor = todo.pop()
        todo.extend(tensor.parts)
        if tensor.storage is not None:
            storages[tensor.storage.key] = tensor.storage.elements * ITEM_BYTES[tensor.storage.dtype]
    return sum(storages.values())
