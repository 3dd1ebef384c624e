"""A new store in the place of a damaged one, in one step, with the damaged file kept beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from modelshelf.errors import StoreUnavailableError
from modelshelf_lmdb.creation import begin_lock_file, persist_entries
from modelshelf_lmdb.datafile import NAME
from modelshelf_lmdb.environment import shut_off
from modelshelf_lmdb.failures import translated
from modelshelf_lmdb.store import LmdbStore

_UNFINISHED = "repair-"


def replace(folder: str, fill: Callable[[LmdbStore], None]) -> str:
    """Have a new store filled and put it in the place of the one in a folder; see `StoreType.replace`.

    The one step that counts is the renaming of the new file over the old one. Before it the old store
    stands and has a second name at most; after it the new one does.

    Returns:
        The path of the old file, whose name tells that it was damaged and the time.

    Raises:
        StoreUnavailableError: There is no store, a program has it open, or the folder cannot be written.
        StoreFullError: There is no room for a second one.
    """
    current = Path(folder, NAME)
    if not current.is_file():
        raise StoreUnavailableError(f"{folder}: there is no store to repair; `modelshelf scan` makes one")
    with shut_off(folder):
        try:
            for left in Path(folder).glob(f"{_UNFINISHED}*"):  # of a repair that was killed
                shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
            try:
                _make(made, fill)
                kept = _keep(current)
                (made / NAME).replace(current)
                persist_entries(Path(folder))
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as error:
            raise translated(error, folder, "repairing") from error
        begin_lock_file(folder)
    return str(kept)


def _make(folder: Path, fill: Callable[[LmdbStore], None]) -> None:
    store = LmdbStore.open(os.fspath(folder))
    try:
        fill(store)
    finally:
        store.close()


def _keep(current: Path) -> Path:
    """A second name for the damaged file: under its first one it stands until the new one takes that."""
    moment = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    for number in range(1, 1000):
        kept = current.with_name(f"{current.name}.damaged-{moment}" + (f"-{number}" if number > 1 else ""))
        try:
            os.link(current, kept)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            shutil.copy2(current, kept)
        persist_entries(current.parent)
        return kept
    raise FileExistsError(f"{current}.damaged-{moment}")
