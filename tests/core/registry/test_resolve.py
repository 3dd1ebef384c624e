"""Every name that a tool or a person has for a model finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import (
    AmbiguousNameError,
    ArtifactFile,
    Location,
    ModelConfig,
    ModelMetadata,
    ModelRegistry,
    UnknownModelError,
)
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    folder = tmp_path / "models"
    for model, quantization in (("Llama-3.2-1B", "F16"), ("Llama-3.2-3B", "Q4_K_M"), ("mistral", "Q8_0")):
        write_toy(folder / model / "weights.toy", title=f"The {model}", quantization=quantization)
        (folder / model / "config.json").write_text("{}")
    with ModelRegistry(folder, tmp_path / "store", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS) as opened:
        opened.discover_models()
        for quantization in ("Q4_K_M", "Q8_0"):
            facts = ModelMetadata(quantization=quantization)
            opened.register(ModelConfig(id=f"org/Qwen:{quantization}", metadata=facts))
        opened.register(ModelConfig(id="org/Qwen-Chat", metadata=ModelMetadata(quantization="MXFP4")))
        opened.update("mistral", aliases=["Best:Latest"])
        yield opened


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mistral", "mistral"),
        ("MISTRAL", "mistral"),
        ("best:latest", "mistral"),
        ("the mistral", "mistral"),
        ("mist", "mistral"),
        ("latest", "mistral"),
        ("Q8", "org/Qwen:Q8_0"),
        ("3.2-1b", "Llama-3.2-1B"),
        ("org/qwen:q8_0", "org/Qwen:Q8_0"),
        ("llama-3.2-3b:q4_k_m", "Llama-3.2-3B"),
        ("org/qwen-chat:mxfp4", "org/Qwen-Chat"),
        ("qwen-chat", "org/Qwen-Chat"),
    ],
)
def test_a_name_finds_its_model(registry: ModelRegistry, name: str, found: str) -> None:
    assert registry.resolve(name).id == found


def test_a_path_finds_the_model_that_lies_there(
    registry: ModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("models/mistral", "./models/mistral/", tmp_path / "models/mistral/weights.toy"):
        assert registry.resolve(str(path)).id == "mistral"
    assert registry.resolve("models/mistral/config.json").id == "mistral"
    with pytest.raises(AmbiguousNameError, match="may be any of 3 models"):
        registry.resolve("models")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Llama-3.2-1B/weights.toy", "Llama-3.2-1B"),
        ("llama-3.2-1b/WEIGHTS.TOY", "Llama-3.2-1B"),
        ("loras/add-detail.safetensors", "Detail"),
        ("add-detail.safetensors", "Detail"),
        ("Add-Detail", "Detail"),
        ("sdxl/chat-00001-of-00002.gguf", "Chat"),
        ("chat", "Chat"),
        ("ADD-det", "Detail"),
        ("sharper", "Detail"),
    ],
)
def test_the_end_of_its_files_path_finds_a_model_as_tools_show_it(
    registry: ModelRegistry, tmp_path: Path, name: str, found: str
) -> None:
    for model, path, called in (
        ("Detail", "sdxl/loras/add-detail.safetensors", "A Sharper One"),
        ("Chat", "sdxl/chat-00001-of-00002.gguf", "A Talker"),
    ):
        place = Location(path=str(tmp_path / path), folder=str((tmp_path / path).parent), source="local")
        registry.register(ModelConfig(id=model, display_name=called, locations=(place,)))
    assert registry.resolve(name).id == found


def test_a_further_shard_finds_its_model_beside_others(registry: ModelRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    for model in ("a", "b"):
        names = [f"{model}-0000{part}-of-00002.toy" for part in (1, 2)]
        for name in names:
            (folder / name).touch()
        files = tuple(ArtifactFile(name=name, size=0, mtime_ns=0) for name in names)
        place = Location(path=str(folder / names[0]), folder=str(folder), files=files)
        registry.register(ModelConfig(id=f"{model}-shards", locations=(place,)))
    assert registry.resolve(str(folder / "b-00002-of-00002.toy")).id == "b-shards"


def test_a_file_name_that_several_models_have_names_them(registry: ModelRegistry) -> None:
    with pytest.raises(AmbiguousNameError, match="may be any of 3 models"):
        registry.resolve("weights.toy")


@pytest.mark.parametrize("name", ["llama", "org", "qwen"])
def test_a_part_that_several_have_names_them(registry: ModelRegistry, name: str) -> None:
    with pytest.raises(AmbiguousNameError, match="give a whole id"):
        registry.resolve(name)


def test_a_name_of_nothing_gets_the_nearest_three(registry: ModelRegistry) -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'mistral'") as raised:
        registry.resolve("mistrall")
    assert raised.value.close[0] == "mistral"
    with pytest.raises(UnknownModelError) as raised:
        registry.resolve("lama-3.3-1B")
    assert raised.value.close[0] == "Llama-3.2-1B"
    assert len(raised.value.close) <= 3
    with pytest.raises(UnknownModelError, match="`modelshelf ls`"):
        registry.resolve("%%%%")


@pytest.mark.parametrize("name", ["mist", "", "weights", "3.2-1b"])
def test_what_changes_a_model_takes_a_whole_name(registry: ModelRegistry, name: str) -> None:
    with pytest.raises(UnknownModelError):
        registry.resolve(name, whole=True)
    assert registry.resolve("Mistral", whole=True).id == "mistral"


def test_get_takes_exact_names_only(registry: ModelRegistry) -> None:
    assert registry.get("MISTRAL") is None
    assert registry.get("mist") is None
    assert registry.get("Best:Latest") == registry.get("mistral")
