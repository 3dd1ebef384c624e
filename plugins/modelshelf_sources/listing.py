"""Parts of a listing that several sources make: ids, relative paths, problems, leftovers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import MutableSequence

from modelshelf.model import Orphan, Problem, UnfinishedDownload
from modelshelf.source import room_of


def names_in(folder: str, faults: MutableSequence[Problem] | None = None) -> tuple[str, ...]:
    """The names in a folder, sorted; none where it is absent or cannot be listed.

    Args:
        folder: The folder.
        faults: Where the problem of a folder goes that is there and cannot be listed.
    """
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with NUL is none that exists
        return ()
    except OSError as error:
        if faults is not None:
            faults.append(unlisted(folder, error))
        return ()


def absent(root: str) -> Problem:
    """The problem of a place that is not there: nothing below it is taken for gone."""
    return Problem(code="absent", path=root, message=f"{root}: is not there; nothing there was changed")


def unlisted(folder: str, error: OSError) -> Problem:
    """The problem of a folder that cannot be listed: nothing below it is taken for gone."""
    return Problem(code="unreadable-folder", path=folder, message=f"{folder}: {error.strerror or error}")


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


def unfinished(path: str, reason: str, beside: int = 0) -> UnfinishedDownload:
    """An unfinished download; `beside` are bytes of files that belong to it.

    Raises:
        OSError: It is gone by now.
    """
    return UnfinishedDownload(path=path, size=room_of(os.stat(path)) + beside, reason=reason)


def orphan(path: str, reason: str) -> Orphan:
    """A file that no model of its store uses.

    Raises:
        OSError: It is gone by now.
    """
    return Orphan(path=path, size=room_of(os.stat(path)), reason=reason)
