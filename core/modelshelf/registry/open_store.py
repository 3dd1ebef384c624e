"""Open a store by its path or URL; a built-in plugin is tried alone first, for a quick start.

Hooks are called under the guard of `plugin.call`, which takes longer to load than a listing to read. The
store of this program's own distribution needs none: the function ``open_store`` of its module, which its
`StoreType` names too, is called as it is. Where that cannot be, because it is blocked or cannot be imported,
its hook is called under the guard, whose report says why.

Imports within functions are for that start too.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING

from modelshelf.errors import StoreUnavailableError
from modelshelf.plugin.find import BUILTIN, GROUP, blocked_names, offered_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Store, StoreType

DEFAULT_SCHEME = "lmdb"
_SCHEME = r"([A-Za-z][A-Za-z0-9+.-]+)://"


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
    store = open_builtin(location, blocked, readonly=readonly)
    return open_guarded(location, extra, blocked, readonly=readonly) if store is None else store


def open_builtin(
    location: str, blocked: frozenset[str] = frozenset(), *, readonly: bool = False
) -> Store | None:
    """Open a store of this program's own distribution; None where the plugins' hooks have to be called.

    Raises:
        StoreError: What the store itself says.
    """
    scheme, blocked = _scheme_of(location), blocked | blocked_names()
    if blocked & {scheme, f"{BUILTIN}[{scheme}]", BUILTIN}:
        return None
    offer = offered_by(BUILTIN, GROUP)
    if offer is None or scheme not in offer.modules:
        return None
    try:
        module = import_module(offer.modules[scheme])
    except Exception:  # noqa: BLE001 - it fails under the guard once more, which reports why
        return None
    opening: Callable[[str, bool], Store] | None = getattr(module, "open_store", None)
    return None if opening is None else opening(location, readonly)


def open_guarded(
    location: str,
    extra: Iterable[object] = (),
    blocked: frozenset[str] = frozenset(),
    *,
    readonly: bool = False,
) -> Store:
    """Open as `open_store` does, by hooks: that of the built-in plugin of that name, then those of all."""
    from modelshelf.plugin.call import PluginSet
    from modelshelf.plugin.find import find_builtin
    from modelshelf.plugin.load import load

    scheme, blocked = _scheme_of(location), blocked | blocked_names()
    alone = find_builtin(scheme)
    kind = _offered(PluginSet(load([] if alone is None else [alone], blocked)), scheme) or _offered(
        PluginSet.discover(extra, blocked=blocked), scheme
    )
    if kind is None:
        raise StoreUnavailableError(
            f"no plugin offers a store of kind {scheme}, to open {location}: see `modelshelf plugins`"
        )
    return kind.open(location, readonly)


def _scheme_of(location: str) -> str:
    match = re.match(_SCHEME, location) if "://" in location else None
    return match[1].lower() if match else DEFAULT_SCHEME


def _offered(plugins: PluginSet, scheme: str) -> StoreType | None:
    kinds: list[StoreType] = plugins.collect("modelshelf_stores")
    return next((one for one in kinds if one.scheme.lower() == scheme), None)
