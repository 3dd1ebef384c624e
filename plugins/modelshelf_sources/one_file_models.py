"""Folders in which each file is a model of its own, as tools for images keep them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import evolve

from modelshelf.model import Artifact, ArtifactFile
from modelshelf_sources.listing import model_id, stem_of

if TYPE_CHECKING:
    from modelshelf.source import Folder, Listing

# ComfyUI's `folder_paths.supported_pt_extensions`, and what common extensions of it load.
_ENDINGS = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft", ".gguf", ".onnx")
_ONE_MODEL = re.compile(
    r"config\.json|model_index\.json|.*\.index(?:\.[a-z0-9]+)?\.json|.*[-_]\d{1,6}-of-\d{1,6}\.[a-z0-9]+"
    r"|diffusion_pytorch_model.*|adapter_config\.json",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"put_.*_here")  # empty files that ComfyUI's own folders come with


def is_one_model(folder: Folder) -> bool:
    """Whether the files of a folder belong together: a configuration, an index, or numbered shards."""
    return any(_ONE_MODEL.fullmatch(file.name) for file in folder.files)


def list_each(
    folder: Folder, source: str, id_of: Callable[[str], str], facts: dict[str, Any]
) -> Iterator[Listing]:
    """List each file with a model's ending as a model of its own, then the folder with what is left.

    Args:
        folder: A folder that is not `is_one_model`.
        source: Name of the source that lists it.
        id_of: Gives the id of a file by its name without the ending; by its whole name, where two names
            differ in their endings only.
        facts: Facts about every file.
    """
    models = [file for file in folder.files if file.name.lower().endswith(_ENDINGS)]
    stems = Counter(stem_of(file.name) for file in models)
    for file in models:
        stem = stem_of(file.name)
        yield Artifact(
            folder=folder.path,
            primary=file.name,
            files=(file,),
            source=source,
            model_id=model_id(id_of(stem if stems[stem] == 1 else file.name)),
            facts=facts,
        )
    taken = {file.name for file in models}
    yield evolve(folder, files=_rest(folder, taken), facts={**folder.facts, **facts})


def _rest(folder: Folder, taken: set[str]) -> tuple[ArtifactFile, ...]:
    return tuple(
        file for file in folder.files if file.name not in taken and not _PLACEHOLDER.fullmatch(file.name)
    )
