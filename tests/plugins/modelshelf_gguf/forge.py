"""Bytes of GGUF files, right and wrong, and what the plugin says of them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from attrs import frozen

from modelshelf.errors import ReadError
from modelshelf.model import Depth, Finding, HealthStatus, ModelMetadata
from modelshelf.model.health import status_of
from modelshelf.reader import FileReader
from modelshelf_gguf import modelshelf_extract_metadata, modelshelf_probe_health
from modelshelf_gguf.layout import Layout
from modelshelf_gguf.parse_state import Cursor, EntryTable, HeaderBudget, ParseState
from modelshelf_gguf.string_arrays import skip_strings
from tests.support import artifact_of, reader_of

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = dict(zip((U8, I8, U16, I16, U32, I32, F32, BOOL, U64, I64, F64), "BbHhIifBQqd", strict=True))


@frozen(kw_only=True)
class Verdict:
    """What the hooks say of one model."""

    status: HealthStatus
    findings: tuple[Finding, ...]
    metadata: ModelMetadata

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in self.findings}

    def finding(self, code: str) -> Finding:
        return next(finding for finding in self.findings if finding.code == code)


def verdict(*paths: Path, missing: tuple[str, ...] = (), depth: Depth = Depth.HEADER) -> Verdict:
    artifact = artifact_of(*paths, missing=missing)
    with reader_of(*paths, missing=missing) as reader:
        metadata = modelshelf_extract_metadata(artifact, "gguf", reader)
        findings = tuple(modelshelf_probe_health(artifact, "gguf", reader, depth) or ())
    assert metadata is not None
    return Verdict(status=status_of(findings), findings=findings, metadata=metadata)


def string(raw: bytes, order: str = "<", count: str = "Q") -> bytes:
    return struct.pack(order + count, len(raw)) + raw


def pair(key: bytes, kind: int, value: object, order: str = "<", count: str = "Q") -> bytes:
    return string(key, order, count) + struct.pack(order + "I", kind) + encoded(kind, value, order, count)


def encoded(kind: int, value: object, order: str = "<", count: str = "Q") -> bytes:
    """A value; an array is given as (element type, list), raw bytes stand for themselves in a string."""
    if kind == STRING:
        return string(value, order, count)
    if kind == ARRAY:
        item, items = value
        head = struct.pack(f"{order}I{count}", item, len(items))
        return head + b"".join(encoded(item, one, order, count) for one in items)
    return struct.pack(order + CODES[kind], value)


def tensor(
    name: bytes, shape: tuple[int, ...], kind: int, offset: int, order: str = "<", count: str = "Q"
) -> bytes:
    rest = struct.pack(f"{order}I{len(shape)}{count}IQ", len(shape), *shape, kind, offset)
    return string(name, order, count) + rest


def file(
    fields: list[bytes] | tuple[bytes, ...] = (),
    tensors: list[bytes] | tuple[bytes, ...] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    order: str = "<",
    alignment: int = 32,
) -> bytes:
    count = "I" if version == 1 else "Q"
    head = b"GGUF" + struct.pack(f"{order}I{count}{count}", version, len(tensors), len(fields))
    head += b"".join(fields) + b"".join(tensors)
    return head + bytes(-len(head) % alignment) + data if tensors else head


def save(folder: Path, content: bytes, name: str = "model.gguf") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read_table(
    table: type[EntryTable[Any]],
    content: FileReader,
    count: int,
    layout: Layout,
    budget: HeaderBudget | None = None,
) -> tuple[Any, ...]:
    """What a table that begins a file reads as: entries, end, findings, what is left of the budget, error."""
    state = ParseState(
        cursor=Cursor(content), layout=layout, skip_strings=skip_strings, budget=budget or HeaderBudget()
    )
    entries, fault = table(state, count), None
    try:
        entries.read()
    except ReadError as error:
        fault = (type(error), error.code, str(error), error.offset)
    return list(entries.entries.items()), state.cursor.position, state.findings, state.budget, fault


LLAMA_VALUES = {
    "context_length": 4096,
    "embedding_length": 64,
    "block_count": 2,
    "feed_forward_length": 128,
    "head_count": 8,
    "head_count_kv": 2,
}


def write_llama(
    path: Path,
    *,
    file_type: int | None = gguf.LlamaFileType.MOSTLY_Q8_0,
    quantization: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.Q8_0,
    endianess: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE,
    tokens: int = 32,
    **extra: object,
) -> Path:
    """A small sound model as the real writer makes it: two matrices, two norms."""
    writer = gguf.GGUFWriter(path, "llama", endianess=endianess)
    for name, value in LLAMA_VALUES.items():
        getattr(writer, f"add_{name}")(value)
    writer.add_name("Tiny Llama")
    writer.add_license("apache-2.0")
    writer.add_tags(["text-generation", "tiny"])
    writer.add_languages(["en", "de"])
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{index}" for index in range(tokens)])
    writer.add_token_types([1] * tokens)
    for key, value in extra.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    _add_tensors(writer, quantization)
    for step in ("header_to_file", "kv_data_to_file", "tensors_to_file"):
        getattr(writer, f"write_{step}")()
    writer.close()
    return path


def _add_tensors(writer: gguf.GGUFWriter, quantization: gguf.GGMLQuantizationType) -> None:
    rows = np.random.default_rng(1).standard_normal((8, 256)).astype(np.float32)
    for block in range(2):
        data = gguf.quants.quantize(rows, quantization)
        raw = None if quantization in {0, 1} else quantization
        writer.add_tensor(f"blk.{block}.ffn_up.weight", data, raw_dtype=raw)
        writer.add_tensor(f"blk.{block}.ffn_norm.weight", np.ones(64, np.float32))
