"""What the headers tell of a model."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import ModelMetadata, Origin
from modelshelf_safetensors.compact import texts_of
from modelshelf_safetensors.described import (
    ARCHITECTURES,
    BASE_MODELS,
    LICENSES,
    LONGEST_READ,
    MOST_DETAILS,
    TAGS,
    TITLES,
    VERSIONS,
)
from modelshelf_safetensors.quantization import (
    Counted,
    Hints,
    count_parameters,
    may_be_packed,
    may_hold_packed,
)
from modelshelf_safetensors.strict_json import Members, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.reader import ArtifactReader
    from modelshelf_safetensors.checkpoint import Checkpoint
    from modelshelf_safetensors.layout import Layout

FORMAT = "safetensors"

MOST_RECOGNISED = 48 << 20
"""Bytes of headers whose tensors are held by name, so that packed weights and adapters are recognised; the
largest models of 2025, of 210,000 tensors, have 28 MB."""

_PACKED_WORDS = frozenset({"I32", "U32"})
_MOST_CONFIG_BYTES = 4 << 20
_LONGEST_DETAIL = 256  # characters
_ELLIPSIS = "…"

_ADAPTERS = (
    ("lora", re.compile(r"\.lora[._](?:a|b|down|up)[.\n]|\.lora_embedding_[ab]\b")),
    ("loha", re.compile(r"\.hada_w[12]_[ab]\b")),
    ("lokr", re.compile(r"\.lokr_w[12](?:_[ab])?\b")),
)
# Matrices whose first dimension is the rank.
_RANKED = re.compile(r"\.lora[._](?:a|down)[.\n]")


def extract(checkpoint: Checkpoint, reader: ArtifactReader) -> ModelMetadata:
    """Tell all that the headers say.

    Parameters and tensors are counted only where every shard could be read.
    """
    whole = checkpoint.complete
    stored = sum(header.data_size for header in checkpoint.headers.values())
    if sum(header.length for header in checkpoint.headers.values()) <= MOST_RECOGNISED:
        tensors = dict(checkpoint.tensors())
        counted = count_parameters(tensors, _hints(reader, tensors))
        types, adapter = Counter(layout.dtype for layout in tensors.values()), _adapter(tensors)
    else:
        counted, types, adapter = *_of_many(checkpoint), {}
    count = types.total()
    parameters = counted.parameters if whole and count else None
    dominant = next((dtype for dtype, _ in counted.by_dtype.most_common(1)), None)
    facts = checkpoint.metadata
    named, keys = _named(facts)
    told = ModelMetadata.partial(
        Origin.HEADER,
        "tensors",
        format=FORMAT,
        quantization=counted.label or dominant,
        parameters=parameters,
        bits_per_weight=round(stored * 8 / parameters, 4) if parameters else None,
        tensor_count=count if whole else None,
        tensor_types=dict(types) if whole else None,
        details={**adapter, **_version(facts), **_details(facts)},
        **named,
    )
    return told.cite(format="header", **keys)


def _of_many(checkpoint: Checkpoint) -> tuple[Counted, Counter[str]]:
    """Parameters and types of more tensors than are held by name; equal names in several files count each."""
    types: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for header in checkpoint.headers.values():
        for dtype, (tensors, held) in header.tallied().items():
            types[dtype] += tensors
            elements[dtype] += held
    packed = may_be_packed(types) and any(
        may_hold_packed(text) for header in checkpoint.headers.values() for text in texts_of(header.names)
    )
    return Counted(parameters=None if packed else elements.total(), by_dtype=elements), types


def _named(facts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields that ``__metadata__`` fills, and under which key each was found."""
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    wanted = (
        ("title", TITLES),
        ("architecture", ARCHITECTURES),
        ("license", LICENSES),
        ("base_model", BASE_MODELS),
        ("tags", TAGS),
    )
    for field, candidates in wanted:
        key = next((one for one in candidates if facts.get(one, "")[:LONGEST_READ].strip()), None)
        if key is None:
            continue
        text = facts[key][:LONGEST_READ].strip()[:_LONGEST_DETAIL]
        values[field] = _words(text) if field == "tags" else text
        keys[field] = f"__metadata__ {key}"
    return values, keys


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _version(facts: Mapping[str, str]) -> dict[str, str]:
    key = next((one for one in VERSIONS if facts.get(one, "")[:LONGEST_READ].strip()), None)
    return {} if key is None else {"model_version": facts[key][:LONGEST_READ].strip()[:_LONGEST_DETAIL]}


def _details(facts: Mapping[str, str]) -> dict[str, str]:
    """Entries of ``__metadata__``, the first of them and each cut to a length that a record can bear."""
    kept = list(facts.items())[:MOST_DETAILS]
    return {f"metadata.{_cut(key)}": _cut(text) for key, text in kept}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + _ELLIPSIS


def _adapter(tensors: Mapping[str, Layout]) -> dict[str, Any]:
    """The kind of adapter that most of the tensors belong to, and the largest rank of a LoRA."""
    lowered = "\n".join(tensors).lower() + "\n"
    for kind, mark in _ADAPTERS:
        if mark.search(lowered) is None:
            continue
        ours = [name for name in tensors if mark.search(f"{name.lower()}\n")]
        if len(ours) * 2 <= len(tensors):
            continue
        down = (tensors[name] for name in ours if _RANKED.search(f"{name.lower()}\n"))
        rank = max((layout.shape[0] for layout in down if layout.shape), default=None)
        return {"adapter": kind} if rank is None else {"adapter": kind, "adapter_rank": rank}
    return {}


def _hints(reader: ArtifactReader, tensors: Mapping[str, Layout]) -> Hints:
    """What ``config.json`` tells of packed words; read only where there are any."""
    if not any(layout.dtype in _PACKED_WORDS for layout in tensors.values()):
        return Hints()
    one = next((one for one in reader.artifact.companions if one.name == "config.json"), None)
    if one is None or one.size > _MOST_CONFIG_BYTES:
        return Hints()
    try:
        return hints_of(reader.file(one.name).read(0, one.size))
    except ReadError:
        return Hints()  # the companion's own fault, which is not told as this file's


def hints_of(raw: bytes) -> Hints:
    """Read bits and group size from the bytes of a ``config.json``; nothing where it is broken."""
    try:
        config = parse(raw.decode("utf-8-sig"))
    except ValueError:
        return Hints()
    told = _member(config, "quantization") or _member(config, "quantization_config")
    weights = _member(_first(_member(told, "config_groups")), "weights")
    return Hints(
        group_size=_positive(_member(told, "group_size")),
        bits=_positive(_member(told, "bits")) or _positive(_member(weights, "num_bits")),
    )


def _member(value: Any, key: str) -> Any:
    return dict(value).get(key) if isinstance(value, Members) else None


def _first(value: Any) -> Any:
    return value[0][1] if isinstance(value, Members) and value else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
