"""What the headers tell of a model."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import ModelMetadata, Origin
from modelshelf_safetensors.quantization import Hints, count_parameters
from modelshelf_safetensors.strict_json import Members, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.reader import ArtifactReader
    from modelshelf_safetensors.checkpoint import Checkpoint
    from modelshelf_safetensors.layout import Layout

FORMAT = "safetensors"

_PACKED_WORDS = frozenset({"I32", "U32"})
_MOST_CONFIG_BYTES = 4 << 20
_MOST_DETAILS = 64  # entries of __metadata__ that are kept; trainers write hundreds
_LONGEST_DETAIL = 256  # characters
_ELLIPSIS = "…"

# The keys of __metadata__ that name a thing, best first: the ModelSpec standard's
# (github.com/Stability-AI/ModelSpec), then those of the trainers and exporters in use.
_TITLES = ("modelspec.title", "ss_output_name", "model_name", "title", "name")
_ARCHITECTURES = ("modelspec.architecture", "architecture", "model_type")
_LICENSES = ("modelspec.license", "license")
_BASE_MODELS = ("base_model", "ss_sd_model_name")
_TAGS = ("modelspec.tags", "tags")
_VERSIONS = ("modelspec.version", "version")

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
    tensors = dict(checkpoint.tensors())
    counted = count_parameters(tensors, _hints(reader, tensors))
    types = Counter(layout.dtype for layout in tensors.values())
    stored = sum(header.data_size for header in checkpoint.headers.values())
    whole = checkpoint.complete
    parameters = counted.parameters if whole and tensors else None
    dominant = next((dtype for dtype, _ in counted.by_dtype.most_common(1)), None)
    facts = checkpoint.metadata
    named, keys = _named(facts)
    told = ModelMetadata.told(
        Origin.HEADER,
        "tensors",
        format=FORMAT,
        quantization=counted.label or dominant,
        parameters=parameters,
        bits_per_weight=round(stored * 8 / parameters, 4) if parameters else None,
        tensor_count=len(tensors) if whole else None,
        tensor_types=dict(types) if whole else None,
        details={**_adapter(tensors), **_version(facts), **_details(facts)},
        **named,
    )
    return told.cite(format="header", **keys)


def _named(facts: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields that ``__metadata__`` fills, and under which key each was found."""
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    wanted = (
        ("title", _TITLES),
        ("architecture", _ARCHITECTURES),
        ("license", _LICENSES),
        ("base_model", _BASE_MODELS),
        ("tags", _TAGS),
    )
    for field, candidates in wanted:
        key = next((one for one in candidates if facts.get(one, "").strip()), None)
        if key is None:
            continue
        text = facts[key].strip()[:_LONGEST_DETAIL]
        values[field] = _words(text) if field == "tags" else text
        keys[field] = f"__metadata__ {key}"
    return values, keys


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))


def _version(facts: Mapping[str, str]) -> dict[str, str]:
    key = next((one for one in _VERSIONS if facts.get(one, "").strip()), None)
    return {} if key is None else {"model_version": facts[key].strip()[:_LONGEST_DETAIL]}


def _details(facts: Mapping[str, str]) -> dict[str, str]:
    """Entries of ``__metadata__``, the first of them and each cut to a length that a record can bear."""
    kept = list(facts.items())[:_MOST_DETAILS]
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
