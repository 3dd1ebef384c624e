"""One model in RamaLama's store: its tags, its snapshots, its blobs.

It lies at ``<transport>/<organization>/<model>/{blobs, refs/<tag>.json, snapshots/<hash>}``. A ref is JSON
``{hash, path, version, files: [{hash, name, type}]}``; its snapshot's folder is named by its ``hash``, with
``-`` for ``:``, and links into ``blobs`` (ramalama, ``model_store``). An organization may have several levels
(``huggingface/org/repository/file.gguf``), so a model is wherever ``refs`` lies.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import Artifact, ArtifactFile, Problem, Role
from modelshelf.source import Folder
from modelshelf_sources.documents import UnusableDocumentError, read_object, text_of
from modelshelf_sources.listing import model_id, names_in, orphan, relative, unfinished

if TYPE_CHECKING:
    from modelshelf.source import Listing, Walk


_REF = ".json"

_LATEST = "latest"

_MOST_REF_BYTES = 1024 * 1024

_DIGEST = re.compile(r"sha256-([0-9a-f]{64})")


@frozen(kw_only=True)
class _Ref:
    """What one tag names.

    Attributes:
        tag: The tag.
        snapshot: Name of its folder below ``snapshots``.
        blobs: Names of its files' blobs, by the files' names.
        models: Names of the files that are models by their type; a pulled one often has no ending.
        gone: Names of the files whose blobs are not there.
    """

    tag: str
    snapshot: str
    blobs: dict[str, str]
    models: tuple[str, ...]
    gone: frozenset[str] = frozenset()


def list_model(folder: str, below: str, walk: Walk, source: str) -> Iterator[Listing]:
    """Every tag of one model, unfinished downloads, and blobs that no tag uses.

    Args:
        folder: The model's folder.
        below: The same relative to the store.
        walk: The core's walker.
        source: Name of the source that lists it.
    """
    transport, _, name = below.partition("/")
    used: set[str] = set()
    whole = True
    faults: list[Problem] = []
    refs, blobs = names_in(f"{folder}/refs", faults), frozenset(names_in(f"{folder}/blobs", faults))
    if faults:  # every tag, or every blob, would seem to be gone
        yield evolve(faults[0], path=folder)
        return
    for entry in refs:
        if not entry.endswith(_REF):
            continue
        path = f"{folder}/refs/{entry}"
        try:
            ref = _read_ref(path, entry.removesuffix(_REF))
        except UnusableDocumentError as error:
            whole = False
            message = f"{name}: {error}; pull the model again"
            yield Problem(code="unreadable-manifest", path=path, message=message)
            continue
        used |= set(ref.blobs.values())
        told = name if ref.tag == _LATEST else f"{name}:{ref.tag}"
        facts = {"transport": text_of(transport, 64), "tag": text_of(ref.tag, 256)}
        ref = evolve(ref, gone=frozenset(name for name, blob in ref.blobs.items() if blob not in blobs))
        yield from _list_snapshot(folder, ref, model_id(told.removeprefix("library/")), facts, walk, source)
    yield from _left_over(f"{folder}/blobs", blobs, used if whole else None)


def _list_snapshot(
    folder: str, ref: _Ref, told: str, facts: dict[str, Any], walk: Walk, source: str
) -> Iterator[Listing]:
    root = f"{folder}/snapshots/{ref.snapshot}"
    for name in sorted(ref.gone):
        message = f"{told}: the blob of {name} is not there; pull the model again"
        yield Problem(code="missing-blob", path=f"{root}/{name}", message=message)
    for listed in walk(root):
        if not isinstance(listed, Folder):
            if relative(listed.path or "", root) not in ref.gone:
                yield listed
            continue
        below = relative(listed.path, root)
        files = []
        for one in listed.files:
            problem = _leaving(f"{listed.path}/{one.name}", f"{folder}/blobs")
            if problem is not None:
                yield problem
            else:
                files.append(
                    _with_digest(one, ref.blobs.get(f"{below}/{one.name}" if below else one.name, ""))
                )
        named = evolve(listed, files=tuple(files), model_id=f"{told}/{below}" if below else told, facts=facts)
        yield (None if below else _one_model(named, ref, source)) or named


def _one_model(folder: Folder, ref: _Ref, source: str) -> Artifact | None:
    """The snapshot as the one model that its tag tells of; None where it tells of several, or of none."""
    weights = [one for one in folder.files if one.name in ref.models]
    if len(weights) != 1 or len(ref.models) != 1:
        return None
    beside = [evolve(one, role=Role.COMPANION) for one in folder.files if one is not weights[0]]
    return Artifact(
        folder=folder.path,
        primary=weights[0].name,
        files=(*weights, *beside),
        source=source,
        model_id=folder.model_id,
        facts=folder.facts,
        named_directly=True,  # without an ending no format would claim it
    )


def _leaving(path: str, blobs: str) -> Problem | None:
    """The problem of a snapshot's link that leads to no blob of its model, or None."""
    if os.path.islink(path) and os.path.dirname(os.path.realpath(path)) != os.path.realpath(blobs):
        message = f"{path}: links out of its model's blobs, so not followed"
        return Problem(code="link-leaves-blobs", path=path, message=message)
    return None


def _with_digest(one: ArtifactFile, blob: str) -> ArtifactFile:
    match = _DIGEST.fullmatch(blob)
    return one if match is None else evolve(one, sha256=match[1])


def _read_ref(path: str, tag: str) -> _Ref:
    content = read_object(path, _MOST_REF_BYTES)
    snapshot = _name(content.get("hash"), path)
    files = content.get("files")
    if not isinstance(files, list):
        raise UnusableDocumentError(f"{path}: has no list of files")
    blobs, models = {}, []
    for one in files:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise UnusableDocumentError(f"{path}: a file has no name")
        blobs[one["name"]] = _name(one.get("hash"), path)
        if str(one.get("type")).endswith("model"):  # also gguf_model and safetensor_model
            models.append(one["name"])
    return _Ref(tag=tag, snapshot=snapshot, blobs=blobs, models=tuple(models))


def _name(told: object, path: str) -> str:
    """A hash as the name of a file or folder; checked before it becomes a path."""
    name = told.replace(":", "-") if isinstance(told, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise UnusableDocumentError(f"{path}: {str(told)[:100]!r} is no hash")
    return name


def _left_over(folder: str, names: Iterable[str], used: set[str] | None) -> Iterator[Listing]:
    for name in sorted(names):
        path = f"{folder}/{name}"
        try:
            if name.endswith(".partial"):
                yield unfinished(path, "its name ends in .partial")
            elif used is not None and name not in used:
                yield orphan(path, "no tag of the model uses this blob")
        except OSError:
            continue  # finished or removed in the meantime
