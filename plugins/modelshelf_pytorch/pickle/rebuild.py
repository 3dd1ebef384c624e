"""torch's rebuild functions, symbolically: the tensor's header that each makes of its arguments.

Each follows its namesake in torch 2.13 (``torch/_utils.py``, ``torch/_tensor.py``) as far as shapes, element
types and bounds go. Arguments that the real function would refuse raise `BadArgumentsError`: what we call
healthy, torch loads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelshelf_pytorch.pickle.allowlist import (
    DTYPES,
    ELEMENTS_PER_ITEM,
    FLOATING,
    ITEM_BYTES,
    JAGGED,
    QSCHEMES,
    TENSOR_CLASSES,
)
from modelshelf_pytorch.pickle.symbols import Global, Instance, Mapping, Storage, Tensor

LARGEST = 1 << 63
"""Element counts are below it (torch keeps them in an int64)."""

MOST_DIMENSIONS = 1024
"""More dimensions than any tensor has; a longer shape is an attack on whoever multiplies it."""

LAYOUTS = frozenset(
    f"torch.{name}"
    for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
)
_COMPRESSED_LAYOUTS = LAYOUTS - {"torch.strided", "torch.sparse_coo"}


class BadArgumentsError(ValueError):
    """An allowed function was given arguments that it would refuse, or that torch.save never gives."""


def require(condition: object, message: str) -> None:
    """Refuse the arguments unless the condition is true."""
    if not condition:
        raise BadArgumentsError(message)


def arguments_of(arguments: Any, least: int, most: int | None = None) -> tuple[Any, ...]:
    """Return the arguments, a tuple of an allowed length."""
    require(type(arguments) is tuple, "arguments that are no tuple")
    count = len(arguments)
    require(least <= count <= (least if most is None else most), f"{count} arguments")
    return arguments  # type: ignore[no-any-return]  # the type was looked at above


def is_call_of(value: Any, module: str, name: str) -> bool:
    """Return whether a value is what a call of that function gave."""
    return (
        type(value) is Instance and type(value.function) is Global and value.function.path == (module, name)
    )


def dimensions(value: Any, what: str) -> tuple[int, ...]:
    """Return dimensions or strides as a tuple of whole numbers of 0 or more."""
    if is_call_of(value, "torch", "Size"):
        value = value.state
    require(type(value) is tuple or type(value) is list, f"a {what} that is no tuple")
    require(len(value) <= MOST_DIMENSIONS, f"a {what} of {len(value)} dimensions")
    for dimension in value:
        if type(dimension) is not int or not 0 <= dimension < LARGEST:
            raise BadArgumentsError(f"a {what} that holds something other than whole numbers of 0 or more")
    return value if type(value) is tuple else tuple(value)


def storage_extent(start: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Return the elements of its storage that a strided tensor needs, from the storage's beginning on."""
    if 0 in shape:
        return 0
    last = start
    for dimension, step in zip(shape, stride, strict=True):
        last += (dimension - 1) * step
    return last + 1


def _check_requires_grad(value: Any, dtype: str) -> None:
    require(type(value) is bool, "a requires_grad that is no bool")
    require(not value or dtype in FLOATING, f"{dtype} elements that require gradients")


def _check_hooks(value: Any) -> None:
    require(value is None or type(value) is Mapping, "backward hooks that are no dict")


def strided_tensor(  # noqa: C901  # flat, because it is run for every tensor
    storage: Any, dtype: str | None, start: Any, shape: Any, stride: Any
) -> Tensor:
    """Return a strided tensor over a storage, its bounds checked."""
    if type(storage) is not Storage:
        raise BadArgumentsError("a tensor over something that is no storage")
    if type(shape) is not tuple:
        shape = dimensions(shape, "shape")
    if type(stride) is not tuple:
        stride = dimensions(stride, "stride")
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
    present = storage.elements
    if dtype is None:
        dtype = storage.dtype
        needed = -(-needed // ELEMENTS_PER_ITEM.get(dtype, 1))
    else:
        needed, present = needed * ITEM_BYTES[dtype], present * ITEM_BYTES[storage.dtype]
    if elements and needed > present:
        raise BadArgumentsError(f"a tensor that needs {needed} elements of a storage that has {present}")
    return Tensor(dtype, shape, stride, storage, start)


def _rebuild_tensor(arguments: Any) -> Tensor:
    storage, start, shape, stride = arguments_of(arguments, 4)
    return strided_tensor(storage, None, start, shape, stride)


def _check_metadata(rest: tuple[Any, ...]) -> None:
    for value in rest:
        require(type(value) is Mapping, "tensor metadata that is no dict")
        for key, flag in value.items():
            require(type(key) is str and key in {"conj", "neg"}, "tensor metadata other than conj and neg")
            require(type(flag) is bool, "tensor metadata that is no bool")


def _rebuild_tensor_v2(arguments: Any) -> Tensor:
    if type(arguments) is not tuple or not 6 <= len(arguments) <= 7:  # noqa: PLR2004  # the seventh is metadata
        raise BadArgumentsError("arguments that are not the six or seven it takes")
    storage, start, shape, stride, grad, hooks = arguments[:6]
    tensor = strided_tensor(storage, None, start, shape, stride)
    if grad is not False:
        _check_requires_grad(grad, tensor.dtype)
    if type(hooks) is not Mapping:
        _check_hooks(hooks)
    _check_metadata(arguments[6:])
    return tensor


def _rebuild_tensor_v3(arguments: Any) -> Tensor:
    storage, start, shape, stride, grad, hooks, dtype, *rest = arguments_of(arguments, 7, 8)
    tensor = strided_tensor(storage, dtype_named(dtype), start, shape, stride)
    require(grad is False, "elements of a newer type that require gradients, which torch cannot read back")
    _check_hooks(hooks)
    _check_metadata(tuple(rest))
    return tensor


def dtype_named(value: Any) -> str:
    """Return the element type that a global names."""
    require(
        type(value) is Global and value.module == "torch" and value.name in DTYPES,
        "no dtype where one belongs",
    )
    return DTYPES[value.name]


def _require_tensor(value: Any) -> Tensor:
    require(type(value) is Tensor, "something that is no tensor where one belongs")
    return value  # type: ignore[no-any-return]  # the type was looked at above


def _rebuild_parameter(arguments: Any) -> Tensor:
    data, grad, hooks = arguments_of(arguments, 3)
    tensor = _require_tensor(data)
    _check_requires_grad(grad, tensor.dtype)
    _check_hooks(hooks)
    return tensor


def _rebuild_parameter_with_state(arguments: Any) -> Tensor:
    *first, state = arguments_of(arguments, 4)
    _check_state(state)
    return _rebuild_parameter(tuple(first))


def _check_state(value: Any) -> None:
    parts = value if type(value) is tuple else (value,)
    require(len(parts) <= 2, "a state of more than two parts")  # noqa: PLR2004  # __dict__ and slots
    for part in parts:
        require(part is None or type(part) is Mapping, "a state that is no dict")
        if part is not None:
            names = (key for key, _ in part.items())
            require(
                all(type(name) is str and not name.startswith("__") for name in names),
                "a state that sets dunders",
            )


def _parameter(arguments: Any) -> Tensor:
    data, *grad = arguments_of(arguments, 1, 2)
    tensor = _require_tensor(data)
    _check_requires_grad(grad[0] if grad else True, tensor.dtype)
    return tensor


def _rebuild_qtensor(arguments: Any) -> Tensor:
    storage, start, shape, stride, parameters, grad, hooks = arguments_of(arguments, 7)
    tensor = strided_tensor(storage, None, start, shape, stride)
    require(tensor.dtype.startswith("Q"), "a quantized tensor of elements that are not")
    require(type(grad) is bool and not grad, "quantized elements that require gradients")
    _check_hooks(hooks)
    require(
        type(parameters) is tuple and parameters and type(parameters[0]) is Global,
        "no quantizer parameters",
    )
    scheme = parameters[0]
    require(scheme.path in QSCHEMES, "no quantization scheme")
    if scheme.name == "per_tensor_affine":
        _, scale, zero = arguments_of(parameters, 3)
        require(type(scale) is float and type(zero) is int, "a scale or zero point that is no number")
        return tensor
    require(scheme.name in {"per_channel_affine", "per_channel_affine_float_qparams"}, "an unknown scheme")
    _, scales, zeros, axis = arguments_of(parameters, 4)
    require(type(axis) is int and 0 <= axis < len(tensor.shape), "a quantization axis out of range")
    for part in (scales, zeros):
        count = part.elements if type(part) is Tensor else len(part) if type(part) is list else -1
        require(count == tensor.shape[axis], "scales or zero points that do not match the axis")
    tensor.parts = tuple(part for part in (scales, zeros) if type(part) is Tensor)
    return tensor


def _rebuild_sparse_tensor(arguments: Any) -> Tensor:
    layout, data = arguments_of(arguments, 2)
    require(is_call_of(layout, "torch.serialization", "_get_layout"), "no layout where one belongs")
    (name,) = arguments_of(layout.arguments, 1)
    require(type(name) is str, "a layout that is no text")
    require(type(data) is tuple, "sparse data that is no tuple")
    if name == "torch.sparse_coo":
        indices, values, shape, *coalesced = arguments_of(data, 3, 4)
        require(all(flag is None or type(flag) is bool for flag in coalesced), "an odd is_coalesced")
        parts: tuple[Any, ...] = (indices, values)
    else:
        require(name in _COMPRESSED_LAYOUTS, f"a sparse tensor of layout {name}")
        compressed, uncompressed, values, shape = arguments_of(data, 4)
        parts = (compressed, uncompressed, values)
    tensors = tuple(_require_tensor(part) for part in parts)
    require(all(index.dtype in {"I64", "I32"} for index in tensors[:-1]), "sparse indices of another type")
    layout_name = name.removeprefix("torch.")
    tensor = Tensor(tensors[-1].dtype, dimensions(shape, "shape"), layout=layout_name, parts=tensors)
    fits = _coo_fits(tensor) if name == "torch.sparse_coo" else _compressed_fits(tensor)
    require(fits, "sparse indices and values whose shapes do not fit")
    return tensor


def _coo_fits(tensor: Tensor) -> bool:
    """Return whether shapes fit.

    Indices are (sparse dimensions, entries), values (entries, dense dimensions …).
    """
    indices, values = (part.shape for part in tensor.parts)
    if len(indices) != 2 or not values or indices[1] != values[0]:  # noqa: PLR2004
        return False
    return len(tensor.shape) == indices[0] + len(values) - 1 and tensor.shape[indices[0] :] == values[1:]


def _compressed_fits(tensor: Tensor) -> bool:
    """Return whether shapes fit.

    Compressed indices are (…, lines + 1), uncompressed ones (…, entries), values (…, entries, block …).
    """
    compressed, uncompressed, values = (part.shape for part in tensor.parts)
    batch = len(compressed) - 1
    blocks = tensor.layout.startswith("sparse_bs")
    if batch < 0 or len(uncompressed) != batch + 1 or len(values) < batch + (3 if blocks else 1):
        return False
    if len(tensor.shape) < batch + 2:
        return False
    across = tensor.layout in {"sparse_csc", "sparse_bsc"}
    block = values[batch + 1 + across] if blocks else 1
    heads = {compressed[:batch], uncompressed[:batch], values[:batch], tensor.shape[:batch]}
    lines = tensor.shape[batch + across]
    return len(heads) == 1 and uncompressed[-1] == values[batch] and (compressed[-1] - 1) * block == lines


def _rebuild_nested_tensor(arguments: Any) -> Tensor:
    parts = tuple(_require_tensor(part) for part in arguments_of(arguments, 4))
    return Tensor(parts[0].dtype, parts[0].shape, layout="nested", parts=parts)


def _rebuild_meta_tensor_no_storage(arguments: Any) -> Tensor:
    dtype, shape, stride, grad = arguments_of(arguments, 4)
    tensor = Tensor(
        dtype_named(dtype), dimensions(shape, "shape"), dimensions(stride, "stride"), layout="meta"
    )
    require(len(tensor.shape) == len(tensor.stride), "a shape and a stride of different lengths")
    require(
        storage_extent(0, tensor.shape, tensor.stride) * ITEM_BYTES[tensor.dtype] < LARGEST,
        "a shape that overflows",
    )
    require(not tensor.dtype.startswith("Q"), "quantized elements without data, which torch cannot make")
    _check_requires_grad(grad, tensor.dtype)
    return tensor


def _rebuild_wrapper_subclass(arguments: Any) -> Tensor:
    kind, dtype, shape, stride, start, _, _, grad = arguments_of(arguments, 8)
    require(type(kind) is Global and kind.path in _TENSOR_TYPES, "a wrapper of no tensor class")
    require(type(start) is int and start >= 0, "a storage offset that is no whole number")
    tensor = Tensor(
        dtype_named(dtype), dimensions(shape, "shape"), dimensions(stride, "stride"), layout="wrapper"
    )
    require(type(grad) is bool, "a requires_grad that is no bool")
    return tensor


def _rebuild_device_tensor(arguments: Any) -> Any:
    data, dtype, device, grad = arguments_of(arguments, 4)
    name = dtype_named(dtype)
    require(type(device) is str, "a device that is no text")
    _check_requires_grad(grad, name)
    shape = data.shape if type(data) is Tensor else ()
    return Tensor(name, shape, layout="device", parts=(data,) if type(data) is Tensor else ())


_TENSOR_TYPES = TENSOR_CLASSES | {("torch.nn.parameter", "Parameter")}
_JAGGED_PARTS = ("values", "offsets", "lengths")
_JAGGED_FIELDS = frozenset({*_JAGGED_PARTS, "_ragged_idx", "_metadata_cache", "requires_grad"})


def _rebuild_njt(arguments: Any) -> Tensor:
    """Return a jagged tensor of values and offsets (``torch.nested._internal.nested_tensor``)."""
    (fields,) = arguments_of(arguments, 1)
    require(type(fields) is Mapping, "fields that are no dict")
    values = {name: value for name, value in fields.items() if type(name) is str}
    require(
        len(values) == len(fields.flat) // 2 and values.keys() <= _JAGGED_FIELDS, "a field of another name"
    )
    require({"values", "offsets"} <= values.keys(), "no values or no offsets")
    parts = tuple(_require_tensor(values[name]) for name in _JAGGED_PARTS if values.get(name) is not None)
    require(all(len(part.shape) == 1 and part.dtype in {"I64", "I32"} for part in parts[1:]), "odd offsets")
    require(len(parts[0].shape) > 1, "values of too few dimensions")
    require(type(values.get("_ragged_idx", 1)) is int, "an axis that is no number")
    require(type(values.get("requires_grad", False)) is bool, "a requires_grad that is no bool")
    cache = values.get("_metadata_cache")
    require(cache is None or type(cache) is Mapping, "a cache that is no dict")
    return Tensor(parts[0].dtype, parts[0].shape, layout="jagged", parts=parts)


def _rebuild_from_type_v2(arguments: Any) -> Any:
    function, kind, inner, state = arguments_of(arguments, 4)
    if type(function) is Global and function.path == JAGGED[0]:
        require(type(kind) is Global and kind.path == JAGGED[1], "a jagged tensor of another class")
        _check_state(state)
        return _rebuild_njt(inner)
    require(
        type(function) is Global and function.path in REBUILD_FUNCTIONS,
        "a rebuild by something that is none",
    )
    require(function.name != "_rebuild_from_type_v2", "a rebuild of a rebuild")
    require(
        type(kind) is Global and kind.path in _TENSOR_TYPES,
        "a rebuild as something that is no tensor class",
    )
    _check_state(state)
    return _require_tensor(REBUILD_FUNCTIONS[function.path](inner))


REBUILD_FUNCTIONS: dict[tuple[str, str], Callable[[Any], Tensor]] = {
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter_with_state,
    ("torch._utils", "_rebuild_qtensor"): _rebuild_qtensor,
    ("torch._utils", "_rebuild_sparse_tensor"): _rebuild_sparse_tensor,
    ("torch._utils", "_rebuild_nested_tensor"): _rebuild_nested_tensor,
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _rebuild_meta_tensor_no_storage,
    ("torch._utils", "_rebuild_wrapper_subclass"): _rebuild_wrapper_subclass,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _rebuild_device_tensor,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _rebuild_device_tensor,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_from_type_v2,
    ("torch.nn.parameter", "Parameter"): _parameter,
    JAGGED[0]: _rebuild_njt,
}
"""What a call of each of torch's rebuild functions gives."""
