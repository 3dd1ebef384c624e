from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from modelshelf.errors import FormatError, ReadError
from modelshelf.model import Depth, Finding, ModelMetadata, Severity
from modelshelf_safetensors import header, modelshelf_extract_metadata, modelshelf_probe_health, sharded
from modelshelf_safetensors.sharded import is_file_name, parse_index
from tests.support import reader_of

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TENSORS = {
    FIRST: {"a": np.ones((4, 4), np.float32), "b": np.ones(4, np.float32)},
    SECOND: {"c": np.ones((2, 4), np.float32)},
}
WEIGHT_MAP = {"a": FIRST, "b": FIRST, "c": SECOND}
TOTAL = (16 + 4 + 8) * 4


class Outcome(NamedTuple):
    codes: dict[str, Finding]
    metadata: ModelMetadata
    opened: int


@pytest.fixture
def model(tmp_path):
    """Writes an index beside two shards, probes them and reads their metadata."""
    for name, tensors in TENSORS.items():
        save_file(tensors, tmp_path / name)

    def probe(index: object, *, shards=(FIRST, SECOND), depth=Depth.HEADER, missing=()):
        path = tmp_path / "model.safetensors.index.json"
        path.write_text(index if isinstance(index, str) else json.dumps(index))
        weights = [tmp_path / name for name in shards]
        with reader_of(*weights, index=path, missing=missing) as reader:
            found = list(modelshelf_probe_health(reader.artifact, "safetensors", reader, depth))
            extracted = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
            return Outcome({finding.code: finding for finding in found}, extracted, reader.budget.opened)

    return probe


def indexed(weight_map=None, **metadata):
    return {"metadata": metadata, "weight_map": WEIGHT_MAP if weight_map is None else weight_map}


def test_sound_shards_are_healthy_and_counted_together(model):
    codes, extracted, _ = model(indexed(total_size=TOTAL))
    assert codes == {}
    assert (extracted.parameters, extracted.tensor_count) == (28, 3)


@pytest.mark.parametrize("total", [TOTAL, float(TOTAL)])
def test_total_size_may_be_a_whole_float(model, total):
    assert model(indexed(total_size=total)).codes == {}


@pytest.mark.parametrize("total", [TOTAL + 1, 0, -5, "112", None, 1.5, True, [TOTAL]])
def test_a_wrong_total_size_is_a_warning(model, total):
    codes = model(indexed(total_size=total)).codes
    assert set(codes) == ({"wrong-total-size"} if total is not None else set())
    assert all(finding.severity is Severity.WARNING for finding in codes.values())


def test_a_missing_shard_is_unhealthy_and_named(model):
    codes, extracted, _ = model(indexed(total_size=TOTAL), shards=(FIRST,))
    assert set(codes) == {"missing-shard"}
    assert (codes["missing-shard"].file, codes["missing-shard"].severity) == (SECOND, Severity.ERROR)
    assert extracted.parameters is None


def test_a_shard_that_only_the_numbering_promises_is_named_at_quick_depth_too(model):
    for depth in (Depth.QUICK, Depth.HEADER):
        codes = model(
            indexed({"a": FIRST, "b": FIRST}), shards=(FIRST,), missing=(SECOND,), depth=depth
        ).codes
        assert set(codes) == {"missing-shard"}


def test_a_tensor_that_is_in_no_shard_is_named(model):
    codes = model(indexed({**WEIGHT_MAP, "ghost": SECOND}, total_size=TOTAL)).codes
    assert set(codes) == {"missing-tensor"}
    assert "ghost" in codes["missing-tensor"].message


def test_a_tensor_in_another_shard_than_the_index_says_is_named(model):
    codes = model(indexed({**WEIGHT_MAP, "c": FIRST}, total_size=TOTAL)).codes
    assert codes["misplaced-tensor"].severity is Severity.ERROR
    assert SECOND in codes["misplaced-tensor"].message
    assert set(codes) == {"misplaced-tensor", "extra-shard"}


def test_an_extra_shard_is_a_warning(model):
    codes = model(indexed({"a": FIRST, "b": FIRST})).codes
    assert set(codes) == {"extra-shard"}
    assert (codes["extra-shard"].file, codes["extra-shard"].severity) == (SECOND, Severity.WARNING)


def test_an_extra_tensor_is_a_warning(model):
    codes = model(indexed({"a": FIRST, "c": SECOND}, total_size=TOTAL)).codes
    assert set(codes) == {"extra-tensor"}
    assert "'b'" in codes["extra-tensor"].message


def test_a_tensor_in_two_shards_is_a_warning(model, tmp_path):
    save_file({"a": np.ones((4, 4), np.float32), "c": np.ones((2, 4), np.float32)}, tmp_path / SECOND)
    codes, extracted, _ = model(indexed())
    assert set(codes) == {"tensor-in-several-shards"}
    assert extracted.tensor_count == 3


def test_a_truncated_last_shard_is_unhealthy_and_named(model, tmp_path):
    shard = tmp_path / SECOND
    shard.write_bytes(shard.read_bytes()[:-1])
    codes = model(indexed(total_size=TOTAL)).codes
    assert set(codes) == {"truncated"}
    assert codes["truncated"].file == SECOND
    assert "'c'" in codes["truncated"].message


def test_a_shard_without_a_sound_header_leaves_the_others_to_tell_what_they_can(model, tmp_path):
    (tmp_path / SECOND).write_bytes(b"\xff" * 100)
    codes, extracted, _ = model(indexed(total_size=TOTAL))
    assert set(codes) == {"header-too-large"}
    assert extracted.quantization == "F32"
    assert extracted.parameters is None


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "..",
        ".",
        "",
        "a\\b",
        "C:x",
        "a\0b",
        "%2e%2e%2fmodel",
        "x" * 300,
        "..\\..\\model",
    ],
)
def test_a_path_in_the_index_is_refused_and_nothing_else_is_opened(model, tmp_path, name):
    (tmp_path.parent / "secret.safetensors").write_bytes(b"secret")
    codes, _, opened = model(indexed({**WEIGHT_MAP, "c": name}))
    assert codes["index-unsafe-path"].severity is Severity.ERROR
    assert opened == 3


@pytest.mark.parametrize("value", [1, None, ["x"], {"x": 1}, True])
def test_a_shard_that_is_no_text_is_named(model, value):
    assert model(indexed({**WEIGHT_MAP, "c": value})).codes["index-value-not-text"].severity is Severity.ERROR


def test_a_key_that_stands_twice_is_a_warning(model):
    text = json.dumps(indexed()).replace('"weight_map": {', f'"weight_map": {{"a": "{FIRST}", ')
    assert set(model(text).codes) == {"duplicate-index-key"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\x00",
        "[" * 100_000,
        '{"weight_map": []}',
        '{"weight_map": {"a": NaN}}',
        '{"weight_map": {"a": "\\ud800"}}',
        '{"weight_map": {"a": ' + "1" * 5000 + "}}",
    ],
)
def test_an_index_that_is_none_is_unhealthy_and_the_shards_still_read(model, text):
    codes, extracted, _ = model(text)
    assert codes["malformed-index"].file == "model.safetensors.index.json"
    assert extracted.quantization == "F32"


def test_shards_without_an_index_are_read_together(tmp_path):
    for name, tensors in TENSORS.items():
        save_file(tensors, tmp_path / name)
    with reader_of(tmp_path / FIRST, tmp_path / SECOND) as reader:
        assert list(modelshelf_probe_health(reader.artifact, "safetensors", reader, Depth.HEADER)) == []
        extracted = modelshelf_extract_metadata(reader.artifact, "safetensors", reader)
    assert (extracted.parameters, extracted.tensor_count, extracted.tensor_types) == (28, 3, {"F32": 3})


@given(
    st.binary(max_size=80) | st.text(max_size=60).map(lambda text: f'{{"weight_map":{{"a":{text}'.encode())
)
@settings(deadline=None, max_examples=200)
def test_nothing_but_read_errors_on_any_index(raw):
    with pytest.raises(ReadError):
        parse_index(raw, "index.json")


@given(st.text(max_size=20))
@settings(deadline=None, max_examples=200)
def test_a_plain_name_has_no_way_out_of_its_folder(name):
    if is_file_name(name):
        assert name.strip(".") or (set(name) == {"."} and len(name) > 2)
        assert not set(name) & set("/\\\0:")


def test_the_message_of_a_broken_index_says_what_to_do():
    with pytest.raises(FormatError, match="fetch the index again"):
        parse_index(b"[]", "index.json")


@pytest.mark.parametrize("most", [1, 3, 1 << 17])
@pytest.mark.parametrize("limit", [10, 1 << 20])
def test_a_tensor_in_two_of_many_long_shards_is_named(monkeypatch, most, limit):
    monkeypatch.setattr("modelshelf_safetensors.columns.ROOM", 0)
    monkeypatch.setattr("modelshelf_safetensors.columns._FEWEST", most)
    monkeypatch.setattr(header, "LONG_HEADER", limit)
    entry = '"{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}}'
    headers = {
        shard: header.parse_header(
            ("{" + ",".join(entry.format(name, at, at + 1) for at, name in enumerate(names)) + "}").encode()
        )
        for shard, names in {"one": ["a", "é", "b"], "two": ["c", "é"], "three": ["d"]}.items()
    }
    (found,) = sharded.repeated_findings(headers, "one")
    assert (found.code, "2 of the files" in found.message) == ("tensor-in-several-shards", True)
    del headers["two"]
    assert sharded.repeated_findings(headers, "one") == ()
