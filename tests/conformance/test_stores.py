"""The default store under the kit that third parties use."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelshelf_lmdb
from modelshelf.testing import StoreCase, StoreSuite


@pytest.fixture
def store_case(tmp_path: Path) -> StoreCase:
    return StoreCase(plugin=modelshelf_lmdb, scheme="lmdb", location=str(tmp_path / "store"))


class TestLmdb(StoreSuite):
    pass
