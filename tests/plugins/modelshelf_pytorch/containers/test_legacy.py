from __future__ import annotations

import gzip
import pickle

import pytest
import torch

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, look_at, saved

STATE = {"weight": torch.ones(3, 4), "bias": torch.zeros(3)}


def legacy() -> bytes:
    return saved(STATE, _use_new_zipfile_serialization=False)


def test_a_legacy_checkpoint_is_healthy_and_read(tmp_path):
    result = look_at(tmp_path, legacy(), "model.pth")
    assert (result.format, result.findings, result.metadata.parameters) == ("pytorch", (), 15)


@pytest.mark.parametrize("cut", [20, 100, -1, -40])
def test_a_legacy_checkpoint_that_is_cut_short_is_unhealthy(tmp_path, cut):
    assert look_at(tmp_path, legacy()[:cut]).status is HealthStatus.UNHEALTHY


def test_bytes_behind_the_last_storage_degrade_and_a_pickle_there_is_dangerous(tmp_path):
    assert look_at(tmp_path, legacy() + bytes(9)).codes == ["trailing-data"]
    assert "unsafe-global" in look_at(tmp_path, legacy() + EVIL_4).codes


def test_a_count_that_contradicts_the_pickle_is_found(tmp_path):
    data = legacy()
    place = data.index((12).to_bytes(8, "little"), len(data) - 12 * 4 - 3 * 4 - 16 - 1)
    forged = data[:place] + (11).to_bytes(8, "little") + data[place + 8 :]
    assert "storage-size-mismatch" in look_at(tmp_path, forged).codes


def test_an_element_type_that_torch_cannot_read_back_is_unhealthy(tmp_path):
    data = saved({"a": torch.ones(2).to(torch.float8_e5m2)}, _use_new_zipfile_serialization=False)
    assert look_at(tmp_path, data).codes == ["legacy-malformed"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (pickle.dumps([1]) + EVIL_4, "unsafe-global"),
        (pickle.dumps([1]) + EVIL, "unsafe-global"),
        (pickle.dumps([1]) + b"junk junk" + EVIL_4, "unsafe-global"),
        (pickle.dumps([1]) + b"cos\nsystem\n(", "unsafe-global"),
        (EVIL + b"\xff\xfe\n", "unsafe-global"),
        (EVIL[:-2], "unsafe-global"),
        (pickle.dumps([1]) + b"\n\n", "trailing-data"),
        (pickle.dumps([1])[:-1], "pickle-truncated"),
    ],
)
def test_a_pickle_and_what_follows_it(tmp_path, data, code):
    assert code in look_at(tmp_path, data, "data.pkl").codes


@pytest.mark.parametrize("protocol", range(6))
def test_data_of_any_protocol_is_a_healthy_pickle(tmp_path, protocol):
    data = pickle.dumps(
        {"a": [1, 2.5, None, "text", b"", b"raw", {3}, frozenset({4}), 1 << 90, 1j]}, protocol
    )
    result = look_at(tmp_path, data, "data.pkl")
    assert (result.format, result.findings) == ("pickle", ())


def test_a_memory_bomb_of_nested_references_is_counted_and_not_built(tmp_path):
    data = b"]" + b"".join(b"q%c]" % n + b"(" + b"h%c" % n * 10 + b"e" for n in range(9)) + b"."
    assert len(data) < 300
    assert "memory-bomb" in look_at(tmp_path, data, "data.pkl").codes


def test_a_memory_bomb_of_dup_is_counted_and_not_built(tmp_path):
    data = b"\x80\x02)" + b"2\x86" * 40 + b"."
    assert "memory-bomb" in look_at(tmp_path, data, "data.pkl").codes


def test_a_list_that_contains_itself_is_no_bomb(tmp_path):
    loop: list = []
    loop.append(loop)
    assert look_at(tmp_path, pickle.dumps(loop), "data.pkl").findings == ()


def test_a_compressed_pickle_is_looked_into(tmp_path):
    assert look_at(tmp_path, gzip.compress(pickle.dumps([1])), "a.pkl").findings == ()
    assert "unsafe-global" in look_at(tmp_path, gzip.compress(EVIL), "b.joblib").codes


def test_a_compressed_bomb_is_stopped(tmp_path):
    result = look_at(tmp_path, gzip.compress(b"\x80\x04B\xff\xff\xff\x7f" + bytes(80_000_000)), "bomb.pkl")
    assert result.codes == ["not-judged"]
    assert result.status is HealthStatus.UNKNOWN


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.pkl", "a.bin"])
def test_something_else_under_our_name_is_unhealthy_and_not_called_an_attack(tmp_path, name):
    result = look_at(tmp_path, b"\x89PNG\r\n\x1a\n" + bytes(50), name)
    assert (result.status, result.codes) == (HealthStatus.UNHEALTHY, ["not-a-checkpoint"])


@pytest.mark.parametrize("size", [0, 1, 7])
def test_an_empty_or_tiny_file_is_unhealthy(tmp_path, size):
    assert look_at(tmp_path, bytes(size), "a.pt").status is HealthStatus.UNHEALTHY


def test_a_magic_number_that_is_computed_is_named(tmp_path):
    magic = b"\x80\x02c__builtin__\neval\nX\x16\x00\x00\x000x1950A86A20F9469CFC6C\x85R."
    data = magic + legacy()[legacy().index(b".") + 1 :]
    result = look_at(tmp_path, data)
    assert "builtins.eval" in result.text
    assert result.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("name", ["pytorch_model.bin", "a.pt", "a.ckpt", "a.txt", "a"])
def test_an_attack_is_named_whatever_its_file_is_called(tmp_path, name):
    """CVE-2025-10155: the suffix decides nothing."""
    result = look_at(tmp_path, EVIL_4, name)
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("suffix", [b"", b"\xff\xfe", b"\x00" * 9])
def test_a_short_lie_costs_no_more_than_its_bytes(tmp_path, suffix):
    for data in (
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x02B\xff\xff\xff\xff",
        b"\x80\x02\x8b\xff\xff\xff\x7f",
    ):
        assert look_at(tmp_path, data + suffix, "lie.pkl").status is HealthStatus.UNHEALTHY
