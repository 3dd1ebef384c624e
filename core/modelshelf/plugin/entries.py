"""Entry points by group, read so that one distribution with broken metadata hides no other.

`importlib.metadata.entry_points` reads every installed distribution before it selects, and raises for the
first whose ``entry_points.txt`` does not parse.
"""

from __future__ import annotations

from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def entry_points_of(
    group: str, on_broken: Callable[[str, Exception], None] | None = None
) -> list[EntryPoint]:
    """Every entry point of a group that can be read.

    Args:
        group: The group's name.
        on_broken: Told the name of each distribution that means to offer something in the group and whose
            metadata cannot be read, and why.
    """
    try:
        return list(entry_points(group=group))
    except Exception:  # noqa: BLE001 - which distribution it was, and what else there is, the slow way tells
        return _one_by_one(group, on_broken)


def _one_by_one(group: str, on_broken: Callable[[str, Exception], None] | None) -> list[EntryPoint]:
    found: list[EntryPoint] = []
    seen: set[str] = set()
    for distribution in distributions():
        name = ""
        try:
            name = _name(distribution)
            if name not in seen:  # the first on the path is the one that is imported
                seen.add(name)
                found += [one for one in distribution.entry_points if one.group == group]
        except Exception as error:  # noqa: BLE001 - told of, where it concerns the group
            if on_broken is not None and _mentions(distribution, group):
                on_broken(name or "a distribution without a name", error)
    return found


def _name(distribution: Distribution) -> str:
    name: str | None = distribution.metadata["Name"]
    return name or ""


def _mentions(distribution: Distribution, group: str) -> bool:
    try:
        return f"[{group}]" in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # noqa: BLE001 - unreadable altogether: nothing says that it concerns the group
        return False
