"""Which model a command changes: its name has to be whole, in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelshelf.registry.registry import ModelRegistry


def id_to_change(registry: ModelRegistry, name: str) -> str:
    """The id behind a whole name.

    Raises:
        StoreAbsentError: There is no store yet, so that no model can be changed.
        UnknownModelError: There is no such model.
    """
    from modelshelf.registry.empty_store import EmptyStore

    store = registry.store
    if isinstance(store, EmptyStore):
        store.update(lambda _: None)
    return registry.resolve(name, whole=True).id
