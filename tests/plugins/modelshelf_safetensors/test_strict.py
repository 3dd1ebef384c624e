"""Headers of any shape, read strictly: as by other means, whatever the window, and in bounded memory."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelshelf.errors import FormatError, ReadError
from modelshelf.model import Depth, Severity
from modelshelf_safetensors import canonical, columns, entries, header, metadata, strict, text_map, window
from modelshelf_safetensors.header import parse_header
from modelshelf_safetensors.health import probe
from modelshelf_safetensors.layout import LONGEST_MEMBER, lay_out
from modelshelf_safetensors.metadata import extract
from modelshelf_safetensors.sharded import read_checkpoint
from tests.plugins.modelshelf_safetensors.long_headers import ALL, BROKEN, DEGRADED, SOUND, WRITTEN
from tests.plugins.modelshelf_safetensors.raw import FIELDS, TENSOR, fault_of_reference, strictly, whole
from tests.plugins.modelshelf_safetensors.raw import columns as columns_of
from tests.support import reader_of

UNKNOWN_TYPES = {"unknown types", "one unknown type"}  # which the reference refuses


def outcome(read, raw: bytes):
    try:
        return columns_of(read(raw))
    except ReadError as error:
        return error.code, str(error), error.offset


def with_limits(monkeypatch, member: int, value: int):
    """Limits that short texts reach."""
    for module in (canonical, strict, window):
        monkeypatch.setattr(module, "LONGEST_MEMBER", member)
    for module in (strict, text_map):
        monkeypatch.setattr(module, "LONGEST_VALUE", value)


def with_windows(monkeypatch, piece: int, together: int, rows: int = 1 << 17):
    """Windows and groups of members that short texts have many of."""
    monkeypatch.setattr(window, "PIECE", piece)
    monkeypatch.setattr(strict, "TOGETHER", together)
    monkeypatch.setattr(columns, "ROOM", 0)
    monkeypatch.setattr(columns, "_FEWEST", rows)


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize(("piece", "together", "rows"), [(50, 1, 1), (700, 300, 7), (1 << 20, 60, 30)])
def test_the_size_of_windows_does_not_change_what_is_read(monkeypatch, name, piece, together, rows):
    raw = ALL[name](6000)
    with_limits(monkeypatch, 1500, 700)
    expected = outcome(strictly, raw)
    with_windows(monkeypatch, piece, together, rows)
    assert outcome(strictly, raw) == expected


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_reference_judges_a_header_of_any_shape_alike(name):
    raw = ALL[name](3000)
    read = outcome(strictly, raw)
    refused_here = len(read) == 3
    size = 0 if refused_here else read[-1]
    refused = fault_of_reference(whole(raw, bytes(size))) is not None
    severities = set() if refused_here else {one.severity for one in read[6]}
    if name in SOUND:
        assert not refused
        assert severities <= {Severity.INFO}
    elif name in DEGRADED:
        assert refused == (name in UNKNOWN_TYPES)
        assert Severity.WARNING in severities
    else:
        assert name in BROKEN
        assert refused
        assert refused_here or Severity.ERROR in severities


FIELDS_IN_ANY_ORDER = st.permutations(["dtype", "shape", "data_offsets"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ODDITIES = st.text(st.sampled_from('"\\{}[]:,-0129.eu\t\n\x00\x01é📦'), max_size=3) | st.sampled_from(
    [
        "\\ud800",
        "\\ud83d\\ude00",
        "NaN",
        "1e999",
        "9" * 400,
        "-0",
        "null",
        '"dtype":',
        '"x":{"a":[1]},',
        " " * 70,
        "n" * 80,
    ]
)


@st.composite
def headers(draw):
    """Texts of headers that are nearly sound, most of them with entries that are spelled alike."""
    order, extra = draw(FIELDS_IN_ANY_ORDER), draw(st.none() | VALUES)
    at, members = 0, []
    if draw(st.booleans()):
        pairs = draw(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=9)), max_size=4))
        members.append(("__metadata__", pairs))
    for number in range(draw(st.integers(0, 9))):
        size = draw(st.integers(0, 12))
        entry = {
            "dtype": draw(st.sampled_from(["U8", "U8", "I8", "Q9"])),
            "shape": [size],
            "data_offsets": [at, at + size],
        }
        at += size
        name = draw(st.sampled_from(["t{}", "t{}", "é{}", 'a"\\{}', "same"])).format(number)
        fields = [entry[key] for key in order] if draw(st.integers(0, 9)) == 0 else []
        members.append(
            (name, fields or {key: entry[key] for key in order} | ({} if extra is None else {"x": extra}))
        )
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    encode = json.JSONEncoder(separators=(comma, colon), ensure_ascii=draw(st.booleans())).encode
    written = comma.join(f"{encode(name)}{colon}{as_object(value, encode)}" for name, value in members)
    written = f"{{{written}}}"
    for _ in range(draw(st.integers(0, 2))):
        place, cut = draw(st.integers(0, len(written))), draw(st.integers(0, 2))
        written = written[:place] + draw(ODDITIES) + written[place + cut :]
    return written.encode("utf-8", "surrogatepass")


def as_object(value, encode) -> str:
    """JSON of a value; pairs as an object, so that keys may be repeated."""
    if isinstance(value, list) and all(type(one) is tuple for one in value):
        return "{" + ",".join(f"{encode(key)}:{encode(one)}" for key, one in value) + "}"
    return encode(value)


@given(
    headers(),
    st.sampled_from([1, 40, 100, 1 << 20]),
    st.sampled_from([1, 100]),
    st.sampled_from([1, 3, 1 << 17]),
    st.sampled_from([(150, 20), (1 << 16, 1 << 20)]),
)
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_no_header_reads_otherwise_in_other_windows(raw, piece, together, rows, limits):
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_limits(monkeypatch, *limits)
        expected = outcome(strictly, raw)
        with_windows(monkeypatch, piece, together, rows)
        assert outcome(strictly, raw) == expected


@given(headers())
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_entries_are_judged_together_as_they_are_one_by_one(raw):
    with pytest.MonkeyPatch.context() as monkeypatch:
        together = outcome(strictly, raw)
        monkeypatch.setattr(entries.Entries, "_check_together", lambda _self, _members: None)
        assert outcome(strictly, raw) == together


@given(headers())
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_the_fast_path_gives_what_the_strict_one_gives(raw):
    fast = canonical.parse_canonical(raw)
    if fast is not None:
        assert columns_of(fast) == outcome(strictly, raw)


class Pairs(list):
    """The members of one object as Python's parser reads them, repeated ones included."""


@given(headers())
@settings(deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
def test_tensors_and_repeated_names_are_those_that_json_reads(raw):
    try:
        read = strictly(raw)
    except FormatError:
        return
    members = json.loads(raw, object_pairs_hook=Pairs)
    tensors = [(name, value) for name, value in members if name != "__metadata__"]
    of_model = [value or Pairs() for name, value in members if name == "__metadata__"]
    pairs = of_model[0] if of_model else Pairs()
    codes = [one.code for one in read.findings]
    assert codes.count("duplicate-tensor") == len(tensors) - len(dict(tensors))
    assert codes.count("duplicate-metadata-key") == len(pairs) - len(dict(pairs))
    assert read.metadata == dict(pairs)
    expected = {}
    for name, value in tensors:
        fields = dict(value if isinstance(value, Pairs) else zip(entries._FIELDS, value, strict=True))
        dtype = fields["dtype"] if isinstance(fields["dtype"], str) else fields["dtype"][0][0]
        expected[name] = (lay_out(dtype, tuple(fields["shape"])), *fields["data_offsets"])
    assert (
        dict(zip(read.names, zip(read.layouts, read.begins, read.ends, strict=True), strict=True)) == expected
    )


@pytest.mark.parametrize("name", sorted(SOUND.keys() | DEGRADED.keys()))
def test_hooks_tell_the_same_of_a_header_by_either_reader(name, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    raw = ALL[name](9000)
    path.write_bytes(whole(raw, bytes(100_000)))
    outcomes = []
    for limit in (1 << 20, 1000):
        monkeypatch.setattr(header, "LONG_HEADER", limit)
        with reader_of(path) as reader:
            findings = sorted(str(one) for one in probe(reader.artifact, reader, Depth.HEADER))
            outcomes.append((extract(read_checkpoint(reader), reader), findings))
    assert outcomes[0] == outcomes[1]


def test_most_of_what_writers_make_needs_no_strict_reading(monkeypatch):
    def refuse(*_):
        raise AssertionError("it was read strictly")

    monkeypatch.setattr(header, "_parse_strict", refuse)
    for name in (
        "compact",
        "spaced",
        "indented",
        "white space anywhere",
        "short names",
        "names beyond ASCII",
    ):
        assert parse_header(WRITTEN[name](9000)).names


@pytest.mark.parametrize("kind", ["packed weights", "compact", "equal names", "metadata last"])
@pytest.mark.parametrize("limit", ["MOST_RECOGNISED", "MOST_TENSORS"])
def test_more_tensors_than_are_looked_up_by_name_are_counted_by_type(kind, limit, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole(ALL[kind](9000), b""))
    monkeypatch.setattr(header, "LONG_HEADER", 1000)
    found = []
    for most in (1 << 30, 0):
        monkeypatch.setattr(metadata, limit, most)
        with reader_of(path) as reader:
            found.append(extract(read_checkpoint(reader), reader))
    by_name, by_type = found
    assert by_type.tensor_count == by_name.tensor_count
    assert by_type.tensor_types == by_name.tensor_types
    # Whether it is packed is seen, how much of it is not.
    assert by_type.parameters == (None if kind == "packed weights" else by_name.parameters)


@pytest.mark.parametrize("repeated", [False, True])
def test_of_more_shapes_than_are_kept_parameters_are_counted_unless_names_are_repeated(
    tmp_path, monkeypatch, repeated
):
    monkeypatch.setattr(columns, "MOST_DIMENSIONS", 50)
    names = [f"t{at // 2 if repeated else at}" for at in range(90)]
    members = (
        f'"{name}":{{"dtype":"U8","shape":[{at},0],"data_offsets":[0,0]}}' for at, name in enumerate(names)
    )
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole(f"{{ {','.join(members)}}}".encode(), b""))
    monkeypatch.setattr(header, "LONG_HEADER", 1000)
    with reader_of(path) as reader:
        found = extract(read_checkpoint(reader), reader)
    assert found.tensor_count == len(set(names))
    assert found.tensor_types == (None if repeated else {"U8": 90})
    assert found.parameters == (None if repeated else 0)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_long_header_of_any_shape_takes_bounded_room(name):
    raw = ALL[name](1_200_000)
    tracemalloc.start()
    try:
        strictly(raw)
    except ReadError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 25_000_000


def entry_of(length: int) -> bytes:
    """A header of one tensor whose entry, name included, has so many characters."""
    entry = f'"é":{{{FIELDS.decode()},"x":""}}'
    return ("{" + entry.replace('"x":""', f'"x":"{"é" * (length - len(entry))}"') + "}").encode()


@pytest.mark.parametrize(
    "before", ["", '"__metadata__":{"k":"v"},', '"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},']
)
def test_an_entry_longer_than_is_judged_is_named(before):
    raw = entry_of(LONGEST_MEMBER)
    assert [one.code for one in strictly(raw[:1] + before.encode() + raw[1:]).findings] == [
        "unknown-tensor-field"
    ]
    raw = entry_of(LONGEST_MEMBER + 1)
    with pytest.raises(FormatError, match="not judged") as caught:
        strictly(raw[:1] + before.encode() + raw[1:])
    assert caught.value.code == "long-tensor-entry"
    assert "'\\xe9'" in str(caught.value)


@pytest.mark.parametrize("length", [1000, 80_000, 1_500_000])
def test_white_space_between_members_is_of_any_length(length):
    gap = b" \n" * length
    raw = (
        TENSOR[:1]
        + gap
        + TENSOR[1:-1]
        + gap
        + b","
        + gap
        + b'"b":{%s}' % FIELDS.replace(b"[1]", b"[0]").replace(b"0,4", b"4,4")
    )
    raw += gap + b"}" + gap
    assert fault_of_reference(whole(raw)) is None
    read = strictly(raw)
    assert (list(read.names), read.findings) == (["a", "b"], ())


def test_metadata_may_be_anywhere_and_of_any_length():
    of_model = json.dumps(
        {"__metadata__": {"first": "x" * 300_000, "title": "T", **{f"k{at}": '"' * 900 for at in range(400)}}}
    )
    tensor = '"{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    for place in range(3):
        members = [tensor.format("a"), tensor.format("b")]
        members.insert(place, of_model[1:-1])
        raw = ("{" + ",".join(members) + "}").encode()
        assert fault_of_reference(whole(raw, b"")) is None
        read = strictly(raw)
        assert (list(read.names), read.metadata["title"], read.findings) == (["a", "b"], "T", ())
