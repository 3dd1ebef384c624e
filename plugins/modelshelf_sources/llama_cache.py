"""llama.cpp's older, flat cache: where it lies, and how such a folder is known; see `llama_flat`."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from modelshelf_sources.local_store import names_in

if TYPE_CHECKING:
    from modelshelf_sources.machine import Machine

MANIFEST = re.compile(r"manifest=(?P<user>[^=]+)=(?P<repository>[^=]+)=(?P<tag>[^=]+)\.json")
BESIDE = (".gguf.etag", ".gguf.json")
"""Endings of the files that lie beside a model's."""


def flat_roots(machine: Machine) -> tuple[str, ...]:
    """Where llama.cpp keeps, or kept, its flat cache by default on this platform."""
    if machine.platform == "darwin":
        return (machine.below_home("Library", "Caches", "llama.cpp"),)
    if machine.platform == "win32":
        return (os.path.join(machine.local_app_data, "llama.cpp"),)
    return (os.path.join(machine.cache_home, "llama.cpp"),)


def has_flat_files(folder: str) -> bool:
    """Whether a folder holds what only llama.cpp's flat cache does: manifests, or tags of files."""
    return any(MANIFEST.fullmatch(name) or name.endswith(BESIDE) for name in names_in(folder))
