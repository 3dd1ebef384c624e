"""What a store holds beside its models: unfinished downloads and orphans, with the room that they take."""

from __future__ import annotations

import os

from modelshelf.model import Orphan, UnfinishedDownload

_SMALLEST_BLOCK = 4096  # a file of up to this size may lie within its directory entry, without blocks
_BLOCK = 512  # bytes that `st_blocks` counts in


def room_of(told: os.stat_result) -> int:
    """Bytes that a file takes up: a download made full size in advance has holes, which take none."""
    blocks: int | None = getattr(told, "st_blocks", None)  # Windows has none
    if blocks is None or told.st_size <= _SMALLEST_BLOCK:
        return told.st_size
    return min(told.st_size, blocks * _BLOCK)


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
