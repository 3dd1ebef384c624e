"""Open a store by its path or URL; a built-in plugin is tried alone first, for a quick start."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modelshelf.errors import StoreUnavailableError
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.load import blocked_names, find_builtin, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.store import Store, StoreType

DEFAULT_SCHEME = "lmdb"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def open_store(
    location: str,
    extra: Iterable[object] = (),
    blocked: frozenset[str] = frozenset(),
    *,
    readonly: bool = False,
) -> Store:
    """Open the store at a path or URL.

    Raises:
        StoreUnavailableError: No plugin offers its scheme, or it cannot be opened.
        StoreError: What the store itself says.
    """
    match = _SCHEME.match(location)
    scheme = match[1].lower() if match else DEFAULT_SCHEME
    blocked |= blocked_names()
    alone = find_builtin(scheme)
    kind = _offered(PluginSet(load([] if alone is None else [alone], blocked)), scheme) or _offered(
        PluginSet.discover(extra, blocked=blocked), scheme
    )
    if kind is None:
        raise StoreUnavailableError(
            f"no plugin offers a store of kind {scheme}, to open {location}: see `modelshelf plugins`"
        )
    return kind.open(location, readonly)


def _offered(plugins: PluginSet, scheme: str) -> StoreType | None:
    kinds: list[StoreType] = plugins.collect("modelshelf_stores")
    return next((one for one in kinds if one.scheme.lower() == scheme), None)
