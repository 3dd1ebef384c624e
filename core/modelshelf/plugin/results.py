"""What hooks give: the types, and whether a value that a plugin built has what its class declares.

The value classes do not check every field themselves; a field of another type would come to light in the
store or in a listing, where it costs everybody. So the guard around hooks checks here, ten times for each new
model. Of the libraries that check types, typeguard takes 30 times as long, msgspec 7 and beartype 4, which
looks into one item of a container only; cattrs turns a 7 into a ``"7"``. Hence by hand: 0.6 µs for a finding,
6 µs for full metadata.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

_Check: TypeAlias = Callable[[Any], bool]

# The type of one result of each hook, by its module and name, and whether the hook may give several. A type
# is imported when its hook is first called, since most runs call few.
_RESULTS = {
    "modelshelf_formats": ("model.format", "FormatType", True),
    "modelshelf_detect_format": ("model.format", "Detection", False),
    "modelshelf_extract_metadata": ("model.metadata", "ModelMetadata", True),
    "modelshelf_probe_health": ("model.health", "Finding", True),
    "modelshelf_tensor_places": ("model.format", "TensorPlaces", True),
    "modelshelf_estimate_memory": ("model.memory", "MemoryEstimate", False),
    "modelshelf_serializers": ("serializer", "SerializerType", True),
    "modelshelf_sources": ("source", "SourceType", True),
    "modelshelf_stores": ("store", "StoreType", True),
    "modelshelf_commands": ("command", "CommandType", True),
}

# Modules of descriptors, which are classes of texts and functions. None is imported until a hook gives it.
_DESCRIPTORS = frozenset(f"modelshelf.{module}" for module in ("command", "serializer", "source", "store"))
_TEXTS = frozenset({"name", "scheme", "summary", "media_type"})
_DEEPEST = 8  # levels of lists and tables within `details`
_SCALARS: frozenset[type] = frozenset({str, bool, int, type(None)})


@cache
def result_type(hook: str) -> tuple[type, bool]:
    """The type of one result of a hook, and whether it may give several."""
    if hook not in _RESULTS:
        return type(None), False
    module, name, several = _RESULTS[hook]
    kind: type = getattr(import_module(f"modelshelf.{module}"), name)
    return kind, several


def fault(result: object, kind: type) -> str | None:
    """Why a result is not what a hook may give, in one line, or None.

    Args:
        result: One result.
        kind: The type that it has to be of.
    """
    if not isinstance(result, kind):
        return wrong_type(result, kind)
    field = wrong_field(result, kind)
    return None if field is None else f"gave {kind.__name__} whose {field}"


def wrong_type(value: object, kind: type) -> str:
    """The reason in words where a value is not of a hook's type."""
    return f"gave {type(value).__name__} where {kind.__name__} is wanted"


def wrong_field(value: object, kind: type) -> str | None:
    """The first field that is not of its declared type, with the type that it has; None where all are."""
    values = _getter(kind)(value)
    for place, name, check in _uncertain(kind, tuple(map(type, values))):
        if not check(values[place]):
            return f"{name} holds {_kind_of(values[place])}"
    return None


def is_json(value: object, depth: int = 0) -> bool:
    """Whether a value can be written as JSON: a scalar, or lists and tables of such."""
    if type(value) in _SCALARS or isinstance(value, str | int):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    if depth >= _DEEPEST:
        return False
    if isinstance(value, list | tuple):
        return all(is_json(one, depth + 1) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_json(one, depth + 1) for key, one in value.items())
    return False


@frozen(eq=False, repr=False)
class _TypeCheck:
    """Whether a value is of one declared type.

    Attributes:
        certain: Types whose every value is. Nearly all values are of one of these, and most fields None.
        check: Decides on all others.
    """

    certain: frozenset[type]
    check: _Check

    def of(self, value: object) -> bool:
        return type(value) in self.certain or self.check(value)

    def of_all(self, values: Iterable[Any]) -> bool:
        return self.certain.issuperset(map(type, values)) or all(map(self.of, values))


def _kind_of(value: object) -> str:
    if isinstance(value, float):
        return str(value)
    kind = type(value).__name__
    return f"a {kind} of something else" if isinstance(value, tuple | list | dict) else kind


@lru_cache(maxsize=1024)
def _uncertain(kind: type, kinds: tuple[type, ...]) -> tuple[tuple[int, str, _Check], ...]:
    """Place, name and check of the fields whose value's type alone does not say that it is right.

    Values of one kind mostly have the same types in the same fields.
    """
    checks = zip(kinds, _checks(kind), strict=True)
    return tuple(
        (place, name, check)
        for place, (one, (name, certain, check)) in enumerate(checks)
        if one not in certain
    )


@cache
def _getter(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """A function that returns the values of a kind's fields, in their order."""
    names = [name for name, _, _ in _checks(kind)]
    if len(names) > 1:
        return attrgetter(*names)  # which of a single name gives no tuple
    return lambda value: tuple([getattr(value, name) for name in names])


@cache
def _checks(kind: type) -> tuple[tuple[str, frozenset[type], _Check], ...]:
    if not attrs.has(kind):
        return ()
    fields = attrs.fields(kind)
    if kind.__module__ in _DESCRIPTORS:
        checks = [_instance_of(str) if one.name in _TEXTS else _function(one) for one in fields]
    else:
        hints = get_type_hints(kind)
        checks = [_check_of(hints[one.name]) for one in fields]
    return tuple((one.name, check.certain, check.check) for one, check in zip(fields, checks, strict=True))


def _function(one: attrs.Attribute[Any]) -> _TypeCheck:
    certain: tuple[type, ...] = (type(None),) if one.default is None else ()
    return _TypeCheck(frozenset(certain), callable)


def _check_of(hint: Any) -> _TypeCheck:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return _TypeCheck(_SCALARS, is_json)
    if origin in {Union, types.UnionType}:
        return _any_of([_check_of(one) for one in inner])
    if origin is tuple:
        return _tuple_of(inner)
    if origin is dict:
        return _dict_of(_check_of(inner[0]), _check_of(inner[1]))
    return _instance_of(hint)


def _instance_of(wanted: Any) -> _TypeCheck:
    if wanted is int:  # True is no count
        return _TypeCheck(
            frozenset({int}), lambda value: isinstance(value, int) and not isinstance(value, bool)
        )
    if wanted is float:  # JSON has no word for infinity
        return _TypeCheck(
            frozenset(),
            lambda value: (
                isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            ),
        )
    return _TypeCheck(frozenset({wanted}), lambda value: isinstance(value, wanted))


def _any_of(checks: list[_TypeCheck]) -> _TypeCheck:
    certain: frozenset[type] = frozenset().union(*(one.certain for one in checks))
    return _TypeCheck(certain, lambda value: any(one.check(value) for one in checks))


def _tuple_of(inner: tuple[Any, ...]) -> _TypeCheck:
    if inner[-1] is Ellipsis:
        each = _check_of(inner[0])
        return _TypeCheck(frozenset(), lambda value: isinstance(value, tuple) and each.of_all(value))
    checks = [_check_of(one) for one in inner]
    return _TypeCheck(
        frozenset(),
        lambda value: (
            isinstance(value, tuple)
            and len(value) == len(checks)
            and all(check.of(one) for check, one in zip(checks, value, strict=True))
        ),
    )


def _dict_of(key: _TypeCheck, item: _TypeCheck) -> _TypeCheck:
    return _TypeCheck(
        frozenset(),
        lambda value: isinstance(value, dict) and key.of_all(value) and item.of_all(value.values()),
    )
