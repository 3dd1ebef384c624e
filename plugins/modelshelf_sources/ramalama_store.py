"""A model in RamaLama's store: its tags, its snapshots, its blobs.

It is at ``<transport>/<organization>/<model>/{blobs, refs/<tag>.json, snapshots/<hash>}``. A ref is JSON
``{hash, path, version, files: [{hash, name, type}]}``; its snapshot's folder is named by its ``hash``, with
``-`` for ``:``, and links into ``blobs`` (ramalama, ``model_store``). An organization may have several levels
(``huggingface/org/repository/file.gguf``), so a model is wherever ``refs`` is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import Artifact, ArtifactFile, Problem, Role
from modelshelf.source import Folder
from modelshelf_sources.documents import UnusableDocumentError, read_object, text_of
from modelshelf_sources.listing import leftovers, model_id, names_in, relative

if TYPE_CHECKING:
    from modelshelf.source import Listing, Walk

_REF = ".json"
_LATEST = "latest"
_UNFINISHED = (".partial",)
_MAX_REF_BYTES = 1024 * 1024
_DIGEST = re.compile(r"sha256-([0-9a-f]{64})")


@frozen(kw_only=True)
class _Ref:
    """A tag's files.

    Attributes:
        tag: The tag.
        snapshot: Name of its folder below ``snapshots``.
        blobs: Names of its files' blobs, by the files' names.
        models: Names of the files that are models by their type; a pulled one often has no ending.
        missing: Names of the files whose blobs are not there.
    """

    tag: str
    snapshot: str
    blobs: dict[str, str]
    models: tuple[str, ...]
    missing: frozenset[str] = frozenset()


def list_model(folder: str, below: str, walk: Walk, source: str) -> Iterator[Listing]:
    """List every tag of one model, unfinished downloads, and blobs that no tag uses.

    Args:
        folder: The model's folder.
        below: The same relative to the store.
        walk: The core's walker.
        source: Name of the source that lists it.
    """
    transport, _, name = below.partition("/")
    used: set[str] = set()
    complete = True
    problems: list[Problem] = []
    refs, blobs = names_in(f"{folder}/refs", problems), names_in(f"{folder}/blobs", problems)
    if problems:  # every tag, or every blob, would seem to be removed
        yield evolve(problems[0], path=folder)
        return
    for entry in refs:
        if not entry.endswith(_REF):
            continue
        path = f"{folder}/refs/{entry}"
        try:
            ref = _read_ref(path, entry.removesuffix(_REF), frozenset(blobs))
        except UnusableDocumentError as error:
            complete = False
            message = f"{name}: {error}; pull the model again"
            yield Problem(code="unreadable-manifest", path=path, message=message)
            continue
        used |= set(ref.blobs.values())
        tagged = name if ref.tag == _LATEST else f"{name}:{ref.tag}"
        facts = {"transport": text_of(transport, 64), "tag": text_of(ref.tag, 256)}
        yield from _list_snapshot(folder, ref, model_id(tagged.removeprefix("library/")), facts, walk, source)
    reason = "no tag of the model uses this blob"
    yield from leftovers(f"{folder}/blobs", blobs, used if complete else None, _UNFINISHED, reason)


def _list_snapshot(
    folder: str, ref: _Ref, model: str, facts: dict[str, Any], walk: Walk, source: str
) -> Iterator[Listing]:
    root = f"{folder}/snapshots/{ref.snapshot}"
    for name in sorted(ref.missing):
        message = f"{model}: the blob of {name} is not there; pull the model again"
        yield Problem(code="missing-blob", path=f"{root}/{name}", message=message)
    if not ref.models:
        message = f"{model}: its tag names no file that is a model; pull the model again"
        yield Problem(code="no-model-file", path=root, message=message)
    for name in ref.models:
        if name not in ref.missing and not os.path.lexists(f"{root}/{name}"):
            message = f"{model}: its tag names {name}, which the snapshot does not have; pull the model again"
            yield Problem(code="missing-file", path=f"{root}/{name}", message=message)
    for item in walk(root):
        if not isinstance(item, Folder):
            if relative(item.path or "", root) not in ref.missing:
                yield item
            continue
        below = relative(item.path, root)
        files = []
        for file in item.files:
            problem = _link_problem(f"{item.path}/{file.name}", f"{folder}/blobs")
            if problem is not None:
                yield problem
            else:
                path = f"{below}/{file.name}" if below else file.name
                files.append(_with_digest(file, ref.blobs.get(path, "")))
        named = evolve(item, files=tuple(files), model_id=f"{model}/{below}" if below else model, facts=facts)
        yield (None if below else _one_model(named, ref, source)) or named


def _one_model(folder: Folder, ref: _Ref, source: str) -> Artifact | None:
    """Make the snapshot the one model that its tag names; None where it names several, or none."""
    weights = [file for file in folder.files if file.name in ref.models]
    if len(weights) != 1 or len(ref.models) != 1:
        return None
    beside = [evolve(file, role=Role.COMPANION) for file in folder.files if file is not weights[0]]
    return Artifact(
        folder=folder.path,
        primary=weights[0].name,
        files=(*weights, *beside),
        source=source,
        model_id=folder.model_id,
        facts=folder.facts,
        named_directly=True,  # without an ending no format would claim it
    )


def _link_problem(path: str, blobs: str) -> Problem | None:
    """Make the problem of a snapshot's link that leads to no blob of its model; else None."""
    if os.path.islink(path) and os.path.dirname(os.path.realpath(path)) != os.path.realpath(blobs):
        message = f"{path}: links out of its model's blobs, so not followed"
        return Problem(code="link-leaves-blobs", path=path, message=message)
    return None


def _with_digest(file: ArtifactFile, blob: str) -> ArtifactFile:
    match = _DIGEST.fullmatch(blob)
    return file if match is None else evolve(file, sha256=match[1])


def _read_ref(path: str, tag: str, present: frozenset[str]) -> _Ref:
    """Read a tag's ref, where these blobs are present.

    Raises:
        UnusableDocumentError: It cannot be used.
    """
    content = read_object(path, _MAX_REF_BYTES)
    snapshot = _checked_name(content.get("hash"), path)
    files = content.get("files")
    if not isinstance(files, list):
        raise UnusableDocumentError(f"{path}: has no list of files")
    blobs, models = {}, []
    for file in files:
        if not isinstance(file, dict) or not isinstance(file.get("name"), str) or not file["name"]:
            raise UnusableDocumentError(f"{path}: a file has no name")
        if not _is_below(file["name"]):
            raise UnusableDocumentError(f"{path}: {file['name'][:100]!r} is no name within the snapshot")
        blobs[file["name"]] = _checked_name(file.get("hash"), path)
        if str(file.get("type")).endswith("model"):  # also gguf_model and safetensor_model
            models.append(file["name"])
    missing = frozenset(name for name, blob in blobs.items() if blob not in present)
    return _Ref(tag=tag, snapshot=snapshot, blobs=blobs, models=tuple(models), missing=missing)


def _is_below(name: str) -> bool:
    """Whether a file's name stays within its folder."""
    return not name.startswith(("/", "\\")) and ".." not in re.split(r"[/\\]", name) and "\0" not in name


def _checked_name(value: object, path: str) -> str:
    """Return a hash as the name of a file or folder, checked before it becomes a path."""
    name = value.replace(":", "-") if isinstance(value, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name):
        raise UnusableDocumentError(f"{path}: {str(value)[:100]!r} is no hash")
    return name
