"""Headers to `ModelMetadata`: every value with the key that it was read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelshelf.model import ModelMetadata, Origin
from modelshelf_gguf import keys
from modelshelf_gguf.quantization import quantization_of
from modelshelf_gguf.tables import INTEGERS, file_type_name, tensor_type_name

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header, TensorInfo

_TABLE = "tensor table"
_LARGEST = 2**63 - 1
_MOST_BASE_MODELS = 64

_DETAIL_TEXTS = {
    "type": "general.type",
    "model_version": "general.version",
    "basename": "general.basename",
    "finetune": "general.finetune",
    "size_label": "general.size_label",
    "author": "general.author",
    "organization": "general.organization",
    "quantized_by": "general.quantized_by",
    "description": "general.description",
    "url": "general.url",
    "repo_url": "general.repo_url",
}
_DETAIL_NUMBERS = {
    "file_type": keys.FILE_TYPE,
    "quantization_version": "general.quantization_version",
    "split_count": keys.SPLIT_COUNT,
    "split_tensors_count": keys.SPLIT_TENSORS,
}
_ARCHITECTURE_DETAILS = {
    "feed_forward_length": "feed_forward_length",
    "expert_count": "expert_count",
    "expert_used_count": "expert_used_count",
    "sliding_window": "attention.sliding_window",
}


def metadata_of(headers: Sequence[Header]) -> ModelMetadata:
    """What the headers of one model's files tell; the first shard's key-values speak for all.

    Args:
        headers: One per weight file, in shard order, at least one.
    """
    first = headers[0]
    values: dict[str, Any] = {"format": "gguf"}
    cited: dict[str, str] = {}
    for name, value, key in chain(_general(first), _numbers(first), _tokenizer(first), _lists(first)):
        if value is not None:
            values[name], cited[name] = value, key
    for name, value, key in _of_tensors(headers):
        values[name], cited[name] = value, key
    if "parameters" in values:
        cited["parameter_count"] = _TABLE
    return ModelMetadata.told(Origin.HEADER, "GGUF header", **values, details=_details(headers)).cite(**cited)


def number_per_block(header: Header, key: str) -> int | tuple[int, ...] | None:
    """A number that holds for every block, the blocks' own numbers where they differ, or None.

    Writers give one number, or an array with one for each block (llama.cpp, `get_key_or_arr`).
    """
    one = header.integer(key)
    if one is not None:
        return one
    items = header.items(key, INTEGERS)
    if not items or min(items) < 0:
        return None
    return int(items[0]) if len(set(items)) == 1 else tuple(map(int, items))


def _general(header: Header) -> Iterator[tuple[str, Any, str]]:
    yield "architecture", header.text(keys.ARCHITECTURE), keys.ARCHITECTURE
    yield "title", header.text(keys.TITLE), keys.TITLE
    yield "license", header.text(keys.LICENSE), keys.LICENSE


def _numbers(header: Header) -> Iterator[tuple[str, Any, str]]:
    architecture = header.text(keys.ARCHITECTURE)
    for name, suffix in keys.ARCHITECTURE_FIELDS.items():
        key = f"{architecture}.{suffix}"
        value = number_per_block(header, key)
        yield name, value if isinstance(value, int) else None, key


def _tokenizer(header: Header) -> Iterator[tuple[str, Any, str]]:
    yield "tokenizer", header.text(keys.TOKENIZER), keys.TOKENIZER
    architecture_key = f"{header.text(keys.ARCHITECTURE)}.{keys.ARCHITECTURE_FIELDS['vocab_size']}"
    if header.integer(architecture_key) is None:
        yield "vocab_size", header.count(keys.TOKENS), keys.TOKENS
    if keys.CHAT_TEMPLATE in header.fields:
        yield "chat_template", True, keys.CHAT_TEMPLATE
    elif header.fault is None and keys.TOKENIZER in header.fields:
        yield "chat_template", False, keys.CHAT_TEMPLATE


def _lists(header: Header) -> Iterator[tuple[str, Any, str]]:
    for name, key in (("tags", keys.TAGS), ("languages", keys.LANGUAGES)):
        one = header.text(key)
        yield name, (one,) if one else header.items(key, keys.TEXT) or None, key
    count = min(header.integer(keys.BASE_MODELS) or 0, _MOST_BASE_MODELS)
    bases = [base for base in (_base_model(header, index) for index in range(count)) if base]
    yield "base_model", tuple(bases) or None, "general.base_model"


def _base_model(header: Header, index: int) -> str | None:
    """A base model's ``organisation/name`` where its address is that of a repository, else its name."""
    prefix = f"general.base_model.{index}"
    address = header.text(f"{prefix}.repo_url")
    repository = _repository(address) if address else None
    return repository or header.text(f"{prefix}.name") or address


def _repository(address: str) -> str | None:
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    path = parts.path.strip("/")
    return path if parts.scheme in {"http", "https"} and path.count("/") == 1 else None


def _of_tensors(headers: Sequence[Header]) -> Iterator[tuple[str, Any, str]]:
    """Sums over all shards; nothing where a table could not be read to its end, for a part is no sum."""
    if any(header.fault for header in headers):
        return
    tensors = [tensor for header in headers for tensor in header.tensors]
    yield "tensor_count", len(tensors), _TABLE
    if not tensors:
        return
    numbers = Counter(tensor.type for tensor in tensors).most_common()
    yield "tensor_types", {tensor_type_name(number): count for number, count in numbers}, _TABLE
    declared = declared_file_type(headers[0])
    quantization = quantization_of(declared, tensors)
    yield "quantization", quantization.name, keys.FILE_TYPE if quantization.name == declared else _TABLE
    elements = sum(tensor.elements for tensor in tensors)
    if elements > _LARGEST:
        return
    yield "parameters", elements, _TABLE
    bits = _bits_per_weight(tensors, elements)
    if bits is not None:
        yield "bits_per_weight", bits, _TABLE


def declared_file_type(header: Header) -> str | None:
    """What `general.file_type` names, or None where it is absent or a number that no table knows."""
    number = header.integer(keys.FILE_TYPE)
    return None if number is None else file_type_name(number)


def _bits_per_weight(tensors: Sequence[TensorInfo], elements: int) -> float | None:
    sizes = [tensor.size for tensor in tensors]
    if not elements or None in sizes:
        return None
    return round(8 * sum(size for size in sizes if size) / elements, 4)


def _details(headers: Sequence[Header]) -> dict[str, Any]:
    first = headers[0]
    details: dict[str, Any] = {
        "gguf_version": first.version or None,
        "byte_order": first.byte_order if first.version else None,
        "alignment": first.alignment if first.fault is None else None,
    }
    details |= {name: first.text(key) for name, key in _DETAIL_TEXTS.items()}
    details |= {name: first.integer(key) for name, key in _DETAIL_NUMBERS.items()}
    architecture = first.text(keys.ARCHITECTURE)
    for name, suffix in _ARCHITECTURE_DETAILS.items():
        value = number_per_block(first, f"{architecture}.{suffix}")
        details[name] = list(value) if isinstance(value, tuple) else value
    for name, suffix in keys.ARCHITECTURE_FIELDS.items():
        value = number_per_block(first, f"{architecture}.{suffix}")
        if isinstance(value, tuple):
            details[name] = list(value)
    return {name: value for name, value in details.items() if value is not None}
