"""Headers of any length in many shapes, sound and hostile: small ones for the tests, 99 MB for measuring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

Shape = Callable[[int], bytes]
"""Makes a header of about so many bytes."""

_ORDERS = (
    ("dtype", "shape", "data_offsets"),
    ("data_offsets", "dtype", "shape"),
    ("shape", "data_offsets", "dtype"),
    ("dtype", "data_offsets", "shape"),
    ("data_offsets", "shape", "dtype"),
    ("shape", "dtype", "data_offsets"),
)
_COMPACT = (",", ":")


def _filled(length: int, members: Iterator[str], before: str = "{", after: str = "}") -> bytes:
    """As many members as fit, between `before` and `after`."""
    held, left = [], length - len(before) - len(after)
    for one in members:
        left -= len(one.encode()) + 1
        if left < 0:
            break
        held.append(one)
    return (before + ",".join(held) + after).encode()


def _tensor(
    at: int, *, extra: dict[str, Any] | None = None, order: int = 0, **changed: Any
) -> dict[str, Any]:
    told = {"dtype": "F32", "shape": [2, 3], "data_offsets": [24 * at, 24 * at + 24], **changed}
    return {key: told[key] for key in _ORDERS[order]} | (extra or {})


def _each(
    one: Callable[[int], dict[str, Any]],
    name: Callable[[int], str] = "model.layers.{}.weight".format,
    separators: tuple[str, str] = _COMPACT,
    *,
    ascii_only: bool = False,
) -> Shape:
    encode = json.JSONEncoder(separators=separators, ensure_ascii=ascii_only).encode

    def members() -> Iterator[str]:
        for at in count():
            yield encode({name(at): one(at)})[1:-1]

    return lambda length: _filled(length, members())


def _mixed_orders(at: int) -> dict[str, Any]:
    return _tensor(at, order=at % 6)


def _odd_fields(at: int) -> dict[str, Any]:
    return _tensor(at, order=at % 6, extra={f"x{one}": [one] for one in range(at % 4)})


def _distinct_shapes(at: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [at, at % 7, 0], "data_offsets": [0, 0]}


def _empty(_: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}


def _holes(at: int) -> dict[str, Any]:
    return _tensor(2 * at)


def _all_at_zero(_: int) -> dict[str, Any]:
    return _tensor(0)


def _unknown_types(at: int) -> dict[str, Any]:
    return _tensor(at, dtype=f"Q{at % 300}_K")


def _nested(at: int) -> dict[str, Any]:
    return _tensor(at, extra={"x": {"a": [1, {"b": [True, None, "c"]}], "d": -1.5e3}})


def _out_of_order(length: int) -> bytes:
    """Pairs of tensors whose data lies the other way round."""
    told = (
        '"m.{0}.b":{{"dtype":"U8","shape":[3],"data_offsets":[{2},{3}]}},'
        '"m.{0}.a":{{"dtype":"U8","shape":[2],"data_offsets":[{1},{2}]}}'
    )
    return _filled(length, (told.format(at, 5 * at, 5 * at + 2, 5 * at + 5) for at in count()))


def _as_arrays(length: int) -> bytes:
    return _filled(length, (f'"{at:x}":["U8",[1],[{at},{at + 1}]]' for at in count()))


def _as_enumeration(length: int) -> bytes:
    told = '"t{0}":{{"dtype":{{"U8":null}},"shape":[1],"data_offsets":[{0},{1}]}}'
    return _filled(length, (told.format(at, at + 1) for at in count()))


def _packed(length: int) -> bytes:
    """Every tensor is the anchor of a packed weight."""
    told = '"m.{0}.scales":{{"dtype":"U32","shape":[1],"data_offsets":[{1},{2}]}}'
    return _filled(length, (told.format(at, 4 * at, 4 * at + 4) for at in count()))


_PLAIN = _each(_tensor)
_ONE = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'


def _described(member: Callable[[int], str]) -> Shape:
    return lambda length: _filled(length, map(member, count()), '{"__metadata__":{', "}," + _ONE + "}")


def _one_field(unit: str, begin: str = "[", end: str = "]", empty: str = "0") -> Shape:
    """One tensor with one unknown field that is filled with a unit."""

    def made(length: int) -> bytes:
        before, after = f'{{{_ONE[:-1]},"x":{begin}', f"{empty}{end}}}}}"
        return (
            before.encode()
            + unit.encode() * ((length - len(before) - len(after)) // len(unit.encode()))
            + after.encode()
        )

    return made


def _one_name(unit: str) -> Shape:
    return lambda length: (
        '{"' + unit * ((length - len(_ONE) - 2) // len(unit.encode())) + _ONE[2:] + "}"
    ).encode()


def _repeated(unit: bytes, before: bytes = b"") -> Shape:
    return lambda length: before + unit * ((length - len(before)) // len(unit))


def _ended(shape: Shape, end: bytes) -> Shape:
    """A sound header that breaks at its end."""
    return lambda length: shape(length)[: -len(end)] + end


SOUND: dict[str, Shape] = {
    "compact": _PLAIN,
    "spaced": _each(_tensor, separators=(", ", ": ")),
    "white space anywhere": _each(_tensor, separators=(" ,\n", " :\t")),
    "sorted fields": _each(lambda at: _tensor(at, order=1)),
    "sorted fields, spaced": _each(lambda at: _tensor(at, order=1), separators=(", ", ": ")),
    "orders that change": _each(_mixed_orders),
    "data in another order": _out_of_order,
    "short names": _each(_tensor, "{:x}".format),
    "names beyond ASCII": _each(_tensor, "größe.{}.模型".format),
    "escaped names": _each(_tensor, "größe.{}.模型".format, ascii_only=True),
    "long names": _each(_tensor, lambda at: f"{at}." + "x" * 900),
    "distinct shapes": _each(_distinct_shapes),
    "empty tensors": _each(_empty, "{:x}".format),
    "packed weights": _packed,
    "metadata of many pairs": _described(lambda at: f'"k{at}":"v"'),
    "metadata of one value": lambda length: (
        b'{"__metadata__":{"k":"%s"},%s}' % (b"v" * (length - len(_ONE) - 25), _ONE.encode())
    ),
    "padded with spaces": lambda length: b"{" + _ONE.encode() + b"}" + b" " * (length - len(_ONE) - 2),
    "one name": _one_name("n"),
    "one name beyond ASCII": _one_name("n📦"),
    "tensors as arrays": _as_arrays,
    "types as enumerations": _as_enumeration,
    "a shape of ones": lambda length: (
        b'{"a":{"dtype":"U8","data_offsets":[0,1],"shape":[%s1]}}' % (b"1," * ((length - 60) // 2))
    ),
}
"""Headers that the reference loader takes and that nothing is to be said against."""

DEGRADED: dict[str, Shape] = {
    "unknown field each": _each(lambda at: _tensor(at, extra={"x": at})),
    "unknown field of arrays each": _each(lambda at: _tensor(at, extra={"x": [[1, 2], [at]]})),
    "unknown nested field each": _each(_nested),
    "unknown fields of many kinds": _each(_odd_fields),
    "unknown types": _each(_unknown_types),
    "one field of zeros": _one_field("0,"),
    "one field of numbers": _one_field("12345.5e-7,"),
    "one field of arrays": _one_field("[],"),
    "one field of objects": _one_field('{"":0},'),
    "one field of texts": _one_field('"",'),
    "one field of members": _one_field('"":0,', "{", "}", '"":0'),
    "one field nested deep": _one_field("[" * 120 + "]" * 120 + ","),
    "one field nested in turns": _one_field('[{"":' * 60 + "0" + "}]" * 60 + ","),
    "one field of escapes": _one_field("\\\\", '"', '"', ""),
    "one field of pairs": _one_field("\\ud83d\\ude00", '"', '"', ""),
    "one field of spaces": _one_field(" "),
    "many unknown fields": lambda length: _filled(
        length, (f'"x{at}":1' for at in count()), "{" + _ONE[:-1] + ",", "}}"
    ),
    "equal names": _each(_all_at_zero, lambda _: "a"),
    "equal keys of metadata": _described(lambda _: '"k":"v"'),
    "white space first": lambda length: b" " * (length - len(_ONE) - 2) + b"{" + _ONE.encode() + b"}",
}
"""Headers that the reference loader takes against its specification, unknown types aside."""

BROKEN: dict[str, Shape] = {
    "holes": _each(_holes),
    "overlaps": _each(_all_at_zero),
    "spaces": _repeated(b" "),
    "opening brackets": _repeated(b"["),
    "opening braces": _repeated(b'{"a":'),
    "backslashes": _repeated(b"\\"),
    "backslashes in a name": _repeated(b"\\", b'{"'),
    "quotes": _repeated(b'"'),
    "zeros": _repeated(b"\0"),
    "digits": _repeated(b"1", b'{"a":'),
    "digits in a shape": _repeated(b"1", b'{"a":{"dtype":"U8","shape":['),
    "a name without end": _repeated(b"n", b'{"'),
    "nested too deep": _one_field("[" * 130 + "]" * 130 + ","),
    "a fault at the end": _ended(_PLAIN, b"}},}"),
    "a fault at the end of metadata": _ended(SOUND["metadata of many pairs"], b"!"),
    "a fault at the end of a field": _ended(_one_field("0,"), b",]}}"),
    "a bad byte at the end": _ended(_PLAIN, b"\xff}"),
    "half a pair at the end": _one_field("\\\\", '"', '"', "\\ud800"),
    "not closed": lambda length: _PLAIN(length)[:-1],
    "a size that is wrong at the end": lambda length: _PLAIN(length)[:-4] + b"9]}}",
}
"""Headers that the reference loader refuses."""

ALL = SOUND | DEGRADED | BROKEN
