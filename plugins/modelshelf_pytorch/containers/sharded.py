"""Read ``pytorch_model.bin.index.json``, the shard of each tensor, and compare it with the shards.

Source: transformers' ``save_pretrained`` (``{"metadata": {"total_size": N}, "weight_map": {tensor: file}}``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import FormatError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.tensors import stored_bytes
from modelshelf_pytorch.verdict import Issue, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader
    from modelshelf_pytorch.containers.inspection import Inspection

_LARGEST_INDEX = 64 * 1024 * 1024  # bytes; a million tensors take about that
_MOST_ISSUES = 20  # that are reported one by one


@frozen(kw_only=True)
class Index:
    """A shard index.

    Attributes:
        weight_map: Tensor name to shard file name.
        total_size: Bytes of all tensors, or None where it is not there.
    """

    weight_map: dict[str, str]
    total_size: int | None = None


def read_index(reader: ArtifactReader, name: str) -> Index:
    """Read the index.

    Raises:
        FormatError: It is no index, or names a file outside its folder.
        ReadError: It cannot be read.
    """
    file = reader.file(name)
    if file.size > _LARGEST_INDEX:
        raise _malformed(name, f"it has {file.size} bytes, more than are read of one", NOT_JUDGED)
    try:
        content: Any = json.loads(file.read(0, file.size).decode("utf-8"), object_pairs_hook=_distinct_keys)
    except (ValueError, RecursionError) as error:
        raise _malformed(name, f"it is no JSON: {error}") from None
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise _malformed(name, "it has no weight_map")
    for tensor, shard in weight_map.items():
        if not isinstance(shard, str) or not shard or shard in {".", ".."} or set(shard) & {"/", "\\", "\0"}:
            what = f"the shard of {tensor!r} is {shard!r}, which is no file beside it"
            raise _malformed(name, what, "index-unsafe-path")
    metadata = content.get("metadata")
    total_size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return Index(weight_map=weight_map, total_size=total_size if type(total_size) is int else None)


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _malformed(name: str, what: str, code: str = "index-malformed") -> FormatError:
    return FormatError(f"{name}: the shard index cannot be used: {what}", code=code, file=name)


def index_issues(artifact: Artifact, index: Index, shards: dict[str, Inspection]) -> list[tuple[str, Issue]]:
    """Return where the index and the shards disagree, each with the file that it is about.

    Args:
        artifact: The model.
        index: Its index.
        shards: The shards that could be read, by file name.
    """
    file = artifact.index.name if artifact.index is not None else artifact.primary
    tensors = {name: {tensor.name for tensor in shard.contents.tensors} for name, shard in shards.items()}
    issues = [
        (file, unreadable("missing-tensor", f"the tensor {tensor!r} is not in {shard}"))
        for tensor, shard in index.weight_map.items()
        if shard in tensors and tensor not in tensors[shard]
    ]
    listed = {weights.name for weights in artifact.weights} | set(artifact.missing)
    issues += [
        (file, unreadable("missing-shard", f"the shard {shard} that the index names is not there"))
        for shard in sorted(set(index.weight_map.values()) - listed)
    ]
    for name, names in tensors.items():
        extra = sorted(tensor for tensor in names if index.weight_map.get(tensor) != name)
        if extra:
            message = (
                f"{len(extra)} tensors are here that the index does not place here, such as {extra[0]!r}"
            )
            issues.append((name, suspicious("misplaced-tensor", message)))
    total = sum(stored_bytes(shard.contents.all) for shard in shards.values())
    complete = len(shards) == len(artifact.weights) and not artifact.missing
    if complete and index.total_size is not None and total < index.total_size:
        message = f"the index tells of {index.total_size} bytes of tensors and the shards hold {total}"
        issues.append((file, suspicious("total-size-mismatch", message)))
    return issues[:_MOST_ISSUES]
