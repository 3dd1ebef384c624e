"""Stores of other tools as they lie on users' disks, and what a source lists of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import attrs
import gguf
import numpy as np
import safetensors.numpy

from modelshelf.model import Artifact, Orphan, Problem, UnfinishedDownload
from modelshelf.scan.file_names import FormatTable
from modelshelf.scan.group import group, read_index
from modelshelf.scan.walk import walk
from modelshelf.source import Folder, Listing, Place, PlainFolders, Source
from modelshelf_gguf import modelshelf_formats as gguf_formats
from modelshelf_pytorch import modelshelf_formats as pytorch_formats
from modelshelf_safetensors import modelshelf_formats as safetensors_formats
from modelshelf_sources.machine import Machine

FORMATS = FormatTable.of([*gguf_formats(), *safetensors_formats(), *pytorch_formats()])
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40
REGISTRY = "registry.ollama.ai"


def machine(home: Path, platform: str = "linux", *, is_root: bool = False, **environment: object) -> Machine:
    variables = {name: str(value) for name, value in environment.items()}
    return Machine(environment=variables, home=str(home), platform=platform, is_root=is_root)


@cache
def gguf_bytes(name: str = "tiny", **texts: str) -> bytes:
    """A whole GGUF file as the real writer makes it; another name is another content."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_name(name)
        for key, text in texts.items():
            writer.add_string(key.replace("_", "."), text)
        writer.add_tensor("token_embd.weight", np.zeros((8, 16), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


@cache
def safetensors_bytes(seed: int = 1, tensor: str = "weight") -> bytes:
    return safetensors.numpy.save({tensor: np.full((4, 4), seed, dtype=np.float32)})


def put(path: Path, content: bytes | str | dict[str, Any] | list[Any] = b"") -> Path:
    """Write a file; an object as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict | list):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sparse(path: Path, length: int, written: bytes = b"") -> Path:
    """A file made full size in advance, with what came so far at its beginning."""
    put(path, written)
    os.truncate(path, length)
    return path


class HubCache:
    """A cache as huggingface_hub lays it out."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def repository(self, name: str) -> Path:
        return self.root / f"models--{name.replace('/', '--')}"

    def add(
        self,
        name: str,
        files: dict[str, bytes],
        *,
        commit: str = COMMIT,
        ref: str | None = "main",
        links: bool = True,
    ) -> Path:
        """Add files of one commit; gives the snapshot's folder."""
        repository = self.repository(name)
        snapshot = repository / "snapshots" / commit
        snapshot.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            target = snapshot / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if links:
                blob = put(repository / "blobs" / blob_name(path, content), content)
                target.symlink_to(os.path.relpath(blob, target.parent))
            else:
                target.write_bytes(content)
        if ref is not None:
            put(repository / "refs" / ref, commit)
        return snapshot

    def tree(self, name: str, files: dict[str, bytes], commit: str = COMMIT) -> Path:
        """The list of all files of a commit."""
        entries = {path: tree_entry(path, content) for path, content in sorted(files.items())}
        path = self.repository(name) / "trees" / f"{commit}.json"
        return put(path, json.dumps({"format_version": 1, "files": entries}, indent=1))


def is_lfs(path: str) -> bool:
    return path.endswith((".gguf", ".safetensors", ".bin"))


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's own


def blob_name(path: str, content: bytes) -> str:
    return sha256(content) if is_lfs(path) else git_sha1(content)


def tree_entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"size": len(content), "blob_id": git_sha1(content)}
    if is_lfs(path):
        entry |= {"lfs_sha256": sha256(content), "lfs_size": len(content)}
    return entry


class OllamaStore:
    """Ollama's store, written byte for byte as Ollama writes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "manifests").mkdir(parents=True)
        (root / "blobs").mkdir()

    def blob(self, content: bytes | str | dict[str, Any]) -> str:
        """Add a blob; gives its digest."""
        if isinstance(content, dict | list):
            content = json.dumps(content, separators=(",", ":"))
        data = content.encode() if isinstance(content, str) else content
        put(self.path_of(f"sha256:{sha256(data)}"), data)
        return f"sha256:{sha256(data)}"

    def path_of(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "-")

    def layer(
        self, kind: str, content: bytes | str | dict[str, Any] | list[Any], **more: str
    ) -> dict[str, Any]:
        digest = self.blob(content)
        size = self.path_of(digest).stat().st_size
        return {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest, "size": size, **more}

    def manifest(
        self,
        name: str,
        layers: list[dict[str, Any]],
        config: dict[str, Any] | None = None,
        *,
        tag: str = "latest",
        namespace: str = "library",
        host: str = REGISTRY,
    ) -> Path:
        """Add a tag; Go writes its JSON without white space."""
        config_layer = self.layer("config", config or {"model_format": "gguf"})
        content = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {**config_layer, "mediaType": "application/vnd.docker.container.image.v1+json"},
            "layers": layers,
        }
        path = self.root / "manifests" / host / namespace / name / tag
        return put(path, json.dumps(content, separators=(",", ":")))


@attrs.frozen(kw_only=True)
class Listed:
    """What a source lists of a place, grouped as the core groups it."""

    artifacts: tuple[Artifact, ...]
    unfinished: tuple[UnfinishedDownload, ...]
    orphans: tuple[Orphan, ...]
    problems: tuple[Problem, ...]

    @property
    def ids(self) -> list[str]:
        return [str(one.model_id) for one in self.artifacts]

    @property
    def codes(self) -> list[str]:
        return [one.code for one in self.problems]

    def __getitem__(self, model_id: str) -> Artifact:
        (found,) = [one for one in self.artifacts if one.model_id == model_id]
        return found


def listed(source: Source, root: Path | str | None = None) -> Listed:
    """List one place, or every present place, of a source."""
    places = source.places() if root is None else [Place(source=source.name, root=str(root))]
    found = [one for place in places if place.present for one in _grouped(source, place)]
    return Listed(
        artifacts=tuple(one for one in found if isinstance(one, Artifact)),
        unfinished=tuple(one for one in found if isinstance(one, UnfinishedDownload)),
        orphans=tuple(one for one in found if isinstance(one, Orphan)),
        problems=tuple(one for one in found if isinstance(one, Problem)),
    )


def _listed(source: Source, place: Place) -> Iterator[Listing]:
    listed = source.list(place, partial(walk, wants=FORMATS.wants))
    if not isinstance(listed, PlainFolders):
        yield from listed
        return
    for one in walk(place.root, FORMATS.wants):
        yield listed.describe(one) if isinstance(one, Folder) else one


def _grouped(source: Source, place: Place) -> Iterator[object]:
    for one in _listed(source, place):
        if not isinstance(one, Folder):
            yield one
            continue
        grouped = group(one, FORMATS, read_index, source.name)
        # What no format claims by its name is looked into and left out; no test here is about that.
        yield from (made for made in grouped.artifacts if FORMATS.claims(made.weights[0].name))
        yield from grouped.unfinished
        yield from grouped.problems


def snapshot_of(root: Path) -> dict[str, tuple[int, int, int]]:
    """Size, time and inode of every file below a folder: proof that nothing there was written."""
    found = {}
    for above, folders, files in os.walk(root):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(above, name))
            found[os.path.join(above, name)] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found
