"""Names of files and folders: which of them name nothing, and the ids that a model at a place may have."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 512
"""Characters of a name that are looked at."""
_ENDING = re.compile(
    r"\.(?:gguf|ggml|safetensors|sft|pt2?|pth|bin|ckpt|jit|ptl|pkl|pickle|joblib|np[yz]|onnx|h5)(?:\.index\.json)?$",
    re.IGNORECASE,
)
_SHARD = re.compile(r"[-_.]\d{1,6}-of-\d{1,6}$")
_COUNTED = re.compile(
    r"(?:checkpoint|ckpt|epoch|global_step|step|iter|run|rng_state|scaler|text_encoder|tokenizer|consolidated"
    r"|vae|unet|version|v)?(?:[-_. =]?v?\d+)+|\d+_[a-z]+",
    re.IGNORECASE,
)
_PRECISION = re.compile(
    r"(?:^|[-_. ])(?:(?:ud-)?(?:i?q[1-8]|tq[12])(?:_[a-z0-9]+){0,2}|(?:bf|fp?)(?:16|32|64|8)"
    r"|int[2-8]|mxfp[48]|nvfp4|[2-8][-_]?bits?)(?=$|[-_. ])",
    re.IGNORECASE,
)
_HASH = re.compile(r"(?:sha256[-:])?[0-9a-f]{32,64}")
# What tools, trainers and people call the folders and files that any model may be in.
_GENERIC = frozenset(
    """
    adapter adapter_model adapters ai ai-models ai_models assets best best_model bin blobs cache
    checkpoint checkpoints ckpt ckpts clip clip_vision codeformer configs consolidated controlnet
    controlnets data decoder desktop diffusers diffusion_models diffusion_pytorch_model documents
    download downloads ema embedding embeddings encoder epoch esrgan export exports feature_extractor
    files final flax_model gfpgan ggml ggml-model gguf ggufs gligen global_step home hub huggingface
    hypernetwork hypernetworks image_encoder iter last latest llm llms lora loras lycoris main media
    merged mlx mmproj mnt model models mp_rank_00_model_states onnx open_clip_model
    open_clip_pytorch_model opt optimizer output outputs photomaker pooling pretrained pretrained_models
    prior pytorch pytorch_lora_weights pytorch_model quantized quants realesrgan refiner refs result
    results rng_state root run runs safetensors safety_checker saved_model saved_models scheduler shared
    snapshot snapshots src srv stable-diffusion state_dict step steps style_models swinir temp test
    text_encoder text_encoders text_model textual_inversion tf_model tmp tokenizer torch trained
    transformer transformers unet unets upscale_models upscalers user user_data users vae vae_approx
    vae_decoder vae_encoder vaes var vision_model weight weights
    modell modelle modellen modelli modello modelo modelos modèle modèles модели модель
    模型 模型文件 大模型 モデル 모델
    """.split()  # noqa: SIM905 - a hundred quoted words are hard to read
)


def stem_of(name: str) -> str:
    """A name without its folder or organisation, a model file's ending and a shard's number."""
    return _SHARD.sub("", _ENDING.sub("", name.rsplit("/", 1)[-1][:_LONGEST]))


@lru_cache(maxsize=1024)
def is_generic(name: str) -> bool:
    """Whether a file's or folder's name says nothing of the model: ``models``, ``checkpoint-500``, a hash.

    An ending of a model file, a shard's number and a quantization do not count, nor a checkpoint's number.
    """
    stem = stem_of(name).strip()
    if _HASH.fullmatch(stem) is not None:
        return True
    bare = _PRECISION.sub("", stem).strip("-_. ").lower()
    if not bare or bare in _GENERIC or bare.replace("-", "_") in _GENERIC:
        return True
    return _COUNTED.fullmatch(bare) is not None


def name_of_folder(path: str) -> str:
    """What a folder's place names: its own name, or from the nearest one above that names something.

    ``/data/llama`` is ``llama``; ``/data/sd15/unet`` is ``sd15/unet``. Empty where nothing above it names
    anything.
    """
    parts = [one for one in path.split("/") if one.strip()]
    for at in range(len(parts) - 1, -1, -1):
        if not is_generic(parts[at]):
            return "/".join(parts[at:]).strip()
    return ""


def candidate_ids(proposed: str, folder: str, tool: str | None = None) -> Iterator[str]:
    """The ids that a model at a place may have, the shortest first: it gets the first that is its alone.

    Args:
        proposed: What its place proposes: for a plain file made of the folder's name or the file's own.
        folder: The absolute path of its folder.
        tool: The source that named it; None for a plain file.
    """
    yield proposed
    if tool is not None:
        yield f"{tool}/{proposed}"
    parts = [one for one in folder.split("/") if one]
    words = proposed.partition(":")[0].split("/")
    if parts[len(parts) - len(words) :] == words:
        parts = parts[: len(parts) - len(words)]
    for part in reversed(parts):
        proposed = f"{part}/{proposed}"
        yield proposed


def reserved_id(proposed: str, folder: str) -> str | None:
    """The name of a plain folder with several models: none of them has it alone, and no other model does."""
    name, mark, _ = proposed.partition(":")
    return name if mark and name == folder.rstrip("/").rpartition("/")[2] else None
