"""Ids that are told by paths and by other tools' files: unique, stable, and short enough for a record."""

from __future__ import annotations

import hashlib
import os

_LONGEST = 1000  # characters; a record takes 1,024, and grouping may add a variant's name
_LONGEST_VARIANT = 255  # a file's name


def model_id(text: str) -> str:
    """An id as a record can keep it: without NUL, and a long one cut and ended by its hash."""
    told = text.replace("\0", "")
    longest = _LONGEST - _LONGEST_VARIANT
    if len(told) <= longest:
        return told
    digest = hashlib.blake2b(os.fsencode(told.encode("utf-8", "surrogateescape")), digest_size=8).hexdigest()
    return f"{told[: longest - 17]}~{digest}"


def stem_of(name: str) -> str:
    """A file's name without its ending."""
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem.strip(".") else name


def relative(path: str, root: str) -> str:
    """A path below a root, relative to it with ``/`` between parts; empty for the root itself."""
    if path == root:
        return ""
    return path[len(root.rstrip("/")) + 1 :] if path.startswith(root.rstrip("/") + "/") else path
