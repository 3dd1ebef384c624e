"""Calls of allowed globals, and persistent ids, symbolically: containers, devices, encoded bytes, storages.

Arguments that only an attack would pass (``bytearray(10**12)``) raise `BadArgumentsError`, like those that
the real function would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from modelshelf_pytorch.pickle.allowlist import STORAGES, TENSOR_CLASSES
from modelshelf_pytorch.pickle.rebuild import (
    LARGEST,
    LAYOUTS,
    REBUILD_FUNCTIONS,
    BadArgumentsError,
    arguments_of,
    dimensions,
    require,
)
from modelshelf_pytorch.pickle.symbols import Blob, Global, Group, Instance, Mapping, Storage

_UNHASHABLE = frozenset({list, Mapping, bytearray})


def _mapping_builder(kind: str) -> Callable[[Any], Mapping]:
    def build(arguments: Any) -> Mapping:
        result = Mapping(kind)
        if arguments != ():
            _fill(result, arguments_of(arguments, 0, 1)[0])
        return result

    return build


def _fill(mapping: Mapping, given: Any) -> None:
    if type(given) is Mapping:
        mapping.extend(list(given.flat))
        return
    require(mapping.kind == "OrderedDict" and type(given) is list, "something that is no dict")
    for pair in given:
        require(type(pair) in {tuple, list} and len(pair) == 2, "pairs that are no pairs")  # noqa: PLR2004
        mapping.extend(list(pair))
    require(count_hashed([pair[0] for pair in given]) is not None, "a key that cannot be one")


def count_hashed(values: Iterable[Any]) -> int | None:
    """Count the items within tuples that hashing each of the values looks at; None where one is no key.

    No list, dict or set can, nor a tuple that holds one, however deep. What several share counts once.
    """
    count = 0
    entered: set[int] = set()
    todo: list[Iterable[Any]] = [values]
    while todo:
        for one in todo.pop():
            kind = type(one)
            if kind is tuple:
                if id(one) not in entered:
                    entered.add(id(one))
                    count += len(one)
                    todo.append(one)
            elif kind in _UNHASHABLE or (kind is Group and not one.frozen):
                return None
    return count


def count_copied(arguments: Any) -> int:
    """Count what a call that copies its arguments copies of them, in references of 8 bytes."""
    if type(arguments) is not tuple:
        return 0
    total = 0
    for one in arguments[:2]:
        kind = type(one)
        if kind is list or kind is tuple:
            total += len(one)
        elif kind is Mapping:
            total += len(one.flat)
        elif kind is str or kind is bytes:
            total += len(one) >> 3
    return total


COPYING_FUNCTIONS: frozenset[tuple[str, str]] = frozenset(
    {
        ("collections", "OrderedDict"),
        ("collections", "Counter"),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "bytearray"),
        ("_codecs", "encode"),
        ("torch", "Size"),
    }
)
"""Functions whose calls copy what they are given."""


def _set(arguments: Any) -> Group:
    given = arguments_of(arguments, 0, 1)
    if given:
        require(type(given[0]) in {list, tuple}, "a set of something that is no list")
        require(count_hashed(given[0]) is not None, "a set of lists or dicts")
    return Group(list(given[0]) if given else [])


def _frozenset(arguments: Any) -> Group:
    return Group(_set(arguments).items, frozen=True)


def _empty_bytes(arguments: Any) -> bytes:
    arguments_of(arguments, 0)
    return b""


def _bytearray(arguments: Any) -> Any:
    given = arguments_of(arguments, 0, 2)
    if len(given) == 2:  # noqa: PLR2004  # text and its encoding
        encoded = _encode(given)
        return bytearray(encoded) if type(encoded) is bytes else encoded
    require(not given or type(given[0]) in {bytes, Blob}, "a bytearray of something other than bytes")
    return bytearray(given[0]) if given and type(given[0]) is bytes else given[0] if given else bytearray()


def _encode(arguments: Any) -> Any:
    text, *encoding = arguments_of(arguments, 1, 2)
    name = encoding[0] if encoding else "utf-8"
    require(type(text) is str or (type(text) is Blob and text.text), "encoding of something that is no text")
    require(type(name) is str, "an encoding that is no text")
    require(name in {"latin1", "latin-1", "utf-8", "utf8", "ascii"}, "an encoding that torch.save never uses")
    if type(text) is Blob:
        return Blob(text.length, text.head, text=False, offset=text.offset)
    try:
        return text.encode(name)
    except UnicodeEncodeError:
        raise BadArgumentsError("text that its encoding cannot hold") from None


def _complex(arguments: Any) -> complex:
    given = arguments_of(arguments, 0, 2)
    require(all(type(part) in {float, int} for part in given), "a complex of something other than numbers")
    try:
        return complex(*given)
    except OverflowError:
        raise BadArgumentsError("a complex of numbers too large") from None


def _checked_instance(check: Callable[[tuple[Any, ...]], object]) -> Callable[[Global, Any], Instance]:
    """Return the builder of an `Instance` whose arguments pass a check."""

    def build(function: Global, arguments: Any) -> Instance:
        require(type(arguments) is tuple and check(arguments), "arguments that it would refuse")
        return Instance(function, arguments)

    return build


def _size(function: Global, arguments: Any) -> Instance:
    given = arguments_of(arguments, 0, 1)
    return Instance(function, arguments, dimensions(given[0], "size") if given else ())


_DEVICES = frozenset(
    [
        "cpu",
        "cuda",
        "ipu",
        "xpu",
        "mkldnn",
        "opengl",
        "opencl",
        "ideep",
        "hip",
        "ve",
        "fpga",
        "maia",
        "xla",
        "lazy",
        "vulkan",
        "mps",
        "meta",
        "hpu",
        "mtia",
        "privateuseone",
    ]
)
_DEVICE_INDICES = range(128)
_DEVICE = r"([a-z]+)(:[0-9]{1,3})?"


def _is_device(arguments: tuple[Any, ...]) -> bool:
    """Return whether arguments are ``("cpu",)``, ``("cuda:1",)`` or ``("cuda", 1)``."""
    kind, *index = arguments or (None,)
    match = re.fullmatch(_DEVICE, kind) if type(kind) is str else None
    if match is None or match[1] not in _DEVICES:
        return False
    return not index or (len(index) == 1 and match[2] is None and index[0] in _DEVICE_INDICES)


_BUILDERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    **REBUILD_FUNCTIONS,
    ("collections", "OrderedDict"): _mapping_builder("OrderedDict"),
    ("collections", "Counter"): _mapping_builder("Counter"),
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _frozenset,
    ("builtins", "bytes"): _empty_bytes,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "complex"): _complex,
    ("_codecs", "encode"): _encode,
}

_INSTANCE_BUILDERS: dict[tuple[str, str], Callable[[Global, Any], Instance]] = {
    ("torch.serialization", "_get_layout"): _checked_instance(
        lambda given: len(given) == 1 and _is_layout(given[0])
    ),
    ("torch", "Size"): _size,
    ("torch", "device"): _checked_instance(_is_device),
    **dict.fromkeys(TENSOR_CLASSES, _checked_instance(lambda given: not given)),
}


def _is_layout(value: Any) -> bool:
    return type(value) is str and value in LAYOUTS


def builder_of(function: Global) -> Callable[[Any], Any] | None:
    """Return what gives the result of a call, or raises `BadArgumentsError`; None where none is accepted."""
    build = _INSTANCE_BUILDERS.get(function.path)
    return _BUILDERS.get(function.path) if build is None else partial(build, function)


def opaque_builder(function: Global) -> Callable[[Any], Instance]:
    """Return the builder of a class that takes whatever it is given: TorchScript's own, numpy's."""
    return lambda arguments: Instance(function, arguments)


def persistent_storage(identity: Any, offset: int) -> Storage:
    """Return the storage that a persistent id names: ``("storage", class, key, location, elements[, view])``.

    Raises:
        BadArgumentsError: It names none.
    """
    if type(identity) is not tuple or not 5 <= len(identity) <= 6:  # noqa: PLR2004  # the sixth is the view
        raise BadArgumentsError("a persistent id that is no storage's")
    word, kind, key, location, elements = identity[:5]
    if type(word) is not str or word != "storage":
        raise BadArgumentsError("a persistent id that is no storage's")
    dtype = STORAGES.get((kind.module, kind.name)) if type(kind) is Global else None
    if dtype is None:
        raise BadArgumentsError("a storage of no storage class")
    if type(elements) is not int or not 0 <= elements < LARGEST:
        raise BadArgumentsError("a storage of an impossible number of elements")
    if type(key) is not str:
        key = _require_text(key)
    if type(location) is not str:
        location = _require_text(location)
    if len(identity) > 5 and identity[5] is not None:  # noqa: PLR2004
        raise BadArgumentsError("a storage that is a view of another")
    untyped = kind.name == "UntypedStorage"
    return Storage(dtype, key, location, elements, offset, untyped=untyped, view=len(identity) > 5)  # noqa: PLR2004


def _require_text(value: Any) -> str:
    if type(value) is bytes:
        value = value.decode("ascii", "replace")
    elif type(value) is int:
        value = str(value) if 0 <= value < LARGEST else None
    require(type(value) is str, "a storage whose key or location is no text")
    return value  # type: ignore[no-any-return]  # the type was looked at above
