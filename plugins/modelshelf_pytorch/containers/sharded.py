"""``pytorch_model.bin.index.json``: which tensor lies in which shard.

Source: transformers' ``save_pretrained`` (``{"metadata": {"total_size": N}, "weight_map": {tensor: file}}``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import FormatError
from modelshelf_pytorch.tensors import stored_bytes
from modelshelf_pytorch.verdict import Issue, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader
    from modelshelf_pytorch.containers.inspection import Inspection

_LARGEST_INDEX = 64 * 1024 * 1024  # bytes; a million tensors take about that
_MOST_NAMED = 20  # tensors of one kind of fault that are named one by one


@frozen(kw_only=True)
class Index:
    """A shard index.

    Attributes:
        weight_map: Tensor name to shard file name.
        total_size: Bytes of all tensors, or None where it is not told.
    """

    weight_map: dict[str, str]
    total_size: int | None = None


def read_index(reader: ArtifactReader, name: str) -> Index:
    """Read the index.

    Raises:
        FormatError: It is no index, or names a file outside its folder.
        ReadError: It cannot be read.
    """
    import json

    file = reader.file(name)
    if file.size > _LARGEST_INDEX:
        raise _bad(name, f"it has {file.size} bytes")
    try:
        told: Any = json.loads(file.read(0, file.size).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"it is no JSON: {error}") from None
    weights = told.get("weight_map") if isinstance(told, dict) else None
    if not isinstance(weights, dict):
        raise _bad(name, "it has no weight_map")
    for tensor, shard in weights.items():
        if not isinstance(shard, str) or not shard or shard in {".", ".."} or set(shard) & {"/", "\\", "\0"}:
            raise _bad(
                name, f"the shard of {tensor!r} is {shard!r}, which is no file beside it", "index-unsafe-path"
            )
    metadata = told.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, dict) else None
    return Index(weight_map=weights, total_size=total if type(total) is int else None)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _bad(name: str, what: str, code: str = "index-malformed") -> FormatError:
    return FormatError(f"{name}: the shard index cannot be used: {what}", code=code, file=name)


def index_issues(artifact: Artifact, index: Index, shards: dict[str, Inspection]) -> list[tuple[str, Issue]]:
    """Where the index and the shards disagree, each with the file it is about.

    Args:
        artifact: The model.
        index: Its index.
        shards: The shards that could be read, by file name.
    """
    file = artifact.index.name if artifact.index is not None else artifact.primary
    found: list[tuple[str, Issue]] = []
    held = {name: {one.name for one in shard.contents.tensors} for name, shard in shards.items()}
    lost = [
        (tensor, shard)
        for tensor, shard in index.weight_map.items()
        if shard in held and tensor not in held[shard]
    ]
    found += [
        (file, unreadable("missing-tensor", f"the tensor {tensor!r} is not in {shard}"))
        for tensor, shard in lost
    ]
    present = {one.name for one in artifact.weights} | set(artifact.missing)
    for shard in sorted(set(index.weight_map.values()) - present):
        found.append(
            (file, unreadable("missing-shard", f"the shard {shard} that the index names is not there"))
        )
    for name, tensors in held.items():
        extra = sorted(tensor for tensor in tensors if index.weight_map.get(tensor) != name)
        if extra:
            message = (
                f"{len(extra)} tensors are here that the index does not place here, such as {extra[0]!r}"
            )
            found.append((name, suspicious("misplaced-tensor", message)))
    total = sum(stored_bytes(shard.contents.all) for shard in shards.values())
    complete = len(shards) == len(artifact.weights) and not artifact.missing
    if complete and index.total_size is not None and total < index.total_size:
        message = f"the index tells of {index.total_size} bytes of tensors and the shards hold {total}"
        found.append((file, suspicious("total-size-mismatch", message)))
    return found[:_MOST_NAMED] if len(found) > _MOST_NAMED else found
