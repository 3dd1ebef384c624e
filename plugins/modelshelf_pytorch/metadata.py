"""What a checkpoint's tensors tell of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.model import ModelMetadata, Origin
from modelshelf_pytorch.tensors import count_of, elements_of, stored_bytes, types_of

if TYPE_CHECKING:
    from modelshelf_pytorch.containers.inspection import Inspection

_SOURCES = {
    "zip": "data.pkl",
    "torchscript": "data.pkl",
    "legacy": "the pickled object",
    "pickle": "the pickle",
    "npy": "the array's header",
    "exported": "the weights' config",
}


def metadata_of(format: str, shards: tuple[Inspection, ...]) -> ModelMetadata:  # the hook's own word
    """The metadata of a model from all its files; parameters are the elements of the model's own tensors.

    Optimizer state and the like, where a checkpoint keeps it beside the model, is not counted; the details
    say how many tensors that leaves out. A tensor that two names share counts for each, as in a state dict.
    """
    tensors = tuple(one for shard in shards for one in shard.contents.model)
    first = shards[0] if shards else None
    detail = _SOURCES.get(first.kind, "") if first is not None else ""
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
    if not tensors:
        return ModelMetadata.partial(Origin.HEADER, detail, format=format, details=details)
    elements = elements_of(tensors)
    parameters = sum(elements.values())
    told = ModelMetadata.partial(
        Origin.HEADER,
        detail,
        format=format,
        parameters=parameters,
        quantization=max(elements, key=elements.__getitem__),
        tensor_count=count_of(tensors),
        tensor_types=types_of(tensors),
        bits_per_weight=_bits_per_weight(shards, parameters),
        details=details,
    )
    return told.cite(quantization="the tensors' element types", parameters="the tensors' shapes")


def _bits_per_weight(shards: tuple[Inspection, ...], parameters: int) -> float | None:
    """Bits stored per parameter; shards are storages of their own, so each counts its shared ones once."""
    size = sum(stored_bytes(shard.contents.model) for shard in shards)
    return round(8 * size / parameters, 3) if parameters and size else None
