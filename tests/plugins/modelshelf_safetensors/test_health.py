from __future__ import annotations

import os

import numpy as np
import pytest
from safetensors.numpy import save, save_file

from modelshelf.model import Depth, Severity
from modelshelf_safetensors import modelshelf_probe_health
from tests.plugins.modelshelf_safetensors.raw import TENSOR, whole
from tests.support import reader_of

MIB = 1 << 20


def probe(path, depth=Depth.HEADER, **others):
    with reader_of(path, **others) as reader:
        return list(modelshelf_probe_health(reader.artifact, "safetensors", reader, depth))


def written(tmp_path, content: bytes):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return path


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(1, 255, 3 * MIB, np.uint8)


@pytest.mark.parametrize("name", ["safe_model", "silero_vad_16k"])
@pytest.mark.parametrize("depth", Depth)
def test_real_files_are_healthy_at_every_depth(corpus, name, depth):
    assert probe(corpus / "safetensors" / f"{name}.safetensors", depth) == []


def test_markup_in_the_metadata_is_named_and_does_no_harm(corpus):
    (finding,) = probe(corpus / "safetensors" / "script_injection.safetensors")
    assert (finding.code, finding.severity) == ("markup-in-metadata", Severity.INFO)


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202egpj", "\x9b1m", "\u2066", "\x00", "\u200b"])
def test_control_and_direction_characters_are_named(tmp_path, text):
    for tensors, metadata in (({text: np.ones(1)}, None), ({"a": np.ones(1)}, {"k": text})):
        (finding,) = probe(written(tmp_path, save(tensors, metadata)))
        assert (finding.code, finding.severity) == ("control-characters", Severity.INFO)
        assert text not in finding.message


def test_line_breaks_in_metadata_are_no_fault(tmp_path):
    assert probe(written(tmp_path, save({"a": np.ones(1)}, {"k": "a\n\tb\r\n"}))) == []


def test_a_file_that_ends_early_names_the_tensor_that_is_cut(tmp_path):
    content = save({"a": np.ones(4, np.float32), "b": np.ones(4, np.float32), "c": np.ones(4, np.float32)})
    (finding,) = probe(written(tmp_path, content[:-20]))
    assert (finding.code, finding.severity, finding.offset) == (
        "truncated",
        Severity.ERROR,
        len(content) - 20,
    )
    assert "'b'" in finding.message


def test_an_empty_file_is_truncated_at_quick_depth(tmp_path):
    (finding,) = probe(written(tmp_path, b""), Depth.QUICK)
    assert finding.code == "truncated"


def test_quick_depth_opens_nothing(tmp_path):
    with reader_of(written(tmp_path, b"not a header at all")) as reader:
        assert list(modelshelf_probe_health(reader.artifact, "safetensors", reader, Depth.QUICK)) == []
        assert reader.budget.opened == 0


def test_zeros_that_begin_within_a_tensor_are_a_warning(tmp_path, noise):
    content = save({"a": noise[:MIB], "b": noise[: 2 * MIB]})
    cut = len(content) - MIB - 12345
    (finding,) = probe(written(tmp_path, content[:cut] + bytes(len(content) - cut)))
    assert (finding.code, finding.severity, finding.offset) == ("zero-tail", Severity.WARNING, cut)


def test_a_sparse_tail_as_an_unfinished_download_leaves_it_is_a_warning(tmp_path, noise):
    path = tmp_path / "model.safetensors"
    content = save({"a": noise})
    path.write_bytes(content[: 600 * 1024])
    os.truncate(path, len(content))
    assert [finding.code for finding in probe(path)] == ["zero-tail"]


def test_data_that_is_nothing_but_zeros_is_a_warning(tmp_path):
    content = save({"a": np.zeros(2 * MIB, np.uint8), "b": np.zeros(2 * MIB, np.uint8)})
    assert [finding.code for finding in probe(written(tmp_path, content))] == ["zero-tail"]


def test_a_tensor_of_zeros_at_the_end_is_no_fault(tmp_path, noise):
    assert probe(written(tmp_path, save({"a": noise, "b": np.zeros(2 * MIB, np.uint8)}))) == []


def test_few_zeros_at_the_end_are_no_fault(tmp_path, noise):
    noise[-MIB + 1 :] = 0
    assert probe(written(tmp_path, save({"a": noise}))) == []
    assert probe(written(tmp_path, save({"a": np.zeros(1000, np.float32)}))) == []


def test_full_depth_reads_every_byte(tmp_path, noise):
    path = tmp_path / "model.safetensors"
    save_file({"a": noise}, path)
    with reader_of(path) as reader:
        assert list(modelshelf_probe_health(reader.artifact, "safetensors", reader, Depth.FULL)) == []
        assert reader.bytes_read >= path.stat().st_size


def test_full_depth_says_where_the_budget_ended(tmp_path, noise):
    path = tmp_path / "model.safetensors"
    save_file({"a": noise}, path)
    codes = [finding.code for finding in probe(path, Depth.FULL, budget=2 * MIB)]
    assert codes == ["budget-exceeded"]


@pytest.mark.parametrize("content", [whole(b" " + TENSOR), whole(b'{"__metadata__":null,' + TENSOR[1:])])
def test_full_depth_adds_no_error_to_what_is_a_warning(tmp_path, content):
    findings = probe(written(tmp_path, content), Depth.FULL)
    assert [finding.severity for finding in findings] == [Severity.WARNING]


def test_another_formats_artifact_is_left_alone(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with reader_of(path) as reader:
        assert list(modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER)) == []
        assert reader.budget.opened == 0
