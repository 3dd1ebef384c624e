"""What a call of an allowed global gives, symbolically: containers, devices, encoded bytes, storages.

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
    TENSOR_BUILDERS,
    BadArgumentsError,
    arity,
    needs,
    sizes,
)
from modelshelf_pytorch.pickle.symbols import Blob, GlobalUse, Group, Made, Mapping, Storage

_UNHASHABLE = frozenset({list, Mapping, bytearray})


def _mapping(kind: str) -> Callable[[Any], Mapping]:
    def build(arguments: Any) -> Mapping:
        result = Mapping(kind)
        if arguments != ():
            _fill(result, arity(arguments, 0, 1)[0])
        return result

    return build


def _fill(mapping: Mapping, given: Any) -> None:
    if type(given) is Mapping:
        mapping.extend(list(given.flat))
        return
    needs(mapping.kind == "OrderedDict" and type(given) is list, "something that is no dict")
    for pair in given:
        needs(type(pair) in {tuple, list} and len(pair) == 2, "pairs that are no pairs")  # noqa: PLR2004
        mapping.extend(list(pair))
    needs(looked_at_to_hash([pair[0] for pair in given]) is not None, "a key that cannot be one")


def looked_at_to_hash(values: Iterable[Any]) -> int | None:
    """Items within tuples that hashing each of the values looks at; None where one cannot be a key.

    No list, dict or set can, nor a tuple that holds one, however deep. What several share counts once.
    """
    looked = 0
    known: set[int] = set()
    todo: list[Iterable[Any]] = [values]
    while todo:
        for one in todo.pop():
            kind = type(one)
            if kind is tuple:
                if id(one) not in known:
                    known.add(id(one))
                    looked += len(one)
                    todo.append(one)
            elif kind in _UNHASHABLE or (kind is Group and not one.frozen):
                return None
    return looked


def copied(arguments: Any) -> int:
    """What a call that copies its arguments copies of them, in references of 8 bytes."""
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


COPYING: frozenset[tuple[str, str]] = frozenset(
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
"""The functions whose calls copy what they are given."""


def _set(arguments: Any) -> Group:
    given = arity(arguments, 0, 1)
    if given:
        needs(type(given[0]) in {list, tuple}, "a set of something that is no list")
        needs(looked_at_to_hash(given[0]) is not None, "a set of lists or dicts")
    return Group(list(given[0]) if given else [])


def _frozenset(arguments: Any) -> Group:
    return Group(_set(arguments).items, frozen=True)


def _no_bytes(arguments: Any) -> bytes:
    arity(arguments, 0)
    return b""


def _bytearray(arguments: Any) -> Any:
    given = arity(arguments, 0, 2)
    if len(given) == 2:  # noqa: PLR2004  # text and its encoding
        encoded = _encode(given)
        return bytearray(encoded) if type(encoded) is bytes else encoded
    needs(not given or type(given[0]) in {bytes, Blob}, "a bytearray of something other than bytes")
    return bytearray(given[0]) if given and type(given[0]) is bytes else given[0] if given else bytearray()


def _encode(arguments: Any) -> Any:
    text, *encoding = arity(arguments, 1, 2)
    name = encoding[0] if encoding else "utf-8"
    needs(type(text) is str or (type(text) is Blob and text.text), "encoding of something that is no text")
    needs(type(name) is str, "an encoding that is no text")
    needs(name in {"latin1", "latin-1", "utf-8", "utf8", "ascii"}, "an encoding that torch.save never uses")
    if type(text) is Blob:
        return Blob(text.length, text.head, text=False, offset=text.offset)
    try:
        return text.encode(name)
    except UnicodeEncodeError:
        raise BadArgumentsError("text that its encoding cannot hold") from None


def _complex(arguments: Any) -> complex:
    given = arity(arguments, 0, 2)
    needs(all(type(part) in {float, int} for part in given), "a complex of something other than numbers")
    try:
        return complex(*given)
    except OverflowError:
        raise BadArgumentsError("a complex of numbers too large") from None


def made(check: Callable[[tuple[Any, ...]], object]) -> Callable[[GlobalUse, Any], Made]:
    """A maker of plain results whose arguments pass `check`."""

    def build(maker: GlobalUse, arguments: Any) -> Made:
        needs(type(arguments) is tuple and check(arguments), "arguments that it would refuse")
        return Made(maker, arguments)

    return build


def _size(maker: GlobalUse, arguments: Any) -> Made:
    given = arity(arguments, 0, 1)
    return Made(maker, arguments, sizes(given[0], "size") if given else ())


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
_INDICES = range(128)


_DEVICE = r"([a-z]+)(:[0-9]{1,3})?"


def _is_device(arguments: tuple[Any, ...]) -> bool:
    """``("cpu",)``, ``("cuda:1",)`` or ``("cuda", 1)``."""
    kind, *index = arguments or (None,)
    match = re.fullmatch(_DEVICE, kind) if type(kind) is str else None
    if match is None or match[1] not in _DEVICES:
        return False
    return not index or (len(index) == 1 and match[2] is None and index[0] in _INDICES)


_BUILDERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    **TENSOR_BUILDERS,
    ("collections", "OrderedDict"): _mapping("OrderedDict"),
    ("collections", "Counter"): _mapping("Counter"),
    ("builtins", "set"): _set,
    ("builtins", "frozenset"): _frozenset,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "complex"): _complex,
    ("_codecs", "encode"): _encode,
}

_MAKERS: dict[tuple[str, str], Callable[[GlobalUse, Any], Made]] = {
    ("torch.serialization", "_get_layout"): made(lambda given: len(given) == 1 and _is_layout(given[0])),
    ("torch", "Size"): _size,
    ("torch", "device"): made(_is_device),
    **dict.fromkeys(TENSOR_CLASSES, made(lambda given: not given)),
}


def _is_layout(value: Any) -> bool:
    return type(value) is str and value in LAYOUTS


def builder_of(use: GlobalUse) -> Callable[[Any], Any] | None:
    """What a call of a global gives (or raises `BadArgumentsError`); None where it is never called."""
    make = _MAKERS.get(use.path)
    return _BUILDERS.get(use.path) if make is None else partial(make, use)


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
    if type(elements) is not int or not 0 <= elements < LARGEST:
        raise BadArgumentsError("a storage of an impossible number of elements")
    if type(key) is not str:
        key = _text(key)
    if type(location) is not str:
        location = _text(location)
    if len(identity) > 5 and identity[5] is not None:  # noqa: PLR2004
        raise BadArgumentsError("a storage that is a view of another")
    untyped = kind.name == "UntypedStorage"
    return Storage(dtype, key, location, elements, offset, untyped=untyped, view=len(identity) > 5)  # noqa: PLR2004


def _text(value: Any) -> str:
    if type(value) is bytes:
        value = value.decode("ascii", "replace")
    elif type(value) is int:
        value = str(value) if 0 <= value < LARGEST else None
    needs(type(value) is str, "a storage whose key or location is no text")
    return value  # type: ignore[no-any-return]  # the type was looked at above
