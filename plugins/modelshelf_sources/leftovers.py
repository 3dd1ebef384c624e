"""What a store holds beside its models: unfinished downloads and orphans, with the room that they take."""

from __future__ import annotations

import os

from modelshelf.model import Orphan, UnfinishedDownload
from modelshelf.source import room_of


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
