"""The metadata of a model, from the headers of its tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.model import ModelMetadata, Origin, Provenance
from modelshelf.model.usual import with_likely
from modelshelf_pytorch.containers.dispatch import inspect_readable
from modelshelf_pytorch.kinds import kind_facts
from modelshelf_pytorch.tensors import count_of, elements_of, stored_bytes, types_of

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader
    from modelshelf_pytorch.containers.inspection import Inspection

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
    keeps it beside the model, is not counted; the details say how many tensors that leaves out. A tensor that
    has two names counts for each, as in a state dict.
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
        return ModelMetadata.partial(
            Origin.HEADER, origin_detail, format=format, details=details, **kind.fields
        )
    elements = elements_of(tensors)
    parameters = sum(elements.values())
    metadata = ModelMetadata.partial(
        Origin.HEADER,
        origin_detail,
        format=format,
        parameters=parameters,
        quantization=max(elements, key=elements.__getitem__),
        tensor_count=count_of(tensors),
        tensor_types=types_of(tensors),
        bits_per_weight=_bits_per_weight(shards, parameters),
        details=details,
        **kind.fields,
    )
    metadata = metadata.cite(
        quantization="the tensors' element types",
        parameters="the tensors' shapes",
        **dict.fromkeys(kind.fields, _BY_NAMES.detail),
    )
    return with_likely(metadata, kind.likely, _BY_NAMES)


def _bits_per_weight(shards: tuple[Inspection, ...], parameters: int) -> float | None:
    """Return the bits stored per parameter; no storage is shared between shards."""
    size = sum(stored_bytes(shard.contents.model) for shard in shards)
    return round(8 * size / parameters, 3) if parameters and size else None
