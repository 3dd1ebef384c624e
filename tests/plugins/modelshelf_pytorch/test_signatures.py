"""Files of other programs under torch's names are let be, and failed downloads are named as what they are."""

from __future__ import annotations

import struct

import pytest
import torch

from modelshelf.model import HealthStatus
from tests.plugins.modelshelf_pytorch.forge import EVIL, look_at, saved

SOUND = {
    "ggml-base.en.bin": b"lmgg" + struct.pack("<11i", 51864, 1500, 512, 8, 6, 448, 512, 8, 6, 80, 1),
    "ggml-model-q4_0.bin": b"tjgg" + struct.pack("<I", 3),
    "openvino_model.bin": b"\x17\x08\x1e\xbd",
    "cc.en.300.bin": struct.pack("<II", 793712314, 12),
    "GoogleNews-vectors.bin": b"3000000 300\n</s> \x01",
    "model.bin": struct.pack("<IH", 6, 16) + b"TransformerSpec\0" + struct.pack("<I", 6),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_model_of_another_program_is_let_be(tmp_path, name):
    assert look_at(tmp_path, SOUND[name] + bytes(range(256)), name).format is None


def test_an_unidentified_file_is_not_healthy_and_a_pickle_is_judged_whatever_it_is_called(tmp_path):
    assert look_at(tmp_path, bytes(range(256)), "model.bin").status is HealthStatus.UNHEALTHY
    assert "os.system" in look_at(tmp_path, EVIL, "openvino_model.bin").text


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "arrays.npz"])
@pytest.mark.parametrize(
    ("head", "code", "word"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
            "git-lfs-pointer",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html><html>Not found</html>", "not-a-checkpoint", "web page"),
        (bytes(4096), "not-a-checkpoint", "zeros"),
    ],
)
def test_a_failed_download_is_named(tmp_path, name, head, code, word):
    result = look_at(tmp_path, head, name)
    assert result.codes == [code]
    assert word in result.text


def test_many_checkpoints_in_one_file_are_no_forged_one(tmp_path):
    """torch.distributed.checkpoint writes the tensors of a rank so."""
    one = saved(torch.ones(3))
    assert look_at(tmp_path, one + one, "__0_0.distcp").format is None
    assert look_at(tmp_path, one, "__0_0.distcp").findings == ()
