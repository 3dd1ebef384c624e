"""Names that sources list: a plain relative one stays in its folder, any other costs its entry.

What a source takes out of a manifest or from a server may name any file of the machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import Artifact, Orphan, Problem, UnfinishedDownload
from modelshelf.source import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.source import Listing

REFUSED_NAME = "refused-name"
"""Code of the problem for an entry whose name leads out of its folder."""


def checked(listing: Listing | object, root: str, source: str) -> Iterator[Listing]:
    """A listing, and in place of each entry whose name is refused a problem.

    Args:
        listing: What the source listed.
        root: The root of its place, in which ``..`` is a person's own.
        source: The source's name.
    """
    if isinstance(listing, Folder):
        fault = _fault_of_folder(listing.path, root)
        if fault is not None:
            yield _refused(source, listing.path, root, fault)
            return
        faults = [(one, _fault_of_name(one.name)) for one in listing.files]
        yield from (_refused(source, one.name, listing.path, why) for one, why in faults if why is not None)
        if any(why is not None for _, why in faults):
            listing = attrs.evolve(listing, files=tuple(one for one, why in faults if why is None))
        yield listing
    elif isinstance(listing, Artifact):
        fault = _fault_of_folder(listing.folder, root)
        if fault is not None:
            yield _refused(source, listing.folder, root, fault)
            return
        names = (listing.primary, *(one.name for one in listing.files), *listing.missing)
        wrong = [(name, why) for name in names if (why := _fault_of_name(name)) is not None]
        if not wrong:
            yield listing
        yield from (_refused(source, name, listing.folder, why) for name, why in dict.fromkeys(wrong))
    elif isinstance(listing, UnfinishedDownload | Orphan | Problem):
        yield listing
    else:  # a source of a third party
        message = f"{root}: the source {source} listed {type(listing).__name__}, which is no listing"
        yield Problem(code=REFUSED_NAME, path=root, message=message, plugin=source)


def _refused(source: str, name: object, folder: str, why: str) -> Problem:
    message = f"{folder}: the source {source} names {name!r}, which {why}; it is left out"
    return Problem(code=REFUSED_NAME, path=folder, message=message, plugin=source)


def _fault_of_name(name: object) -> str | None:
    """Why a name cannot be that of a file within its folder; None where it can."""
    if not isinstance(name, str) or name in {"", "."}:
        return "is the name of no file"
    if "\0" in name:
        return "holds a NUL"
    if os.path.isabs(name) or os.path.splitdrive(name)[0]:  # a drive where the system has drives
        return "is absolute"
    return _leading_out(name)


def _fault_of_folder(path: object, root: str) -> str | None:
    """Why a path cannot be that of a folder in, or beside, a place; None where it can."""
    if not isinstance(path, str) or not path:
        return "is the path of no folder"
    if "\0" in path:
        return "holds a NUL"
    if not os.path.isabs(path) and "://" not in path:
        return "is not absolute"
    return _leading_out(path.removeprefix(root))


def _leading_out(path: str) -> str | None:
    if ".." not in path:
        return None
    parts = path.replace(os.sep, "/").split("/")
    return "leads out of its folder" if ".." in parts else None
