"""Plain folders of any depth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from modelshelf.errors import ConfigurationError
from modelshelf.source import LOCAL, PlainFolders
from modelshelf_sources.download_layouts import has_download_metadata, is_bookkeeping, is_local_download
from modelshelf_sources.local_store import LocalStore, Root

if TYPE_CHECKING:
    from modelshelf.source import Folder, Place, Walk


_FOLLOW_LINKS = "follow_links"


class FolderSource(LocalStore):
    """Folders that a person or the settings name; the core walks them.

    Files that huggingface_hub downloaded into a folder get the metadata that it wrote down.
    """

    name = LOCAL
    _follow_links = False

    @classmethod
    def make(cls, settings: Mapping[str, Any]) -> Self:
        """Build the source from its settings: as for every tool, and ``follow_links``, true or false.

        Raises:
            ConfigurationError: There is another key, or a value of another type; the message names the key.
        """
        others = dict(settings)
        follow_links = others.pop(_FOLLOW_LINKS, False)
        if not isinstance(follow_links, bool):
            raise ConfigurationError(
                f"{_FOLLOW_LINKS} of the source {cls.name!r} must be true or false, not {follow_links!r}"
            )
        made = super().make(others)
        made._follow_links = follow_links  # noqa: SLF001 - its own
        return made

    def default_roots(self) -> Iterable[Root]:
        """List none: plain folders are the settings' to name."""
        return ()

    def recognises(self, root: str) -> bool:  # noqa: ARG002 - the contract's argument
        """Recognise nothing: plain folders are what is left when no other source claims a folder."""
        return False

    def claims(self, root: str) -> bool:  # noqa: ARG002 - the contract's argument
        """Claim nothing, see `recognises`."""
        return False

    def list(self, place: Place, walk: Walk) -> PlainFolders:  # noqa: ARG002 - the core walks them
        """List everything below the place's root."""
        downloads: dict[str, bool] = {}  # folders, and whether huggingface_hub downloaded into them
        return PlainFolders(
            describe=lambda folder: _with_metadata(folder, place.root, downloads),
            follow_links=self._follow_links,
        )


def _with_metadata(folder: Folder, place: str, downloads: dict[str, bool]) -> Folder:
    """The folder with the metadata of its files, where it lies in a download."""
    downloads[folder.path] = is_local_download(folder)
    root = _download_around(folder.path, place, downloads)
    if root is None or is_bookkeeping(folder.path, root):
        return folder
    from modelshelf_sources.hub_metadata import with_download_metadata  # few folders are downloads

    return with_download_metadata(folder, root)


def _download_around(path: str, root: str, downloads: dict[str, bool]) -> str | None:
    """Find the nearest folder at or above a path, up to the root, that was downloaded into; else None.

    A walk may leave out folders that did not change: those above this one are then asked for.
    """
    while True:
        if path not in downloads:
            downloads[path] = has_download_metadata(path)
        if downloads[path]:
            return path
        if path == root or len(path) <= len(root):
            return None
        path = os.path.dirname(path)
