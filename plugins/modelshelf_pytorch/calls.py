"""What the allowlisted functions make of their arguments, symbolically.

Each follows its namesake in torch 2.13 (``torch/_utils.py``, ``torch/_tensor.py``) as far as shapes, element
types and bounds go. Arguments that the real function would refuse, or that only an attack would pass
(``bytearray(10**12)``), raise `BadArgumentsError`: what we call healthy, torch loads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from modelshelf_pytorch.allowlist import DTYPES, FLOATING, ITEM_BYTES, QSCHEMES, STORAGES, TENSOR_CLASSES
from modelshelf_pytorch.symbols import Blob, GlobalUse, Group, Made, Mapping, Storage, Tensor

_LARGEST = 1 << 63
"""Element counts reach this far and no further (torch keeps them in an int64)."""

_MOST_DIMENSIONS = 1024
"""More dimensions than any tensor has; a longer shape is an attack on whoever multiplies it."""

_LAYOUTS = frozenset(
    f"torch.{name}"
    for name in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")
)
_COMPRESSED = _LAYOUTS - {"torch.strided", "torch.sparse_coo"}


class BadArgumentsError(ValueError):
    """An allowed function was given arguments that it would refuse, or that torch.save never gives."""


def _needs(condition: object, message: str) -> None:
    if not condition:
        raise BadArgumentsError(message)


def arity(arguments: Any, least: int, most: int | None = None) -> tuple[Any, ...]:
    """The arguments as a tuple of an allowed length."""
    _needs(type(arguments) is tuple, "arguments that are no tuple")
    count = len(arguments)
    _needs(least <= count <= (least if most is None else most), f"{count} arguments")
    return arguments  # type: ignore[no-any-return]  # the type was looked at above


def _made_by(value: Any, module: str, name: str) -> bool:
    """Whether a value is what calling that function gave."""
    return type(value) is Made and type(value.maker) is GlobalUse and value.maker.path == (module, name)


def sizes(value: Any, what: str) -> tuple[int, ...]:
    """A tuple of dimensions or strides: whole numbers of 0 or more."""
    if _made_by(value, "torch", "Size"):
        value = value.state
    _needs(type(value) is tuple or type(value) is list, f"a {what} that is no tuple")
    _needs(len(value) <= _MOST_DIMENSIONS, f"a {what} of {len(value)} dimensions")
    for dimension in value:
        if type(dimension) is not int or not 0 <= dimension < _LARGEST:
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
    _needs(type(value) is bool, "a requires_grad that is no bool")
    _needs(not value or dtype in FLOATING, f"{dtype} elements that require gradients")


def _hooks(value: Any) -> None:
    _needs(value is None or type(value) is Mapping, "backward hooks that are no dict")


def view(storage: Any, dtype: str | None, start: Any, shape: Any, stride: Any) -> Tensor:
    """A strided tensor over a storage, its bounds checked."""
    if type(storage) is not Storage:
        raise BadArgumentsError("a tensor over something that is no storage")
    if type(shape) is not tuple:
        shape = sizes(shape, "shape")
    if type(stride) is not tuple:
        stride = sizes(stride, "stride")
    if len(shape) != len(stride) or len(shape) > _MOST_DIMENSIONS:
        raise BadArgumentsError("a shape and a stride of different lengths, or absurd ones")
    if type(start) is not int or not 0 <= start < _LARGEST:
        raise BadArgumentsError("a storage offset that is no whole number")
    elements = 1
    needed = start + 1
    for dimension, step in zip(shape, stride, strict=True):
        if type(dimension) is not int or type(step) is not int or dimension < 0 or not 0 <= step < _LARGEST:
            raise BadArgumentsError(
                "a shape or stride that holds something other than whole numbers of 0 or more"
            )
        elements *= dimension
        needed += (dimension - 1) * step
    if elements >= _LARGEST:
        raise BadArgumentsError("a shape whose product overflows")
    held = storage.elements
    if dtype is None:
        dtype = storage.dtype
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
        _needs(type(value) is Mapping, "tensor metadata that is no dict")
        for key, flag in value.items():
            _needs(type(key) is str and key in {"conj", "neg"}, "tensor metadata other than conj and neg")
            _needs(type(flag) is bool, "tensor metadata that is no bool")


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
    _grad(grad, tensor.dtype)
    _hooks(hooks)
    _metadata(tuple(rest))
    return tensor


def dtype_of(value: Any) -> str:
    """The element type that a global names."""
    _needs(
        type(value) is GlobalUse and value.module == "torch" and value.name in DTYPES,
        "no dtype where one belongs",
    )
    return DTYPES[value.name]


def _a_tensor(value: Any) -> Tensor:
    _needs(type(value) is Tensor, "something that is no tensor where one belongs")
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
    _needs(len(parts) <= 2, "a state of more than two parts")  # noqa: PLR2004  # __dict__ and slots
    for part in parts:
        _needs(part is None or type(part) is Mapping, "a state that is no dict")
        if part is not None:
            names = (key for key, _ in part.items())
            _needs(
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
    _needs(tensor.dtype.startswith("Q"), "a quantized tensor of elements that are not")
    _needs(type(grad) is bool and not grad, "quantized elements that require gradients")
    _hooks(hooks)
    _needs(
        type(parameters) is tuple and parameters and type(parameters[0]) is GlobalUse,
        "no quantizer parameters",
    )
    scheme = parameters[0]
    _needs(scheme.path in QSCHEMES, "no quantization scheme")
    if scheme.name == "per_tensor_affine":
        _, scale, zero = arity(parameters, 3)
        _needs(type(scale) is float and type(zero) is int, "a scale or zero point that is no number")
        return tensor
    _needs(scheme.name in {"per_channel_affine", "per_channel_affine_float_qparams"}, "an unknown scheme")
    _, scales, zeros, axis = arity(parameters, 4)
    _needs(type(axis) is int and 0 <= axis < len(tensor.shape), "a quantization axis out of range")
    for part in (scales, zeros):
        count = part.elements if type(part) is Tensor else len(part) if type(part) is list else -1
        _needs(count == tensor.shape[axis], "scales or zero points that do not match the axis")
    tensor.parts = tuple(part for part in (scales, zeros) if type(part) is Tensor)
    return tensor


def _sparse(arguments: Any) -> Tensor:
    layout, data = arity(arguments, 2)
    _needs(_made_by(layout, "torch.serialization", "_get_layout"), "no layout where one belongs")
    name = layout.arguments[0]
    _needs(type(data) is tuple, "sparse data that is no tuple")
    if name == "torch.sparse_coo":
        indices, values, shape, *coalesced = arity(data, 3, 4)
        _needs(
            all(flag is None or type(flag) is bool for flag in coalesced), "an is_coalesced that is no bool"
        )
        parts: tuple[Any, ...] = (indices, values)
    else:
        _needs(name in _COMPRESSED, f"a sparse tensor of layout {name}")
        *parts_, shape = arity(data, 4)
        parts = tuple(parts_)
    tensors = tuple(_a_tensor(part) for part in parts)
    _needs(
        all(index.dtype in {"I64", "I32"} for index in tensors[:-1]), "sparse indices that are no integers"
    )
    return Tensor(tensors[-1].dtype, sizes(shape, "shape"), layout=name.removeprefix("torch."), parts=tensors)


def _nested(arguments: Any) -> Tensor:
    parts = tuple(_a_tensor(part) for part in arity(arguments, 4))
    return Tensor(parts[0].dtype, parts[0].shape, layout="nested", parts=parts)


def _meta(arguments: Any) -> Tensor:
    dtype, shape, stride, grad = arity(arguments, 4)
    tensor = Tensor(dtype_of(dtype), sizes(shape, "shape"), sizes(stride, "stride"), layout="meta")
    _needs(len(tensor.shape) == len(tensor.stride), "a shape and a stride of different lengths")
    _needs(
        reach(0, tensor.shape, tensor.stride) * ITEM_BYTES[tensor.dtype] < _LARGEST, "a shape that overflows"
    )
    _grad(grad, tensor.dtype)
    return tensor


def _wrapper(arguments: Any) -> Tensor:
    kind, dtype, shape, stride, start, _, _, grad = arity(arguments, 8)
    _needs(type(kind) is GlobalUse and kind.path in _TENSOR_TYPES, "a wrapper of no tensor class")
    _needs(type(start) is int and start >= 0, "a storage offset that is no whole number")
    tensor = Tensor(dtype_of(dtype), sizes(shape, "shape"), sizes(stride, "stride"), layout="wrapper")
    _needs(type(grad) is bool, "a requires_grad that is no bool")
    return tensor


def _from_device(arguments: Any) -> Any:
    data, dtype, device, grad = arity(arguments, 4)
    name = dtype_of(dtype)
    _needs(type(device) is str, "a device that is no text")
    _grad(grad, name)
    shape = data.shape if type(data) is Tensor else ()
    return Tensor(name, shape, layout="device", parts=(data,) if type(data) is Tensor else ())


_TENSOR_TYPES = TENSOR_CLASSES | {("torch.nn.parameter", "Parameter")}


def _from_type(arguments: Any) -> Any:
    function, kind, inner, state = arity(arguments, 4)
    _needs(type(function) is GlobalUse and function.path in _BUILDERS, "a rebuild by something that is none")
    _needs(function.name != "_rebuild_from_type_v2", "a rebuild of a rebuild")
    _needs(
        type(kind) is GlobalUse and kind.path in _TENSOR_TYPES,
        "a rebuild as something that is no tensor class",
    )
    _state(state)
    return _a_tensor(_BUILDERS[function.path](inner))


def _mapping(kind: str) -> Callable[[Any], Mapping]:
    def build(arguments: Any) -> Mapping:
        result = Mapping(kind)
        if arguments != ():
            _fill(result, arity(arguments, 0, 1)[0])
        return result

    return build


def _fill(mapping: Mapping, given: Any) -> None:
    if type(given) is Mapping:
        mapping.flat.extend(given.flat)
        return
    _needs(mapping.kind == "OrderedDict" and type(given) is list, "something that is no dict")
    for pair in given:
        _needs(type(pair) in {tuple, list} and len(pair) == 2, "pairs that are no pairs")  # noqa: PLR2004
        _needs(hashable(pair[0]), "a key that cannot be one")
        mapping.flat.extend(pair)


def hashable(value: Any) -> bool:
    """Whether a value can be a key: no list, dict or set, and no tuple that holds one (looked at four deep)."""
    todo = [(value, 0)]
    while todo:
        one, depth = todo.pop()
        if type(one) in {list, Mapping, bytearray} or (type(one) is Group and not one.frozen):
            return False
        if type(one) is tuple:
            if depth > 3 or len(one) > _MOST_DIMENSIONS:  # noqa: PLR2004
                return False
            todo.extend((inner, depth + 1) for inner in one)
    return True


def _set(arguments: Any) -> Group:
    given = arity(arguments, 0, 1)
    if given:
        _needs(type(given[0]) in {list, tuple}, "a set of something that is no list")
        _needs(all(hashable(item) for item in given[0]), "a set of lists or dicts")
    return Group(list(given[0]) if given else [])


def _bytearray(arguments: Any) -> Any:
    given = arity(arguments, 0, 2)
    if len(given) == 2:  # noqa: PLR2004  # text and its encoding
        return _encode(given)
    _needs(not given or type(given[0]) in {bytes, Blob}, "a bytearray of something other than bytes")
    return given[0] if given else b""


def _encode(arguments: Any) -> Any:
    text, *encoding = arity(arguments, 1, 2)
    name = encoding[0] if encoding else "utf-8"
    _needs(type(text) is str or (type(text) is Blob and text.text), "encoding of something that is no text")
    _needs(name in {"latin1", "latin-1", "utf-8", "utf8", "ascii"}, "an encoding that torch.save never uses")
    if type(text) is Blob:
        return Blob(text.length, text.head, text=False, offset=text.offset)
    try:
        return text.encode(name)
    except UnicodeEncodeError:
        raise BadArgumentsError("text that its encoding cannot hold") from None


def _complex(arguments: Any) -> complex:
    given = arity(arguments, 0, 2)
    _needs(all(type(part) in {float, int} for part in given), "a complex of something other than numbers")
    try:
        return complex(*given)
    except OverflowError:
        raise BadArgumentsError("a complex of numbers too large") from None


def made(check: Callable[[tuple[Any, ...]], object]) -> Callable[[Any, GlobalUse], Made]:
    """A maker of plain results whose arguments pass `check`."""

    def build(arguments: Any, maker: GlobalUse) -> Made:
        _needs(type(arguments) is tuple and check(arguments), "arguments that it would refuse")
        return Made(maker, arguments)

    return build


def _size(arguments: Any, maker: GlobalUse) -> Made:
    given = arity(arguments, 0, 1)
    return Made(maker, arguments, sizes(given[0], "size") if given else ())


_DEVICES = frozenset(
    "cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone".split()
)


def _is_device(arguments: tuple[Any, ...]) -> bool:
    if not 1 <= len(arguments) <= 2 or type(arguments[0]) is not str:  # noqa: PLR2004
        return False
    kind, colon, index = arguments[0].partition(":")
    if kind not in _DEVICES or (colon and not (index.isascii() and index.isdigit() and len(index) < 4)):  # noqa: PLR2004
        return False
    return len(arguments) == 1 or (not colon and type(arguments[1]) is int and 0 <= arguments[1] < 128)  # noqa: PLR2004


_BUILDERS: dict[tuple[str, str], Callable[[Any], Any]] = {
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
    ("collections", "OrderedDict"): _mapping("OrderedDict"),
    ("collections", "Counter"): _mapping("Counter"),
    ("builtins", "set"): _set,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "complex"): _complex,
    ("_codecs", "encode"): _encode,
}

_MAKERS: dict[tuple[str, str], Callable[[Any, GlobalUse], Made]] = {
    ("torch.serialization", "_get_layout"): made(lambda given: len(given) == 1 and _is_layout(given[0])),
    ("torch", "Size"): _size,
    ("torch", "device"): made(_is_device),
    **dict.fromkeys(TENSOR_CLASSES, made(lambda given: not given)),
}


def _is_layout(value: Any) -> bool:
    return type(value) is str and value in _LAYOUTS


def builder_of(use: GlobalUse) -> Callable[[Any], Any] | None:
    """What a call of a global gives; it raises `BadArgumentsError` where that would refuse. None: never called."""
    make = _MAKERS.get(use.path)
    return _BUILDERS.get(use.path) if make is None else partial(make, maker=use)


def plain(maker: GlobalUse) -> Callable[[Any], Made]:
    """The builder of a class that takes whatever it is given: TorchScript's own, numpy's."""
    return lambda arguments: Made(maker, arguments)


def storage(identity: Any, offset: int) -> Storage:
    """The storage that a persistent id names: ``("storage", class, key, location, elements[, view])``.

    Raises:
        BadArgumentsError: It names none.
    """
    if type(identity) is not tuple or not 5 <= len(identity) <= 6:  # noqa: PLR2004  # the sixth is the view
        raise BadArgumentsError("a persistent id that is no storage's")
    word, kind, key, location, elements = identity[:5]
    if type(word) is not str or word != "storage":
        raise BadArgumentsError("a persistent id that is no storage's")
    dtype = STORAGES.get((kind.module, kind.name)) if type(kind) is GlobalUse else None
    if dtype is None:
        raise BadArgumentsError("a storage of no storage class")
    if type(elements) is not int or not 0 <= elements < _LARGEST:
        raise BadArgumentsError("a storage of an impossible number of elements")
    if type(key) is not str:
        key = _text(key)
    if type(location) is not str:
        location = _text(location)
    if len(identity) > 5 and identity[5] is not None:  # noqa: PLR2004
        raise BadArgumentsError("a storage that is a view of another")
    return Storage(dtype, key, location, elements, offset, kind.name == "UntypedStorage")


def _text(value: Any) -> str:
    if type(value) is bytes:
        value = value.decode("ascii", "replace")
    elif type(value) is int:
        value = str(value) if 0 <= value < _LARGEST else None
    _needs(type(value) is str, "a storage whose key or location is no text")
    return value  # type: ignore[no-any-return]  # the type was looked at above
