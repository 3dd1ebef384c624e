"""Large models whose samples are alike are one only where nothing that a verdict rests on differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest
import safetensors.numpy
import torch

from modelshelf import ModelRegistry

LARGE = 17 << 20  # float32 numbers: 68 MiB, more than what is compared whole


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    safetensors.numpy.save_file(tensors, path)


def write_gguf(path: Path, tensors: dict[str, np.ndarray]) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_torch(path: Path, tensors: dict[str, np.ndarray]) -> None:
    torch.save({name: torch.from_numpy(data) for name, data in tensors.items()}, path)


WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray]], None]] = {
    "model.safetensors": write_safetensors,
    "model.gguf": write_gguf,
    "model.pt": write_torch,
}


@pytest.fixture(params=WRITERS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of a model of three tensors: a large one, a small one, and a large one."""
    first = tmp_path / "models" / "a" / request.param
    first.parent.mkdir(parents=True)
    half = np.zeros(LARGE // 2, dtype=np.float32)
    WRITERS[request.param](first, {"blk.0": half, "small": np.full(64, 7, dtype=np.float32), "blk.1": half})
    second = tmp_path / "models" / "b" / request.param
    second.parent.mkdir()
    shutil.copy(first, second)
    return first, second


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as made:
        yield made


def change(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x2a")


def small_tensor(path: Path) -> int:
    return path.read_bytes().index(np.full(64, 7, dtype=np.float32).tobytes())


def test_equal_bytes_are_one_model_of_which_little_is_read(
    pair: tuple[Path, Path], registry: ModelRegistry
) -> None:
    registry.discover_models()
    (model,) = registry
    assert {one.path for one in model.locations} == set(map(str, pair))
    assert {one.content_names for one in model.locations} == {None}  # nothing was hashed whole


def test_one_small_tensor_of_a_large_file_makes_another_model(
    pair: tuple[Path, Path], registry: ModelRegistry
) -> None:
    registry.discover_models(pair[0].parent)
    change(pair[1], small_tensor(pair[1]) + 5)
    registry.discover_models()
    assert len(registry.list_models()) == 2


def test_what_only_a_full_look_finds_splits_a_copy_off(
    pair: tuple[Path, Path], registry: ModelRegistry
) -> None:
    change(pair[1], small_tensor(pair[1]) - 10_000_000)
    registry.discover_models()
    (model,) = registry
    registry.set_default(model.id)
    registry.update(model.id, aliases=["mine"])
    registry.discover_models(depth="full")
    assert [len(one.locations) for one in registry] == [1, 1]
    kept = registry.get("mine")
    assert kept is not None
    assert (kept.id, kept.path, str(kept.version)) == (model.id, model.path, "1.0.0")
    default = registry.default()
    assert default is not None
    assert default.id == model.id
