"""What torch's rebuild functions make of their arguments, symbolically: a tensor's header.

Each follows its namesake in torch 2.13 (``torch/_utils.py``, ``torch/_tensor.py``) as far as shapes, element
types and bounds go. Arguments that the real function would refuse raise `BadArgumentsError`: what we call
healthy, torch loads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelshelf_pytorch.pickle.allowlist import (
    DTYPES,
    FLOATING,
    ITEM_BYTES,
    JAGGED,
    PER_BYTE,
    QSCHEMES,
    TENSOR_CLASSES,
)
from modelshelf_pytorch.pickle.symbols import GlobalUse, Made, Mapping, Storage, Tensor

LARGEST = 1 << 63
"""Element counts reach this far and no further (torch keeps them in an int64)."""

MOST_DIMENSIONS = 1024
"""More dimensions than any tensor has; a longer shape is an attack on whoever multiplies it."""

LAYOUTS = frozenset(
    f"torch.{name}"
    for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
)
_COMPRESSED = LAYOUTS - {"torch.strided", "torch.sparse_coo"}


class BadArgumentsError(ValueError):
    """An allowed function was given arguments that it would refuse, or that torch.save never gives."""


def needs(condition: object, message: str) -> None:
    """Refuse the arguments unless the condition holds."""
    if not condition:
        raise BadArgumentsError(message)


def arity(arguments: Any, least: int, most: int | None = None) -> tuple[Any, ...]:
    """The arguments as a tuple of an allowed length."""
    needs(type(arguments) is tuple, "arguments that are no tuple")
    count = len(arguments)
    needs(least <= count <= (least if most is None else most), f"{count} arguments")
    return arguments  # type: ignore[no-any-return]  # the type was looked at above


def made_by(value: Any, module: str, name: str) -> bool:
    """Whether a value is what calling that function gave."""
    return type(value) is Made and type(value.maker) is GlobalUse and value.maker.path == (module, name)


def sizes(value: Any, what: str) -> tuple[int, ...]:
    """A tuple of dimensions or strides: whole numbers of 0 or more."""
    if made_by(value, "torch", "Size"):
        value = value.state
    needs(type(value) is tuple or type(value) is list, f"a {what} that is no tuple")
    needs(len(value) <= MOST_DIMENSIONS, f"a {what} of {len(value)} dimensions")
    for dimension in value:
        if type(dimension) is not int or not 0 <= dimension < LARGEST:
            raise BadArgumentsError(f"a {what} that holds something other than whole numbers of 0 or more")
    return value if type(value) is tuple else tuple(value)


def reach(start: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements of the storage that a strided view needs, counted from the storage's beginning."""
    if 0 in shape:
        return 0
    last = start
    for dimension, step in zip(shape, stride, strict=True):
        last += (dimension - 1) * step
    return last + 1


def _grad(value: Any, dtype: str) -> None:
    needs(type(value) is bool, "a requires_grad that is no bool")
    needs(not value or dtype in FLOATING, f"{dtype} elements that require gradients")


def _hooks(value: Any) -> None:
    needs(value is None or type(value) is Mapping, "backward hooks that are no dict")


def view(  # noqa: C901  # flat, because it is run for every tensor
    storage: Any, dtype: str | None, start: Any, shape: Any, stride: Any
) -> Tensor:
    """A strided tensor over a storage, its bounds checked."""
    if type(storage) is not Storage:
        raise BadArgumentsError("a tensor over something that is no storage")
    if type(shape) is not tuple:
        shape = sizes(shape, "shape")
    if type(stride) is not tuple:
        stride = sizes(stride, "stride")
    if len(shape) != len(stride) or len(shape) > MOST_DIMENSIONS:
        raise BadArgumentsError("a shape and a stride of different lengths, or absurd ones")
    if type(start) is not int or not 0 <= start < LARGEST:
        raise BadArgumentsError("a storage offset that is no whole number")
    elements = 1
    needed = start + 1
    for dimension, step in zip(shape, stride, strict=True):
        if type(dimension) is not int or type(step) is not int or dimension < 0 or not 0 <= step < LARGEST:
            raise BadArgumentsError(
                "a shape or stride that holds something other than whole numbers of 0 or more"
            )
        elements *= dimension
        needed += (dimension - 1) * step
    if elements >= LARGEST:
        raise BadArgumentsError("a shape whose product overflows")
    held = storage.elements
    if dtype is None:
        dtype = storage.dtype
        needed = -(-needed // PER_BYTE.get(dtype, 1))
    else:
        needed, held = needed * ITEM_BYTES[dtype], held * ITEM_BYTES[storage.dtype]
    if elements and needed > held:
        raise BadArgumentsError(f"a tensor that needs {needed} elements of a storage that has {held}")
    return Tensor(dtype, shape, stride, storage, start)


def _tensor(arguments: Any) -> Tensor:
    storage, start, shape, stride = arity(arguments, 4)
    return view(storage, None, start, shape, stride)


def _metadata(rest: tuple[Any, ...]) -> None:
    for value in rest:
        needs(type(value) is Mapping, "tensor metadata that is no dict")
        for key, flag in value.items():
            needs(type(key) is str and key in {"conj", "neg"}, "tensor metadata other than conj and neg")
            needs(type(flag) is bool, "tensor metadata that is no bool")


def _tensor_v2(arguments: Any) -> Tensor:
    if type(arguments) is not tuple or not 6 <= len(arguments) <= 7:  # noqa: PLR2004  # the seventh is metadata
        raise BadArgumentsError("arguments that are not the six or seven it takes")
    storage, start, shape, stride, grad, hooks = arguments[:6]
    tensor = view(storage, None, start, shape, stride)
    if grad is not False:
        _grad(grad, tensor.dtype)
    if type(hooks) is not Mapping:
        _hooks(hooks)
    _metadata(arguments[6:])
    return tensor


def _tensor_v3(arguments: Any) -> Tensor:
    storage, start, shape, stride, grad, hooks, dtype, *rest = arity(arguments, 7, 8)
    tensor = view(storage, dtype_of(dtype), start, shape, stride)
    needs(grad is False, "elements of a newer type that require gradients, which torch cannot read back")
    _hooks(hooks)
    _metadata(tuple(rest))
    return tensor


def dtype_of(value: Any) -> str:
    """The element type that a global names."""
    needs(
        type(value) is GlobalUse and value.module == "torch" and value.name in DTYPES,
        "no dtype where one belongs",
    )
    return DTYPES[value.name]


def _a_tensor(value: Any) -> Tensor:
    needs(type(value) is Tensor, "something that is no tensor where one belongs")
    return value  # type: ignore[no-any-return]  # the type was looked at above


def _parameter(arguments: Any) -> Tensor:
    data, grad, hooks = arity(arguments, 3)
    tensor = _a_tensor(data)
    _grad(grad, tensor.dtype)
    _hooks(hooks)
    return tensor


def _parameter_with_state(arguments: Any) -> Tensor:
    *first, state = arity(arguments, 4)
    _state(state)
    return _parameter(tuple(first))


def _state(value: Any) -> None:
    parts = value if type(value) is tuple else (value,)
    needs(len(parts) <= 2, "a state of more than two parts")  # noqa: PLR2004  # __dict__ and slots
    for part in parts:
        needs(part is None or type(part) is Mapping, "a state that is no dict")
        if part is not None:
            names = (key for key, _ in part.items())
            needs(
                all(type(name) is str and not name.startswith("__") for name in names),
                "a state that sets dunders",
            )


def _parameter_class(arguments: Any) -> Tensor:
    data, *grad = arity(arguments, 1, 2)
    tensor = _a_tensor(data)
    _grad(grad[0] if grad else True, tensor.dtype)
    return tensor


def _quantized(arguments: Any) -> Tensor:
    storage, start, shape, stride, parameters, grad, hooks = arity(arguments, 7)
    tensor = view(storage, None, start, shape, stride)
    needs(tensor.dtype.startswith("Q"), "a quantized tensor of elements that are not")
    needs(type(grad) is bool and not grad, "quantized elements that require gradients")
    _hooks(hooks)
    needs(
        type(parameters) is tuple and parameters and type(parameters[0]) is GlobalUse,
        "no quantizer parameters",
    )
    scheme = parameters[0]
    needs(scheme.path in QSCHEMES, "no quantization scheme")
    if scheme.name == "per_tensor_affine":
        _, scale, zero = arity(parameters, 3)
        needs(type(scale) is float and type(zero) is int, "a scale or zero point that is no number")
        return tensor
    needs(scheme.name in {"per_channel_affine", "per_channel_affine_float_qparams"}, "an unknown scheme")
    _, scales, zeros, axis = arity(parameters, 4)
    needs(type(axis) is int and 0 <= axis < len(tensor.shape), "a quantization axis out of range")
    for part in (scales, zeros):
        count = part.elements if type(part) is Tensor else len(part) if type(part) is list else -1
        needs(count == tensor.shape[axis], "scales or zero points that do not match the axis")
    tensor.parts = tuple(part for part in (scales, zeros) if type(part) is Tensor)
    return tensor


def _sparse(arguments: Any) -> Tensor:
    layout, data = arity(arguments, 2)
    needs(made_by(layout, "torch.serialization", "_get_layout"), "no layout where one belongs")
    (name,) = arity(layout.arguments, 1)
    needs(type(name) is str, "a layout that is no text")
    needs(type(data) is tuple, "sparse data that is no tuple")
    if name == "torch.sparse_coo":
        indices, values, shape, *coalesced = arity(data, 3, 4)
        needs(all(flag is None or type(flag) is bool for flag in coalesced), "an odd is_coalesced")
        parts: tuple[Any, ...] = (indices, values)
    else:
        needs(name in _COMPRESSED, f"a sparse tensor of layout {name}")
        compressed, plain, values, shape = arity(data, 4)
        parts = (compressed, plain, values)
    tensors = tuple(_a_tensor(part) for part in parts)
    needs(all(index.dtype in {"I64", "I32"} for index in tensors[:-1]), "sparse indices of another type")
    layout_name = name.removeprefix("torch.")
    made = Tensor(tensors[-1].dtype, sizes(shape, "shape"), layout=layout_name, parts=tensors)
    fits = _coo_fits(made) if name == "torch.sparse_coo" else _compressed_fits(made)
    needs(fits, "sparse indices and values whose shapes do not fit")
    return made


def _coo_fits(tensor: Tensor) -> bool:
    """Indices are (sparse dimensions, entries), values (entries, dense dimensions …)."""
    indices, values = (part.shape for part in tensor.parts)
    if len(indices) != 2 or not values or indices[1] != values[0]:  # noqa: PLR2004
        return False
    return len(tensor.shape) == indices[0] + len(values) - 1 and tensor.shape[indices[0] :] == values[1:]


def _compressed_fits(tensor: Tensor) -> bool:
    """Compressed indices are (…, lines + 1), plain ones (…, entries), values (…, entries, block …)."""
    compressed, plain, values = (part.shape for part in tensor.parts)
    batch = len(compressed) - 1
    blocks = tensor.layout.startswith("sparse_bs")
    if batch < 0 or len(plain) != batch + 1 or len(values) < batch + (3 if blocks else 1):
        return False
    if len(tensor.shape) < batch + 2:
        return False
    across = tensor.layout in {"sparse_csc", "sparse_bsc"}
    block = values[batch + 1 + across] if blocks else 1
    heads = {compressed[:batch], plain[:batch], values[:batch], tensor.shape[:batch]}
    lines = tensor.shape[batch + across]
    return len(heads) == 1 and plain[-1] == values[batch] and (compressed[-1] - 1) * block == lines


def _nested(arguments: Any) -> Tensor:
    parts = tuple(_a_tensor(part) for part in arity(arguments, 4))
    return Tensor(parts[0].dtype, parts[0].shape, layout="nested", parts=parts)


def _meta(arguments: Any) -> Tensor:
    dtype, shape, stride, grad = arity(arguments, 4)
    tensor = Tensor(dtype_of(dtype), sizes(shape, "shape"), sizes(stride, "stride"), layout="meta")
    needs(len(tensor.shape) == len(tensor.stride), "a shape and a stride of different lengths")
    needs(
        reach(0, tensor.shape, tensor.stride) * ITEM_BYTES[tensor.dtype] < LARGEST, "a shape that overflows"
    )
    needs(not tensor.dtype.startswith("Q"), "quantized elements without data, which torch cannot make")
    _grad(grad, tensor.dtype)
    return tensor


def _wrapper(arguments: Any) -> Tensor:
    kind, dtype, shape, stride, start, _, _, grad = arity(arguments, 8)
    needs(type(kind) is GlobalUse and kind.path in _TENSOR_TYPES, "a wrapper of no tensor class")
    needs(type(start) is int and start >= 0, "a storage offset that is no whole number")
    tensor = Tensor(dtype_of(dtype), sizes(shape, "shape"), sizes(stride, "stride"), layout="wrapper")
    needs(type(grad) is bool, "a requires_grad that is no bool")
    return tensor


def _from_device(arguments: Any) -> Any:
    data, dtype, device, grad = arity(arguments, 4)
    name = dtype_of(dtype)
    needs(type(device) is str, "a device that is no text")
    _grad(grad, name)
    shape = data.shape if type(data) is Tensor else ()
    return Tensor(name, shape, layout="device", parts=(data,) if type(data) is Tensor else ())


_TENSOR_TYPES = TENSOR_CLASSES | {("torch.nn.parameter", "Parameter")}
_JAGGED_PARTS = ("values", "offsets", "lengths")
_JAGGED_FIELDS = frozenset({*_JAGGED_PARTS, "_ragged_idx", "_metadata_cache", "requires_grad"})


def _jagged(arguments: Any) -> Tensor:
    """``torch.nested._internal.nested_tensor``: values and offsets, under the names that it takes."""
    (fields,) = arity(arguments, 1)
    needs(type(fields) is Mapping, "fields that are no dict")
    told = {name: value for name, value in fields.items() if type(name) is str}
    needs(len(told) == len(fields.flat) // 2 and told.keys() <= _JAGGED_FIELDS, "a field of another name")
    needs({"values", "offsets"} <= told.keys(), "no values or no offsets")
    parts = tuple(_a_tensor(told[name]) for name in _JAGGED_PARTS if told.get(name) is not None)
    needs(all(len(part.shape) == 1 and part.dtype in {"I64", "I32"} for part in parts[1:]), "odd offsets")
    needs(len(parts[0].shape) > 1, "values of too few dimensions")
    needs(type(told.get("_ragged_idx", 1)) is int, "an axis that is no number")
    needs(type(told.get("requires_grad", False)) is bool, "a requires_grad that is no bool")
    cache = told.get("_metadata_cache")
    needs(cache is None or type(cache) is Mapping, "a cache that is no dict")
    return Tensor(parts[0].dtype, parts[0].shape, layout="jagged", parts=parts)


def _from_type(arguments: Any) -> Any:
    function, kind, inner, state = arity(arguments, 4)
    if type(function) is GlobalUse and function.path == JAGGED[0]:
        needs(type(kind) is GlobalUse and kind.path == JAGGED[1], "a jagged tensor of another class")
        _state(state)
        return _jagged(inner)
    needs(
        type(function) is GlobalUse and function.path in TENSOR_BUILDERS,
        "a rebuild by something that is none",
    )
    needs(function.name != "_rebuild_from_type_v2", "a rebuild of a rebuild")
    needs(
        type(kind) is GlobalUse and kind.path in _TENSOR_TYPES,
        "a rebuild as something that is no tensor class",
    )
    _state(state)
    return _a_tensor(TENSOR_BUILDERS[function.path](inner))


TENSOR_BUILDERS: dict[tuple[str, str], Callable[[Any], Tensor]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter_with_state,
    ("torch._utils", "_rebuild_qtensor"): _quantized,
    ("torch._utils", "_rebuild_sparse_tensor"): _sparse,
    ("torch._utils", "_rebuild_nested_tensor"): _nested,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _meta,
    ("torch._utils", "_rebuild_wrapper_subclass"): _wrapper,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _from_device,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _from_device,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch.nn.parameter", "Parameter"): _parameter_class,
    JAGGED[0]: _jagged,
}
"""torch's rebuild functions, each with what it makes of its arguments."""
