"""The default store: one LMDB environment in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelshelf.store import StoreType

if TYPE_CHECKING:
    from modelshelf.store import Store


def _open(path: str, readonly: bool) -> Store:
    from modelshelf_lmdb.store import LmdbStore

    return LmdbStore.open(path, readonly=readonly)


def modelshelf_stores() -> Iterable[StoreType]:
    """Offer the store behind ``lmdb:///folder`` and behind a plain path."""
    yield StoreType(scheme="lmdb", open=_open, summary="records in an LMDB file in a folder (the default)")
