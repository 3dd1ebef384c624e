"""Which names say nothing, and which ids a place allows."""

from __future__ import annotations

import pytest

from modelshelf.model.names import candidate_ids, is_generic, name_of_folder, reserved_id


@pytest.mark.parametrize(
    "name",
    [
        *("models", "checkpoints", "checkpoint-500", "checkpoint_500", "unet", "loras", "Stable-diffusion"),
        *(
            "snapshots",
            "user_data",
            "weights",
            "text_encoder_2",
            "1_Pooling",
            "epoch=3",
            "v2",
            "Q4_K_M",
            "fp16",
        ),
        *("model.safetensors", "ggml-model-q4_0.gguf", "pytorch_model-00001-of-00002.bin", "UD-Q4_K_XL"),
        *("diffusion_pytorch_model.fp16.safetensors", "consolidated.00.pth", "a" * 40, "sha256-" + "0" * 64),
    ],
)
def test_a_name_that_any_model_may_have_says_nothing(name: str) -> None:
    assert is_generic(name)


@pytest.mark.parametrize(
    "name",
    [
        *("llama", "gpt2", "bert", "phi-2", "t5", "7B", "dreamshaper_8", "sd_xl_base_1.0", "mymodels", "m00"),
        *("v1-5-pruned-emaonly.safetensors", "Llama-3.2-1B-Q4_K_M.gguf", "silero_vad", "model-16", "f"),
    ],
)
def test_a_name_of_ones_own_says_something(name: str) -> None:
    assert not is_generic(name)


def test_a_folder_is_named_from_the_nearest_that_says_something() -> None:
    assert name_of_folder("/data/llama") == "llama"
    assert name_of_folder("/data/sd15/unet") == "sd15/unet"
    assert name_of_folder("/data/models/") == ""


def test_a_longer_id_has_more_of_the_folders_above() -> None:
    assert list(candidate_ids("llama:x", "/home/u/llama")) == ["llama:x", "u/llama:x", "home/u/llama:x"]
    assert list(candidate_ids("x", "/u/models")) == ["x", "models/x", "u/models/x"]
    assert list(candidate_ids("sd15/unet", "/d/sd15/unet")) == ["sd15/unet", "d/sd15/unet"]
    ids = candidate_ids("org/name", "/u/hub/models--org--name", "huggingface")
    assert next(ids) == "org/name"
    assert next(ids) == "huggingface/org/name"


def test_the_name_of_a_folder_with_several_models_is_reserved() -> None:
    assert reserved_id("llama:x", "/home/u/llama") == "llama"
    assert reserved_id("llama", "/home/u/llama") is None
    assert reserved_id("x:y", "/home/u/llama") is None
