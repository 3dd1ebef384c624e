"""Plugins: what they may offer (`spec`), and how they are found, loaded, registered, called and reported.

A module of this package for each: `find`, `given`, `load`, `register`, `call`, `results`, `limit`, `report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pluggy

__all__ = ["API_VERSION", "hookimpl"]

API_VERSION = 2
"""Version of the hooks' specification. It rises by one with every hook or argument that is added or goes.

A plugin that has to know compares it as a number; most mark what is newer with ``optionalhook`` instead.
"""

PROJECT = "modelshelf"
"""The name that pluggy knows the markers by."""

if TYPE_CHECKING:
    hookimpl = pluggy.HookimplMarker(PROJECT)


def __getattr__(name: str) -> Any:
    # A function's name makes it a hook: the marker is for options only, and pluggy takes 2 ms to load.
    if name == "hookimpl":
        import pluggy

        return pluggy.HookimplMarker(PROJECT)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
