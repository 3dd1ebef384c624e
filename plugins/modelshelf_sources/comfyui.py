"""ComfyUI's models: one folder for each kind, one file for most models."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.model import Problem
from modelshelf_sources.comfyui_paths import (
    EXTRA_PATHS,
    KIND_FOLDERS,
    ExtraPath,
    bases,
    extra_files,
    extra_paths,
    is_below,
)
from modelshelf_sources.documents import UnusableDocumentError
from modelshelf_sources.local_store import LocalStore, Root, absent, names_in

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk

_MODELS = "models"
_TELLING = 3  # folders of ComfyUI's kinds that tell its folder of models from any other


@frozen(kw_only=True, eq=False, repr=False)
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
            if not any(is_below(extra.path, path) for path in own):
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
        from modelshelf_sources.comfyui_models import list_models

        yield from list_models(root, walk, told.extras, self.name)

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


def _problems_at(root: str, told: _Configured) -> Iterator[Problem]:
    """The problems of the settings beside a folder of models; those of other settings with the first."""
    own = [_models_of(folder) for folder, _ in told.folders]
    for problem in told.problems:
        beside = os.path.join(os.path.dirname(str(problem.path)), _MODELS)
        if root == beside or (beside not in own and root == next(filter(os.path.isdir, own), root)):
            yield problem
