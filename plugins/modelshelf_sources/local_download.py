"""Folders that huggingface_hub downloaded into with ``local_dir``: how they are known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modelshelf_sources.model_ids import relative

if TYPE_CHECKING:
    from modelshelf.source import Folder

_CACHE = ".cache"
HUB = ".cache/huggingface"
NOTES = f"{HUB}/download"


def is_local_download(folder: Folder) -> bool:
    """Whether huggingface_hub downloaded into this folder."""
    return _CACHE in folder.subfolders and has_notes(folder.path)


def has_notes(folder: str) -> bool:
    """Whether notes of downloads lie in this folder."""
    return os.path.isdir(f"{folder}/{NOTES}")


def is_bookkeeping(path: str, root: str) -> bool:
    """Whether a folder below a local download is the download's own."""
    return relative(path, root).startswith(HUB)
