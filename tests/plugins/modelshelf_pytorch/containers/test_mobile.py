"""Flatbuffers of PyTorch mobile, which have their identifier at byte 4."""

from __future__ import annotations

import pytest

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import EVIL, look_at


@pytest.mark.parametrize("name", ["model.ptl", "model.pt", "model.bin", "model"])
@pytest.mark.parametrize("root", [0x18, 0x20, 0x28, 0x30, 0x40])
def test_a_flatbuffer_of_pytorch_mobile_is_named_for_what_it_is(tmp_path, name, root):
    result = look_at(tmp_path, root.to_bytes(4, "little") + b"PTMF" + bytes(600), name)
    assert (result.format, result.status) == ("pytorch", HealthStatus.UNKNOWN)
    assert result.codes == ["not-judged"]
    assert "flatbuffer of PyTorch mobile" in result.text


def test_one_that_is_a_pickle_as_well_is_unhealthy(tmp_path):
    result = look_at(tmp_path, b"V\0\0\0PTMF" + bytes(600) + b"\n" + EVIL, "model.ptl")
    assert result.status is HealthStatus.UNHEALTHY
    assert "unsafe-global" in result.codes
