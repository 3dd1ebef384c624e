from __future__ import annotations

import io
import zipfile

import pytest

from modelshelf.model import Depth, HealthStatus
from modelshelf_gguf import modelshelf_probe_health
from tests.plugins.modelshelf_gguf.forge import file, save, tensor, verdict, write_llama
from tests.support import reader_of

MEBI = 1024 * 1024


def status_and_codes(path):
    result = verdict(path)
    return result.status, result.codes


def test_a_file_cut_anywhere_in_its_data_is_truncated(tmp_path):
    whole = write_llama(tmp_path / "whole.gguf").read_bytes()
    for lacking in (1, 31, 32, 100, 2000, 4000):
        result = verdict(save(tmp_path, whole[:-lacking]))
        assert result.status is HealthStatus.UNHEALTHY
        assert result.codes == {"truncated"}


def test_the_farthest_tensor_and_the_missing_bytes_are_named(tmp_path):
    names = (b"first", b"second", b"third")
    tensors = [tensor(name, (32,), 0, 128 * index) for index, name in enumerate(names)]
    finding = verdict(save(tmp_path, file([], tensors, bytes(200)))).finding("truncated")
    assert "'second' (and 1 more)" in finding.message
    assert "184 bytes are missing" in finding.message
    assert "'third'" in finding.message


def test_bytes_behind_the_last_tensor_degrade(tmp_path):
    content = file([], [tensor(b"t", (32,), 0, 0)], b"\1" * 128)
    result = verdict(save(tmp_path, content + b"\2" * 100))
    assert (result.status, result.codes) == (HealthStatus.DEGRADED, {"trailing-bytes"})
    assert "100 bytes" in result.finding("trailing-bytes").message


@pytest.mark.parametrize("comment", [0, 1, 65535])
def test_a_zip_behind_the_last_tensor_is_unhealthy(tmp_path, comment):
    stream = io.BytesIO(file([], [tensor(b"t", (32,), 0, 0)], b"\1" * 128))
    with zipfile.ZipFile(stream, "a") as hidden:
        hidden.writestr("archive/data.pkl", b"cos\nsystem\n(S'id'\ntR.")
        hidden.comment = bytes(comment)
    result = verdict(save(tmp_path, stream.getvalue()))
    assert (result.status, result.codes) == (HealthStatus.UNHEALTHY, {"hidden-archive"})


@pytest.mark.parametrize("offsets", [(0, 256), (128, 0)])
def test_gaps_and_disorder_degrade(tmp_path, offsets):
    tensors = [tensor(b"t", (32,), 0, offsets[0]), tensor(b"u", (32,), 0, offsets[1])]
    content = file([], tensors, b"\1" * (max(offsets) + 128))
    assert status_and_codes(save(tmp_path, content)) == (HealthStatus.DEGRADED, {"scattered-tensors"})


def large(tail):
    data = b"\1" * MEBI + tail
    return file([], [tensor(b"t", (len(data),), 24, 0)], data)


def test_a_last_mebibyte_of_zeros_degrades(tmp_path):
    assert status_and_codes(save(tmp_path, large(bytes(MEBI)))) == (HealthStatus.DEGRADED, {"zero-tail"})


@pytest.mark.parametrize(
    "tail", [bytes(MEBI - 1), bytes(MEBI - 1) + b"\1", b"\1" + bytes(MEBI - 1), b"\2" * MEBI]
)
def test_shorter_stretches_of_zeros_are_ordinary(tmp_path, tail):
    assert status_and_codes(save(tmp_path, large(tail))) == (HealthStatus.HEALTHY, set())


def test_a_small_tensor_of_zeros_is_ordinary(tmp_path):
    content = file([], [tensor(b"t", (64,), 0, 0)], bytes(256))
    assert status_and_codes(save(tmp_path, content)) == (HealthStatus.HEALTHY, set())


def test_a_sparse_file_is_judged_by_few_reads(tmp_path):
    head = file([], [tensor(b"t", (2**36,), 24, 0)], b"\1")
    path = save(tmp_path, head)
    with path.open("r+b") as sparse:
        sparse.truncate(len(head) - 1 + 2**36)
    assert status_and_codes(path) == (HealthStatus.DEGRADED, {"zero-tail"})
    with reader_of(path) as reader:
        list(modelshelf_probe_health(reader.artifact, "gguf", reader, Depth.HEADER))
        assert reader.bytes_read < 2 * MEBI
