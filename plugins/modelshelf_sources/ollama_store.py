"""A store of Ollama's: manifests name blobs, blobs hold weights; several tags may share one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, frozen

from modelshelf.model import Artifact, ArtifactFile, Problem, Role
from modelshelf_sources.documents import UnusableDocumentError, count_of, read_object, text_of
from modelshelf_sources.listing import model_id, names_in, orphan, unfinished
from modelshelf_sources.ollama_manifest import Layer, Manifest, blob_digest, list_manifests
from modelshelf_sources.ollama_metadata import config_of, facts_of

if TYPE_CHECKING:
    from modelshelf.source import Listing


_WEIGHTS = ("model", "tensor", "adapter")

_BESIDE = ("projector", "draft", "embed", "json")


def list_store(root: str, source: str) -> Iterator[Listing]:
    """Every model, the manifests that have none here, unfinished pulls, and blobs that nothing names.

    Args:
        root: The folder that holds ``manifests`` and ``blobs``.
        source: Name of the source that lists it.
    """
    faults: list[Problem] = []
    blobs = Blobs.read(root, faults)
    if faults:  # every blob would seem to be gone
        yield evolve(faults[0], path=root)
        return
    sharing: dict[str, list[Manifest]] = {}  # manifests by the digest of what their model is loaded by
    used: set[str] = set()
    whole = True
    for one in list_manifests(root, faults):
        if isinstance(one, Problem):
            yield one
            whole = whole and one.code == "misplaced-manifest"
            continue
        used |= {layer.sha256.lower() for layer in one.all_layers}
        if one.of_kind(*_WEIGHTS):
            sharing.setdefault(_loaded_by(one), []).append(one)
        else:
            yield _without_weights(one, blobs)
    for fault in faults:  # any blob may belong to a manifest that was not seen: nothing here is gone
        yield evolve(fault, path=root)
    for base in _unnamed_bases(sharing):
        sharing[base.layers[0].sha256.lower()] = [base]
    for manifests in sharing.values():
        yield from _model(root, source, blobs, sorted(manifests, key=lambda one: one.name))
    yield from blobs.unfinished()
    if whole and not faults:  # a manifest that cannot be read may name any blob
        yield from blobs.unused(used)


def _weights_of(manifest: Manifest) -> tuple[Layer, ...]:
    """The layers that hold the model's own tensors: an adapter's base is another model."""
    return manifest.of_kind("adapter") or manifest.of_kind("model") or manifest.of_kind("tensor")


def _loaded_by(manifest: Manifest) -> str:
    """The digest that tells models apart: a blob's, or of a model of many blobs the manifest's."""
    first = _weights_of(manifest)[0]
    return manifest.digest if first.kind == "tensor" else first.sha256.lower()


def _unnamed_bases(sharing: Mapping[str, Sequence[Manifest]]) -> Iterator[Manifest]:
    """The bases of adapters that no tag of their own names: models all the same, and most of the room."""
    for manifests in tuple(sharing.values()):
        for one in manifests:
            bases = one.of_kind("model") if one.of_kind("adapter") else ()
            if bases and bases[0].sha256.lower() not in sharing:
                name = f"{one.full_name}/base"
                yield evolve(one, name=name, full_name=name, layers=bases)


def _without_weights(manifest: Manifest, blobs: Blobs) -> Problem:
    """A model that runs elsewhere; or a manifest that names no weights at all."""
    config = config_of(manifest, blobs.path_of)
    host, model = text_of(config.get("remote_host"), 100), text_of(config.get("remote_model"), 100)
    if host is not None:
        message = f"{manifest.name}: runs at {host} as {model or 'itself'}; it has no weights on this machine"
    else:
        message = f"{manifest.name}: its manifest names no weights, so there is nothing to load"
    return Problem(code="no-weights-here", path=manifest.path, message=message)


def _model(root: str, source: str, blobs: Blobs, manifests: Sequence[Manifest]) -> Iterator[Listing]:
    """The model that these tags share; the first gives it its id, the others are aliases."""
    first = manifests[0]
    kind = _weights_of(first)[0].kind
    weights: dict[str, ArtifactFile] = {}
    gone: list[Layer] = []
    for layer in {one.sha256.lower(): one for one in reversed(first.all_layers)}.values():
        one = blobs.file_of(layer)
        if one is None:
            gone.append(layer)
        elif problem := wrong_size(f"{root}/{one.name}", one, layer, first.name):
            yield problem
    if gone:
        yield _missing_blobs(first, gone[::-1])
    for layer in first.of_kind(kind):
        if one := blobs.file_of(layer):
            weights[one.name] = one
    missing = tuple(f"blobs/sha256-{layer.sha256}" for layer in gone[::-1] if layer.kind == kind)
    if not weights or (missing and kind != "tensor"):
        return  # nothing to load; the problem told why
    companions = _companions(root, blobs, manifests, frozenset(weights))
    config = config_of(first, blobs.path_of)
    yield Artifact(
        folder=root,
        primary=_name_of(root, first) if kind == "tensor" else next(iter(weights)),
        files=(*weights.values(), *companions),
        source=source,
        model_id=model_id(first.name),
        aliases=_aliases(manifests),
        facts={**facts_of(first, config, blobs.path_of), **_shape(first)},
        missing=missing,
        named_directly=True,  # blobs have no ending that a format could claim
    )


def _companions(
    root: str, blobs: Blobs, manifests: Sequence[Manifest], weights: frozenset[str]
) -> Iterator[ArtifactFile]:
    """What the first tag's model is loaded with, and the manifests of all its tags."""
    first = manifests[0]
    kinds = (*_BESIDE, "model") if first.of_kind("adapter") else _BESIDE
    beside = {one.name: one for layer in first.of_kind(*kinds) if (one := blobs.file_of(layer))}
    for name, one in beside.items():
        if name not in weights:
            yield evolve(one, role=Role.COMPANION)
    for manifest in manifests:
        if note := file_at(root, _name_of(root, manifest), Role.COMPANION):
            yield note


def _name_of(root: str, manifest: Manifest) -> str:
    return manifest.path[len(root) + 1 :]


def _aliases(manifests: Sequence[Manifest]) -> tuple[str, ...]:
    names = [name for one in manifests for name in (one.name, one.full_name)]
    return tuple(model_id(name) for name in dict.fromkeys(names) if name != manifests[0].name)


def _shape(manifest: Manifest) -> dict[str, Any]:
    """What the layers themselves tell."""
    shape: dict[str, Any] = {}
    if manifest.of_kind("projector"):
        shape["projector"] = True
    if manifest.of_kind("adapter") and (bases := manifest.of_kind("model")):
        shape["adapter_of"] = f"sha256:{bases[0].sha256.lower()}"
    if manifest.of_kind("tensor"):
        shape["tensor_layers"] = len(manifest.of_kind("tensor"))
    return shape


def _missing_blobs(manifest: Manifest, gone: Sequence[Layer]) -> Problem:
    """One problem for all the blobs of a model that are not there."""
    layer = gone[0]
    what = f"the {layer.kind} {text_of(layer.name, 256)}" if layer.name else f"its {layer.kind}"
    others = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    message = (
        f"{manifest.name}: the blob of {what} (sha256-{layer.sha256[:12]}…){others} is not there; "
        f"`ollama pull {manifest.name}` brings it back"
    )
    return Problem(code="missing-blob", path=manifest.path, message=message)


_PARTIAL = re.compile(r"(?P<whole>sha256[-:][0-9a-fA-F]{64}-partial)(?P<part>-\d{1,6})?")

_MOST_PART_BYTES = 4096


@frozen(kw_only=True)
class Blobs:
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
    def read(cls, root: str, faults: list[Problem]) -> Self:
        """List the folder of blobs; where it cannot be listed, `faults` tell."""
        names, others = {}, []
        for name in names_in(f"{root}/blobs", faults):
            digest = blob_digest(name)
            if digest is None:
                others.append(name)
            else:
                names[digest] = name
        return cls(root=root, names=names, others=tuple(others))

    def path_of(self, layer: Layer) -> str | None:
        """The path of a layer's blob, or None where it is not there."""
        name = self.names.get(layer.sha256.lower())
        return None if name is None else f"{self.root}/blobs/{name}"

    def file_of(self, layer: Layer, role: Role = Role.WEIGHTS) -> ArtifactFile | None:
        """A layer's blob, named relative to the store's folder; None where it is not there, or no file."""
        path = self.path_of(layer)
        if path is None:
            return None
        told = file_at(self.root, path[len(self.root) + 1 :], role)
        return None if told is None else evolve(told, sha256=layer.sha256.lower())

    def unused(self, used: set[str]) -> Iterator[Listing]:
        """The blobs whose digests are not among those that manifests name."""
        for digest, name in self.names.items():
            if digest not in used:
                try:
                    yield orphan(f"{self.root}/blobs/{name}", "no manifest names this blob")
                except OSError:
                    continue  # pruned in the meantime

    def unfinished(self) -> Iterator[Listing]:
        """The pulls that were not finished: each once, with the parts that belong to it."""
        pulls: dict[str, list[str]] = {}
        for name in self.others:
            match = _PARTIAL.fullmatch(name)
            if match is not None:
                pulls.setdefault(match["whole"], []).append(name)
            elif name.endswith(".tmp"):
                pulls.setdefault(name, []).append(name)
        for whole, names in pulls.items():
            try:
                yield self._pull(whole if whole in names else names[0], names)
            except OSError:
                continue  # finished in the meantime

    def _pull(self, name: str, names: list[str]) -> Listing:
        parts = [f"{self.root}/blobs/{one}" for one in names if one != name]
        came, whole = _progress(parts)
        reason = (
            f"a pull that stopped at {came} of {whole} bytes" if whole else "a pull that was not finished"
        )
        beside = sum(os.stat(path).st_size for path in parts)
        return unfinished(f"{self.root}/blobs/{name}", reason, beside)


def file_at(root: str, name: str, role: Role) -> ArtifactFile | None:
    """A regular file of the store as the system tells of it, or None."""
    try:
        told = os.stat(f"{root}/{name}")
    except OSError:
        return None
    if not stat.S_ISREG(told.st_mode):
        return None
    return ArtifactFile(name=name, size=told.st_size, mtime_ns=told.st_mtime_ns, inode=told.st_ino, role=role)


def _progress(parts: list[str]) -> tuple[int, int]:
    """Bytes that came, and bytes that were to come, by the notes on the parts."""
    came = whole = 0
    for path in parts:
        try:
            note = read_object(path, _MOST_PART_BYTES)
        except UnusableDocumentError:
            continue
        came += count_of(note.get("Completed")) or 0
        whole += count_of(note.get("Size")) or 0
    return came, whole


def wrong_size(path: str, one: ArtifactFile, layer: Layer, model: str) -> Problem | None:
    """The problem of a blob that has not the size that its manifest tells, or None."""
    if layer.size in (None, one.size):
        return None
    message = f"{model}: {path} has {one.size} bytes, its manifest tells {layer.size}; pull it again"
    return Problem(code="size-differs", path=path, message=message)
