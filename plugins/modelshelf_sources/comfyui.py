"""ComfyUI's models: one folder for each kind, one file for most models.

It finds them below its own folder and where YAML files say. Such a file (``extra_model_paths.yaml`` beside
ComfyUI, ``extra_models_config.yaml`` of the desktop program) has sections of ``base_path`` (with ``~`` and
variables; relative to the file's folder), ``is_default``, and for each kind of model one path a line,
relative to ``base_path`` (ComfyUI, ``utils/extra_config.py``).
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

_MODELS = "models"
_EXTRA_PATHS = "extra_model_paths.yaml"
_DESKTOP_EXTRA_PATHS = "extra_models_config.yaml"
_MAX_EXTRA_PATHS = 1000
_ANY_LEVEL = 1 << 30
_MAX_INI_BYTES = 64 * 1024
_MIN_KIND_FOLDERS = 3  # in a folder of models, so that it is one of ComfyUI's

_OLDER_KINDS = {"clip": "text_encoders", "unet": "diffusion_models", "t2i_adapter": "controlnet"}
_KIND_FOLDERS = frozenset(
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
        *_OLDER_KINDS,
    ]
)
"""Names of the folders that ComfyUI makes for models."""

_NO_KINDS = frozenset({"base_path", "is_default", "custom_nodes", "download_model_base"})


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


@frozen(kw_only=True, eq=False, repr=False)
class _Configuration:
    """The settings of this machine's ComfyUI.

    Attributes:
        folders: Its own folders, with the reason for each.
        extras: Folders that YAML files add.
        problems: YAML files that cannot be used.
    """

    folders: tuple[tuple[str, str], ...]
    extras: tuple[ExtraPath, ...]
    problems: tuple[Problem, ...]


class ComfyUISource(LocalStore):
    """Models that ComfyUI loads, with the kind that their folder stands for; ids are ``kind/name``."""

    name = "comfyui"

    def roots(self) -> Iterable[Root]:
        """List the folders of models of each ComfyUI, then every folder that a YAML file adds, each once."""
        configuration = self._configuration()
        own = [_models_of(folder) for folder, _ in configuration.folders]
        for (_, reason), path in zip(configuration.folders, own, strict=True):
            yield Root(path=path, reason=reason)
        for extra in configuration.extras:
            if not any(_is_below(extra.path, path) for path in own):
                yield Root(path=extra.path, reason=extra.reason)

    def default_roots(self) -> Iterable[Root]:
        """List `roots`, which knows of the settings itself."""
        return self.roots()

    def recognises(self, root: str) -> bool:
        """Whether it is ComfyUI's own folder, or its folder of models."""
        if os.path.isdir(f"{root}/{_MODELS}/checkpoints"):
            names = set(names_in(root))
            return bool(names & {"custom_nodes", "comfy", _EXTRA_PATHS, f"{_EXTRA_PATHS}.example"})
        return len(_KIND_FOLDERS.intersection(names_in(root))) >= _MIN_KIND_FOLDERS

    def list(self, place: Place, walk: Walk) -> Iterator[Listing]:
        """List every model file below the folders of each kind; a folder of one model as that model."""
        configuration = self._configuration()
        is_own = any(root.path == place.root for root in self.roots())
        root = place.root if is_own else _models_of(place.root)
        if not os.path.isdir(root):
            yield absent(root)
            return
        yield from _problems_at(root, configuration)
        for item in walk(root, link_levels=_ANY_LEVEL):  # as ComfyUI itself does
            if isinstance(item, Folder):
                yield from _list_folder(item, root, configuration.extras, self.name)
            else:
                yield item

    def _configuration(self) -> _Configuration:
        if self._configured:
            folders = tuple((root.path, root.reason) for root in self._configured)
            files = [os.path.join(folder, _EXTRA_PATHS) for folder, _ in folders]
        else:
            reasons: dict[str, str] = {}
            for folder, reason in _default_folders(self.machine):
                reasons.setdefault(os.path.abspath(folder), reason)
            folders = tuple(reasons.items())
            files = [*_extra_files(self.machine, [*reasons])]
        extras: list[ExtraPath] = []
        problems: list[Problem] = []
        for file in files:
            try:
                extras += extra_paths(file, self.machine)
            except UnusableDocumentError as error:
                message = f"{error}; the folders that it adds are not looked into"
                problems.append(Problem(code="unreadable-settings", path=file, message=message))
        return _Configuration(folders=folders, extras=tuple(extras), problems=tuple(problems))


def _default_folders(machine: Machine) -> Iterator[tuple[str, str]]:
    """List ComfyUI's own folders, with the reason for each."""
    named = machine.variable("COMFYUI_PATH")
    if named is not None:
        yield machine.expand(named), "$COMFYUI_PATH"
    yield from _workspaces(machine)
    for parts in (("ComfyUI",), ("comfy", "ComfyUI"), ("Documents", "ComfyUI")):
        yield machine.below_home(*parts), "default"


def _workspaces(machine: Machine) -> Iterator[tuple[str, str]]:
    """List the folders that comfy-cli, its installer, keeps in its ``config.ini``."""
    home = machine.local_app_data if machine.platform == "win32" else machine.config_home
    path = os.path.join(home, "comfy-cli", "config.ini")
    if not os.path.lexists(path):
        return
    import configparser  # slow to import, and few machines have the file

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_bytes(path, _MAX_INI_BYTES).decode("utf-8-sig"))
    except (UnusableDocumentError, UnicodeDecodeError, configparser.Error):
        return
    for key in ("default_workspace", "recent_workspace"):
        if folder := parser.defaults().get(key, "").strip():
            yield machine.expand(folder), path


def _extra_files(machine: Machine, folders: list[str]) -> Iterator[str]:
    """List the YAML files that may add folders: beside each ComfyUI, and the desktop application's."""
    for folder in folders:
        yield os.path.join(folder, _EXTRA_PATHS)
    yield os.path.join(machine.config_home, "ComfyUI", _DESKTOP_EXTRA_PATHS)


def extra_paths(file: str, machine: Machine) -> tuple[ExtraPath, ...]:
    """Read the folders that a YAML file adds, those of default sections first; none where it is absent.

    Raises:
        UnusableDocumentError: It is there and cannot be used.
    """
    if not os.path.lexists(file):
        return ()
    found: list[ExtraPath] = []
    for name, section in read_mapping(file).items():
        if isinstance(section, dict):
            found.extend(_section_paths(file, str(name), section, machine))
        if len(found) > _MAX_EXTRA_PATHS:
            raise UnusableDocumentError(f"{file}: names more than {_MAX_EXTRA_PATHS} folders")
    return tuple(sorted(found, key=lambda extra: not extra.is_default))


def _section_paths(file: str, name: str, section: dict[str, Any], machine: Machine) -> Iterator[ExtraPath]:
    folder = os.path.dirname(os.path.abspath(file))
    base = section.get("base_path")
    if isinstance(base, str) and base.strip():
        folder = os.path.join(folder, machine.expand(base.strip()))
    is_default = str(section.get("is_default")).lower() in {"true", "yes", "on", "1"}
    for kind, lines in section.items():
        if not isinstance(lines, str) or kind in _NO_KINDS:
            continue
        for line in lines.splitlines():
            if line.strip() and "\0" not in line:
                yield ExtraPath(
                    path=os.path.normpath(os.path.join(folder, machine.expand(line.strip()))),
                    kind=_kind_of(str(kind)),
                    reason=f"{file}: {name}",
                    is_default=is_default,
                )


def _models_of(folder: str) -> str:
    """Return the folder of models of ComfyUI's own folder; any other folder is one itself."""
    path = os.path.abspath(folder)
    own = os.path.join(path, _MODELS)
    return path if os.path.isdir(path) and not os.path.isdir(own) else own


def _problems_at(root: str, configuration: _Configuration) -> Iterator[Problem]:
    """List the problems of the settings beside a folder of models; those of other settings with the first."""
    own = [_models_of(folder) for folder, _ in configuration.folders]
    for problem in configuration.problems:
        beside = os.path.join(os.path.dirname(str(problem.path)), _MODELS)
        if root == beside or (beside not in own and root == next(filter(os.path.isdir, own), root)):
            yield problem


def _list_folder(folder: Folder, root: str, extras: tuple[ExtraPath, ...], source: str) -> Iterator[Listing]:
    from modelshelf_sources.one_file_models import is_one_model, list_each
    from modelshelf_sources.tool_kinds import kind_facts

    kind, below = _kind_and_path(folder.path, root, extras)
    facts: dict[str, Any] = {} if kind is None else kind_facts(kind)
    above = "/".join(part for part in (kind, below) if part)
    if below and (kind == "diffusers" or is_one_model(folder)):
        yield evolve(folder, model_id=model_id(above), facts=facts)
        return
    yield from list_each(folder, source, lambda name: f"{above}/{name}" if above else name, facts)


def _kind_and_path(path: str, root: str, extras: tuple[ExtraPath, ...]) -> tuple[str | None, str]:
    """Return the kind of the models in a folder, or None, and the folder's path below the kind's."""
    within = [extra for extra in extras if _is_below(path, extra.path)]
    if within:
        nearest = max(within, key=lambda extra: len(extra.path))
        return nearest.kind, relative(path, nearest.path)
    folder, _, below = relative(path, root).partition("/")
    return (_kind_of(folder), below) if folder else (None, "")


def _kind_of(folder: str) -> str:
    """Return the kind that a folder's, or a section's, name stands for: three have older names."""
    return _OLDER_KINDS.get(folder, folder)


def _is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
