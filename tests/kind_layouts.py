"""Small models of each kind, with the header keys, tensor names and companions that real ones have.

Each is written by the format's own library. Names are those of published files, cut to the first blocks;
widths are real where a rule looks at them, all else is small.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import safetensors.numpy
from attrs import field, frozen

Shapes = dict[str, tuple[int, ...]]


@frozen(kw_only=True)
class KindLayout:
    """A model as files, and what is right about it.

    Attributes:
        name: Of its folder, and of its file where there is no `file`.
        kind: The right kind; None where nothing in it says one.
        tensors: Names and shapes.
        keys: Key-values of a GGUF header: a model with any is written as one.
        facts: ``__metadata__`` of safetensors.
        beside: JSON files beside it.
        right: Further fields of the metadata.
        details: Some of the right details.
    """

    name: str
    kind: str | None
    tensors: Shapes = field(factory=lambda: {"weight": (4, 4)})
    keys: dict[str, Any] | None = None
    facts: dict[str, str] | None = None
    beside: dict[str, Any] = field(factory=dict)
    right: dict[str, Any] = field(factory=dict)
    details: dict[str, Any] = field(factory=dict)


def write(layout: KindLayout, folder: Path, *, as_torch: bool = False) -> Path:
    """Write a model's files into a folder of its own; gives the file with the weights."""
    home = folder / layout.name
    home.mkdir(parents=True)
    for name, content in layout.beside.items():
        (home / name).write_text(content if isinstance(content, str) else json.dumps(content))
    if layout.keys is not None:
        return _write_gguf(layout, home / "model.gguf")
    arrays = {name: _filled(layout, shape) for name, shape in layout.tensors.items()}
    if as_torch:
        import torch

        path = home / "pytorch_model.bin"
        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
        return path
    path = home / (
        "adapter_model.safetensors" if "adapter_config.json" in layout.beside else "model.safetensors"
    )
    safetensors.numpy.save_file(arrays, path, metadata=layout.facts)
    return path


def _filled(layout: KindLayout, shape: tuple[int, ...]) -> np.ndarray:
    """A number that no other layout has, so that none is taken for a copy of another."""
    return np.full(shape, zlib.crc32(layout.name.encode()), np.float32)


def _write_gguf(layout: KindLayout, path: Path) -> Path:
    keys = dict(layout.keys or {})
    writer = gguf.GGUFWriter(path, keys.pop("general.architecture", ""))
    for key, value in keys.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, shape in layout.tensors.items():
        writer.add_tensor(name, _filled(layout, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


TOKENS = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "c"]}
TOOLS = (
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% for message in messages %}{{ message.content }}"
)
THINKS = "{% if enable_thinking is false %}<think>\n\n</think>{% endif %}{{ messages[0].content }}"
TALKS = "{% for message in messages %}{{ message.content }}{% endfor %}"
_BLOCK = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)
_DECODER: Shapes = {
    "token_embd.weight": (3, 32),
    "output_norm.weight": (32,),
    **{f"blk.0.{name}.weight": (32, 32) for name in _BLOCK},
}
_WHOLE_DECODER: Shapes = {**_DECODER, "output.weight": (3, 32)}


def _gguf(name: str, kind: str | None, architecture: str, tensors: Shapes, **more: Any) -> KindLayout:
    keys = {
        "general.architecture": architecture,
        f"{architecture}.block_count": 1,
        f"{architecture}.context_length": 64,
        **TOKENS,
        **more.pop("keys", {}),
    }
    return KindLayout(name=name, kind=kind, tensors=tensors, keys=keys, **more)


_NEW = "marvel9"  # an architecture that nobody has heard of
GGUF: tuple[KindLayout, ...] = (
    _gguf(
        "chat",
        "text-generation",
        "qwen3",
        _WHOLE_DECODER,
        keys={"tokenizer.chat_template": TOOLS + THINKS, "general.type": "model"},
        right={
            "capabilities": ("chat", "tools", "thinking"),
            "input_modalities": ("text",),
            "output_modalities": ("text",),
        },
    ),
    _gguf(
        "plain-chat",
        "text-generation",
        "llama",
        _WHOLE_DECODER,
        keys={"tokenizer.chat_template": TALKS},
        right={"capabilities": ("chat",)},
    ),
    _gguf("base", "text-generation", "llama", _WHOLE_DECODER, right={"capabilities": None}),
    _gguf("newer-than-us", "text-generation", _NEW, _WHOLE_DECODER),
    _gguf(
        "newer-and-not-causal", "embedding", _NEW, _WHOLE_DECODER, keys={f"{_NEW}.attention.causal": False}
    ),
    KindLayout(
        name="of-no-kind",
        kind=None,
        keys={"general.architecture": "vonnegut"},
        tensors={"some.weight": (32, 32)},
    ),
    _gguf(
        "diffuses-text", "text-generation", "dream", _WHOLE_DECODER, keys={"dream.attention.causal": False}
    ),
    _gguf(
        "sees-by-itself",
        "text-generation",
        "gemma3",
        {**_DECODER, "v.patch_embedding.weight": (4, 4), "mm.mm_input_projection.weight": (4, 4)},
        keys={"gemma3.vision.block_count": 2},
        right={"input_modalities": ("text", "image"), "capabilities": ("vision",)},
    ),
    _gguf(
        "nomic",
        "embedding",
        "nomic-bert",
        {"token_embd.weight": (3, 32), "blk.0.attn_qkv.weight": (32, 96)},
        keys={"nomic-bert.pooling_type": 1, "nomic-bert.attention.causal": False},
        right={"capabilities": ("embedding",), "output_modalities": None},
    ),
    _gguf(
        "qwen3-embedding",
        "embedding",
        "qwen3",
        _DECODER,
        keys={"qwen3.pooling_type": 3, "tokenizer.chat_template": TOOLS},
        right={"capabilities": ("embedding",)},
    ),
    _gguf("bert-without-pooling", "embedding", "bert", {"token_embd.weight": (3, 32)}),
    _gguf(
        "bge-reranker",
        "reranker",
        "bert",
        {"token_embd.weight": (3, 32), "cls.weight": (32, 32), "cls.output.weight": (32, 1)},
        right={"capabilities": ("rerank",)},
    ),
    _gguf(
        "qwen3-reranker",
        "reranker",
        "qwen3",
        {**_DECODER, "cls.output.weight": (2, 32)},
        keys={"qwen3.pooling_type": 4, "qwen3.classifier.output_labels": ["yes", "no"]},
    ),
    _gguf(
        "sentiment",
        "classifier",
        "bert",
        {"token_embd.weight": (3, 32), "cls.weight": (32, 32), "cls.output.weight": (3, 32)},
        keys={"bert.classifier.output_labels": ["negative", "neutral", "positive"]},
        details={"labels": ["negative", "neutral", "positive"]},
    ),
    KindLayout(
        name="projector",
        kind="projector",
        keys={
            "general.architecture": "clip",
            "general.type": "mmproj",
            "clip.has_vision_encoder": True,
            "clip.projector_type": "qwen2.5vl_merger",
        },
        tensors={"v.patch_embd.weight": (4, 32), "mm.0.weight": (32, 32)},
        right={"input_modalities": ("image",), "output_modalities": None},
        details={"projector": "qwen2.5vl_merger"},
    ),
    KindLayout(
        name="omni-projector",
        kind="projector",
        keys={
            "general.architecture": "clip",
            "clip.has_vision_encoder": True,
            "clip.has_audio_encoder": True,
            "clip.vision.projector_type": "gemma4v",
            "clip.audio.projector_type": "gemma4a",
        },
        tensors={"v.patch_embd.weight": (4, 32), "a.conv1d.0.weight": (32, 32)},
        right={"input_modalities": ("image", "audio")},
        details={"vision_projector": "gemma4v", "audio_projector": "gemma4a"},
    ),
    KindLayout(
        name="older-projector",
        kind="projector",
        keys={"general.architecture": "clip"},
        tensors={"v.patch_embd.weight": (4, 32)},
        right={"input_modalities": ("image",)},
    ),
    KindLayout(
        name="lora",
        kind="adapter",
        keys={
            "general.architecture": "llama",
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.lora.alpha": 32.0,
        },
        tensors={
            "blk.0.attn_q.weight.lora_a": (8, 64),
            "blk.0.attn_q.weight.lora_b": (64, 8),
            "blk.1.attn_v.weight.lora_a": (8, 64),
            "blk.1.attn_v.weight.lora_b": (64, 8),
        },
        details={
            "adapter": "lora",
            "adapter_rank": 8,
            "adapter_alpha": 32.0,
            "target_modules": ["attn_q", "attn_v"],
        },
        right={"architecture": "llama", "capabilities": None},
    ),
    KindLayout(
        name="alora",
        kind="adapter",
        keys={
            "general.architecture": "granite",
            "general.type": "adapter",
            "adapter.type": "lora",
            "adapter.alora.invocation_tokens": [1, 2],
        },
        tensors={"blk.0.attn_q.weight.lora_a": (8, 64), "blk.0.attn_q.weight.lora_b": (64, 8)},
        details={"adapter": "alora"},
    ),
    KindLayout(
        name="control-vector",
        kind="control-vector",
        keys={
            "general.architecture": "controlvector",
            "controlvector.model_hint": "mistral",
            "controlvector.layer_count": 2,
        },
        tensors={"direction.1": (32,), "direction.2": (32,)},
        details={"model_hint": "mistral"},
    ),
    KindLayout(
        name="imatrix",
        kind="importance-matrix",
        keys={
            "general.type": "imatrix",
            "imatrix.datasets": ["calibration.txt"],
            "imatrix.chunk_count": 3,
            "imatrix.chunk_size": 512,
        },
        tensors={"blk.0.attn_q.weight.in_sum2": (1, 32), "blk.0.attn_q.weight.counts": (1, 1)},
    ),
    _gguf("vocabulary", "vocabulary", "llama", {}),
    _gguf("eagle3", "draft", "eagle3", {"fc.weight": (32, 96), "blk.0.attn_q.weight": (32, 32)}),
    _gguf("dflash", "draft", "dflash", _DECODER),
    _gguf("gemma4-assistant", "draft", "gemma4-assistant", _DECODER),
    _gguf("wavtokenizer", "text-to-speech", "wavtokenizer-dec", {"token_embd.weight": (3, 32)}),
    _gguf("qwen3tts", "text-to-speech", "qwen3tts", _DECODER, right={"output_modalities": ("audio",)}),
    KindLayout(
        name="flux-gguf",
        kind="denoiser",
        keys={"general.architecture": "flux"},
        tensors={"double_blocks.0.img_attn.qkv.weight": (96, 32), "single_blocks.0.linear1.weight": (32, 32)},
        right={"output_modalities": ("image",), "input_modalities": None},
    ),
    KindLayout(
        name="wan-gguf",
        kind="denoiser",
        keys={"general.architecture": "wan"},
        tensors={"blocks.0.self_attn.q.weight": (32, 32)},
        right={"output_modalities": ("video",)},
    ),
    KindLayout(
        name="sdxl-whole-gguf",
        kind="image-generation",
        keys={"general.name": "sdxl"},
        tensors={
            "model.diffusion_model.input_blocks.0.0.weight": (32, 32),
            "model.diffusion_model.middle_block.0.in_layers.0.weight": (32,),
            "model.diffusion_model.output_blocks.0.0.in_layers.0.weight": (32,),
            "cond_stage_model.transformer.text_model.final_layer_norm.weight": (32,),
            "first_stage_model.decoder.conv_in.weight": (32, 32),
        },
    ),
)


def _prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _unet(attention: str, width: int) -> Shapes:
    return {
        "time_embed.0.weight": (8, 8),
        "input_blocks.0.0.weight": (8, 4, 3, 3),
        f"{attention}.transformer_blocks.0.attn2.to_k.weight": (8, width),
        "middle_block.0.in_layers.0.weight": (8,),
        "output_blocks.0.0.in_layers.0.weight": (8,),
        "out.2.weight": (4, 8),
    }


_SD1, _SD2, _SDXL = (
    _unet("input_blocks.1.1", 768),
    _unet("input_blocks.1.1", 1024),
    {**_unet("input_blocks.4.1", 2048), "label_emb.0.0.weight": (8, 8)},
)
_VAE = {"encoder.down.0.block.0.conv1.weight": (4, 4), "decoder.up.0.block.0.conv1.weight": (4, 4)}
_FLUX = {
    "double_blocks.0.img_attn.qkv.weight": (24, 8),
    "double_blocks.0.txt_attn.qkv.weight": (24, 8),
    "single_blocks.0.linear1.weight": (24, 8),
    "img_in.weight": (8, 8),
}
_SD3 = {
    "joint_blocks.0.context_block.attn.qkv.weight": (24, 8),
    "joint_blocks.0.x_block.attn.qkv.weight": (24, 8),
    "x_embedder.proj.weight": (8, 4),
}
_LTX = {
    "patchify_proj.weight": (8, 8),
    "transformer_blocks.0.scale_shift_table": (6, 8),
    "adaln_single.linear.weight": (8, 8),
}


def _model(prefix: str, shapes: Shapes, *more: Shapes) -> Shapes:
    whole = _prefixed(prefix, shapes)
    for one in more:
        whole |= one
    return whole


def _part(name: str, kind: str, tensors: Shapes, family: str | None, output: str | None = None) -> KindLayout:
    right: dict[str, Any] = {} if family is None else {"architecture": family}
    if output is not None:
        right["output_modalities"] = (output,)
    return KindLayout(name=name, kind=kind, tensors=tensors, right=right)


_OLD_TEXT = {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (4, 8)}
_OLD_VAE = _prefixed("first_stage_model.", _VAE)
_UNET_OF_DIFFUSERS: Shapes = {
    "conv_in.weight": (8, 4, 3, 3),
    "time_embedding.linear_1.weight": (8, 8),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (8, 768),
    "mid_block.resnets.0.conv1.weight": (8, 8),
    "up_blocks.0.resnets.0.conv1.weight": (8, 8),
}
PICTURES: tuple[KindLayout, ...] = (
    _part(
        "sd1", "image-generation", _model("model.diffusion_model.", _SD1, _OLD_TEXT, _OLD_VAE), "sd1", "image"
    ),
    _part(
        "sd2",
        "image-generation",
        _model(
            "model.diffusion_model.",
            _SD2,
            {"cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": (8, 8)},
            _OLD_VAE,
        ),
        "sd2",
    ),
    _part(
        "sdxl",
        "image-generation",
        _model(
            "model.diffusion_model.",
            _SDXL,
            {"conditioner.embedders.1.model.transformer.resblocks.0.ln_1.weight": (8,)},
            _OLD_VAE,
        ),
        "sdxl",
        "image",
    ),
    _part(
        "sd3-whole",
        "image-generation",
        _model("model.diffusion_model.", _SD3, {"text_encoders.clip_l.weight": (4,)}, _OLD_VAE),
        "sd3",
    ),
    _part(
        "flux-whole",
        "image-generation",
        _model("model.diffusion_model.", _FLUX, {"vae.x": (4,)}, _OLD_VAE),
        "flux",
    ),
    _part(
        "ltx-whole",
        "video-generation",
        _model("model.diffusion_model.", _LTX, {"vae.decoder.x": (4,)}),
        "ltxv",
    ),
    _part("flux", "denoiser", _FLUX, "flux", "image"),
    _part("flux-comfy", "denoiser", _model("model.diffusion_model.", _FLUX), "flux", "image"),
    _part("chroma", "denoiser", {**_FLUX, "distilled_guidance_layer.in_proj.weight": (8, 8)}, "chroma"),
    _part(
        "flux-diffusers",
        "denoiser",
        {
            "transformer_blocks.0.attn.add_q_proj.weight": (8, 8),
            "single_transformer_blocks.0.attn.to_q.weight": (8, 8),
            "x_embedder.weight": (8, 8),
            "context_embedder.weight": (8, 8),
        },
        "flux",
    ),
    _part("sd3", "denoiser", _SD3, "sd3"),
    _part(
        "qwen-image",
        "denoiser",
        {
            "img_in.weight": (8, 8),
            "txt_norm.weight": (8,),
            "transformer_blocks.0.img_mod.1.weight": (8, 8),
            "transformer_blocks.0.txt_mod.1.weight": (8, 8),
            "transformer_blocks.0.attn.add_q_proj.weight": (8, 8),
        },
        "qwen_image",
        "image",
    ),
    _part(
        "wan",
        "denoiser",
        {
            "patch_embedding.weight": (8, 8),
            "text_embedding.0.weight": (8, 8),
            "time_projection.1.weight": (8, 8),
            "blocks.0.self_attn.q.weight": (8, 8),
            "blocks.0.cross_attn.q.weight": (8, 8),
        },
        "wan",
        "video",
    ),
    _part(
        "wan-diffusers",
        "denoiser",
        {
            "patch_embedding.weight": (8, 8),
            "condition_embedder.text_embedder.linear_1.weight": (8, 8),
            "blocks.0.attn1.to_q.weight": (8, 8),
            "blocks.0.attn2.to_q.weight": (8, 8),
        },
        "wan",
        "video",
    ),
    _part("ltx", "denoiser", _LTX, "ltxv", "video"),
    _part(
        "hidream",
        "denoiser",
        {
            "double_stream_blocks.0.block.attn1.to_q.weight": (8, 8),
            "single_stream_blocks.0.block.attn1.to_q.weight": (8, 8),
            "caption_projection.0.linear.weight": (8, 8),
        },
        "hidream",
    ),
    _part(
        "hunyuan-video",
        "denoiser",
        {
            "double_blocks.0.img_attn_qkv.weight": (8, 8),
            "single_blocks.0.linear1.weight": (8, 8),
            "txt_in.individual_token_refiner.blocks.0.norm1.weight": (8,),
        },
        "hyvid",
        "video",
    ),
    _part("sd1-unet", "denoiser", _model("model.diffusion_model.", _SD1), "sd1"),
    _part("unet-diffusers", "denoiser", _UNET_OF_DIFFUSERS, "sd1", "image"),
    _part("vae", "vae", {**_VAE, "quant_conv.weight": (4, 4)}, None),
    _part("vae-in-a-checkpoint", "vae", _prefixed("first_stage_model.", _VAE), None),
    _part(
        "vae-diffusers",
        "vae",
        {
            "encoder.down_blocks.0.resnets.0.conv1.weight": (4, 4),
            "decoder.up_blocks.0.resnets.0.conv1.weight": (4, 4),
        },
        None,
    ),
    _part(
        "vae-wan",
        "vae",
        {
            "encoder.downsamples.0.residual.0.gamma": (4,),
            "decoder.upsamples.0.residual.0.gamma": (4,),
            "conv1.weight": (4, 4),
        },
        None,
    ),
    _part(
        "controlnet-diffusers",
        "controlnet",
        {
            **{name: shape for name, shape in _UNET_OF_DIFFUSERS.items() if "up_blocks" not in name},
            "controlnet_cond_embedding.conv_in.weight": (4, 3, 3, 3),
            "controlnet_down_blocks.0.weight": (4, 4),
        },
        "sd1",
    ),
    _part(
        "controlnet",
        "controlnet",
        _prefixed(
            "control_model.",
            {
                "input_blocks.0.0.weight": (8, 4, 3, 3),
                "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 768),
                "input_hint_block.0.weight": (4, 3, 3, 3),
                "zero_convs.0.0.weight": (4, 4),
            },
        ),
        "sd1",
    ),
    _part(
        "controlnet-flux",
        "controlnet",
        {
            "controlnet_blocks.0.weight": (8, 8),
            "transformer_blocks.0.attn.add_q_proj.weight": (8, 8),
            "x_embedder.weight": (8, 8),
        },
        None,
    ),
    _part(
        "esrgan",
        "upscaler",
        {
            "model.0.weight": (8, 3, 3, 3),
            "model.1.sub.0.RDB1.conv1.0.weight": (8, 8),
            "model.10.weight": (3, 8),
        },
        None,
    ),
    _part(
        "realesrgan",
        "upscaler",
        {
            "conv_first.weight": (8, 3, 3, 3),
            "body.0.rdb1.conv1.weight": (8, 8),
            "conv_last.weight": (3, 8, 3, 3),
        },
        None,
    ),
    _part(
        "swinir",
        "upscaler",
        {
            "conv_first.weight": (8, 3, 3, 3),
            "layers.0.residual_group.blocks.0.attn.qkv.weight": (8, 8),
            "conv_after_body.weight": (8, 8),
        },
        None,
    ),
    _part(
        "compact",
        "upscaler",
        {"body.0.weight": (8, 3, 3, 3), "body.0.bias": (8,), "body.1.weight": (8,)},
        None,
    ),
    _part("easynegative", "textual-inversion", {"emb_params": (2, 768)}, "sd1"),
    _part("inversion-xl", "textual-inversion", {"clip_l": (2, 768), "clip_g": (2, 1280)}, "sdxl"),
    _part("cat-toy", "textual-inversion", {"<cat-toy>": (768,)}, "sd1"),
)


def _peft(*modules: str, rank: int = 8) -> Shapes:
    shapes: Shapes = {}
    for module in modules:
        shapes[f"base_model.model.model.layers.0.{module}.lora_A.weight"] = (rank, 32)
        shapes[f"base_model.model.model.layers.0.{module}.lora_B.weight"] = (32, rank)
    return shapes


_PEFT_CONFIG = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "base_model_name_or_path": "meta-llama/Llama-3.2-1B",
    "task_type": "CAUSAL_LM",
}
_KOHYA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
ADAPTERS: tuple[KindLayout, ...] = (
    KindLayout(
        name="peft",
        kind="adapter",
        tensors=_peft("self_attn.q_proj", "self_attn.v_proj"),
        beside={"adapter_config.json": _PEFT_CONFIG},
        right={"base_model": ("meta-llama/Llama-3.2-1B",)},
        details={
            "adapter": "lora",
            "adapter_rank": 8,
            "adapter_alpha": 16,
            "target_modules": ["q_proj", "v_proj"],
        },
    ),
    KindLayout(
        name="peft-alone",
        kind="adapter",
        tensors=_peft("self_attn.q_proj", "mlp.down_proj", rank=4),
        details={"adapter": "lora", "adapter_rank": 4, "target_modules": ["down_proj", "q_proj"]},
    ),
    KindLayout(
        name="dora",
        kind="adapter",
        tensors={
            **_peft("self_attn.q_proj"),
            "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector": (32,),
        },
        details={"adapter": "dora", "adapter_rank": 8},
    ),
    KindLayout(
        name="kohya-sdxl",
        kind="adapter",
        tensors={
            f"{_KOHYA}.lora_down.weight": (16, 2048),
            f"{_KOHYA}.lora_up.weight": (64, 16),
            f"{_KOHYA}.alpha": (),
        },
        facts={"ss_network_alpha": "8", "ss_network_dim": "16", "ss_base_model_version": "sdxl_base_v1-0"},
        details={
            "adapter": "lora",
            "adapter_rank": 16,
            "adapter_alpha": 8,
            "adapter_base": "sdxl_base_v1-0",
            "adapter_family": "sdxl",
            "target_modules": ["to_k"],
        },
    ),
    KindLayout(
        name="flux-lora",
        kind="adapter",
        tensors={
            "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (16, 32),
            "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight": (32, 16),
        },
        details={"adapter": "lora", "adapter_rank": 16, "adapter_family": "flux"},
    ),
    KindLayout(
        name="loha",
        kind="adapter",
        tensors={
            f"lora_unet_x.{name}": shape
            for name, shape in {
                "hada_w1_a": (32, 4),
                "hada_w1_b": (4, 32),
                "hada_w2_a": (32, 4),
                "hada_w2_b": (4, 32),
                "alpha": (),
            }.items()
        },
        details={"adapter": "loha", "adapter_rank": 4},
    ),
    KindLayout(
        name="lokr",
        kind="adapter",
        tensors={"a.lokr_w1": (4, 4), "a.lokr_w2_a": (8, 4), "a.lokr_w2_b": (4, 8), "a.alpha": ()},
        details={"adapter": "lokr", "adapter_rank": 4},
    ),
    KindLayout(
        name="oft",
        kind="adapter",
        tensors={"lora_unet_x.oft_blocks": (4, 8, 8), "lora_unet_x.alpha": ()},
        details={"adapter": "oft"},
    ),
    KindLayout(
        name="ia3",
        kind="adapter",
        tensors={"base_model.model.model.layers.0.self_attn.k_proj.ia3_l": (32, 1)},
        details={"adapter": "ia3", "target_modules": ["k_proj"]},
    ),
    KindLayout(
        name="mlx-adapter",
        kind="adapter",
        tensors={
            "model.layers.0.self_attn.q_proj.lora_a": (32, 8),
            "model.layers.0.self_attn.q_proj.lora_b": (8, 32),
        },
        beside={
            "adapter_config.json": {
                "fine_tune_type": "lora",
                "model": "mlx-community/Llama-3.2-1B",
                "lora_parameters": {"rank": 8, "scale": 20.0, "keys": ["self_attn.q_proj"]},
            }
        },
        details={"adapter": "lora", "target_modules": ["q_proj"]},
        right={"base_model": ("mlx-community/Llama-3.2-1B",)},
    ),
    KindLayout(
        name="ip-adapter",
        kind="adapter",
        tensors={
            "image_proj.proj.weight": (8, 8),
            "ip_adapter.1.to_k_ip.weight": (8, 8),
            "ip_adapter.1.to_v_ip.weight": (8, 8),
        },
        details={"adapter": "ip-adapter"},
    ),
)

_LLAMA: Shapes = {
    "model.embed_tokens.weight": (8, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.mlp.down_proj.weight": (8, 8),
    "model.norm.weight": (8,),
    "lm_head.weight": (8, 8),
}
_BERT: Shapes = {
    "embeddings.word_embeddings.weight": (8, 8),
    "encoder.layer.0.attention.self.query.weight": (8, 8),
}


def _config(name: str, kind: str | None, architecture: str, **more: Any) -> KindLayout:
    config = {"architectures": [architecture], **more.pop("config", {})}
    return KindLayout(name=name, kind=kind, beside={"config.json": config, **more.pop("beside", {})}, **more)


_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
_VISION = {"vision_config": {"hidden_size": 8}, "text_config": {"hidden_size": 8}}
CONFIGS: tuple[KindLayout, ...] = (
    _config(
        "llama",
        "text-generation",
        "LlamaForCausalLM",
        tensors=_LLAMA,
        beside={"tokenizer_config.json": {"chat_template": TOOLS}},
        right={"capabilities": ("chat", "tools")},
    ),
    _config(
        "own-template-file",
        "text-generation",
        "Qwen3ForCausalLM",
        beside={"chat_template.jinja": THINKS},
        right={"capabilities": ("chat", "thinking")},
    ),
    KindLayout(name="llama-alone", kind="text-generation", tensors=_LLAMA),
    KindLayout(
        name="family-alone",
        kind="text-generation",
        beside={"config.json": {"model_type": "mixtral"}},
    ),
    KindLayout(name="family-unknown", kind=None, beside={"config.json": {"model_type": "marvel9"}}),
    _config(
        "qwen3-vl",
        "text-generation",
        "Qwen3VLForConditionalGeneration",
        config={**_VISION, "image_token_id": 3, "video_token_id": 4},
        right={"input_modalities": ("text", "image", "video"), "capabilities": ("vision",)},
    ),
    _config(
        "gemma3",
        "text-generation",
        "Gemma3ForConditionalGeneration",
        config=_VISION,
        right={"input_modalities": ("text", "image"), "output_modalities": ("text",)},
    ),
    _config(
        "qwen2-audio",
        "text-generation",
        "Qwen2AudioForConditionalGeneration",
        config={"audio_config": {"d_model": 8}, "text_config": {"hidden_size": 8}},
        right={"input_modalities": ("text", "audio")},
    ),
    _config("t5", "text-generation", "T5ForConditionalGeneration"),
    _config("whisper", "speech-recognition", "WhisperForConditionalGeneration"),
    _config("wav2vec2-ctc", "speech-recognition", "Wav2Vec2ForCTC"),
    _config("wav2vec2", "audio", "Wav2Vec2Model"),
    _config("vits", "text-to-speech", "VitsModel", right={"output_modalities": ("audio",)}),
    _config("speecht5", "text-to-speech", "SpeechT5ForTextToSpeech"),
    _config("musicgen", "audio", "MusicgenForConditionalGeneration"),
    _config("minilm", "embedding", "BertModel", tensors=_BERT, beside={"modules.json": _MODULES}),
    _config("bert-mlm", "embedding", "BertForMaskedLM"),
    KindLayout(name="bert-alone", kind="embedding", tensors=_BERT),
    _config("qwen3-embedding-st", "embedding", "Qwen3ForCausalLM", beside={"modules.json": _MODULES}),
    _config(
        "bge-reranker-st",
        "reranker",
        "XLMRobertaForSequenceClassification",
        config={"id2label": {"0": "LABEL_0"}},
        right={"capabilities": ("rerank",)},
    ),
    _config(
        "sentiment-st",
        "classifier",
        "DistilBertForSequenceClassification",
        config={"id2label": {"0": "NEGATIVE", "1": "POSITIVE"}},
    ),
    _config("ner", "classifier", "BertForTokenClassification"),
    _config("vit", "vision", "ViTForImageClassification"),
    _config("detr", "vision", "DetrForObjectDetection"),
    _config("clip-vision", "vision", "CLIPVisionModelWithProjection"),
    _config("swin2sr", "upscaler", "Swin2SRForImageSuperResolution"),
    _config("clip-text", "text-encoder", "CLIPTextModel"),
    _config("t5-encoder", "text-encoder", "T5EncoderModel"),
    _config("eagle3-st", "draft", "LlamaForCausalLMEagle3"),
    _config("question-answering", None, "BertForQuestionAnswering"),
    KindLayout(
        name="unet-folder",
        kind="denoiser",
        tensors=_UNET_OF_DIFFUSERS,
        beside={"config.json": {"_class_name": "UNet2DConditionModel"}},
        right={"architecture": "UNet2DConditionModel"},
    ),
    KindLayout(name="vae-folder", kind="vae", beside={"config.json": {"_class_name": "AutoencoderKL"}}),
    KindLayout(
        name="pipeline",
        kind="image-generation",
        beside={"model_index.json": {"_class_name": "StableDiffusionXLPipeline"}},
    ),
    KindLayout(
        name="tag-alone",
        kind="text-to-speech",
        beside={"README.md": "---\npipeline_tag: text-to-speech\n---\n"},
    ),
    KindLayout(
        name="tag-against-class",
        kind="reranker",
        beside={
            "config.json": {"architectures": ["BertForSequenceClassification"], "num_labels": 1},
            "README.md": "---\npipeline_tag: text-classification\n---\n",
        },
    ),
    KindLayout(name="nothing-known", kind=None, tensors={"a": (4, 4), "b.weight": (4, 4)}),
    KindLayout(
        name="a-model-with-an-adapter-in-it",
        kind=None,
        tensors={"a.weight": (4, 4), "b.weight": (4, 4), "c.weight": (4, 4), "d.lora_A.weight": (4, 4)},
    ),
)

LAYOUTS: tuple[KindLayout, ...] = (*GGUF, *PICTURES, *ADAPTERS, *CONFIGS)
