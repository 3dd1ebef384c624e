"""Headers of any length in many shapes, sound and hostile: small ones for the tests, 99 MB for measuring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count

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
_ONE = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'


def _filled(length: int, members: Iterable[str], before: str = "{", after: str = "}") -> bytes:
    """As many members as fit, between `before` and `after`."""
    taken, left = [], length - len(before) - len(after)
    for one in members:
        left -= (len(one) if one.isascii() else len(one.encode())) + 1
        if left < 0:
            break
        taken.append(one)
    return (before + ",".join(taken) + after).encode()


def _entry(
    name: str = "model.layers.{at}.weight",
    *,
    dtype: str = '"F32"',
    shape: str = "[2,3]",
    begin: str = "{begin}",
    end: str = "{end}",
    order: int = 0,
    extra: str = "",
    comma: str = ",",
    colon: str = ":",
) -> str:
    """A pattern of one member; ``at`` counts, ``begin`` and ``end`` lie 24 bytes apart."""
    values = {"dtype": dtype, "shape": shape, "data_offsets": f"[{begin}{comma}{end}]"}
    fields = [f'"{key}"{colon}{values[key]}' for key in _ORDERS[order]] + ([extra] if extra else [])
    return f'"{name}"{colon}{{{{{comma.join(fields)}}}}}'


def _each(*patterns: str, step: int = 1) -> Shape:
    """The patterns in turn, the data of each after that of the one before times `step`."""

    def made(length: int) -> bytes:
        kinds = len(patterns)
        return _filled(
            length,
            (
                patterns[at % kinds].format(at=at, begin=24 * at * step, end=24 * at * step + 24)
                for at in count()
            ),
        )

    return made


def _spelled(member: Callable[[int], str]) -> Shape:
    return lambda length: _filled(length, map(member, count()))


def _indented(length: int) -> bytes:
    pattern = _entry(shape="[\n   2,\n   3\n  ]", comma=",\n  ", colon=": ").replace("{{", "{{\n  ", 1)
    members = (" " + pattern.format(at=at, begin=24 * at, end=24 * at + 24) + "\n" for at in count())
    return _filled(length, members, "{\n", "}")


def _out_of_order(length: int) -> bytes:
    """Pairs of tensors whose data lies the other way round."""
    pair = (
        '"m.{0}.b":{{"dtype":"U8","shape":[3],"data_offsets":[{2},{3}]}},'
        '"m.{0}.a":{{"dtype":"U8","shape":[2],"data_offsets":[{1},{2}]}}'
    )
    return _filled(length, (pair.format(at, 5 * at, 5 * at + 2, 5 * at + 5) for at in count()))


def _backwards(length: int) -> bytes:
    """Tensors of which the last lies first."""
    rows = length // 90
    return _filled(
        length,
        (
            f'"layer.{at}":{{"dtype":"U8","shape":[1],"data_offsets":[{rows - at - 1},{rows - at}]}}'
            for at in range(rows)
        ),
    )


def _arrays_backwards(length: int) -> bytes:
    rows = length // 40
    return _filled(length, (f'"{at:x}":["U8",[1],[{rows - at - 1},{rows - at}]]' for at in range(rows)))


def _in_turn(member: str) -> Shape:
    """Names that come again after many others."""
    return lambda length: _filled(length, (member.format(at % (length // 300 + 1)) for at in count()))


def _mapped(member: Callable[[int], str], after: str = "") -> Shape:
    """A ``__metadata__`` of many members."""
    return lambda length: _filled(
        length, map(member, count()), '{"__metadata__":{', "}," + _ONE + after + "}"
    )


def _one_value(unit: str, end: str = "") -> Shape:
    """A ``__metadata__`` with one long value."""

    def made(length: int) -> bytes:
        room = length - len(_ONE) - 25
        return f'{{"__metadata__":{{"k":"{unit * (room // len(unit.encode()))}{end}"}},{_ONE}}}'.encode()

    return made


def _as_trainer(length: int) -> bytes:
    """What a trainer writes of its images: JSON within a text."""
    tags = ",".join(f'"tag number {at}": {at % 97}' for at in range(length // 28))
    text = json.dumps({"ss_output_name": "adapter", "ss_tag_frequency": f'{{"img": {{{tags}}}}}'})
    return f'{{"__metadata__":{text},{_ONE}}}'.encode()


def _metadata_last(length: int) -> bytes:
    pairs = ",".join(f'"key{at}":"{"v" * 3000}"' for at in range(length // 6200))
    tensors = _each(_entry())(length - len(pairs) - 20)
    return tensors[:-1] + f',"__metadata__":{{{pairs}}}}}'.encode()


def _one_field(unit: str, begin: str = "[", end: str = "]", empty: str = "0") -> Shape:
    """One tensor with one unknown field that is filled with a unit."""

    def made(length: int) -> bytes:
        before, after = f'{{{_ONE[:-1]},"x":{begin}', f"{empty}{end}}}}}"
        units = unit.encode() * ((length - len(before) - len(after)) // len(unit.encode()))
        return before.encode() + units + after.encode()

    return made


def _long_fields(unit: str) -> Shape:
    """Tensors of 20 kB with an unknown field that is filled with a unit."""
    field = f'"x":[{unit * (20_000 // len(unit))}0]'.replace("{", "{{").replace("}", "}}")
    pattern = _entry(extra=field)
    return lambda length: _each(pattern)(length) if length > len(pattern) + 100 else _one_field(unit)(length)


def _long_shapes(length: int) -> bytes:
    """Tensors of 30,000 dimensions, no two alike."""
    ones = ",1" * min(30_000, length // 5)
    return _spelled(lambda at: f'"t{at}":{{"dtype":"U8","shape":[{at}{ones},0],"data_offsets":[0,0]}}')(
        length
    )


def _one_name(unit: str) -> Shape:
    return lambda length: (
        '{"' + unit * ((length - len(_ONE) - 2) // len(unit.encode())) + _ONE[2:] + "}"
    ).encode()


def _repeated(unit: bytes, before: bytes = b"") -> Shape:
    return lambda length: before + unit * ((length - len(before)) // len(unit))


def _ended(shape: Shape, end: bytes) -> Shape:
    """A sound header that breaks at its end."""
    return lambda length: shape(length)[: -len(end)] + end


def shapes_hashing_alike() -> Iterator[list[int]]:
    """Shapes without elements that have one hash as tuples: xxHash, as in CPython's Objects/tupleobject.c."""
    first, second, fifth = 11400714785074694791, 14029467366897019727, 2870177450012600261
    word, aim = (1 << 64) - 1, 1 << 40

    def after(state: int, value: int) -> int:
        state = state + value * second & word
        return ((state << 31 | state >> 33) & word) * first & word

    start = after(fifth, 0)
    for one in count(1):
        other = (aim - after(start, one)) * pow(second, -1, word + 1) & word
        if other < (1 << 61) - 1:  # what integers hash to as they are
            yield [0, one, other]


def _shapes_hashing_alike(length: int) -> bytes:
    return _filled(
        length,
        (
            f'"{at:x}":{{"dtype":"U8","shape":{shape},"data_offsets":[0,0]}}'
            for at, shape in enumerate(shapes_hashing_alike())
        ),
    )


_COMPACT = _each(_entry())

WRITTEN: dict[str, Shape] = {
    "compact": _COMPACT,
    "spaced": _each(_entry(comma=", ", colon=": ")),
    "indented": _indented,
    "white space anywhere": _each(_entry(comma=" ,\n", colon=" :\t")),
    "sorted fields": _each(_entry(order=1)),
    "sorted fields, spaced": _each(_entry(order=1, comma=", ", colon=": ")),
    "orders that change": _each(*(_entry(order=order) for order in range(6))),
    "data in another order": _out_of_order,
    "data backwards": _backwards,
    "short names": _each(_entry("{at:x}")),
    "names beyond ASCII": _each(_entry("größe.{at}.模型")),
    "escaped names": _each(_entry("gr\\u00f6\\u00dfe.{at}.\\u6a21")),
    "names of surrogate pairs": _each(_entry("\\ud83d\\ude00.{at}")),
    "long names": _each(_entry("{at}." + "x" * 900)),
    "empty tensors": _each(_entry("{at:x}", dtype='"U8"', shape="[0]", begin="0", end="0")),
    "packed weights": _spelled(
        lambda at: f'"m.{at}.scales":{{"dtype":"U32","shape":[1],"data_offsets":[{4 * at},{4 * at + 4}]}}'
    ),
    "metadata of a trainer": _as_trainer,
    "metadata of one value": _one_value("v"),
    "metadata of values of 3 kB": _mapped(lambda at: f'"key{at}":"{"v" * 3000}"'),
    "metadata last": _metadata_last,
    "padded with spaces": lambda length: b"{" + _ONE.encode() + b"}" + b" " * (length - len(_ONE) - 2),
}
"""Headers as writers make them, of a length that none has."""

SOUND: dict[str, Shape] = WRITTEN | {
    "one name": _one_name("n"),
    "one name beyond ASCII": _one_name("n📦"),
    "metadata of many pairs": _mapped(lambda at: f'"k{at}":"v"'),
    "metadata of escapes": _one_value("\\\\"),
    "metadata of values of 1 MB": _mapped(lambda at: f'"key{at}":"{"v" * 1_000_000}"'),
    "tensors as arrays": _spelled(lambda at: f'"{at:x}":["U8",[1],[{at},{at + 1}]]'),
    "tensors as arrays, backwards": _arrays_backwards,
    "empty tensors as arrays": _spelled(lambda at: f'"{at:x}":["U8",[0],[0,0]]'),
    "arrays and objects in turn": _each(
        '"{at:x}":["U8",[0],[0,0]]', '"{at:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    ),
    "enumerations in arrays": _each('"{at:x}":[{{"U8":null}},[0],[0,0]]'),
    "types as enumerations": _spelled(
        lambda at: f'"t{at}":{{"dtype":{{"U8":null}},"shape":[1],"data_offsets":[{at},{at + 1}]}}'
    ),
    "distinct shapes": _spelled(
        lambda at: f'"l.{at}":{{"dtype":"U8","shape":[{at},{at % 7},0],"data_offsets":[0,0]}}'
    ),
    "distinct shapes as arrays": _spelled(lambda at: f'"{at:x}":["U8",[{at},0],[0,0]]'),
    "shapes that hash alike": _shapes_hashing_alike,
    "names of minus zero": _each(_entry("-0.{at}")),
    "a shape of ones": lambda length: (
        b'{"a":{"dtype":"U8","data_offsets":[0,1],"shape":[%s1]}}' % (b"1," * ((length - 60) // 2))
    ),
    "shapes of many dimensions": _long_shapes,
}
"""Headers that the reference loader takes and that nothing is to be said against."""

DEGRADED: dict[str, Shape] = {
    "unknown field each": _each(_entry(extra='"x":{at}')),
    "tiny unknown field each": _each(
        _entry("{at:x}", dtype='"U8"', shape="[0]", begin="0", end="0", extra='"":0')
    ),
    "unknown field of minus zero each": _each(
        _entry("{at:x}", shape="[0]", begin="0", end="0", extra='"":-0')
    ),
    "unknown field of escapes each": _each(
        _entry("{at:x}", shape="[0]", begin="0", end="0", extra='"":"\\\\"')
    ),
    "unknown field of arrays each": _each(_entry(extra='"x":[[1,2],[{at}]]')),
    "unknown nested field each": _each(_entry(extra='"x":{{"a":[1,{{"b":[true,null,"c"]}}],"d":-1.5e3}}')),
    "unknown fields of many kinds": _each(
        *(
            _entry(order=at % 6, extra=",".join(f'"x{one}":[{one}]' for one in range(at % 4)))
            for at in range(12)
        )
    ),
    "one unknown field in a thousand": _each(_entry("{at:x}", extra='"x":1'), *[_entry("{at:x}")] * 999),
    "unknown types": _each(*(_entry(dtype=f'"Q{at}_K"') for at in range(300))),
    "one unknown type": _each(_entry("{at:x}", dtype='"Q"')),
    "fields of long numbers": _each(_entry(extra='"x":' + "9" * 300)),
    "fields of long fractions": _each(_entry(extra='"x":0.' + "1" * 2000)),
    "fields of tiny exponents": _each(_entry(extra='"x":1e-99999999999999999999')),
    "fields of 20 kB, arrays": _long_fields("[],"),
    "fields of 20 kB, objects": _long_fields('{"":0},'),
    "fields of 20 kB, nested": _long_fields("[" * 120 + "]" * 120 + ","),
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
    "equal names": _each(_entry("a", begin="0", end="24")),
    "equal names in turn": _in_turn('"{0}":["U8",[0],[0,0]]'),
    "equal keys of metadata": _mapped(lambda _: '"k":"v"'),
    "keys of metadata in turn": _mapped(lambda at: f'"{at % 100}":""'),
    "white space first": lambda length: b" " * (length - len(_ONE) - 2) + b"{" + _ONE.encode() + b"}",
}
"""Headers that the reference loader takes against its specification, unknown types aside."""

BROKEN: dict[str, Shape] = {
    "holes": _each(_entry(), step=2),
    "overlaps": _each(_entry(begin="0", end="24")),
    "tiny overlaps": _spelled(lambda at: f'"{at:x}":["U8",[],[0,1]]'),
    "tiny overlaps in turn": _in_turn('"{0}":["U8",[],[0,1]]'),
    "tiny holes": _spelled(lambda at: f'"{at:x}":["U8",[],[{at * 7 % 1000},{at * 7 % 1000 + 1}]]'),
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
    "a value without end": _repeated(b"v", b'{"__metadata__":{"k":"'),
    "numbers of 1,000 digits": _each(_entry(extra='"x":' + "9" * 1000)),
    "nested too deep": _one_field("[" * 130 + "]" * 130 + ","),
    "a fault at the end": _ended(_COMPACT, b"}},}"),
    "a fault at the end of metadata": _ended(SOUND["metadata of many pairs"], b"!"),
    "metadata twice": _mapped(lambda at: f'"k{at}":"v"', ',"__metadata__":{"a":1}'),
    "a fault at the end of a field": _ended(_one_field("0,"), b",]}}"),
    "a bad byte at the end": _ended(_COMPACT, b"\xff}"),
    "half a pair at the end": _one_field("\\\\", '"', '"', "\\ud800"),
    "half a pair in a value": _one_value("\\ud83d\\ude00", "\\ud83d"),
    "not closed": lambda length: _COMPACT(length)[:-1],
    "a size that is wrong at the end": lambda length: _COMPACT(length)[:-4] + b"9]}}",
}
"""Headers that the reference loader refuses."""

ALL = SOUND | DEGRADED | BROKEN
