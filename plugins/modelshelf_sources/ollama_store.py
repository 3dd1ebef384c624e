"""A store of Ollama's: manifests name blobs, blobs hold weights; several tags may share one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from modelshelf.model import Artifact, ArtifactFile, Problem, Role
from modelshelf_sources.documents import text_of
from modelshelf_sources.model_ids import model_id
from modelshelf_sources.ollama_blobs import Blobs, file_at, wrong_size
from modelshelf_sources.ollama_facts import config_of, facts_of
from modelshelf_sources.ollama_manifest import Layer, Manifest, list_manifests

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
