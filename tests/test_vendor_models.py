from __future__ import annotations

from pathlib import Path

import pytest

from tests.vendor_models import VENDORED, write_all


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layerModels")
    write_all(folder)
    return folder


def files_below(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def gguf_content(path: Path) -> tuple[dict[str, object], dict[str, tuple[str, list[int], bytes]]]:
    from gguf import GGUFReader

    reader = GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {
        one.name: (one.tensor_type.name, one.shape.tolist(), one.data.tobytes()) for one in reader.tensors
    }
    return values, tensors


def safetensors_content(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    from safetensors import deserialize

    return {
        name: (tensor["dtype"], tensor["shape"], bytes(tensor["data"]))
        for name, tensor in deserialize(path.read_bytes())
    }


def checkpoint_content(path: Path) -> dict[str, tuple[str, list[object]]]:
    import torch

    state = torch.load(path, weights_only=True)
    return {name: (str(tensor.dtype), tensor.tolist()) for name, tensor in state.items()}


def content(path: Path) -> object:
    readers = {".gguf": gguf_content, ".safetensors": safetensors_content, ".bin": checkpoint_content}
    reader = readers.get(path.suffix)
    return path.read_text(encoding="utf-8") if reader is None else reader(path)


def test_the_samples_are_the_files_that_the_script_makes(regenerated: Path) -> None:
    assert list(files_below(VENDORED)) == list(files_below(regenerated))


@pytest.mark.parametrize("name", list(files_below(VENDORED)))
def test_a_sample_holds_what_the_script_writes(regenerated: Path, name: str) -> None:
    assert content(VENDORED / name) == content(regenerated / name)


def test_there_is_one_sample_of_each_format() -> None:
    suffixes = [path.suffix for path in files_below(VENDORED).values()]
    assert (suffixes.count(".gguf"), suffixes.count(".safetensors"), suffixes.count(".bin")) == (1, 2, 1)


def test_the_samples_stay_small_enough_for_a_checkout() -> None:
    for folder in VENDORED.iterdir():
        assert sum(path.stat().st_size for path in folder.rglob("*")) < 32 * 1024, folder.name


def test_the_gguf_sample_mixes_tensor_types() -> None:
    _, tensors = gguf_content(next(VENDORED.rglob("*.gguf")))
    assert {kind for kind, _, _ in tensors.values()} == {"Q4_0", "Q8_0", "F16", "F32"}
