"""Ollama's manifests: which blobs make a model, and what it is called.

``manifests/<host>/<namespace>/<model>/<tag>`` is JSON without an ending: ``{schemaVersion: 2, mediaType,
config: {mediaType, digest, size}, layers: [{mediaType, digest, size, from?, name?}]}``. A blob is at
``blobs/sha256-<64 hex digits>``, in very old stores at ``blobs/sha256:<64 hex digits>``.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import Any

from attrs import field, frozen

from modelshelf.model import Problem
from modelshelf_sources.documents import MAX_BYTES, UnusableDocumentError, parse_object, read_bytes
from modelshelf_sources.listing import names_in

_LEVELS = 4
_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_LAYER = "application/vnd.ollama.image."
_MAX_LAYERS = 100_000


@frozen(kw_only=True)
class Layer:
    """One blob of a model.

    Attributes:
        kind: ``model``, ``projector``, ``adapter``, ``template``, ``tensor``, …; another media type as it is.
        sha256: 64 hex digits, as the manifest writes them. Checked before it becomes a path: manifests with
            paths in place of digests exist (CVE-2024-37032).
        size: Bytes, or None where the manifest does not say.
        name: The tensor's name, or a file's, where the layer has one.
    """

    kind: str
    sha256: str
    size: int | None = None
    name: str | None = None


@frozen(kw_only=True)
class Manifest:
    """The manifest of one tag.

    Attributes:
        path: The manifest's absolute path.
        name: What people call it: ``llama3.2:1b``; the default host, namespace and tag are left out.
        full_name: The same with its tag, whatever that is.
        digest: sha256 of the manifest itself, 64 hex digits.
        layers: Its layers, in order.
        config: The layer of the model's configuration, or None.
        modified: Unix time in seconds when it was pulled or made.
    """

    path: str
    name: str
    full_name: str
    digest: str
    layers: tuple[Layer, ...] = ()
    config: Layer | None = None
    modified: int = field(default=0)

    def of_kind(self, *kinds: str) -> tuple[Layer, ...]:
        """Return the layers of these kinds, in order."""
        return tuple(layer for layer in self.layers if layer.kind in kinds)

    @property
    def all_layers(self) -> tuple[Layer, ...]:
        """Every layer, the configuration included."""
        return self.layers if self.config is None else (*self.layers, self.config)

    @property
    def size(self) -> int:
        """Bytes of all layers, as Ollama counts a model's size."""
        return sum(layer.size or 0 for layer in self.all_layers)


def list_manifests(root: str, problems: list[Problem]) -> Iterator[Manifest | Problem]:
    """Read every manifest below ``manifests``, sorted by path; a problem for each that cannot be used.

    Folders that cannot be listed are added to `problems`.
    """
    for path, parts in _files(f"{root}/manifests", (), problems):
        if len(parts) == _LEVELS:
            yield _read_manifest(path, parts)
        else:
            yield _problem(
                "misplaced-manifest",
                path,
                f"{path}: lies {len(parts)} levels deep and not {_LEVELS}; Ollama ignores it",
            )


def _files(
    folder: str, above: tuple[str, ...], problems: list[Problem]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find the files below a folder, with the parts of their paths below ``manifests``."""
    for name in names_in(folder, problems):
        if name.startswith("."):  # a file manager's
            continue
        path, parts = f"{folder}/{name}", (*above, name)
        if not os.path.isdir(path):
            yield path, parts
        elif len(parts) <= _LEVELS:
            yield from _files(path, parts, problems)


def _read_manifest(path: str, parts: tuple[str, ...]) -> Manifest | Problem:
    """Read the manifest of the model that these four parts of a path name, or say why it cannot be used."""
    name, full_name = names_of(parts)
    try:
        data = read_bytes(path, MAX_BYTES)
        content = parse_object(data, path)
        return Manifest(
            path=path,
            name=name,
            full_name=full_name,
            digest=hashlib.sha256(data).hexdigest(),
            layers=_parse_layers(content, path),
            config=_parse_layer(content["config"], path) if content.get("config") else None,
            modified=int(os.stat(path).st_mtime),
        )
    except UnusableDocumentError as error:
        message = f"{name}: its manifest cannot be used: {error}; pull the model again"
        return _problem("unreadable-manifest", path, message)
    except OSError as error:
        return _problem("unreadable", path, f"{path}: {error.strerror or error}")


def names_of(parts: tuple[str, ...]) -> tuple[str, str]:
    """Return what people call a model, and the same with its tag.

    Args:
        parts: Host, namespace, model, tag.
    """
    host, namespace, model, tag = parts
    if host != _HOST:
        base = f"{host}/{namespace}/{model}"
    else:
        base = model if namespace == _NAMESPACE else f"{namespace}/{model}"
    full = f"{base}:{tag}"
    return (base if tag == _TAG else full), full


def _parse_layers(content: dict[str, Any], path: str) -> tuple[Layer, ...]:
    layers = content.get("layers") or []
    if not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
        raise UnusableDocumentError(f"{path}: has no list of layers")
    return tuple(_parse_layer(layer, path) for layer in layers)


def _parse_layer(layer: Any, path: str) -> Layer:
    if not isinstance(layer, dict):
        raise UnusableDocumentError(f"{path}: a layer is no object")
    digest = layer.get("digest")
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if match is None:
        raise UnusableDocumentError(f"{path}: {str(digest)[:100]!r} is no sha256 digest")
    kind, size, name = str(layer.get("mediaType")), layer.get("size"), layer.get("name")
    return Layer(
        kind=kind.removeprefix(_LAYER).partition(";")[0].strip(),
        sha256=match[1],
        size=size if type(size) is int and size >= 0 else None,
        name=name if isinstance(name, str) else None,
    )


def blob_digest(name: str) -> str | None:
    """Return the digits in a finished blob's name, lower case; None for any other name."""
    match = _DIGEST.fullmatch(name)
    return None if match is None else match[1].lower()


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)
