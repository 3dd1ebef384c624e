"""Pickles compressed as a whole, in one stream or several, cut short or with something behind them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import zlib

import pytest

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4, look_at

HARMLESS = pickle.dumps({"weights": [1.0] * 5})
PACK = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
}
SEVERAL = ["gzip", "bzip2", "xz"]


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("name", ["model.pkl", "model.joblib"])
def test_a_harmless_one_is_healthy_and_an_attack_is_named(tmp_path, pack, name):
    assert look_at(tmp_path, PACK[pack](HARMLESS), name).findings == ()
    result = look_at(tmp_path, PACK[pack](EVIL), name)
    assert "os.system" in result.text
    assert (result.format, result.status) == ("pickle", HealthStatus.UNHEALTHY)


@pytest.mark.parametrize("pack", SEVERAL)
def test_streams_that_follow_each_other_are_read_on(tmp_path, pack):
    """As the openers of Python's own modules do."""
    result = look_at(tmp_path, PACK[pack](HARMLESS) + PACK[pack](EVIL_4), "model.pkl")
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY
    halves = PACK[pack](HARMLESS[:20]) + PACK[pack](HARMLESS[20:])
    assert look_at(tmp_path, halves, "model.pkl").findings == ()


@pytest.mark.parametrize("pack", PACK)
def test_what_follows_the_compressed_data_is_reported(tmp_path, pack):
    assert look_at(tmp_path, PACK[pack](HARMLESS) + b"more", "model.pkl").codes == ["trailing-data"]
    result = look_at(tmp_path, PACK[pack](HARMLESS) + EVIL_4, "model.pkl")
    assert "posix.system" in result.text
    assert result.status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("pack", PACK)
def test_one_that_is_cut_short_is_unhealthy(tmp_path, pack):
    data = PACK[pack](HARMLESS)
    for length in range(len(data) - 12, len(data)):
        assert look_at(tmp_path, data[:length], "model.pkl").status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("pack", PACK)
def test_opcodes_far_beyond_its_size_are_not_judged(tmp_path, pack):
    data = PACK[pack](b"\x80\x02" + b"N0" * 2_000_000 + b"N.")
    assert len(data) < 7000
    assert look_at(tmp_path, data, "model.pkl").codes[0] == "not-judged"
    assert look_at(tmp_path, data, "model.pkl").status is HealthStatus.UNKNOWN
    many = PACK[pack](b"\x80\x02](" + b"K\x01" * 200_000 + b"e.")
    assert look_at(tmp_path, many, "model.pkl").findings == ()


def test_very_many_streams_are_not_judged(tmp_path):
    one = gzip.compress(b"")
    assert look_at(tmp_path, gzip.compress(HARMLESS) + one * 900, "model.pkl").findings == ()
    assert look_at(tmp_path, one * 1100 + gzip.compress(EVIL), "model.pkl").codes == ["not-judged"]
    evil_first = gzip.compress(EVIL) + one * 1100
    assert look_at(tmp_path, evil_first, "model.pkl").status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("pack", SEVERAL)
def test_one_is_found_under_any_name_and_other_compressed_files_are_let_be(tmp_path, pack):
    assert look_at(tmp_path, PACK[pack](EVIL_4), "model.pkl.z").status is HealthStatus.UNHEALTHY
    assert look_at(tmp_path, PACK[pack](HARMLESS), "data.gz").format == "pickle"
    assert look_at(tmp_path, PACK[pack](b"some text of a log\n" * 50), "log.1.gz").format is None
    assert look_at(tmp_path, PACK[pack](bytes(3000)), "image.gz").format is None


@pytest.mark.parametrize("head", [b"\x04\x22M\x18", b"(\xb5/\xfd"])
@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pt", "pytorch_model.bin"])
def test_what_is_compressed_in_another_way_is_named_as_that(tmp_path, head, name):
    result = look_at(tmp_path, head + bytes(50), name)
    assert result.codes == ["archive-unreadable"]
