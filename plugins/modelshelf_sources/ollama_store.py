"""A store of Ollama's: manifests name blobs, blobs are weights; several tags may share one.

A pull writes ``sha256-<hex>-partial``, made full size in advance and full of holes, so that its length says
nothing, with ``sha256-<hex>-partial-<N>`` (JSON ``{N, Offset, Size, Completed}``) for each of its parts;
newer versions write ``sha256-<hex>.tmp``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, frozen

from modelshelf.model import Artifact, ArtifactFile, Problem, Role
from modelshelf_sources.documents import UnusableDocumentError, count_of, read_object, text_of
from modelshelf_sources.listing import leftovers, model_id, names_in, unfinished_download
from modelshelf_sources.ollama_manifest import Layer, Manifest, blob_digest, list_manifests
from modelshelf_sources.ollama_metadata import facts_of, read_config

if TYPE_CHECKING:
    from modelshelf.source import Listing

_WEIGHTS = ("model", "tensor", "adapter")
_COMPANIONS = ("projector", "draft", "embed", "json")
_PARTIAL = re.compile(r"(?P<whole>sha256[-:][0-9a-fA-F]{64}-partial)(?P<part>-\d{1,6})?")
_MAX_PART_BYTES = 4096


def list_store(root: str, source: str) -> Iterator[Listing]:
    """List every model, the manifests without weights here, unfinished pulls, and blobs that nothing names.

    Args:
        root: The folder of ``manifests`` and ``blobs``.
        source: Name of the source that lists it.
    """
    problems: list[Problem] = []
    blobs = _Blobs.read(root, problems)
    if problems:  # every blob would seem to be removed
        yield evolve(problems[0], path=root)
        return
    by_weights: dict[str, list[Manifest]] = {}  # manifests by the digest of their model
    used: set[str] = set()
    complete = True
    for item in list_manifests(root, problems):
        if isinstance(item, Problem):
            yield item
            complete = complete and item.code == "misplaced-manifest"
            continue
        used |= {layer.sha256.lower() for layer in item.all_layers}
        if item.of_kind(*_WEIGHTS):
            by_weights.setdefault(_weights_digest(item), []).append(item)
        else:
            yield _without_weights(item, blobs)
    for problem in problems:  # any blob may belong to a manifest that was not read: nothing here is removed
        yield evolve(problem, path=root)
    for base in _unnamed_bases(by_weights):
        by_weights[base.layers[0].sha256.lower()] = [base]
    for manifests in by_weights.values():
        yield from _list_model(root, source, blobs, sorted(manifests, key=lambda manifest: manifest.name))
    yield from blobs.unfinished()
    if complete and not problems:  # a manifest that cannot be read may name any blob
        yield from blobs.unused(used)


@frozen(kw_only=True)
class _Blobs:
    """The blobs of one store.

    Attributes:
        root: The store's folder.
        names: File name of each finished blob, by the lower-case digits of its digest.
        others: Every other name in the folder.
    """

    root: str
    names: Mapping[str, str]
    others: tuple[str, ...] = ()

    @classmethod
    def read(cls, root: str, problems: list[Problem]) -> Self:
        """List the folder of blobs; where it cannot be listed, that is added to `problems`."""
        names, others = {}, []
        for name in names_in(f"{root}/blobs", problems):
            digest = blob_digest(name)
            if digest is None:
                others.append(name)
            else:
                names[digest] = name
        return cls(root=root, names=names, others=tuple(others))

    def path_of(self, layer: Layer) -> str | None:
        """Return the path of a layer's blob, or None where it is not there."""
        name = self.names.get(layer.sha256.lower())
        return None if name is None else f"{self.root}/blobs/{name}"

    def file_of(self, layer: Layer) -> ArtifactFile | None:
        """Return a layer's blob, named relative to the store's folder; None where there is no such file."""
        path = self.path_of(layer)
        if path is None:
            return None
        file = _stat_file(self.root, path[len(self.root) + 1 :], Role.WEIGHTS)
        return None if file is None else evolve(file, sha256=layer.sha256.lower())

    def unused(self, used: set[str]) -> Iterator[Listing]:
        """List the blobs whose digests are not among those that manifests name."""
        names = [name for digest, name in self.names.items() if digest not in used]
        yield from leftovers(f"{self.root}/blobs", names, (), (), "no manifest names this blob")

    def unfinished(self) -> Iterator[Listing]:
        """List the pulls that were not finished: each once, with the parts that belong to it."""
        pulls: dict[str, list[str]] = {}
        for name in self.others:
            match = _PARTIAL.fullmatch(name)
            if match is not None:
                pulls.setdefault(match["whole"], []).append(name)
            elif name.endswith(".tmp"):
                pulls.setdefault(name, []).append(name)
        for whole, names in pulls.items():
            try:
                yield self._unfinished_pull(whole if whole in names else names[0], names)
            except OSError:
                continue  # finished in the meantime

    def _unfinished_pull(self, name: str, names: list[str]) -> Listing:
        parts = [f"{self.root}/blobs/{part}" for part in names if part != name]
        completed, total = _progress(parts)
        reason = (
            f"a pull that stopped at {completed} of {total} bytes"
            if total
            else "a pull that was not finished"
        )
        more = sum(os.stat(path).st_size for path in parts)
        return unfinished_download(f"{self.root}/blobs/{name}", reason, more)


def _stat_file(root: str, name: str, role: Role) -> ArtifactFile | None:
    """Return a regular file of the store as the system describes it, or None."""
    try:
        status = os.stat(f"{root}/{name}")
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return ArtifactFile(
        name=name,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        role=role,
        ctime_ns=status.st_ctime_ns,
    )


def _progress(parts: list[str]) -> tuple[int, int]:
    """Sum up the bytes of a pull that are there, and all its bytes, by the notes on its parts."""
    completed = total = 0
    for path in parts:
        try:
            part = read_object(path, _MAX_PART_BYTES)
        except UnusableDocumentError:
            continue
        completed += count_of(part.get("Completed")) or 0
        total += count_of(part.get("Size")) or 0
    return completed, total


def _weights_of(manifest: Manifest) -> tuple[Layer, ...]:
    """Return the layers of the model's own tensors: an adapter's base is another model."""
    return manifest.of_kind("adapter") or manifest.of_kind("model") or manifest.of_kind("tensor")


def _weights_digest(manifest: Manifest) -> str:
    """Return the digest that one model's tags share: a blob's, or of a model of many blobs the manifest's."""
    first = _weights_of(manifest)[0]
    return manifest.digest if first.kind == "tensor" else first.sha256.lower()


def _unnamed_bases(by_weights: Mapping[str, Sequence[Manifest]]) -> Iterator[Manifest]:
    """Find the bases of adapters without a tag of their own: models all the same, and most of the room."""
    for manifests in tuple(by_weights.values()):
        for manifest in manifests:
            bases = manifest.of_kind("model") if manifest.of_kind("adapter") else ()
            if bases and bases[0].sha256.lower() not in by_weights:
                name = f"{manifest.full_name}/base"
                yield evolve(manifest, name=name, full_name=name, layers=bases)


def _without_weights(manifest: Manifest, blobs: _Blobs) -> Problem:
    """Make the problem of a model that runs elsewhere, or of a manifest that names no weights at all."""
    config = read_config(manifest, blobs.path_of)
    host, model = text_of(config.get("remote_host"), 100), text_of(config.get("remote_model"), 100)
    if host is not None:
        message = f"{manifest.name}: runs at {host} as {model or 'itself'}; it has no weights on this machine"
    else:
        message = f"{manifest.name}: its manifest names no weights, so there is nothing to load"
    return Problem(code="no-weights-here", path=manifest.path, message=message)


def _list_model(root: str, source: str, blobs: _Blobs, manifests: Sequence[Manifest]) -> Iterator[Listing]:
    """List the model that these tags share; the first gives it its id, the others are aliases."""
    first = manifests[0]
    kind = _weights_of(first)[0].kind
    weights: dict[str, ArtifactFile] = {}
    missing: list[Layer] = []
    for layer in {layer.sha256.lower(): layer for layer in reversed(first.all_layers)}.values():
        file = blobs.file_of(layer)
        if file is None:
            missing.append(layer)
        elif layer.size not in (None, file.size):
            yield _wrong_size(f"{root}/{file.name}", file, layer, first.name)
    if missing:
        yield _missing_blobs(first, missing[::-1])
    for layer in first.of_kind(kind):
        if file := blobs.file_of(layer):
            weights[file.name] = file
    missing_weights = tuple(f"blobs/sha256-{layer.sha256}" for layer in missing[::-1] if layer.kind == kind)
    if not weights or (missing_weights and kind != "tensor"):
        return  # nothing to load; the problem says why
    companions = _companions(root, blobs, manifests, frozenset(weights))
    config = read_config(first, blobs.path_of)
    yield Artifact(
        folder=root,
        primary=_relative_path(root, first) if kind == "tensor" else next(iter(weights)),
        files=(*weights.values(), *companions),
        source=source,
        model_id=model_id(first.name),
        aliases=_aliases(manifests),
        facts={**facts_of(first, config, blobs.path_of), **_layer_facts(first)},
        missing=missing_weights,
        named_directly=True,  # blobs have no ending that a format could claim
    )


def _companions(
    root: str, blobs: _Blobs, manifests: Sequence[Manifest], weights: frozenset[str]
) -> Iterator[ArtifactFile]:
    """List what the first tag's model is loaded with, and the manifests of all its tags."""
    first = manifests[0]
    kinds = (*_COMPANIONS, "model") if first.of_kind("adapter") else _COMPANIONS
    beside = {file.name: file for layer in first.of_kind(*kinds) if (file := blobs.file_of(layer))}
    for name, file in beside.items():
        if name not in weights:
            yield evolve(file, role=Role.COMPANION)
    for manifest in manifests:
        if file := _stat_file(root, _relative_path(root, manifest), Role.COMPANION):
            yield file


def _relative_path(root: str, manifest: Manifest) -> str:
    return manifest.path[len(root) + 1 :]


def _aliases(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    names = [name for manifest in manifests for name in (manifest.name, manifest.full_name)]
    return tuple(model_id(name) for name in dict.fromkeys(names) if name != manifests[0].name)


def _layer_facts(manifest: Manifest) -> dict[str, Any]:
    """Collect the facts that the kinds of the layers show."""
    facts: dict[str, Any] = {}
    if manifest.of_kind("projector"):
        facts["projector"] = True
    if manifest.of_kind("adapter") and (bases := manifest.of_kind("model")):
        facts["adapter_of"] = f"sha256:{bases[0].sha256.lower()}"
    if manifest.of_kind("tensor"):
        facts["tensor_layers"] = len(manifest.of_kind("tensor"))
    return facts


def _missing_blobs(manifest: Manifest, missing: Sequence[Layer]) -> Problem:
    """Make one problem of all the blobs of a model that are not there."""
    layer = missing[0]
    what = f"the {layer.kind} {text_of(layer.name, 256)}" if layer.name else f"its {layer.kind}"
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    message = (
        f"{manifest.name}: the blob of {what} (sha256-{layer.sha256[:12]}…){others} is not there; "
        f"`ollama pull {manifest.name}` brings it back"
    )
    return Problem(code="missing-blob", path=manifest.path, message=message)


def _wrong_size(path: str, file: ArtifactFile, layer: Layer, model: str) -> Problem:
    """Make the problem of a blob of another size than its manifest gives."""
    message = f"{model}: {path} has {file.size} bytes, its manifest tells {layer.size}; pull it again"
    return Problem(code="size-differs", path=path, message=message)
