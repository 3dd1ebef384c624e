from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelshelf_lmdb.store import LmdbStore

Opener = Callable[..., LmdbStore]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def opened(folder: Path) -> Iterator[Opener]:
    """Opens stores and closes them at the end."""
    stores = []

    def open_one(path: object = folder, *, readonly: bool = False) -> LmdbStore:
        stores.append(LmdbStore.open(str(path), readonly=readonly))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
