"""What a model needs in memory, by facts of its header that its record keeps; no file is opened.

One module for each item: `weights`, `attention_caches`, `recurrent_state`, `compute_buffers`; `shape` reads
the facts, `architectures` knows the families, and `llama_cpp` puts the items together as that engine does.
For safetensors `config_shape` reads what the record keeps of ``config.json``, `config_families` knows the
model types, and `python_engines` puts the items together as transformers, vLLM and mlx-lm do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.model import MemoryEstimate, MemoryRequest, ModelConfig


def modelshelf_estimate_memory(model: ModelConfig, request: MemoryRequest) -> MemoryEstimate | None:
    """Estimate a GGUF model's memory with llama.cpp, or a safetensors model's with another engine."""
    if model.metadata.format == "gguf" and request.engine in {None, "llama.cpp"}:
        from modelshelf_fit import llama_cpp

        facts = model.metadata.details.get("memory")
        return llama_cpp.estimate(facts if isinstance(facts, dict) else None, request)
    if model.metadata.format == "safetensors" and request.engine in {None, "transformers", "vllm", "mlx"}:
        from modelshelf_fit import python_engines

        return python_engines.estimate(model.metadata, request)
    return None
