"""Making the files of a store, and what they have in common from the first on."""

from __future__ import annotations

import os
from contextlib import suppress

import lmdb

from modelshelf_lmdb.datafile import NAME
from modelshelf_lmdb.failures import translated

FIRST_MAP = 64 * 1024 * 1024
"""Bytes of the first map; it doubles whenever it is full."""
MOST_READERS = 512
FILES_MODE = 0o700  # LMDB takes the x bits off
_FOLDER_MODE = 0o700


def create(folder: str) -> None:
    """Make a store's folder and files where there is no store.

    Raises:
        StoreUnavailableError: They cannot be made.
        StoreFullError: There is no room for them.
    """
    try:
        os.makedirs(folder, mode=_FOLDER_MODE, exist_ok=True)
        if present(folder):
            return
        if all(name.startswith(".") for name in os.listdir(folder)):  # a checkout's empty one, say
            with suppress(OSError):
                os.chmod(folder, _FOLDER_MODE)
        # The version is named so that an environment variable of LMDB's cannot choose another file format.
        made = lmdb.open(
            os.fsencode(folder), map_size=FIRST_MAP, create=False, mode=FILES_MODE, lib_version=0
        )
        made.close()
        for path in (folder, os.path.dirname(folder)):
            persist_entries(path)
    except (lmdb.Error, OSError, ValueError) as error:
        raise translated(error, folder, "creating the store") from error


def present(folder: str) -> bool:
    """Whether a folder holds a store's data file, and more than its name.

    Raises:
        StoreUnavailableError: It cannot be told.
    """
    try:
        return os.stat(os.path.join(folder, NAME)).st_size > 0
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise translated(error, folder, "opening") from error


def begin_lock_file(folder: str) -> None:
    """Have LMDB write the lock file anew: it remembers the last commit of the file that was replaced.

    For a caller that holds `shut_off`.

    Raises:
        StoreUnavailableError: The store cannot be opened.
    """
    try:
        lmdb.open(os.fsencode(folder), create=False, mode=FILES_MODE, max_readers=MOST_READERS).close()
    except lmdb.Error as error:
        raise translated(error, folder, "opening") from error


def persist_entries(folder: str | os.PathLike[str]) -> None:
    """Make a new file's directory entry durable; committed records would be lost with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
