"""Where ComfyUI finds models: its own folder, and what YAML files add to it.

A file (``extra_model_paths.yaml`` beside ComfyUI, ``extra_models_config.yaml`` of the desktop program) has
sections of ``base_path`` (with ``~`` and variables; relative to the file's folder), ``is_default``, and for
each kind of model one path a line, relative to ``base_path`` (ComfyUI, ``utils/extra_config.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import Problem
from modelshelf.source import Folder
from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_mapping
from modelshelf_sources.listing import absent, model_id, names_in, relative
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Listing, Place, Walk
    from modelshelf_sources.machine import Machine


EXTRA_PATHS = "extra_model_paths.yaml"

_DESKTOP_PATHS = "extra_models_config.yaml"

_MOST_PATHS = 1000

_MOST_SETTINGS_BYTES = 64 * 1024

KINDS = frozenset(
    [
        "audio_encoders",
        "checkpoints",
        "classifiers",
        "clip_vision",
        "configs",
        "controlnet",
        "diffusers",
        "diffusion_models",
        "embeddings",
        "gligen",
        "hypernetworks",
        "latent_upscale_models",
        "loras",
        "model_patches",
        "photomaker",
        "style_models",
        "text_encoders",
        "upscale_models",
        "vae",
        "vae_approx",
    ]
)

_LEGACY = {"clip": "text_encoders", "unet": "diffusion_models", "t2i_adapter": "controlnet"}

KIND_FOLDERS = KINDS.union(_LEGACY)
"""Names of the folders that ComfyUI makes for models, older ones too."""

_NO_MODELS = frozenset({"base_path", "is_default", "custom_nodes", "download_model_base"})


def kind_of(folder: str) -> str:
    """The kind that a folder's, or a section's, name stands for: the older names of three are mapped."""
    return _LEGACY.get(folder, folder)


@frozen(kw_only=True, eq=False, repr=False)
class ExtraPath:
    """One folder that a YAML file adds.

    Attributes:
        path: Absolute path.
        kind: The kind of the models in it.
        reason: The file and its section.
        is_default: Whether ComfyUI looks, and saves, there first.
    """

    path: str
    kind: str
    reason: str
    is_default: bool = False


def bases(machine: Machine) -> Iterator[tuple[str, str]]:
    """ComfyUI's own folders, and who tells of each."""
    told = machine.variable("COMFYUI_PATH")
    if told is not None:
        yield machine.expand(told), "$COMFYUI_PATH"
    yield from _workspaces(machine)
    for parts in (("ComfyUI",), ("comfy", "ComfyUI"), ("Documents", "ComfyUI")):
        yield machine.below_home(*parts), "default"


def _workspaces(machine: Machine) -> Iterator[tuple[str, str]]:
    """The folders that comfy-cli, its installer, keeps in its ``config.ini``."""
    home = machine.local_app_data if machine.platform == "win32" else machine.config_home
    path = os.path.join(home, "comfy-cli", "config.ini")
    if not os.path.lexists(path):
        return
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_bytes(path, _MOST_SETTINGS_BYTES).decode("utf-8-sig"))
    except (UnusableDocumentError, UnicodeDecodeError, configparser.Error):
        return
    for key in ("default_workspace", "recent_workspace"):
        if folder := parser.defaults().get(key, "").strip():
            yield machine.expand(folder), path


def extra_files(machine: Machine, folders: list[str]) -> Iterator[str]:
    """The YAML files that add folders: beside each ComfyUI, and the desktop application's."""
    for folder in folders:
        yield os.path.join(folder, EXTRA_PATHS)
    yield os.path.join(machine.config_home, "ComfyUI", _DESKTOP_PATHS)


def extra_paths(file: str, machine: Machine) -> tuple[ExtraPath, ...]:
    """The folders that a YAML file adds, those of default sections first; none where it is absent.

    Raises:
        UnusableDocumentError: It is there and cannot be used.
    """
    if not os.path.lexists(file):
        return ()
    found: list[ExtraPath] = []
    for section, told in read_mapping(file).items():
        if isinstance(told, dict):
            found.extend(_of_section(file, str(section), told, machine))
        if len(found) > _MOST_PATHS:
            raise UnusableDocumentError(f"{file}: names more than {_MOST_PATHS} folders")
    return tuple(sorted(found, key=lambda one: not one.is_default))


def _of_section(file: str, section: str, told: dict[str, Any], machine: Machine) -> Iterator[ExtraPath]:
    folder = os.path.dirname(os.path.abspath(file))
    base = told.get("base_path")
    if isinstance(base, str) and base.strip():
        folder = os.path.join(folder, machine.expand(base.strip()))
    is_default = str(told.get("is_default")).lower() in {"true", "yes", "on", "1"}
    for kind, lines in told.items():
        if not isinstance(lines, str) or kind in _NO_MODELS:
            continue
        for line in lines.splitlines():
            if line.strip() and "\0" not in line:
                yield ExtraPath(
                    path=os.path.normpath(os.path.join(folder, machine.expand(line.strip()))),
                    kind=kind_of(str(kind)),
                    reason=f"{file}: {section}",
                    is_default=is_default,
                )


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies in it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


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


def list_models(root: str, walk: Walk, extras: tuple[ExtraPath, ...], source: str) -> Iterator[Listing]:
    """Every model file below the folders of each kind; a folder of one model as that model.

    Args:
        root: A folder of models.
        walk: The core's walker.
        extras: Folders that YAML files add.
        source: Name of the source that lists it.
    """
    for listed in walk(root):
        if isinstance(listed, Folder):
            yield from _list_folder(listed, root, extras, source)
        else:
            yield listed


def _list_folder(folder: Folder, root: str, extras: tuple[ExtraPath, ...], source: str) -> Iterator[Listing]:
    from modelshelf_sources.one_file_models import holds_one_model, list_each

    kind, below = _place_of(folder.path, root, extras)
    facts: dict[str, Any] = {} if kind is None else {"kind": kind}
    above = "/".join(part for part in (kind, below) if part)
    if below and (kind == "diffusers" or holds_one_model(folder)):
        yield evolve(folder, model_id=model_id(above), facts=facts)
        return
    yield from list_each(folder, source, lambda name: f"{above}/{name}" if above else name, facts)


def _place_of(path: str, root: str, extras: tuple[ExtraPath, ...]) -> tuple[str | None, str]:
    """The kind of the models in a folder, or None, and where in the kind's folder it lies."""
    within = [extra for extra in extras if is_below(path, extra.path)]
    if within:
        nearest = max(within, key=lambda extra: len(extra.path))
        return nearest.kind, relative(path, nearest.path)
    folder, _, below = relative(path, root).partition("/")
    return (kind_of(folder), below) if folder else (None, "")
