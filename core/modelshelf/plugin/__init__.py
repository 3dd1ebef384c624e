"""What plugins may offer (`spec`); how they are found (`load`), called (`call`) and reported (`report`)."""

from __future__ import annotations

from typing import Any

__all__ = ["hookimpl"]


def __getattr__(name: str) -> Any:
    if name == "hookimpl":  # optional: the name of a function is enough to make it a hook
        import pluggy

        from modelshelf.plugin.spec import PROJECT

        return pluggy.HookimplMarker(PROJECT)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
