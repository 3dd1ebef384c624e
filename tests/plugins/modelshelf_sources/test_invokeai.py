from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from modelshelf_sources.invokeai import InvokeAISource
from tests.plugins.modelshelf_sources.stores import (
    listed,
    machine,
    put,
    safetensors_bytes,
    snapshot_of,
    sparse,
)

WEIGHTS = safetensors_bytes()
UUID = "6a5c8fc1-3b2d-4e8c-9a57-1f0de4dc0a11"
ACCESS = "hf_secret_token_of_this_user"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "invokeai/models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> InvokeAISource:
    return InvokeAISource(machine=machine(tmp_path))


def test_a_file_in_a_numbered_folder_is_named_by_itself(models: Path, source: InvokeAISource) -> None:
    put(models / UUID / "juggernaut.safetensors", WEIGHTS)
    (model,) = listed(source).artifacts
    assert (model.model_id, model.facts) == ("juggernaut", {"key": UUID})


def test_a_folder_of_one_model_is_named_by_its_number(models: Path, source: InvokeAISource) -> None:
    put(models / UUID / "model_index.json", "{}")
    put(models / UUID / "unet/diffusion_pytorch_model.safetensors", WEIGHTS)
    put(models / UUID / "vae/diffusion_pytorch_model.safetensors", WEIGHTS)
    assert listed(source).ids == [f"{UUID}/unet", f"{UUID}/vae"]


def test_the_older_layout_tells_base_and_kind(models: Path, source: InvokeAISource) -> None:
    put(models / "sdxl/main/dream.safetensors", WEIGHTS)
    put(models / "sd-1/lora/a.safetensors", WEIGHTS)
    put(models / "sd-1/lora/b.safetensors", WEIGHTS)
    put(models / "sd-1/main/pipe/unet/diffusion_pytorch_model.safetensors", WEIGHTS)
    found = listed(source)
    assert found.ids == ["sd-1/lora/a", "sd-1/lora/b", "sd-1/main/pipe/unet", "sdxl/main/dream"]
    assert found["sdxl/main/dream"].facts == {
        "base": "sdxl",
        "model_type": "main",
        "kind": "image-generation",
    }


@pytest.mark.parametrize(
    "folder", [".download_cache", ".convert_cache", ".convert_tmp", "model_images", "tmpinstall_x"]
)
def test_folders_of_its_own_work_hold_no_models(models: Path, source: InvokeAISource, folder: str) -> None:
    put(models / folder / "deep/x.safetensors", WEIGHTS)
    assert listed(source).artifacts == ()


def test_an_unfinished_installation_is_listed_by_the_room_that_it_takes(
    models: Path, source: InvokeAISource
) -> None:
    sparse(models / "tmpinstall_ab12/x.safetensors.downloading", 1 << 32, b"x" * 8192)
    put(models / "tmpinstall_ab12/sub/y.json", b"y" * 50)
    (unfinished,) = listed(source).unfinished
    assert unfinished.path == str(models / "tmpinstall_ab12")
    assert 50 < unfinished.size < 1 << 20


_OPENED: list[str] = []


def _note_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _OPENED:
        _OPENED.append(str(arguments[0]))


def test_the_file_that_holds_the_token_is_never_opened(models: Path, source: InvokeAISource) -> None:
    token = put(models / "tmpinstall_ab12/.invokeai_install.json", {"access_token": ACCESS})
    put(models / UUID / "juggernaut.safetensors", WEIGHTS)
    sys.addaudithook(_note_opening)
    _OPENED.append("begin")
    try:
        found = listed(source)
        builtins.open(models / UUID / "juggernaut.safetensors", "rb").close()
        opened = list(_OPENED)
    finally:
        _OPENED.clear()
    assert ACCESS not in repr(found)
    assert str(models / UUID / "juggernaut.safetensors") in opened  # the hook hears of what is opened
    assert os.fspath(token) not in opened


def test_invokeais_own_folder_can_be_named(models: Path, tmp_path: Path) -> None:
    put(models.parent / "invokeai.yaml", "models_dir: elsewhere\n")
    put(models.parent / f"elsewhere/{UUID}/x.safetensors", WEIGHTS)
    other = InvokeAISource(machine=machine(tmp_path / "nobody"))
    assert other.claims(str(models.parent))
    assert listed(other, models.parent).ids == ["x"]
    assert listed(other, tmp_path / "gone").codes == ["absent"]


def test_nothing_is_written(models: Path, source: InvokeAISource, tmp_path: Path) -> None:
    put(models / UUID / "x.safetensors", WEIGHTS)
    before = snapshot_of(tmp_path)
    listed(source)
    assert snapshot_of(tmp_path) == before
