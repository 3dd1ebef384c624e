"""llama.cpp's older cache: one flat folder of ``<user>_<repository>_<file>.gguf``.

Beside a file may be ``<file>.etag`` or ``<file>.json``, and for each repository and tag a
``manifest=<user>=<repository>=<tag>.json`` whose ``ggufFile`` and ``mmprojFile`` name files of it by
``rfilename`` (llama.cpp, ``common/download.cpp`` before it took over the Hub's layout).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_object, text_of
from modelshelf_sources.download_layouts import FLAT_MANIFEST, FLAT_SIDECARS
from modelshelf_sources.listing import model_id, names_in, stem_of

if TYPE_CHECKING:
    from modelshelf.source import Folder, Listing

_SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<ending>\.gguf)", re.DOTALL)
_MAX_ETAG_BYTES = 1024
_MAX_MANIFEST_BYTES = 1024 * 1024


@frozen(kw_only=True)
class _Manifest:
    """One manifest.

    Attributes:
        model_id: ``user/repository:TAG``.
        model: The name of its weights file, of its first shard where there are several.
        projector: The name of its projector, or None.
        facts: What goes into the record.
    """

    model_id: str
    model: str
    projector: str | None
    facts: dict[str, Any]


def list_flat(folder: Folder) -> Iterator[Listing]:
    """List the models of one flat folder, each with its shards and the projector of its repository."""
    manifests: dict[str, _Manifest] = {}
    for name in names_in(folder.path):
        match = FLAT_MANIFEST.fullmatch(name)
        if match is None:
            continue
        manifest = _read_manifest(f"{folder.path}/{name}", match)
        if isinstance(manifest, Problem):
            yield manifest
        elif manifest is not None:
            manifests.setdefault(_unsharded(manifest.model), manifest)
    models, projectors, others = _sort_files(folder, manifests)
    by_prefix: defaultdict[str, list[ArtifactFile]] = defaultdict(list)
    for file in projectors.values():
        by_prefix[file.name.lower().partition("mmproj")[0]].append(file)
    taken = set()
    for name, files in models.items():
        own = manifests.get(name)
        if own is not None and own.projector is not None:
            beside = [projectors[own.projector]] if own.projector in projectors else []
        else:
            beside = [file for prefix in _prefixes(name) for file in by_prefix.get(prefix, ())]
        taken |= {file.name for file in beside}
        yield evolve(
            folder,
            files=(*files, *beside),
            subfolders=(),
            model_id=model_id(stem_of(name) if own is None else own.model_id),
            facts={**({} if own is None else own.facts), **_etag(folder.path, files[0].name)},
        )
    rest = [file for name, file in projectors.items() if name not in taken]
    yield evolve(folder, files=(*rest, *others), model_id=None)


def _prefixes(name: str) -> Iterator[str]:
    """List what a projector of the same repository may begin with, before ``mmproj``."""
    lowered = name.lower()
    return (lowered[: at + 1] for at, character in enumerate(lowered) if character in "_-.")


def _sort_files(
    folder: Folder, manifests: Mapping[str, _Manifest]
) -> tuple[dict[str, list[ArtifactFile]], dict[str, ArtifactFile], list[ArtifactFile]]:
    """Sort a folder's files into shards by model, projectors by name, and others; sidecars are left out."""
    named_projectors = {manifest.projector for manifest in manifests.values()}
    models: dict[str, list[ArtifactFile]] = {}
    projectors: dict[str, ArtifactFile] = {}
    others = []
    for file in folder.files:
        if file.name.endswith(FLAT_SIDECARS):
            continue
        if not file.name.lower().endswith(".gguf"):
            others.append(file)
        elif file.name in named_projectors or "mmproj" in file.name.lower():
            projectors[file.name] = file
        else:
            models.setdefault(_unsharded(file.name), []).append(file)
    return models, projectors, others


def _unsharded(name: str) -> str:
    """Return a file's name without a shard's number, which is what the shards of one model share."""
    match = _SHARD.fullmatch(name)
    return name if match is None else match["stem"] + match["ending"]


def _read_manifest(path: str, match: re.Match[str]) -> _Manifest | Problem | None:
    """Read a manifest, whose name has matched; None where it names no weights."""
    try:
        content = read_object(path, _MAX_MANIFEST_BYTES)
    except UnusableDocumentError as error:
        return Problem(
            code="unreadable-manifest", path=path, message=f"{error}; its model keeps its file's name"
        )
    prefix = f"{match['user']}_{match['repository']}_"
    model = _file_name(content.get("ggufFile"), prefix)
    if model is None:
        return None
    repository = f"{match['user']}/{match['repository']}"
    return _Manifest(
        model_id=f"{repository}:{match['tag'].upper()}",
        model=model,
        projector=_file_name(content.get("mmprojFile"), prefix),
        facts={"repository": repository, "tag": match["tag"]},
    )


def _file_name(entry: object, prefix: str) -> str | None:
    """Make the flat name of a repository's file: its path, with ``_`` for each slash, behind the prefix."""
    name = entry.get("rfilename") if isinstance(entry, dict) else None
    return prefix + name.replace("/", "_") if isinstance(name, str) and name else None


def _etag(folder: str, name: str) -> dict[str, Any]:
    path = f"{folder}/{name}.etag"
    if not os.path.lexists(path):
        return {}
    try:
        text = read_bytes(path, _MAX_ETAG_BYTES).decode("utf-8", "replace")
    except UnusableDocumentError:
        return {}
    etag = text_of(text.strip().strip('"'), 256)
    return {} if etag is None else {"etag": etag}
