"""What the headers say of a model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf.model.usual import with_likely
from modelshelf_safetensors.columns import texts_of
from modelshelf_safetensors.kinds import TENSOR_NAMES, KindFacts, kind_facts
from modelshelf_safetensors.quantization import (
    Counted,
    Hints,
    count_parameters,
    may_be_packed,
    may_name_packed,
)
from modelshelf_safetensors.strict_json import parse
from modelshelf_safetensors.text_map import (
    ARCHITECTURES,
    BASE_MODELS,
    LICENSES,
    MOST_DETAILS,
    TAGS,
    TITLES,
    VERSIONS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.reader import ArtifactReader
    from modelshelf_safetensors.layout import Layout
    from modelshelf_safetensors.sharded import Checkpoint

FORMAT = "safetensors"

MOST_RECOGNISED = 32 << 20
"""Bytes of headers whose packed weights and adapters are recognised, by names and shapes; those of the
largest models of 2025, of 210,000 tensors, have 28 MB together."""

MOST_TENSORS = 1 << 18
"""Tensors of such headers."""

_PACKED_WORDS = frozenset({"I32", "U32"})
_MOST_CONFIG_BYTES = 4 << 20
_LONGEST_DETAIL = 256  # characters
_ELLIPSIS = "…"
_BY_NAMES = Provenance(Origin.HEADER, TENSOR_NAMES)


def extract(checkpoint: Checkpoint, reader: ArtifactReader) -> ModelMetadata:
    """Give all that the headers say.

    Parameters and tensors are counted only where every shard could be read.
    """
    headers = checkpoint.headers.values()
    stored = sum(header.data_size for header in headers)
    kind = KindFacts()
    types: Counter[str] | None
    if _are_recognised(checkpoint):
        tensors = dict(checkpoint.tensors())
        count, types = len(tensors), Counter(layout.dtype for layout in tensors.values())
        counted, kind = count_parameters(tensors, _hints(reader, tensors)), kind_facts(checkpoint, tensors)
    else:
        count = sum(len(header.names) for header in headers)
        counted, types = _count_by_dtype(checkpoint)
    whole = checkpoint.complete
    parameters = counted.parameters if whole and count else None
    dominant = next((dtype for dtype, _ in counted.by_dtype.most_common(1)), None)
    facts = checkpoint.metadata
    named, keys = _named(facts)
    if kind.family is not None and "architecture" not in named and not _is_described(reader):
        named["architecture"], keys["architecture"] = kind.family, TENSOR_NAMES
    metadata = ModelMetadata.partial(
        Origin.HEADER,
        "tensors",
        format=FORMAT,
        quantization=counted.label or dominant,
        parameters=parameters,
        bits_per_weight=round(stored * 8 / parameters, 4) if parameters else None,
        tensor_count=count if whole else None,
        tensor_types=dict(types) if whole and types is not None else None,
        details={**kind.details, **_version(facts), **_details(facts)},
        **kind.fields,
        **named,
    )
    metadata = metadata.cite(format="header", **dict.fromkeys(kind.fields, TENSOR_NAMES), **keys)
    return with_likely(metadata, kind.likely, _BY_NAMES)


def _is_described(reader: ArtifactReader) -> bool:
    return any(one.name == "config.json" for one in reader.artifact.companions)


def _are_recognised(checkpoint: Checkpoint) -> bool:
    headers = checkpoint.headers.values()
    return (
        sum(header.length for header in headers) <= MOST_RECOGNISED
        and sum(len(header.names) for header in headers) <= MOST_TENSORS
        and all(header.layouts is not None for header in headers)
    )


def _count_by_dtype(checkpoint: Checkpoint) -> tuple[Counted, Counter[str] | None]:
    """Count parameters and types of tensors that are not looked up by name; each of equal names counts.

    Neither is known where a header has more shapes than are kept, and repeats names.
    """
    types: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for header in checkpoint.headers.values():
        counts = header.count_by_dtype()
        if counts is None:
            return Counted(parameters=None), None
        for dtype, (tensors, more) in counts.items():
            types[dtype] += tensors
            elements[dtype] += more
    packed = may_be_packed(types) and any(
        may_name_packed(names) for header in checkpoint.headers.values() for names in texts_of(header.names)
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
    key = next((one for one in VERSIONS if facts.get(one, "").strip()), None)
    return {} if key is None else {"model_version": facts[key].strip()[:_LONGEST_DETAIL]}


def _details(facts: Mapping[str, str]) -> dict[str, str]:
    """Entries of ``__metadata__``, the first of them and each cut to a length that a record can bear."""
    kept = list(facts.items())[:MOST_DETAILS]
    return {f"metadata.{_cut(key)}": _cut(text) for key, text in kept}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + _ELLIPSIS


def _hints(reader: ArtifactReader, tensors: Mapping[str, Layout]) -> Hints:
    """What ``config.json`` says of packed words; read only where there are any."""
    if not any(layout.dtype in _PACKED_WORDS for layout in tensors.values()):
        return Hints()
    one = next((one for one in reader.artifact.companions if one.name == "config.json"), None)
    if one is None or one.size > _MOST_CONFIG_BYTES:
        return Hints()
    try:
        return hints_of(reader.file(one.name).read(0, one.size))
    except ReadError:
        return Hints()  # the companion's own fault, which is not said to be this file's


def hints_of(raw: bytes) -> Hints:
    """Read bits and group size from the bytes of a ``config.json``; nothing where it is broken."""
    try:
        config = parse(raw.decode("utf-8-sig"))
    except ValueError:
        return Hints()
    quantization = _member(config, "quantization") or _member(config, "quantization_config")
    weights = _member(_first(_member(quantization, "config_groups")), "weights")
    return Hints(
        group_size=_positive(_member(quantization, "group_size")),
        bits=_positive(_member(quantization, "bits")) or _positive(_member(weights, "num_bits")),
    )


def _member(value: Any, key: str) -> Any:
    return dict(value).get(key) if isinstance(value, tuple) else None


def _first(value: Any) -> Any:
    return value[0][1] if isinstance(value, tuple) and value else None


def _positive(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
