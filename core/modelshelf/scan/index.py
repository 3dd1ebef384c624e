"""The JSON index of a sharded model: which files it names."""

from __future__ import annotations

import json

from modelshelf.errors import FormatError, ReadError
from modelshelf.model import ArtifactFile, Problem
from modelshelf.reader import Budget, LocalFile

_LARGEST_INDEX = 64 * 1024 * 1024  # bytes; the largest in use are about 10 MB


def is_plain_name(name: object) -> bool:
    """Whether a name from an index stays within the folder: no separator, no parent, nothing absolute."""
    return isinstance(name, str) and bool(name) and name not in {".", ".."} and not set(name) & set("/\\\0:")


def shard_names(text: bytes, name: str) -> list[str]:
    """The files that an index's ``weight_map`` names, sorted, each once.

    Names that would leave the folder are left out here; the format's probe names them.

    Raises:
        FormatError: It is not JSON, or has no ``weight_map`` of text.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name}: is not JSON: {error}", code="broken-index", file=name) from None
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise FormatError(f"{name}: has no weight_map that names the shards", code="broken-index", file=name)
    return sorted({shard for shard in weight_map.values() if is_plain_name(shard)})


def read_index(folder: str, index: ArtifactFile) -> list[str] | Problem:
    """Read the index in a folder on this machine; a problem where it cannot be used."""
    path = f"{folder.rstrip('/')}/{index.name}"
    try:
        file = LocalFile(path, index.name, Budget(_LARGEST_INDEX), index)
        try:
            return shard_names(file.read(0, file.size), index.name)
        finally:
            file.close()
    except ReadError as error:
        return Problem(code=error.code, path=path, message=f"{path}: {error}")
