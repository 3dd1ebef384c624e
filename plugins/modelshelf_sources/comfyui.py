"""ComfyUI's models: one folder for each kind, one file for most models."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, frozen

from modelshelf.model import Problem
from modelshelf.source import Folder, Listing, Place, Walk
from modelshelf_sources.comfyui_paths import (
    EXTRA_PATHS,
    KIND_FOLDERS,
    ExtraPath,
    bases,
    extra_files,
    extra_paths,
    kind_of,
)
from modelshelf_sources.documents import UnusableDocumentError
from modelshelf_sources.local_store import LocalStore, Root, absent, names_in
from modelshelf_sources.model_ids import model_id, relative
from modelshelf_sources.one_file_models import holds_one_model, list_each

_MODELS = "models"
_TELLING = 3  # folders of ComfyUI's kinds that tell its folder of models from any other


@frozen(kw_only=True)
class _Configured:
    """What the settings of this machine's ComfyUI say.

    Attributes:
        folders: Its own folders, with who tells of each.
        extras: Folders that YAML files add.
        problems: YAML files that cannot be used.
    """

    folders: tuple[tuple[str, str], ...]
    extras: tuple[ExtraPath, ...]
    problems: tuple[Problem, ...]


class ComfyUISource(LocalStore):
    """Models that ComfyUI loads, with the kind that their folder tells; ids are ``kind/name``."""

    name = "comfyui"

    def roots(self) -> Iterable[Root]:
        """The folders of models of each ComfyUI, then every folder that a YAML file adds, each once."""
        told = self._told()
        own = [_models_of(folder) for folder, _ in told.folders]
        for (_, reason), path in zip(told.folders, own, strict=True):
            yield Root(path=path, reason=reason)
        for extra in told.extras:
            if not any(_is_below(extra.path, path) for path in own):
                yield Root(path=extra.path, reason=extra.reason)

    def told_roots(self) -> Iterable[Root]:
        """See `roots`."""
        return self.roots()

    def recognises(self, root: str) -> bool:
        """Whether it is ComfyUI's own folder, or its folder of models."""
        if os.path.isdir(f"{root}/{_MODELS}/checkpoints"):
            names = set(names_in(root))
            return bool(names & {"custom_nodes", "comfy", EXTRA_PATHS, f"{EXTRA_PATHS}.example"})
        return len(KIND_FOLDERS.intersection(names_in(root))) >= _TELLING

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """Every model file below the folders of each kind; a folder of one model as that model."""
        told = self._told()
        is_own = any(one.path == place.root for one in self.roots())
        root = place.root if is_own else _models_of(place.root)
        if not os.path.isdir(root):
            yield absent(root)
            return
        yield from _problems_at(root, told)
        for listed in walk(root):
            if isinstance(listed, Folder):
                yield from self._list_folder(listed, root, told.extras)
            else:
                yield listed

    def _list_folder(self, folder: Folder, root: str, extras: tuple[ExtraPath, ...]) -> Iterator[Listing]:
        kind, below = _place_of(folder.path, root, extras)
        facts: dict[str, Any] = {} if kind is None else {"kind": kind}
        above = "/".join(part for part in (kind, below) if part)
        if below and (kind == "diffusers" or holds_one_model(folder)):
            yield evolve(folder, model_id=model_id(above), facts=facts)
            return
        yield from list_each(folder, self.name, lambda name: f"{above}/{name}" if above else name, facts)

    def _told(self) -> _Configured:
        if self._configured:
            folders = tuple((root.path, root.reason) for root in self._configured)
            files = [os.path.join(folder, EXTRA_PATHS) for folder, _ in folders]
        else:
            reasons: dict[str, str] = {}
            for folder, reason in bases(self.machine):
                reasons.setdefault(os.path.abspath(folder), reason)
            folders = tuple(reasons.items())
            files = [*extra_files(self.machine, [*reasons])]
        extras: list[ExtraPath] = []
        problems: list[Problem] = []
        for file in files:
            try:
                extras += extra_paths(file, self.machine)
            except UnusableDocumentError as error:
                message = f"{error}; the folders that it adds are not looked into"
                problems.append(Problem(code="unreadable-settings", path=file, message=message))
        return _Configured(folders=folders, extras=tuple(extras), problems=tuple(problems))


def _models_of(folder: str) -> str:
    """The folder of models of ComfyUI's own folder; any other folder is one itself."""
    path = os.path.abspath(folder)
    own = os.path.join(path, _MODELS)
    return path if os.path.isdir(path) and not os.path.isdir(own) else own


def _place_of(path: str, root: str, extras: tuple[ExtraPath, ...]) -> tuple[str | None, str]:
    """The kind of the models in a folder, or None, and where in the kind's folder it lies."""
    within = [extra for extra in extras if _is_below(path, extra.path)]
    if within:
        nearest = max(within, key=lambda extra: len(extra.path))
        return nearest.kind, relative(path, nearest.path)
    folder, _, below = relative(path, root).partition("/")
    return (kind_of(folder), below) if folder else (None, "")


def _problems_at(root: str, told: _Configured) -> Iterator[Problem]:
    """The problems of the settings beside a folder of models; those of other settings with the first."""
    own = [_models_of(folder) for folder, _ in told.folders]
    for problem in told.problems:
        beside = os.path.join(os.path.dirname(str(problem.path)), _MODELS)
        if root == beside or (beside not in own and root == next(filter(os.path.isdir, own), root)):
            yield problem


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
