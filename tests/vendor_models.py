"""Make the sample models of ``vendor/layerModels`` with the formats' own writers.

Run ``python -m tests.vendor_models [FOLDER]`` to make them anew; the same versions of the writers give the
same tensors and key-values every time. The weights are noise from a fixed seed: nothing here can talk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

VENDORED = Path(__file__).resolve().parents[1] / "vendor" / "layerModels"

_SEED = 20250101
_WIDTH = 32
_FEED_FORWARD = 64
_HEADS = 4
_KV_HEADS = 2
_VOCABULARY = (
    "<unk>",
    "<s>",
    "</s>",
    "<pad>",
    *(f"▁{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
    ".",
    ",",
)

_CARD = """\
---
license: apache-2.0
language:
- en
- de
base_model: example/tiny-qwen-2.5-base
pipeline_tag: text-generation
tags:
- sample
- untrained
---

# Tiny Qwen 2.5

Two shards of noise in the shape of a Qwen 2 decoder, small enough to keep beside the source.
"""


def write_all(folder: Path) -> None:
    """Write the three sample models below `folder`."""
    write_gguf(folder / "tiny-llama-1.0")
    write_sharded_safetensors(folder / "tiny-qwen-2.5")
    write_checkpoint(folder / "tiny-classifier-0.3")


def write_gguf(folder: Path) -> None:
    """Write a one-block llama whose matrices are Q4_0, embeddings Q8_0, output F16 and norms F32."""
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
    from gguf.quants import quantize

    folder.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(folder / "tiny-llama-1.0-Q4_0.gguf", "llama")
    writer.add_name("Tiny Llama 1.0")
    writer.add_version("1.0")
    writer.add_license("apache-2.0")
    writer.add_tags(["sample", "untrained"])
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_0)
    writer.add_context_length(512)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(_VOCABULARY))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(list(_VOCABULARY))
    writer.add_token_scores([0.0] * len(_VOCABULARY))
    writer.add_token_types([TokenType.UNKNOWN, *[TokenType.CONTROL] * 3, *[TokenType.NORMAL] * 28])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for message in messages %}{{ message.content }}{% endfor %}")
    for name, tensor in _gguf_tensors().items():
        if tensor.ndim == 1:
            writer.add_tensor(name, tensor)
            continue
        kind = {
            "token_embd.weight": GGMLQuantizationType.Q8_0,
            "output.weight": GGMLQuantizationType.F16,
        }.get(name, GGMLQuantizationType.Q4_0)
        writer.add_tensor(name, quantize(tensor, kind), raw_dtype=kind if kind.name.startswith("Q") else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_tensors() -> dict[str, np.ndarray]:
    kv_width = _WIDTH // _HEADS * _KV_HEADS
    shapes = {
        "token_embd.weight": (len(_VOCABULARY), _WIDTH),
        "blk.0.attn_norm.weight": (_WIDTH,),
        "blk.0.attn_q.weight": (_WIDTH, _WIDTH),
        "blk.0.attn_k.weight": (kv_width, _WIDTH),
        "blk.0.attn_v.weight": (kv_width, _WIDTH),
        "blk.0.attn_output.weight": (_WIDTH, _WIDTH),
        "blk.0.ffn_norm.weight": (_WIDTH,),
        "blk.0.ffn_gate.weight": (_FEED_FORWARD, _WIDTH),
        "blk.0.ffn_up.weight": (_FEED_FORWARD, _WIDTH),
        "blk.0.ffn_down.weight": (_WIDTH, _FEED_FORWARD),
        "output_norm.weight": (_WIDTH,),
        "output.weight": (len(_VOCABULARY), _WIDTH),
    }
    return _noise(shapes)


def _noise(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    import numpy as np

    chance = np.random.default_rng(_SEED)
    return {name: chance.standard_normal(shape).astype(np.float32) * 0.02 for name, shape in shapes.items()}


def write_sharded_safetensors(folder: Path) -> None:
    """Write a Qwen 2 decoder in BF16 as two shards with index, `config.json` and model card."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    kv_width = _WIDTH // _HEADS * _KV_HEADS
    block = "model.layers.0"
    first = {
        "model.embed_tokens.weight": (len(_VOCABULARY), _WIDTH),
        f"{block}.input_layernorm.weight": (_WIDTH,),
        f"{block}.self_attn.q_proj.weight": (_WIDTH, _WIDTH),
        f"{block}.self_attn.k_proj.weight": (kv_width, _WIDTH),
        f"{block}.self_attn.v_proj.weight": (kv_width, _WIDTH),
        f"{block}.self_attn.o_proj.weight": (_WIDTH, _WIDTH),
    }
    second = {
        f"{block}.post_attention_layernorm.weight": (_WIDTH,),
        f"{block}.mlp.gate_proj.weight": (_FEED_FORWARD, _WIDTH),
        f"{block}.mlp.up_proj.weight": (_FEED_FORWARD, _WIDTH),
        f"{block}.mlp.down_proj.weight": (_WIDTH, _FEED_FORWARD),
        "model.norm.weight": (_WIDTH,),
    }
    weight_map, total_size = {}, 0
    for number, shapes in enumerate((first, second), start=1):
        name = f"model-{number:05}-of-00002.safetensors"
        tensors = {key: torch.from_numpy(value).bfloat16() for key, value in _noise(shapes).items()}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shapes, name)
        total_size += sum(tensor.nbytes for tensor in tensors.values())
    _write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))},
    )
    _write_json(
        folder / "config.json",
        {
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_size": _WIDTH,
            "intermediate_size": _FEED_FORWARD,
            "max_position_embeddings": 1024,
            "model_type": "qwen2",
            "num_attention_heads": _HEADS,
            "num_hidden_layers": 1,
            "num_key_value_heads": _KV_HEADS,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "vocab_size": len(_VOCABULARY),
        },
    )
    (folder / "README.md").write_text(_CARD, encoding="utf-8")


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_checkpoint(folder: Path) -> None:
    """Write a classifier's state as `torch.save` does, in F32 with an integer counter."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: torch.from_numpy(value)
        for name, value in _noise(
            {
                "encoder.weight": (_WIDTH, 16),
                "encoder.bias": (_WIDTH,),
                "norm.running_mean": (_WIDTH,),
                "head.weight": (3, _WIDTH),
                "head.bias": (3,),
            }
        ).items()
    }
    state["norm.num_batches_tracked"] = torch.tensor(1000)
    torch.save(state, folder / "pytorch_model.bin")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else VENDORED)
