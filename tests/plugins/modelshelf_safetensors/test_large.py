"""Long headers, read in bounded memory, against the reader that builds everything."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelshelf.errors import ReadError
from modelshelf.model import Depth, Severity
from modelshelf_safetensors import giant, header, large, metadata, skim, text
from modelshelf_safetensors.checkpoint import read_checkpoint
from modelshelf_safetensors.described import hostile_text
from modelshelf_safetensors.from_json import parse_json
from modelshelf_safetensors.health import probe
from modelshelf_safetensors.metadata import extract
from tests.plugins.modelshelf_safetensors.long_headers import ALL, BROKEN, DEGRADED, SOUND
from tests.plugins.modelshelf_safetensors.raw import TENSOR, fault_of_reference, whole
from tests.support import reader_of

_WINDOWS = {
    (large, "_WINDOW"): 1 << 18,
    (large, "_SMALLEST"): 1 << 12,
    (large, "_SHORT"): 1 << 14,
    (large, "_LONGEST_MEMBER"): 1 << 20,
    (text, "PIECE"): 1 << 22,
    (skim, "WINDOW"): 1 << 18,
    (skim, "_TEXT_WINDOW"): 1 << 20,
    (giant, "WINDOW"): 1 << 18,
    (giant, "_PAIRS"): 1 << 18,
}


@pytest.fixture(params=[16, 256, 4096])
def windows(request, monkeypatch):
    """Windows so many times smaller, so that a short text has many."""
    shrink(monkeypatch, request.param)


def shrink(monkeypatch, times):
    for (module, name), size in _WINDOWS.items():
        monkeypatch.setattr(module, name, max(size // times, 48))


def columns(told):
    return (
        list(told.names),
        list(told.layouts),
        list(told.begins),
        list(told.ends),
        told.metadata,
        told.hostile or hostile_text(told.metadata),
        told.tallied(),
        told.data_size,
        sorted((one.code, one.message, one.severity, str(one.offset)) for one in told.findings),
    )


def read_large(raw: bytes):
    try:
        return columns(large.parse_large(lambda at, count: raw[at : at + count], len(raw), "header"))
    except ReadError as error:
        return error.code


def read_slowly(raw: bytes):
    try:
        return columns(parse_json(raw.decode(), len(raw), "header"))
    except UnicodeDecodeError:
        return "malformed-header"
    except ReadError as error:
        return error.code


# The shape of a long one is kept in part, and so are the entries of __metadata__.
CUT = {"a shape of ones", "metadata of many pairs", "metadata of one value"}


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", sorted(ALL.keys() - CUT))
def test_a_header_of_any_shape_reads_as_by_the_slow_reader(name):
    raw = ALL[name](6000)
    assert read_large(raw) == read_slowly(raw)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", sorted(CUT))
def test_what_is_cut_of_a_long_header_is_what_is_not_used(name):
    fast, slow = read_large(ALL[name](6000)), read_slowly(ALL[name](6000))
    assert fast[:1] + fast[2:4] + fast[5:] == slow[:1] + slow[2:4] + slow[5:]
    assert [(one.dtype, one.elements, one.size) for one in fast[1]] == [
        (one.dtype, one.elements, one.size) for one in slow[1]
    ]
    kept = fast[4]
    assert kept == {key: slow[4][key][: len(value)] for key, value in kept.items()}
    assert list(kept) == list(slow[4])[: len(kept)]


@pytest.mark.parametrize("name", sorted(ALL))
def test_the_reference_judges_a_header_of_any_shape_alike(name):
    raw = ALL[name](3000)
    told = read_slowly(raw)
    size = 0 if isinstance(told, str) else told[7]
    refused = fault_of_reference(whole(raw, bytes(size))) is not None
    if name in SOUND:
        assert not refused
        assert {severity for _, _, severity, _ in told[8]} <= {Severity.INFO}
    elif name in DEGRADED:
        assert refused == (name == "unknown types")
        assert Severity.WARNING in {severity for _, _, severity, _ in told[8]}
    else:
        assert name in BROKEN
        assert refused
        assert isinstance(told, str) or Severity.ERROR in {severity for _, _, severity, _ in told[8]}


FIELDS = st.permutations(["dtype", "shape", "data_offsets"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ODDITIES = st.text(st.sampled_from('"\\{}[]:,-0129.eu\t\n\x00\x01\x02é📦'), max_size=3) | st.sampled_from(
    [
        "\\ud800",
        "\\ud83d\\ude00",
        '\\"',
        "\\\\",
        "NaN",
        "1e999",
        "-0",
        "null",
        '"dtype":',
        '"x":{"a":[1]},',
        "  ",
        "vkm#",
    ]
)


@st.composite
def headers(draw):
    """Texts of headers that are nearly sound, most of them with entries that are spelled alike."""
    order, extra = draw(FIELDS), draw(st.none() | VALUES)
    at, told = 0, {}
    if draw(st.booleans()):
        told["__metadata__"] = draw(st.dictionaries(st.text(max_size=4), st.text(max_size=9), max_size=4))
    for number in range(draw(st.integers(0, 9))):
        size = draw(st.integers(0, 12))
        entry = {
            "dtype": draw(st.sampled_from(["U8", "U8", "I8", "Q9"])),
            "shape": [size],
            "data_offsets": [at, at + size],
        }
        at += size
        name = draw(st.sampled_from(["t{}", "t{}", "é{}", 'a"\\{}', "same"])).format(number)
        told[name] = {key: entry[key] for key in order} | ({} if extra is None else {f"x{number % 2}": extra})
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    written = json.dumps(told, separators=separators, ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 2))):
        place, cut = draw(st.integers(0, len(written))), draw(st.integers(0, 2))
        written = written[:place] + draw(ODDITIES) + written[place + cut :]
    return written.encode("utf-8", "surrogatepass")


@given(headers(), st.sampled_from([1, 512, 4096, 1 << 14]))
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_no_header_reads_otherwise_than_by_the_slow_reader(raw, times):
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch, times)
        assert read_large(raw) == read_slowly(raw)


@pytest.mark.parametrize("name", sorted(SOUND.keys() | DEGRADED.keys()))
def test_hooks_tell_the_same_of_a_header_by_either_reader(name, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    raw = ALL[name](9000)
    path.write_bytes(whole(raw, bytes(100_000)))
    told = []
    for limit in (1 << 20, 1000):
        monkeypatch.setattr(header, "LONG_HEADER", limit)
        with reader_of(path) as reader:
            findings = sorted(str(one) for one in probe(reader.artifact, reader, Depth.HEADER))
            told.append((extract(read_checkpoint(reader), reader), findings))
    assert told[0] == told[1]


@pytest.mark.parametrize("kind", ["packed weights", "compact", "equal names"])
def test_more_tensors_than_are_held_by_name_are_counted_by_type(kind, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole(ALL[kind](9000), b""))
    monkeypatch.setattr(header, "LONG_HEADER", 1000)
    told = []
    for most in (metadata.MOST_RECOGNISED, 0):
        monkeypatch.setattr(metadata, "MOST_RECOGNISED", most)
        with reader_of(path) as reader:
            told.append(extract(read_checkpoint(reader), reader))
    by_name, by_type = told
    assert by_type.tensor_count == by_name.tensor_count
    assert by_type.tensor_types == by_name.tensor_types
    # Whether it is packed is seen, how much of it is not.
    assert by_type.parameters == (None if kind == "packed weights" else by_name.parameters)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_long_header_of_any_shape_takes_bounded_room(name):
    raw = ALL[name](1_200_000)
    tracemalloc.start()
    try:
        large.parse_large(lambda at, count: raw[at : at + count], len(raw), "header")
    except ReadError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40_000_000


@pytest.mark.usefixtures("windows")
def test_an_entry_longer_than_a_window_is_read():
    fields = ",".join(f'"x{at}":[{at}]' for at in range(900))
    raw = TENSOR.replace(b'"dtype"', f'{fields},"dtype"'.encode())
    told = read_large(raw)
    assert told == read_slowly(raw)
    assert told[8][0][0] == "unknown-tensor-field"
