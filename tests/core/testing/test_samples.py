from __future__ import annotations

import json
import struct
from pathlib import Path

import gguf
import pytest
import safetensors
import torch

from modelshelf import HealthStatus, ModelRegistry
from modelshelf.testing import ModelFiles, samples


def load_gguf(path: Path) -> tuple[int, ...]:
    (tensor,) = gguf.GGUFReader(path).tensors
    return tensor.data.shape


def load_safetensors(path: Path) -> tuple[int, ...]:
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.get_tensor("weight").shape


def load_pytorch(path: Path) -> tuple[int, ...]:
    return tuple(torch.load(path, weights_only=True)["weight"].shape)


LOADERS = {"gguf": load_gguf, "safetensors": load_safetensors, "pytorch": load_pytorch}


def test_there_are_files_of_every_built_in_format() -> None:
    assert tuple(sorted(LOADERS)) == samples.FORMATS


@pytest.mark.parametrize("format", samples.FORMATS)
def test_a_sound_file_loads_with_the_formats_own_package(format: str, tmp_path: Path) -> None:
    assert LOADERS[format](ModelFiles(tmp_path).sound(format)) == (128, 128)


@pytest.mark.parametrize("kind", ["truncated", "lying"])
@pytest.mark.parametrize("format", samples.FORMATS)
def test_a_wrong_file_does_not_load(format: str, kind: str, tmp_path: Path) -> None:
    path = getattr(ModelFiles(tmp_path), kind)(format)
    with pytest.raises((ValueError, RuntimeError, OSError, safetensors.SafetensorError)):
        LOADERS[format](path)


def test_a_lie_is_in_the_header_and_not_in_the_size() -> None:
    size = struct.unpack_from("<Q", samples.lying("safetensors"))[0]
    entry = json.loads(samples.lying("safetensors")[8 : 8 + size])["weight"]
    assert entry["data_offsets"] == [0, 256 * 128 * 4]
    assert abs(len(samples.lying("safetensors")) - len(samples.sound("safetensors"))) <= 16


def test_a_scan_finds_the_sound_ones_healthy_and_the_others_not(tmp_path: Path) -> None:
    files = ModelFiles(tmp_path / "models")
    for kind in ("sound", "truncated", "lying"):
        for format in samples.FORMATS:
            getattr(files, kind)(format, name=f"{format}-{kind}")
    with ModelRegistry(files.folder, tmp_path / "store") as registry:
        registry.discover_models()
        statuses = {one.id: one.health_status for one in registry}
    assert len(statuses) == 9
    for name, status in statuses.items():
        wanted = HealthStatus.HEALTHY if name.endswith("sound") else HealthStatus.UNHEALTHY
        assert (name, status) == (name, wanted)
