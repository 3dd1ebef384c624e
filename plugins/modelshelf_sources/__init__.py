"""Where models are: plain folders of any depth, and the stores of other tools. Nothing in them is written.

A source's own module finds and recognises its stores. What lists a store is imported in `list`: every scan
asks all sources and lists the stores of few, and loading takes longer than the questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.source import SourceType

if TYPE_CHECKING:
    from collections.abc import Iterator


def modelshelf_sources() -> Iterator[SourceType]:
    """Offer plain folders and every tool's store."""
    from modelshelf_sources.comfyui import ComfyUISource
    from modelshelf_sources.folders import FolderSource
    from modelshelf_sources.huggingface import HuggingFaceSource
    from modelshelf_sources.invokeai import InvokeAISource
    from modelshelf_sources.llamacpp import LlamaCppSource
    from modelshelf_sources.lmstudio import LMStudioSource
    from modelshelf_sources.ollama import OllamaSource
    from modelshelf_sources.ramalama import RamaLamaSource

    for source, summary in (
        (FolderSource, "Plain folders of any depth."),
        (HuggingFaceSource, "The Hugging Face Hub's cache: every revision of every model."),
        (OllamaSource, "Ollama's models, by their manifests."),
        (LMStudioSource, "LM Studio's models, virtual ones too."),
        (ComfyUISource, "ComfyUI's models, by kind; its extra model paths too."),
        (LlamaCppSource, "llama.cpp's own cache, both layouts."),
        (InvokeAISource, "InvokeAI's models."),
        (RamaLamaSource, "RamaLama's store."),
    ):
        yield SourceType(name=source.name, make=source.make, summary=summary)
