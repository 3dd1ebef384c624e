"""Where ComfyUI finds models: its own folder, and what YAML files add to it.

A file (``extra_model_paths.yaml`` beside ComfyUI, ``extra_models_config.yaml`` of the desktop program) has
sections of ``base_path`` (with ``~`` and variables; relative to the file's folder), ``is_default``, and for
each kind of model one path a line, relative to ``base_path`` (ComfyUI, ``utils/extra_config.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_mapping

if TYPE_CHECKING:
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
