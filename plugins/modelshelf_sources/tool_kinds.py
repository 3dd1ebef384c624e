"""What the words that other programs have for kinds of models mean here."""

from __future__ import annotations

from typing import Any

_KINDS = {
    # ComfyUI's folders
    "loras": "adapter",
    "hypernetworks": "adapter",
    "vae": "vae",
    "vae_approx": "vae",
    "controlnet": "controlnet",
    "upscale_models": "upscaler",
    "latent_upscale_models": "upscaler",
    "embeddings": "textual-inversion",
    "text_encoders": "text-encoder",
    "clip": "text-encoder",
    "clip_vision": "vision",
    "diffusion_models": "denoiser",
    "unet": "denoiser",
    # InvokeAI's types
    "main": "image-generation",
    "lora": "adapter",
    "control_lora": "adapter",
    "ip_adapter": "adapter",
    "t2i_adapter": "adapter",
    "embedding": "textual-inversion",
    "t5_encoder": "text-encoder",
    "clip_embed": "text-encoder",
    "spandrel_image_to_image": "upscaler",
}
"""Words that mean one kind; a folder of checkpoints has whole models and parts, of pictures and of videos."""

_OLLAMA_WORDS = {"vision": "vision", "tools": "tools", "thinking": "thinking", "audio": "audio"}
_OLLAMA_KINDS = {"image": "image-generation", "embedding": "embedding", "completion": "text-generation"}
"""Ollama's capabilities that say what a model is for, the one that decides first."""


def kind_facts(word: str) -> dict[str, Any]:
    """The word as it is, and the kind where it means one."""
    kind = _KINDS.get(word)
    return {"model_type": word} if kind is None else {"model_type": word, "kind": kind}


def ollama_facts(capabilities: tuple[str, ...]) -> dict[str, Any]:
    """Kind and capabilities that Ollama lists for a model."""
    kind = next((_OLLAMA_KINDS[word] for word in _OLLAMA_KINDS if word in capabilities), None)
    able = [_OLLAMA_WORDS[word] for word in capabilities if word in _OLLAMA_WORDS]
    inputs = ["text", "image"] if kind == "text-generation" and "vision" in able else None
    facts = {"kind": kind, "capabilities": able or None, "input_modalities": inputs}
    return {name: value for name, value in facts.items() if value is not None}
