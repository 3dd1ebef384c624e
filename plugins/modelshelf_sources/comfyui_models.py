"""The models below a folder of ComfyUI's: one file for most, with the kind that their folder tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve

from modelshelf.source import Folder
from modelshelf_sources.comfyui_paths import is_below, kind_of
from modelshelf_sources.model_ids import model_id, relative
from modelshelf_sources.one_file_models import holds_one_model, list_each

if TYPE_CHECKING:
    from modelshelf.source import Listing, Walk
    from modelshelf_sources.comfyui_paths import ExtraPath


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
