"""The default store: one LMDB environment in a folder.

Every start loads this module, so LMDB is imported only when a store is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.store import Remnant, Store, StoreType


def open_store(path: str, readonly: bool) -> Store:
    """Open the store at a path or URL; see `StoreType.open`."""
    from modelshelf_lmdb.store import LmdbStore

    return LmdbStore.open(path, readonly=readonly)


def _salvage(path: str) -> Iterator[Remnant]:
    from modelshelf_lmdb.repair import salvage
    from modelshelf_lmdb.store import folder_of

    return salvage(folder_of(path))


def _replace(path: str, fill: Callable[[Store], None]) -> str:
    from modelshelf_lmdb.repair import replace
    from modelshelf_lmdb.store import folder_of

    return replace(folder_of(path), fill)


def modelshelf_stores() -> Iterable[StoreType]:
    """Offer the store behind ``lmdb:///folder`` and behind a plain path."""
    from modelshelf.store import StoreType

    yield StoreType(
        scheme="lmdb",
        open=open_store,
        summary="records in an LMDB file in a folder (the default)",
        salvage=_salvage,
        replace=_replace,
    )
