from __future__ import annotations

import json

import pytest
import torch

import modelshelf_pytorch
from modelshelf.model import Depth
from tests.support import reader_of

NAMES = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")
INDEX = "pytorch_model.bin.index.json"


@pytest.fixture
def shards(tmp_path):
    torch.save({"a": torch.ones(2, 3), "b": torch.ones(4)}, tmp_path / NAMES[0])
    torch.save({"c": torch.ones(5)}, tmp_path / NAMES[1])
    return tmp_path


def probe(folder, index, names=NAMES, missing=()):
    text = index if isinstance(index, str) else json.dumps(index)
    (folder / INDEX).write_text(text)
    paths = [folder / name for name in names]
    with reader_of(*paths, index=folder / INDEX, missing=missing) as reader:
        result = modelshelf_pytorch.modelshelf_extract_metadata(reader.artifact, "pytorch", reader)
        found = list(
            modelshelf_pytorch.modelshelf_probe_health(reader.artifact, "pytorch", reader, Depth.HEADER)
        )
    return result, found


def index(total=60, **changes):
    return {
        "metadata": {"total_size": total},
        "weight_map": {"a": NAMES[0], "b": NAMES[0], "c": NAMES[1], **changes},
    }


def test_a_sharded_model_is_healthy_and_counts_all_shards(shards):
    result, found = probe(shards, index())
    assert (result.parameters, result.tensor_count, found) == (15, 3, [])


def test_a_tensor_that_is_not_in_its_shard_is_named(shards):
    _, found = probe(shards, index(d=NAMES[1]))
    assert [(one.code, "'d'" in one.message) for one in found] == [("missing-tensor", True)]


def test_a_tensor_in_the_wrong_shard_is_named(shards):
    _, found = probe(shards, index(b=NAMES[1]))
    assert {one.code for one in found} == {"missing-tensor", "misplaced-tensor"}


def test_a_missing_shard_is_named(shards):
    _, found = probe(shards, index(), names=NAMES[:1], missing=NAMES[1:])
    assert [(one.code, one.file) for one in found] == [("missing-shard", NAMES[1])]


def test_a_shard_that_only_the_index_knows_is_named(shards):
    _, found = probe(shards, index(d="other.bin"))
    assert [(one.code, "other.bin" in one.message) for one in found] == [("missing-shard", True)]


def test_a_wrong_total_degrades(shards):
    _, found = probe(shards, index(total=61))
    assert [one.code for one in found] == ["total-size-mismatch"]


@pytest.mark.parametrize("name", ["../evil.bin", "/etc/passwd", "a/b.bin", "..", "a\\b", "", 3, None])
def test_an_index_that_leads_outside_is_refused_and_nothing_is_opened(shards, name):
    _, found = probe(shards, index(d=name))
    assert [one.code for one in found] == ["index-unsafe-path"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": []}',
        "[" * 100_000,
        '{"weight_map": {}, "weight_map": {}}',
        "\xff",
        "1" * 5000,
    ],
)
def test_an_index_that_is_none_is_malformed(shards, text):
    _, found = probe(shards, text)
    assert [one.code for one in found] == ["index-malformed"]
