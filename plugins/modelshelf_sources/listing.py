"""Parts of a listing that several sources make: names in folders, ids, problems, leftovers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterable, Iterator, MutableSequence

from modelshelf.model import Orphan, Problem, UnfinishedDownload
from modelshelf.source import room_of

_MAX_ID = 1000  # characters; a record takes 1,024, and grouping may add a variant's name
_MAX_VARIANT = 255  # a file's name


def names_in(folder: str, problems: MutableSequence[Problem] | None = None) -> tuple[str, ...]:
    """List the names in a folder, sorted; none where it is absent or cannot be listed.

    Args:
        folder: The folder.
        problems: Where the problem of a folder is added that is there and cannot be listed.
    """
    try:
        return tuple(sorted(os.listdir(folder)))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a name with NUL is none that exists
        return ()
    except OSError as error:
        if problems is not None:
            problems.append(unreadable_folder(folder, error))
        return ()


def absent(root: str) -> Problem:
    """Make the problem of a place that is not there: nothing below it is taken for removed."""
    return Problem(code="absent", path=root, message=f"{root}: is not there; nothing there was changed")


def unreadable_folder(folder: str, error: OSError) -> Problem:
    """Make the problem of a folder that cannot be listed: nothing below it is taken for removed."""
    return Problem(code="unreadable-folder", path=folder, message=f"{folder}: {error.strerror or error}")


def model_id(text: str) -> str:
    """Make an id that a record can keep: without NUL, and a long one cut and ended by its hash."""
    cleaned = text.replace("\0", "")
    longest = _MAX_ID - _MAX_VARIANT
    if len(cleaned) <= longest:
        return cleaned
    content = os.fsencode(cleaned.encode("utf-8", "surrogateescape"))
    return f"{cleaned[: longest - 17]}~{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def stem_of(name: str) -> str:
    """Return a file's name without its ending."""
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem.strip(".") else name


def relative(path: str, root: str) -> str:
    """Return a path below a root relative to it, with ``/`` between parts; empty for the root itself.

    `os.path.relpath` would lead upwards out of the root, and asks for the working directory each time.
    """
    if path == root:
        return ""
    return path[len(root.rstrip("/")) + 1 :] if path.startswith(root.rstrip("/") + "/") else path


def unfinished_download(path: str, reason: str, more: int = 0) -> UnfinishedDownload:
    """Make the listing of an unfinished download; `more` are bytes of other files that belong to it.

    Raises:
        OSError: It is gone by now.
    """
    return UnfinishedDownload(path=path, size=room_of(os.stat(path)) + more, reason=reason)


def orphan(path: str, reason: str) -> Orphan:
    """Make the listing of a file that no model of its store uses.

    Raises:
        OSError: It is gone by now.
    """
    return Orphan(path=path, size=room_of(os.stat(path)), reason=reason)


def leftovers(
    folder: str, names: Iterable[str], used: Container[str] | None, endings: tuple[str, ...], reason: str
) -> Iterator[UnfinishedDownload | Orphan]:
    """List the unfinished downloads in a folder of blobs, and the blobs that nothing uses.

    Args:
        folder: The folder of blobs.
        names: The names in it, sorted.
        used: Those that something uses; None where that is not known, so that none is an orphan.
        endings: What the name of an unfinished download may end in.
        reason: Why any other is an orphan.
    """
    for name in names:
        path = f"{folder}/{name}"
        try:
            if name.endswith(endings):
                yield unfinished_download(path, f"its name ends in .{name.rpartition('.')[2]}")
            elif used is not None and name not in used:
                yield orphan(path, reason)
        except OSError:
            continue  # finished or removed in the meantime
