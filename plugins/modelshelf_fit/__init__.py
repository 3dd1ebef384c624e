"""What a model needs in memory, by facts of its header that its record keeps; no file is opened.

One module for each item: `weights`, `attention_caches`, `recurrent_state`, `compute_buffers`; `shape` reads
the facts, `architectures` knows the families, and `llama_cpp` puts the items together as that engine does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.model import MemoryEstimate, MemoryRequest, ModelConfig


def modelshelf_estimate_memory(model: ModelConfig, request: MemoryRequest) -> MemoryEstimate | None:
    """Estimate a GGUF model's memory with llama.cpp; None for other formats and engines."""
    if model.metadata.format != "gguf" or request.engine != "llama.cpp":
        return None
    from modelshelf_fit.llama_cpp import estimate

    facts = model.metadata.details.get("memory")
    return estimate(facts if isinstance(facts, dict) else None, request)
