from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf_sources.comfyui import ComfyUISource, extra_paths
from tests.plugins.modelshelf_sources.stores import (
    gguf_bytes,
    listed,
    machine,
    put,
    safetensors_bytes,
    snapshot_of,
)

WEIGHTS = safetensors_bytes()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    put(tmp_path / "ComfyUI/main.py")
    (tmp_path / "ComfyUI/models").mkdir()
    return tmp_path / "ComfyUI"


@pytest.fixture
def source(tmp_path: Path) -> ComfyUISource:
    return ComfyUISource(machine=machine(tmp_path, PICS=tmp_path / "pics"))


def test_each_file_is_a_model_named_by_its_kind(base: Path, source: ComfyUISource) -> None:
    put(base / "models/checkpoints/dream.safetensors", WEIGHTS)
    put(base / "models/checkpoints/sdxl/base.safetensors", WEIGHTS)
    put(base / "models/loras/dream.safetensors", WEIGHTS)
    put(base / "models/vae/a.pt", b"x")
    put(base / "models/vae/a.ckpt", b"x")
    found = listed(source)
    assert found.ids == [
        "checkpoints/dream",
        "checkpoints/sdxl/base",
        "loras/dream",
        "vae/a.ckpt",
        "vae/a.pt",
    ]
    assert found["checkpoints/sdxl/base"].facts == {"model_type": "checkpoints"}
    assert all(len(model.files) == 1 for model in found.artifacts)


@pytest.mark.parametrize(
    ("folder", "word", "kind"),
    [
        ("clip", "text_encoders", "text-encoder"),
        ("unet", "diffusion_models", "denoiser"),
        ("t2i_adapter", "controlnet", "controlnet"),
        ("my_kind", "my_kind", None),
    ],
)
def test_older_names_of_folders_map_to_their_kind(
    base: Path, source: ComfyUISource, folder: str, word: str, kind: str | None
) -> None:
    put(base / f"models/{folder}/x.safetensors", WEIGHTS)
    (model,) = listed(source).artifacts
    assert (model.model_id, model.facts["model_type"]) == (f"{word}/x", word)
    assert model.facts.get("kind") == kind


@pytest.mark.parametrize(
    "ending", [".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft", ".gguf"]
)
def test_every_ending_that_comfyui_loads_is_a_model(base: Path, source: ComfyUISource, ending: str) -> None:
    put(base / f"models/checkpoints/x{ending}", b"x")
    put(base / "models/checkpoints/put_checkpoints_here")
    put(base / "models/configs/v1-inference.yaml", "a: b")
    assert listed(source).ids == ["checkpoints/x"]


def test_a_folder_of_one_model_is_that_model(base: Path, source: ComfyUISource) -> None:
    put(base / "models/diffusers/pipe/model_index.json", "{}")
    put(base / "models/diffusers/pipe/unet/diffusion_pytorch_model.safetensors", WEIGHTS)
    for number in (1, 2):
        put(base / f"models/text_encoders/t5/model-0000{number}-of-00002.safetensors", WEIGHTS)
    put(base / "models/LLM/qwen/model.safetensors", WEIGHTS)
    put(base / "models/LLM/qwen/config.json", "{}")
    found = listed(source)
    assert found.ids == ["LLM/qwen", "diffusers/pipe/unet", "text_encoders/t5"]
    assert len(found["text_encoders/t5"].weights) == 2
    assert found["diffusers/pipe/unet"].facts == {"model_type": "diffusers"}


def test_unfinished_downloads_are_listed(base: Path, source: ComfyUISource) -> None:
    put(base / "models/checkpoints/x.safetensors.part", b"x" * 10)
    found = listed(source)
    assert ([one.size for one in found.unfinished], found.artifacts) == ([10], ())


EXTRA = """\
# comment
a111:
    base_path: {base}
    checkpoints: models/Stable-diffusion
    loras: |
        models/Lora
        models/LyCORIS
    clip: models/clip

mine:
    is_default: true
    base_path: $PICS
    vae: vae/
    custom_nodes: nodes

relative:
    base_path: ../shared
    upscale_models: up
plain:
    embeddings: ~/emb
"""


def test_extra_paths_add_folders_of_a_kind(base: Path, source: ComfyUISource, tmp_path: Path) -> None:
    sd = tmp_path / "webui"
    put(base / "extra_model_paths.yaml", EXTRA.format(base=sd))
    put(sd / "models/Stable-diffusion/sub/sd15.ckpt", b"x")
    put(sd / "models/LyCORIS/ly.safetensors", WEIGHTS)
    put(sd / "models/clip/t5.safetensors", WEIGHTS)
    put(tmp_path / "pics/vae/good.safetensors", WEIGHTS)
    put(tmp_path / "shared/up/x4.pth", b"x")
    put(tmp_path / "emb/bad.pt", b"x")
    found = listed(source)
    assert sorted(found.ids) == [
        "checkpoints/sub/sd15",
        "embeddings/bad",
        "loras/ly",
        "text_encoders/t5",
        "upscale_models/x4",
        "vae/good",
    ]
    assert all(model.facts["model_type"] == str(model.model_id).split("/")[0] for model in found.artifacts)
    assert not found.problems


def test_default_sections_come_first_and_paths_are_relative_to_the_file(tmp_path: Path, base: Path) -> None:
    file = put(base / "extra_model_paths.yaml", EXTRA.format(base="/sd"))
    extras = extra_paths(str(file), machine(tmp_path, PICS="/pics"))
    assert [(one.path, one.kind, one.is_default) for one in extras] == [
        ("/pics/vae", "vae", True),
        ("/sd/models/Stable-diffusion", "checkpoints", False),
        ("/sd/models/Lora", "loras", False),
        ("/sd/models/LyCORIS", "loras", False),
        ("/sd/models/clip", "text_encoders", False),
        (str(tmp_path / "shared/up"), "upscale_models", False),
        (str(tmp_path / "emb"), "embeddings", False),
    ]


def test_an_extra_path_below_the_own_folder_is_no_place_of_its_own(base: Path, source: ComfyUISource) -> None:
    put(base / "extra_model_paths.yaml", "x:\n  loras: models/special\n")
    put(base / "models/special/x.safetensors", WEIGHTS)
    assert [one.root for one in source.places() if one.present] == [str(base / "models")]
    assert listed(source).ids == ["loras/x"]


def test_a_folder_that_a_file_adds_is_listed_as_it_is(
    base: Path, source: ComfyUISource, tmp_path: Path
) -> None:
    put(base / "extra_model_paths.yaml", f"x:\n  checkpoints: {tmp_path}/sd\n")
    put(tmp_path / "sd/top.ckpt", b"x")
    put(tmp_path / "sd/models/deep.ckpt", b"x")
    assert listed(source).ids == ["checkpoints/top", "checkpoints/models/deep"]


MANY = "a:\n  loras: |\n" + "    x\n" * 1001


@pytest.mark.parametrize(
    "content", ["[", "- a\n", "a: &x {b: c}\nd: *x\n", b"\xff\xff", "a: " + "[" * 50, "x" * (2 << 20), MANY]
)
def test_broken_extra_paths_are_named_and_the_own_folder_is_listed(
    base: Path, source: ComfyUISource, content: str | bytes
) -> None:
    file = put(base / "extra_model_paths.yaml", content)
    put(base / "models/loras/x.safetensors", WEIGHTS)
    found = listed(source)
    assert found.ids == ["loras/x"]
    assert [(one.code, one.path) for one in found.problems] == [("unreadable-settings", str(file))]


def test_odd_sections_are_passed_over(tmp_path: Path) -> None:
    file = put(tmp_path / "e.yaml", 'a: text\nb:\n  base_path: [x]\n  loras: [y]\n  vae: ""\n  "1": ok\n')
    assert [(one.kind, one.path) for one in extra_paths(str(file), machine(tmp_path))] == [
        ("1", str(tmp_path / "ok"))
    ]
    assert extra_paths(str(tmp_path / "none.yaml"), machine(tmp_path)) == ()


def test_the_settings_root_brings_its_extra_paths(base: Path, tmp_path: Path) -> None:
    put(base / "extra_model_paths.yaml", f"x:\n  loras: {tmp_path}/l\n")
    put(tmp_path / "l/x.safetensors", WEIGHTS)
    source = ComfyUISource(roots=[str(base)], machine=machine(tmp_path / "nobody"))
    assert [one.root for one in source.places()] == [str(base / "models"), str(tmp_path / "l")]
    assert listed(source).ids == ["loras/x"]


def test_comfyuis_own_folder_can_be_named(base: Path, tmp_path: Path) -> None:
    put(base / "models/checkpoints/x.gguf", gguf_bytes())
    (base / "custom_nodes").mkdir()
    other = ComfyUISource(machine=machine(tmp_path / "nobody"))
    assert other.claims(str(base))
    assert listed(other, base).ids == ["checkpoints/x"]
    assert listed(other, tmp_path / "gone").codes == ["absent"]


def test_nothing_is_written(base: Path, source: ComfyUISource, tmp_path: Path) -> None:
    put(base / "models/loras/x.safetensors", WEIGHTS)
    before = snapshot_of(tmp_path)
    listed(source)
    assert snapshot_of(tmp_path) == before
