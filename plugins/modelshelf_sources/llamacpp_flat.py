"""llama.cpp's older cache: one flat folder of ``<user>_<repository>_<file>.gguf``.

Beside a file may lie ``<file>.etag`` or ``<file>.json``, and for each repository and tag a
``manifest=<user>=<repository>=<tag>.json`` whose ``ggufFile`` and ``mmprojFile`` name files of it by
``rfilename`` (llama.cpp, ``common/download.cpp`` before it took over the Hub's layout).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_object, text_of
from modelshelf_sources.download_layouts import BESIDE, MANIFEST
from modelshelf_sources.listing import model_id, names_in, stem_of

if TYPE_CHECKING:
    from modelshelf.source import Folder, Listing


_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<ending>\.gguf)", re.DOTALL)

_LONGEST_ETAG = 1024

_MOST_MANIFEST_BYTES = 1024 * 1024


@frozen(kw_only=True)
class _Told:
    """What one manifest says.

    Attributes:
        model_id: ``user/repository:TAG``.
        prefix: What the names of the repository's files begin with.
        model: The name of its weights file, of its first shard where there are several.
        projector: The name of its projector, or None.
        facts: What goes into the record.
    """

    model_id: str
    prefix: str
    model: str
    projector: str | None
    facts: dict[str, Any]


def list_flat(folder: Folder) -> Iterator[Listing]:
    """The models of one flat folder: each with its shards and the projector of its repository."""
    told: dict[str, _Told] = {}
    for name in names_in(folder.path):
        match = MANIFEST.fullmatch(name)
        if match is None:
            continue
        read = _read_manifest(f"{folder.path}/{name}", match)
        if isinstance(read, Problem):
            yield read
        elif read is not None:
            told.setdefault(_key(read.model), read)
    models, projectors, others = _sorted_out(folder, told)
    by_prefix: defaultdict[str, list[ArtifactFile]] = defaultdict(list)
    for one in projectors.values():
        by_prefix[one.name.lower().partition("mmproj")[0]].append(one)
    taken = set()
    for key, files in models.items():
        known = told.get(key)
        if known is not None and known.projector is not None:
            beside = [projectors[known.projector]] if known.projector in projectors else []
        else:
            beside = [one for prefix in _prefixes(key) for one in by_prefix.get(prefix, ())]
        taken |= {one.name for one in beside}
        yield evolve(
            folder,
            files=(*files, *beside),
            subfolders=(),
            model_id=model_id(stem_of(key) if known is None else known.model_id),
            facts={**({} if known is None else known.facts), **_etag(folder.path, files[0].name)},
        )
    rest = [one for name, one in projectors.items() if name not in taken]
    yield evolve(folder, files=(*rest, *others), model_id=None)


def _prefixes(key: str) -> Iterator[str]:
    """What a projector of the same repository may begin with, before ``mmproj``."""
    lowered = key.lower()
    return (lowered[: at + 1] for at, one in enumerate(lowered) if one in "_-.")


def _sorted_out(
    folder: Folder, told: dict[str, _Told]
) -> tuple[dict[str, list[ArtifactFile]], dict[str, ArtifactFile], list[ArtifactFile]]:
    projecting = {one.projector for one in told.values()}
    models: dict[str, list[ArtifactFile]] = {}
    projectors: dict[str, ArtifactFile] = {}
    others = []
    for one in folder.files:
        if one.name.endswith(BESIDE):
            continue
        if not one.name.lower().endswith(".gguf"):
            others.append(one)
        elif one.name in projecting or "mmproj" in one.name.lower():
            projectors[one.name] = one
        else:
            models.setdefault(_key(one.name), []).append(one)
    return models, projectors, others


def _key(name: str) -> str:
    """What the shards of one model share: the name without the shard's number."""
    match = _SHARD.fullmatch(name)
    return name if match is None else match["stem"] + match["ending"]


def _read_manifest(path: str, match: re.Match[str]) -> _Told | Problem | None:
    try:
        content = read_object(path, _MOST_MANIFEST_BYTES)
    except UnusableDocumentError as error:
        return Problem(
            code="unreadable-manifest", path=path, message=f"{error}; its model keeps its file's name"
        )
    prefix = f"{match['user']}_{match['repository']}_"
    model = _file_name(content.get("ggufFile"), prefix)
    if model is None:
        return None
    repository = f"{match['user']}/{match['repository']}"
    return _Told(
        model_id=f"{repository}:{match['tag'].upper()}",
        prefix=prefix,
        model=model,
        projector=_file_name(content.get("mmprojFile"), prefix),
        facts={"repository": repository, "tag": match["tag"]},
    )


def _file_name(told: object, prefix: str) -> str | None:
    """The flat name of a file of a repository: its path, with ``_`` for each slash, behind the prefix."""
    name = told.get("rfilename") if isinstance(told, dict) else None
    return prefix + name.replace("/", "_") if isinstance(name, str) and name else None


def _etag(folder: str, name: str) -> dict[str, Any]:
    path = f"{folder}/{name}.etag"
    if not os.path.lexists(path):
        return {}
    try:
        text = read_bytes(path, _LONGEST_ETAG).decode("utf-8", "replace")
    except UnusableDocumentError:
        return {}
    etag = text_of(text.strip().strip('"'), 256)
    return {} if etag is None else {"etag": etag}
