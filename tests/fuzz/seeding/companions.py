"""What lies beside weights: a small model, configurations as transformers writes them, a model card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "vocab_size": 3,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    "torch_dtype": "float32",
    "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "text_config": {"hidden_size": 8, "num_hidden_layers": 1},
    "_name_or_path": "org/tiny-1B",
    "transformers_version": "4.44.0",
}
TOKENIZER = {"model_max_length": 64, "chat_template": "{{ messages }}", "tokenizer_class": "LlamaTokenizer"}
GENERATION = {"max_length": 64, "temperature": 0.6, "eos_token_id": [1, 2]}
ADAPTER = {"base_model_name_or_path": "org/base", "peft_type": "LORA", "r": 8}
CARD = """---
license: other
license_name: tiny
language:
- en
- no
tags: [tiny, test]
base_model: org/base
pipeline_tag: text-generation
library_name: transformers
model-index:
- name: Tiny
  results: []
---
# Tiny
"""


def files(folder: Path) -> Iterator[tuple[str, bytes]]:  # noqa: ARG001 - nothing is written on the way
    """The weights, then each companion."""
    yield "model.safetensors", save({"a.weight": np.ones((2, 2), np.float32)})
    for name, document in (
        ("config.json", CONFIG),
        ("tokenizer_config.json", TOKENIZER),
        ("generation_config.json", GENERATION),
        ("adapter_config.json", ADAPTER),
    ):
        yield name, (json.dumps(document, indent=2) + "\n").encode()
    yield "README.md", CARD.encode()
