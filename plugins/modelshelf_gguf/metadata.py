"""Turn headers into `ModelMetadata`, every value with the key that it was read from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf_gguf import keys
from modelshelf_gguf.kinds import kind_facts
from modelshelf_gguf.layout import INTEGERS
from modelshelf_gguf.memory_facts import EXPERTS, memory_facts
from modelshelf_gguf.quantization import (
    BITNET_TENSOR_TYPES,
    FILE_TYPES,
    file_type_name,
    quantization_of,
    tensor_type_name,
)

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header, TensorInfo
    from modelshelf_gguf.quantization import Quantization

_TABLE = "tensor table"
_MAX_PARAMETERS = 2**63 - 1
_MAX_BASE_MODELS = 64

_BITNET_FILE_TYPES = {38: "TL1", 39: "TL2", 40: "I2_S"}
_OLLAMA_MXFP4 = 4
_MIXTURE = re.compile(r"(?<![A-Z0-9])(UD-)?((?:IQ|TQ|Q)[1-8]_[0-9A-Z]+(?:_[0-9A-Z]+)?)(?![A-Z0-9])")
_PART = re.compile(r"\.part\d+of\d+$|\.\d{3}$|[-.]split-?[a-z]{1,2}$", re.IGNORECASE)  # cut by bytes
_BITS_IN_NAME = re.compile(r"(?<=Q)\d")

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


def metadata_of(headers: Sequence[Header], *, complete: bool = True) -> ModelMetadata:
    """Make the metadata of one model out of its headers; the key-values are the first shard's.

    Args:
        headers: One per weight file, in shard order, at least one.
        complete: Whether no shard is known to be missing.
    """
    complete = complete and not _lacks_shards(headers)
    first = headers[0]
    kind = kind_facts(headers)
    values: dict[str, Any] = {"format": "gguf"}
    provenance = {"format": _provenance("GGUF header")}
    for fields in (
        _general(first),
        _dimensions(first),
        _tokenizer(first),
        _lists(first),
        _of_tensors(headers, complete=complete),
        kind.fields,
    ):
        for name, value, key in fields:
            if value is not None:
                values[name], provenance[name] = value, _provenance(key)
    if "parameters" in values:
        provenance["parameter_count"] = _provenance(_TABLE)
    details = _details(headers, complete=complete) | kind.details
    return ModelMetadata(**values, details=details, provenance=provenance)


@lru_cache(maxsize=512)
def _provenance(key: str) -> Provenance:
    return Provenance(Origin.HEADER, key)


@lru_cache(maxsize=64)
def _keys_below(architecture: str | None) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Give the names and keys below an architecture's prefix: of fields, and of details."""
    tables = (keys.ARCHITECTURE_FIELDS, _ARCHITECTURE_DETAILS)
    return tuple(
        tuple((name, f"{architecture}.{suffix}") for name, suffix in table.items()) for table in tables
    )


def number_per_block(header: Header, key: str) -> int | tuple[int, ...] | None:
    """Return the number at `key`, a tuple of one for each block where they differ, or None.

    Writers give one number, or an array with one for each block (llama.cpp, `get_key_or_arr`).
    """
    if key not in header.fields:
        return None
    number = header.integer(key)
    if number is not None:
        return number
    items = header.items(key, INTEGERS)
    if not items or min(items) < 0:
        return None
    return int(items[0]) if len(set(items)) == 1 else tuple(map(int, items))


def _general(header: Header) -> Iterator[tuple[str, Any, str]]:
    yield "architecture", header.text(keys.ARCHITECTURE), keys.ARCHITECTURE
    yield "title", header.text(keys.TITLE), keys.TITLE
    yield "license", header.text(keys.LICENSE), keys.LICENSE


def _dimensions(header: Header) -> Iterator[tuple[str, Any, str]]:
    for name, key in _keys_below(header.text(keys.ARCHITECTURE))[0]:
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
        text = header.text(key)
        yield name, (text,) if text else header.items(key, keys.TEXT) or None, key
    count = min(header.integer(keys.BASE_MODELS) or 0, _MAX_BASE_MODELS)
    bases = [base for base in (_base_model(header, index) for index in range(count)) if base]
    yield "base_model", tuple(bases) or None, "general.base_model"


def _base_model(header: Header, index: int) -> str | None:
    """Return a base model's ``organisation/name`` where its address is a repository's, else its name."""
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


def _lacks_shards(headers: Sequence[Header]) -> bool:
    """Whether there is more of a model than here: shards, if only behind the first one's data, or pieces."""
    count = headers[0].integer(keys.SPLIT_COUNT) or 0
    return (count > 1 and count != len(headers)) or _PART.search(headers[0].file) is not None


def _of_tensors(headers: Sequence[Header], *, complete: bool) -> Iterator[tuple[str, Any, str]]:
    """Sum over all shards; nothing where a table could not be read to its end, for a part is no sum."""
    if any(header.fault for header in headers):
        return
    tensors = [tensor for header in headers for tensor in header.tensors]
    if complete:
        yield "tensor_count", len(tensors), _TABLE
    if not tensors:
        return
    numbers = Counter(tensor.type for tensor in tensors).most_common()
    if complete:
        yield "tensor_types", {tensor_type_name(number): count for number, count in numbers}, _TABLE
    declared = declared_file_type(headers[0])
    quantization = quantization_of(declared, tensors)
    own = name_of_mixture(headers[0].file, quantization)
    if own is not None:
        yield "quantization", own, f"{keys.FILE_TYPE} and the file's name"
    else:
        yield "quantization", quantization.name, keys.FILE_TYPE if quantization.name == declared else _TABLE
    elements = sum(tensor.elements for tensor in tensors)
    if elements > _MAX_PARAMETERS or not complete:
        return
    yield "parameters", elements, _TABLE
    bits = _bits_per_weight(tensors, elements)
    if bits is not None:
        yield "bits_per_weight", bits, _TABLE


def declared_file_type(header: Header) -> str | None:
    """Return the name of a `general.file_type`; None where it is absent or unknown.

    Ollama's own files of 2025 and Microsoft's BitNet have numbers of their own.
    """
    number = header.integer(keys.FILE_TYPE)
    if number in _BITNET_FILE_TYPES and any(one.type in BITNET_TENSOR_TYPES for one in header.tensors):
        return _BITNET_FILE_TYPES[number]
    if number == _OLLAMA_MXFP4 and header.text(keys.ARCHITECTURE) == "gptoss":
        return "MXFP4"
    return None if number is None else file_type_name(number)


def _bits_per_weight(tensors: Sequence[TensorInfo], elements: int) -> float | None:
    sizes = [tensor.size for tensor in tensors]
    if not elements or None in sizes:
        return None
    return round(8 * sum(size for size in sizes if size) / elements, 4)


def name_of_mixture(file: str, quantization: Quantization) -> str | None:
    """The name of a mixture that has no number, by the file's name: ``UD-Q4_K_XL``, ``Q4_K_L``.

    It is believed where the number, or the type of most elements, is of as many bits.
    """
    *_, found = (None, *_MIXTURE.finditer(file.upper()))  # the last one
    if found is None or not (found[1] or found[0].endswith(("XL", "_L"))) or found[0] in FILE_TYPES.values():
        return None
    bits = _BITS_IN_NAME.search(found[2])
    named = [_BITS_IN_NAME.search(one) for one in (quantization.declared, quantization.dominant) if one]
    return found[0] if bits and any(one and one[0] == bits[0] for one in named) else None


def _active_parameters(headers: Sequence[Header]) -> int | None:
    """Parameters that one token uses: all but the experts that are not chosen for it."""
    first = headers[0]
    architecture = first.text(keys.ARCHITECTURE)
    count = first.integer(f"{architecture}.expert_count")
    used = first.integer(f"{architecture}.expert_used_count")
    if not count or not used or used > count:
        return None
    tensors = [tensor for header in headers for tensor in header.tensors]
    experts = sum(tensor.elements for tensor in tensors if EXPERTS.search(tensor.name))
    if not experts or experts % count:
        return None
    return sum(tensor.elements for tensor in tensors) - experts // count * (count - used)


def _details(headers: Sequence[Header], *, complete: bool) -> dict[str, Any]:
    first = headers[0]
    details: dict[str, Any] = {
        "gguf_version": first.version or None,
        "byte_order": first.byte_order if first.version else None,
        "alignment": first.alignment if first.fault is None else None,
    }
    fields, (below, more) = first.fields, _keys_below(first.text(keys.ARCHITECTURE))
    details |= {name: first.text(key) for name, key in _DETAIL_TEXTS.items() if key in fields}
    details |= {name: first.integer(key) for name, key in _DETAIL_NUMBERS.items() if key in fields}
    for name, key in more:
        value = number_per_block(first, key)
        details[name] = list(value) if isinstance(value, tuple) else value
    for name, key in below:
        value = number_per_block(first, key)
        if isinstance(value, tuple):
            details[name] = list(value)
    details["memory"] = memory_facts(headers)
    if complete and "expert_count" in details and not any(header.fault for header in headers):
        details["active_parameters"] = _active_parameters(headers)
    return {name: value for name, value in details.items() if value is not None}
