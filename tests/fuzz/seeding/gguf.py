"""GGUF files by the real writer: every value type, both byte orders, several tensor types and alignments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes."""
    for name, build in (("llama", _llama), ("kinds", _kinds), ("bare", _bare), ("split", _split)):
        for order in (gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG):
            yield f"{name}.gguf", _written(folder / "one.gguf", build, order)


def _written(path: Path, build: Callable[[gguf.GGUFWriter], None], order: gguf.GGUFEndian) -> bytes:
    writer = gguf.GGUFWriter(path, "llama", endianess=order)
    build(writer)
    for step in ("header_to_file", "kv_data_to_file", "tensors_to_file"):
        getattr(writer, f"write_{step}")()
    writer.close()
    return path.read_bytes()


def _llama(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_name("Tiny")
    writer.add_license("mit")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["a", "b", "ab"])
    writer.add_token_types([1, 1, 1])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_token_merges(["a b"])
    rows = np.ones((2, 32), np.float32)
    quantized = gguf.quants.quantize(rows, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("token_embd.weight", quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(8, np.float32))
    writer.add_tensor("blk.0.ffn_up.weight", np.ones((2, 4), np.float16))


def _kinds(writer: gguf.GGUFWriter) -> None:
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        getattr(writer, f"add_{kind}")(f"a.{kind}", 7)
    writer.add_float32("a.float32", 0.5)
    writer.add_float64("a.float64", 0.25)
    writer.add_bool("a.bool", True)  # noqa: FBT003 - the writer's own signature
    writer.add_string("a.string", "größe")
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.words", ["x", "yy"])
    writer.add_array("a.flags", [True, False])
    writer.add_custom_alignment(64)
    writer.add_tensor("t", np.ones(3, np.int8))
    writer.add_tensor("u", np.ones((3, 1, 2, 1), np.float64))


def _bare(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("w", np.ones(4, np.float32))


def _split(writer: gguf.GGUFWriter) -> None:
    writer.add_uint16("split.no", 0)
    writer.add_uint16("split.count", 1)
    writer.add_int32("split.tensors.count", 1)
    writer.add_tensor("w", np.ones(4, np.int32))
