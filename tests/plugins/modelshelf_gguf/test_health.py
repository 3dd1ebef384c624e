from __future__ import annotations

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
