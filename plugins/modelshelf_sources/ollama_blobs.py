"""The folder of blobs of an Ollama store: what is there, what is half there, what nothing needs.

A pull writes ``sha256-<hex>-partial``, made full size in advance and full of holes, so its length tells
nothing, with ``sha256-<hex>-partial-<N>`` (JSON ``{N, Offset, Size, Completed}``) for each of its parts;
newer versions write ``sha256-<hex>.tmp``.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

from attrs import evolve, frozen

from modelshelf.model import ArtifactFile, Problem, Role
from modelshelf_sources.documents import UnusableDocumentError, count_of, read_object
from modelshelf_sources.leftovers import orphan, unfinished
from modelshelf_sources.local_store import names_in
from modelshelf_sources.ollama_manifest import Layer, blob_digest

if TYPE_CHECKING:
    from modelshelf.source import Listing

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
