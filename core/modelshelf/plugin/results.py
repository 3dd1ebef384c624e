"""Whether a value that a plugin built holds what its class declares.

The value classes do not check every field themselves; a field of another type would come to light in the
store or in a listing, where it costs everybody. So the guard around hooks asks here.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

_Fits: TypeAlias = Callable[[Any], bool]

# Where descriptors are at home: classes of texts and functions. None is imported until a hook gives it.
_DESCRIPTORS = frozenset(f"modelshelf.{module}" for module in ("command", "serializer", "source", "store"))
_TEXTS = frozenset({"name", "scheme", "summary", "media_type"})
_DEEPEST = 8  # levels of lists and tables within `details`
_SCALARS: frozenset[type] = frozenset({str, bool, int, type(None)})


@frozen(eq=False, repr=False)
class _Check:
    """Whether a value fits one declared type.

    Attributes:
        at_once: Types whose every value fits. Nearly all values are of one of these, and most fields None.
        fits: Decides on all others.
    """

    at_once: frozenset[type]
    fits: _Fits

    def of(self, held: object) -> bool:
        return type(held) in self.at_once or self.fits(held)

    def of_all(self, held: Iterable[Any]) -> bool:
        return self.at_once.issuperset(map(type, held)) or all(map(self.of, held))


def misfit(value: object, kind: type) -> str | None:
    """Name the first field that is not of its declared type, with the type it has; None where all fit."""
    held = _values(kind)(value)
    for place, name, fits in _doubtful(kind, tuple(map(type, held))):
        if not fits(held[place]):
            return f"{name} holds {_described(held[place])}"
    return None


def _described(held: object) -> str:
    if isinstance(held, float):
        return str(held)
    kind = type(held).__name__
    return f"a {kind} of something else" if isinstance(held, tuple | list | dict) else kind


@lru_cache(maxsize=1024)
def _doubtful(kind: type, types: tuple[type, ...]) -> tuple[tuple[int, str, _Fits], ...]:
    """Place, name and check of the fields whose type alone does not tell that they fit.

    Values of one kind mostly hold the same types in the same fields.
    """
    checks = zip(types, _checks(kind), strict=True)
    return tuple(
        (place, name, fits) for place, (one, (name, at_once, fits)) in enumerate(checks) if one not in at_once
    )


@cache
def _values(kind: type) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the values of a kind's fields, in their order."""
    names = [name for name, _, _ in _checks(kind)]
    if len(names) > 1:
        return attrgetter(*names)  # which of a single name gives no tuple
    return lambda value: tuple([getattr(value, name) for name in names])


@cache
def _checks(kind: type) -> tuple[tuple[str, frozenset[type], _Fits], ...]:
    if not attrs.has(kind):
        return ()
    fields = attrs.fields(kind)
    if kind.__module__ in _DESCRIPTORS:
        checks = [_is(str) if one.name in _TEXTS else _function(one) for one in fields]
    else:
        hints = get_type_hints(kind)
        checks = [_check_of(hints[one.name]) for one in fields]
    return tuple((one.name, check.at_once, check.fits) for one, check in zip(fields, checks, strict=True))


def _function(one: attrs.Attribute[Any]) -> _Check:
    at_once: tuple[type, ...] = (type(None),) if one.default is None else ()
    return _Check(frozenset(at_once), callable)


def _check_of(hint: Any) -> _Check:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return _Check(_SCALARS, is_plain)
    if origin in {Union, types.UnionType}:
        return _any_of([_check_of(one) for one in inner])
    if origin is tuple:
        return _tuple_of(inner)
    if origin is dict:
        return _dict_of(_check_of(inner[0]), _check_of(inner[1]))
    return _is(hint)


def _is(wanted: Any) -> _Check:
    if wanted is int:  # True is no count
        return _Check(frozenset({int}), lambda held: isinstance(held, int) and not isinstance(held, bool))
    if wanted is float:  # JSON has no word for infinity
        return _Check(
            frozenset(),
            lambda held: isinstance(held, int | float) and not isinstance(held, bool) and math.isfinite(held),
        )
    return _Check(frozenset({wanted}), lambda held: isinstance(held, wanted))


def _any_of(checks: list[_Check]) -> _Check:
    at_once: frozenset[type] = frozenset().union(*(one.at_once for one in checks))
    return _Check(at_once, lambda held: any(one.fits(held) for one in checks))


def _tuple_of(inner: tuple[Any, ...]) -> _Check:
    if inner[-1] is Ellipsis:
        each = _check_of(inner[0])
        return _Check(frozenset(), lambda held: isinstance(held, tuple) and each.of_all(held))
    checks = [_check_of(one) for one in inner]
    return _Check(
        frozenset(),
        lambda held: (
            isinstance(held, tuple)
            and len(held) == len(checks)
            and all(check.of(one) for check, one in zip(checks, held, strict=True))
        ),
    )


def _dict_of(key: _Check, value: _Check) -> _Check:
    return _Check(
        frozenset(),
        lambda held: isinstance(held, dict) and key.of_all(held) and value.of_all(held.values()),
    )


def is_plain(held: object, depth: int = 0) -> bool:
    """Whether a value can be written as JSON: a scalar, or lists and tables of such."""
    if type(held) in _SCALARS or isinstance(held, str | int):
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
