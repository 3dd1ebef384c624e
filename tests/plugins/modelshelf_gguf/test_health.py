from __future__ import annotations

import gguf
import numpy as np
import pytest

from modelshelf.model import Depth, HealthStatus, Severity
from modelshelf_gguf import modelshelf_extract_metadata, modelshelf_probe_health
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, tensor, verdict, write_llama
from tests.support import reader_of

ARCHITECTURE = pair(b"general.architecture", forge.STRING, b"llama")


def judged(tmp_path, *fields):
    return verdict(save(tmp_path, file([ARCHITECTURE, *fields])))


def array(key, kind, items):
    return pair(key, forge.ARRAY, (kind, items))


def test_sound_files_of_the_corpus_are_healthy_without_a_finding(corpus):
    paths = sorted((corpus / "gguf").glob("ggml-vocab-*.gguf"))
    assert paths
    for path in paths:
        result = verdict(path)
        assert (path.name, result.status, result.codes) == (path.name, HealthStatus.HEALTHY, set())


@pytest.mark.parametrize("count", [0, 513, 2**32 - 1])
def test_a_block_count_that_no_loader_survives_is_unhealthy(tmp_path, count):
    result = judged(tmp_path, pair(b"llama.block_count", forge.U32, count))
    assert result.status is HealthStatus.UNHEALTHY
    assert str(count) in result.finding("impossible-value").message


@pytest.mark.parametrize("count", [1, 512])
def test_a_block_count_within_bounds_is_healthy(tmp_path, count):
    assert judged(tmp_path, pair(b"llama.block_count", forge.U32, count)).status is HealthStatus.HEALTHY


def test_a_model_without_attention_heads_is_healthy(tmp_path):
    assert judged(tmp_path, pair(b"llama.attention.head_count", forge.U32, 0)).status is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    "field",
    [
        array(b"tokenizer.ggml.tokens", forge.U64, [1, 2]),
        array(b"tokenizer.ggml.merges", forge.I32, [1]),
        array(b"tokenizer.ggml.scores", forge.STRING, [b"a"]),
        array(b"tokenizer.ggml.scores", forge.U8, [1]),
        array(b"tokenizer.ggml.token_type", forge.U8, [1]),
        pair(b"tokenizer.ggml.tokens", forge.STRING, b"tokens"),
        pair(b"llama.block_count", forge.STRING, b"32"),
        pair(b"llama.block_count", forge.I32, -1),
    ],
)
def test_a_value_that_makes_loaders_misread_memory_is_unhealthy(tmp_path, field):
    result = judged(tmp_path, field)
    assert (result.status, result.codes) == (HealthStatus.UNHEALTHY, {"wrong-type"})


def test_an_architecture_that_is_no_text_is_unhealthy(tmp_path):
    result = verdict(save(tmp_path, file([pair(b"general.architecture", forge.U32, 1)])))
    assert (result.status, result.codes) == (HealthStatus.UNHEALTHY, {"wrong-type"})


@pytest.mark.parametrize(
    "field", [pair(b"general.name", forge.U32, 1), pair(b"general.file_type", forge.STRING, b"Q4_K_M")]
)
def test_a_plain_value_of_the_wrong_type_degrades(tmp_path, field):
    result = judged(tmp_path, field)
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, {"wrong-type"})


@pytest.mark.parametrize(("key", "kind"), [(b"scores", forge.F32), (b"token_type", forge.I32)])
def test_fewer_scores_or_types_than_tokens_degrade(tmp_path, key, kind):
    tokens = array(b"tokenizer.ggml.tokens", forge.STRING, [b"a", b"b", b"c"])
    result = judged(tmp_path, tokens, array(b"tokenizer.ggml." + key, kind, [1, 1]))
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, {"tokenizer-mismatch"})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"GGUF", "truncated"),
        (b"FUGG" + bytes(20), "bad-magic"),
        (file()[:8] + b"\xff" * 16, "impossible-count"),
    ],
)
def test_a_quick_probe_sees_a_broken_preamble(tmp_path, content, code):
    assert verdict(save(tmp_path, content), depth=Depth.QUICK).codes == {code}


def test_a_quick_probe_reads_no_further_than_the_preamble(tmp_path):
    path = save(tmp_path, file([pair(b"", forge.U32, 1)]))
    assert verdict(path).codes == {"bad-key"}
    assert verdict(path, depth=Depth.QUICK).codes == set()


def test_a_file_that_cannot_be_opened_is_a_finding(tmp_path):
    path = save(tmp_path, file())
    with reader_of(path) as reader:
        path.unlink()
        metadata = modelshelf_extract_metadata(reader.artifact, "gguf", reader)
        (finding,) = modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER)
        (quick,) = modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.QUICK)
    assert metadata.architecture is None
    assert (finding.code, finding.severity) == (quick.code, quick.severity) == ("unreadable", Severity.ERROR)


def test_a_spent_budget_is_a_finding(tmp_path):
    path = write_llama(tmp_path / "m.gguf", tokens=20_000)
    with reader_of(path, budget=20_000) as reader:
        codes = {one.code for one in modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER)}
    assert codes == {"budget-exceeded"}


def test_a_full_probe_loads_a_sound_file_with_the_gguf_package(tmp_path):
    assert verdict(write_llama(tmp_path / "m.gguf"), depth=Depth.FULL).codes == set()


def test_a_full_probe_names_what_the_gguf_package_refuses(tmp_path):
    content = file([], [tensor(b"t", (64,), 42, 0)], b"\1" * 32)
    path = save(tmp_path, content)
    assert verdict(path).status is HealthStatus.HEALTHY
    result = verdict(path, depth=Depth.FULL)
    assert result.status is HealthStatus.UNHEALTHY
    assert "42" in result.finding("loader-refused").message


def test_a_full_probe_shows_the_gguf_package_no_broken_file(tmp_path):
    liar = file([forge.string(b"k") + b"\x09\0\0\0\x04\0\0\0" + b"\xff" * 8])
    assert verdict(save(tmp_path, liar), depth=Depth.FULL).codes == {"impossible-count"}


def test_a_full_probe_passes_over_what_would_take_the_package_minutes(tmp_path):
    tokens = array(b"tokenizer.ggml.tokens", forge.STRING, [b"word"] * 1_000_001)
    result = verdict(save(tmp_path, file([tokens])), depth=Depth.FULL)
    assert (result.status, result.codes) == (HealthStatus.HEALTHY, {"loader-not-tried"})


DATA = b"\1" * 128


def shard(folder, number, of, *, written=None, count=None, names=(), total=None, first=()):
    """One shard; `written` and `count` are the number and count in its header where that is not the truth."""
    fields = [
        *first,
        pair(b"split.no", forge.U16, number - 1 if written is None else written),
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


def test_shards_that_the_numbering_shows_to_be_missing_are_not_reported_twice(tmp_path):
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
        ({"written": 0}, "is shard 1 by its header"),
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
