"""The metadata of a model, from the headers of its tensors."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf.model.usual import with_likely
from modelshelf.packing import Counted, count_parameters, may_be_packed, read_settings
from modelshelf_pytorch.containers.dispatch import inspect_readable
from modelshelf_pytorch.kinds import kind_facts
from modelshelf_pytorch.tensors import count_of, elements_of, parameters_by_name, stored_bytes, types_of

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader
    from modelshelf_pytorch.containers.inspection import Inspection

_COUNTED_KEY = "pytorch parameters"
_MOST_BY_NAME = 1 << 18  # tensors that are looked up by name

_BY_NAMES = Provenance(Origin.HEADER, "the tensors' names")
_ORIGIN_DETAILS = {
    "zip": "data.pkl",
    "torchscript": "data.pkl",
    "legacy": "the pickled object",
    "pickle": "the pickle",
    "npy": "the array's header",
    "exported": "the weights' config",
}
"""Where the values come from, by the kind of an `Inspection`."""


def extract(artifact: Artifact, format: str, reader: ArtifactReader) -> ModelMetadata:
    """Return the metadata of a model from all its files that can be read.

    Parameters are the elements of the model's own tensors. Optimizer state and the like, where a checkpoint
    keeps it beside the model, is not counted; the details say how many tensors that leaves out. A storage
    that several names share counts once. Of a model that lacks a file, or has one that cannot be read, no
    number is given.
    """
    shards = tuple(inspect_readable(artifact, reader).values())
    tensors = tuple(tensor for shard in shards for tensor in shard.contents.model)
    first = shards[0] if shards else None
    origin_detail = _ORIGIN_DETAILS.get(first.kind, "") if first is not None else ""
    details: dict[str, Any] = {}
    for shard in shards:
        details |= shard.details
    left_out = sum(count_of(shard.contents.all) - count_of(shard.contents.model) for shard in shards)
    if left_out:
        details["tensors_not_counted"] = left_out
    part = next((shard.contents.part for shard in shards if shard.contents.part), "")
    if part:
        details["model_part"] = part
    if first is not None:
        details["container"] = first.kind
    described = any(one.name == "config.json" for one in artifact.companions)
    kind = kind_facts(shards, described=described)
    details |= kind.details
    if not tensors:
        others = _as_stored_all(shards)  # an optimizer's, whose file may be named after another type
        quantization = max(others, key=others.__getitem__, default=None)
        return ModelMetadata.partial(
            Origin.HEADER,
            origin_detail,
            format=format,
            quantization=quantization,
            details=details,
            **kind.fields,
        )
    whole = len(shards) == len(artifact.weights) and not artifact.missing
    counted = count_model(artifact, reader) if format != "numpy" else _as_stored(shards, scalars=True)
    parameters = counted.parameters if whole else None
    dominant = next((dtype for dtype, _ in counted.by_dtype.most_common(1)), None)
    metadata = ModelMetadata.partial(
        Origin.HEADER,
        origin_detail,
        format=format,
        parameters=parameters,
        quantization=counted.label or dominant,
        tensor_count=count_of(tensors) if whole else None,
        tensor_types=types_of(tensors) if whole else None,
        bits_per_weight=_bits_per_weight(shards, parameters) if parameters else None,
        details=details,
        **kind.fields,
    )
    metadata = metadata.cite(
        quantization="the tensors' element types",
        parameters="the tensors' shapes",
        **dict.fromkeys(kind.fields, _BY_NAMES.detail),
    )
    return with_likely(metadata, kind.likely, _BY_NAMES)


def count_model(artifact: Artifact, reader: ArtifactReader) -> Counted:
    """Count the parameters of all files that can be read, once for all hooks."""
    return reader.once(_COUNTED_KEY, lambda: _count(artifact, reader))


def _count(artifact: Artifact, reader: ArtifactReader) -> Counted:
    shards = tuple(inspect_readable(artifact, reader).values())
    types = {dtype for shard in shards for dtype in types_of(shard.contents.model)}
    tensors = sum(count_of(shard.contents.model) for shard in shards)
    if not may_be_packed(types) or tensors > _MOST_BY_NAME:
        return _as_stored(shards)
    named = {name: one for shard in shards for name, one in parameters_by_name(shard.contents.model).items()}
    return count_parameters(named, read_settings(reader))


def _as_stored_all(shards: tuple[Inspection, ...]) -> Counter[str]:
    """Elements by type of all tensors, the optimizer's too."""
    elements: Counter[str] = Counter()
    for shard in shards:
        elements.update(elements_of(shard.contents.all))
    return elements


def _as_stored(shards: tuple[Inspection, ...], *, scalars: bool = False) -> Counted:
    """Count elements as they are, of tensors without dimensions too if asked; files share no storage."""
    elements: Counter[str] = Counter()
    for shard in shards:
        elements.update(elements_of(shard.contents.model, scalars=scalars))
    return Counted(parameters=elements.total(), by_dtype=elements)


def _bits_per_weight(shards: tuple[Inspection, ...], parameters: int) -> float | None:
    """Return the bits stored per parameter; no storage is shared between shards."""
    size = sum(stored_bytes(shard.contents.model) for shard in shards)
    return round(8 * size / parameters, 3) if parameters and size else None
