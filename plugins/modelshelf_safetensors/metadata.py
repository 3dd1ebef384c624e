"""What the headers say of a model."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf.model.usual import with_likely
from modelshelf.packing import (
    Counted,
    PackingSettings,
    count_parameters,
    may_be_packed,
    may_name_packed,
    read_settings,
)
from modelshelf_safetensors.columns import texts_of
from modelshelf_safetensors.kinds import TENSOR_NAMES, KindFacts, kind_facts
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
    from modelshelf_safetensors.sharded import Checkpoint

FORMAT = "safetensors"

MOST_RECOGNISED = 92 << 20
"""Bytes of headers whose packed weights and adapters are recognised, by names and shapes; those of the
largest models of 2026, of 500,000 tensors, have 80 MB together."""

MOST_TENSORS = 1 << 19
"""Tensors of such headers."""

_PART = re.compile(r"\.part\d+of\d+$|\.\d{3}$|[-.]split-?[a-z]{1,2}$", re.IGNORECASE)
_LEAST_HEADER = 16  # bytes
_COUNTED_KEY = "safetensors parameters"
_STORED_TYPE = "quant_type"  # Ollama's
_SCALE = ".scale"
_LONGEST_DETAIL = 256  # characters
_ELLIPSIS = "…"
_BY_NAMES = Provenance(Origin.HEADER, TENSOR_NAMES)


def extract(checkpoint: Checkpoint, reader: ArtifactReader) -> ModelMetadata:
    """Give all that the headers say.

    Parameters and tensors are counted only where every shard could be read.
    """
    stored = sum(header.data_size for header in checkpoint.headers.values())
    totals = totals_of(checkpoint, reader)
    counted, types, count, kind = totals.counted, totals.types, totals.tensors, totals.kind
    whole = (
        checkpoint.complete and not is_part(reader.artifact.primary) and not _is_joined(checkpoint, reader)
    )
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


@attrs.frozen(kw_only=True)
class Totals:
    """What there is of tensors in a checkpoint, and what they are together.

    Attributes:
        counted: The parameters.
        types: Tensors by dtype, or None where that is unknown.
        tensors: How many tensors there are.
        kind: What they are for, by their names.
    """

    counted: Counted
    types: Counter[str] | None
    tensors: int
    kind: KindFacts = attrs.field(factory=KindFacts)


def totals_of(checkpoint: Checkpoint, reader: ArtifactReader) -> Totals:
    """Count a checkpoint's tensors and parameters, once for all hooks."""
    return reader.once(_COUNTED_KEY, lambda: _count(checkpoint, reader))


def _count(checkpoint: Checkpoint, reader: ArtifactReader) -> Totals:
    if not _are_recognised(checkpoint):
        counted, types = _count_by_dtype(checkpoint, reader)
        tensors = sum(len(header.names) for header in checkpoint.headers.values())
        return Totals(counted=counted, types=types, tensors=tensors)
    layouts = dict(checkpoint.tensors())
    counts = Counter(layout.dtype for layout in layouts.values())
    settings = _settings(checkpoint, reader) if may_be_packed(counts) else PackingSettings()
    return Totals(
        counted=count_parameters(layouts, settings),
        types=counts,
        tensors=len(layouts),
        kind=kind_facts(checkpoint, layouts),
    )


def is_part(name: str) -> bool:
    """Whether a name is that of a piece of a file that was cut by bytes."""
    return _PART.search(name) is not None


def _is_joined(checkpoint: Checkpoint, reader: ArtifactReader) -> bool:
    """Whether another file's header follows the tensors of one, as of shards that were joined."""
    sizes = {one.name: one.size for one in reader.artifact.weights}
    for name, header in checkpoint.headers.items():
        end = header.data_start + header.data_size
        if sizes.get(name, 0) > end + _LEAST_HEADER:
            head = reader.file(name).read_up_to(end, _LEAST_HEADER)
            if head[8:].lstrip().startswith(b"{") and int.from_bytes(head[:8], "little") <= sizes[name] - end:
                return True
    return False


def _are_recognised(checkpoint: Checkpoint) -> bool:
    headers = checkpoint.headers.values()
    return (
        sum(header.length for header in headers) <= MOST_RECOGNISED
        and sum(len(header.names) for header in headers) <= MOST_TENSORS
        and all(header.layouts is not None for header in headers)
    )


def _count_by_dtype(checkpoint: Checkpoint, reader: ArtifactReader) -> tuple[Counted, Counter[str] | None]:
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
    packed = may_be_packed(types) and (
        any(may_name_packed(one) for header in checkpoint.headers.values() for one in texts_of(header.names))
        or read_settings(reader).method
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


def _settings(checkpoint: Checkpoint, reader: ArtifactReader) -> PackingSettings:
    """What the config beside the files, and Ollama's own word in each file, say of the packing."""
    stored: dict[str, str] = {}
    for header in checkpoint.headers.values():
        whole = header.metadata.get(_STORED_TYPE)
        named = any(key.endswith(f".{_STORED_TYPE}") for key in header.metadata)
        for name in header.names if whole or named else ():
            weight = name.removesuffix(_SCALE)
            if name != weight and (kind := header.metadata.get(f"{weight}.{_STORED_TYPE}") or whole):
                stored[weight] = kind
    settings = read_settings(reader)
    return attrs.evolve(settings, stored_types=stored) if stored else settings
