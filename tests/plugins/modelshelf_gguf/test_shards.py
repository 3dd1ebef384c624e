from __future__ import annotations

import gguf
import numpy as np
import pytest

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, tensor, verdict

DATA = b"\1" * 128


def shard(folder, number, of, *, told=None, count=None, names=(), total=None, first=()):
    """One shard; `told` and `count` are what its header says where that is not the truth."""
    fields = [
        *first,
        pair(b"split.no", forge.U16, number - 1 if told is None else told),
        pair(b"split.count", forge.U16, of if count is None else count),
        pair(b"split.tensors.count", forge.I32, of if total is None else total),
    ]
    names = names or (f"t{number}".encode(),)
    tensors = [tensor(name, (32,), 0, 128 * index) for index, name in enumerate(names)]
    path = folder / f"model-{number:05}-of-{of:05}.gguf"
    path.write_bytes(file(fields, tensors, DATA * len(names)))
    return path


ARCHITECTURE = pair(b"general.architecture", forge.STRING, b"llama")


def test_a_split_model_is_one_model_with_sums_over_its_shards(tmp_path):
    paths = [shard(tmp_path, n, 3, first=[ARCHITECTURE] if n == 1 else []) for n in (1, 2, 3)]
    result = verdict(*paths)
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, set())
    metadata = result.metadata
    assert (metadata.architecture, metadata.parameters, metadata.tensor_count) == ("llama", 96, 3)
    assert result.metadata.tensor_types == {"F32": 3}
    assert result.metadata.details["split_count"] == 3


def test_shards_of_the_real_writer_are_healthy(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    for index in range(5):
        writer.add_tensor(f"blk.{index}.weight", np.full((4, 32), index + 1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    paths = sorted(tmp_path.glob("*.gguf"))
    assert len(paths) == 3
    result = verdict(*paths)
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, set())
    assert result.metadata.parameters == 5 * 128


def test_a_truncated_last_shard_is_unhealthy_and_named(tmp_path):
    paths = [shard(tmp_path, n, 2) for n in (1, 2)]
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    result = verdict(*paths)
    assert result.status is HealthStatus.UNHEALTHY
    assert result.finding("truncated").file == "model-00002-of-00002.gguf"


def test_a_shard_with_a_broken_header_leaves_no_sums(tmp_path):
    paths = [shard(tmp_path, n, 2, first=[ARCHITECTURE]) for n in (1, 2)]
    paths[1].write_bytes(b"GGUF")
    result = verdict(*paths)
    assert result.codes == {"truncated"}
    assert (result.metadata.architecture, result.metadata.parameters) == ("llama", None)


def test_shards_that_the_numbering_shows_to_be_missing_are_not_told_twice(tmp_path):
    missing = ("model-00002-of-00003.gguf",)
    result = verdict(shard(tmp_path, 1, 3), shard(tmp_path, 3, 3), missing=missing)
    assert result.codes == set()


def test_a_renamed_lone_shard_is_missed_by_its_header(tmp_path):
    path = shard(tmp_path, 1, 3).rename(tmp_path / "renamed.gguf")
    result = verdict(path)
    assert result.status is HealthStatus.UNHEALTHY
    assert "tells of 3 shards" in result.finding("missing-shard").message


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"count": 3}, "disagree on how many"),
        ({"told": 0}, "is shard 1 by its header"),
        ({"total": 7}, "tells of 7 tensors and the shards hold 2"),
    ],
)
def test_a_shard_of_another_model_is_found(tmp_path, odd, words):
    result = verdict(shard(tmp_path, 1, 2), shard(tmp_path, 2, 2, **odd))
    assert result.status is HealthStatus.UNHEALTHY
    assert words in result.finding("shard-mismatch").message


def test_one_tensor_in_two_shards_is_named(tmp_path):
    result = verdict(shard(tmp_path, 1, 2), shard(tmp_path, 2, 2, names=(b"t1",)))
    assert result.status is HealthStatus.UNHEALTHY
    assert "'t1'" in result.finding("duplicate-tensor").message


def test_numbered_files_without_split_keys_degrade(tmp_path):
    paths = []
    for number in (1, 2):
        path = tmp_path / f"model-{number:05}-of-00002.gguf"
        path.write_bytes(file([], [tensor(f"t{number}".encode(), (32,), 0, 0)], DATA))
        paths.append(path)
    result = verdict(*paths)
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, {"shard-mismatch"})


def test_a_first_shard_of_metadata_alone_is_healthy(tmp_path):
    first = tmp_path / "model-00001-of-00002.gguf"
    split = [pair(b"split.count", forge.U16, 2), pair(b"split.tensors.count", forge.I32, 1)]
    first.write_bytes(file([ARCHITECTURE, pair(b"split.no", forge.U16, 0), *split]))
    result = verdict(first, shard(tmp_path, 2, 2, total=1))
    assert (result.status, result.metadata.parameters) == (HealthStatus.HEALTHY, 32)
