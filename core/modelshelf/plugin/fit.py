"""Whether a value that a plugin built holds what its class declares.

The value classes do not check every field themselves; a field of another type would come to light in the
store or in a listing, where it costs everybody. So the guard around hooks asks here.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

_Fits: TypeAlias = Callable[[Any], bool]

# Where descriptors are at home: classes of texts and functions. None is imported until a hook gives it.
_DESCRIPTORS = frozenset(f"modelshelf.{module}" for module in ("command", "serializer", "source", "store"))
_TEXTS = frozenset({"name", "scheme", "summary", "media_type"})
_DEEPEST = 8  # levels of lists and tables within `details`


def misfit(value: object, kind: type) -> str | None:
    """Name the first field that is not of its declared type, with the type it has; None where all fit."""
    for name, fits in _checks(kind):
        held = getattr(value, name)
        if not fits(held):
            return f"{name} holds {_described(held)}"
    return None


def _described(held: object) -> str:
    if isinstance(held, float):
        return str(held)
    kind = type(held).__name__
    return f"a {kind} of something else" if isinstance(held, tuple | list | dict) else kind


@cache
def _checks(kind: type) -> tuple[tuple[str, _Fits], ...]:
    if not attrs.has(kind):
        return ()
    fields = attrs.fields(kind)
    if kind.__module__ in _DESCRIPTORS:
        return tuple((one.name, _is(str) if one.name in _TEXTS else _function(one)) for one in fields)
    hints = get_type_hints(kind)
    return tuple((one.name, _check_of(hints[one.name])) for one in fields)


def _function(one: attrs.Attribute[Any]) -> _Fits:
    return (lambda held: held is None or callable(held)) if one.default is None else callable


def _check_of(hint: Any) -> _Fits:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return is_plain
    if origin in {Union, types.UnionType}:
        return _any_of([_check_of(one) for one in inner])
    if origin is tuple:
        return _tuple_of(inner)
    if origin is dict:
        return _dict_of(_check_of(inner[0]), _check_of(inner[1]))
    return _is(hint)


def _is(wanted: Any) -> _Fits:
    if wanted is int:  # True is no count
        return lambda held: isinstance(held, int) and not isinstance(held, bool)
    if wanted is float:  # JSON has no word for infinity
        return lambda held: (
            isinstance(held, int | float) and not isinstance(held, bool) and math.isfinite(held)
        )
    return lambda held: isinstance(held, wanted)


def _any_of(checks: list[_Fits]) -> _Fits:
    return lambda held: any(fits(held) for fits in checks)


def _tuple_of(inner: tuple[Any, ...]) -> _Fits:
    if inner[-1] is Ellipsis:
        each = _check_of(inner[0])
        return lambda held: isinstance(held, tuple) and all(each(one) for one in held)
    checks = [_check_of(one) for one in inner]
    return lambda held: (
        isinstance(held, tuple)
        and len(held) == len(checks)
        and all(fits(one) for fits, one in zip(checks, held, strict=True))
    )


def _dict_of(key: _Fits, value: _Fits) -> _Fits:
    return lambda held: (
        isinstance(held, dict) and all(key(one) and value(other) for one, other in held.items())
    )


def is_plain(held: object, depth: int = 0) -> bool:
    """Whether a value can be written as JSON: a scalar, or lists and tables of such."""
    if held is None or isinstance(held, str | bool | int):
        return True
    if isinstance(held, float):
        return math.isfinite(held)
    if depth >= _DEEPEST:
        return False
    if isinstance(held, list | tuple):
        return all(is_plain(one, depth + 1) for one in held)
    if isinstance(held, dict):
        return all(isinstance(key, str) and is_plain(value, depth + 1) for key, value in held.items())
    return False
