"""Entry points by group, read so that one distribution with broken metadata hides no other.

`importlib.metadata.entry_points` reads every installed distribution before it selects, and raises for the
first whose ``entry_points.txt`` does not parse. Importing it takes longer than a short command does. So where
the import path is folders, as it nearly always is, a plain look at their ``.dist-info`` answers the questions
of every start: what the distribution of that name offers, and whether any other offers something. Both ways
read the same files by the same rules, those of
https://packaging.python.org/en/latest/specifications/entry-points/.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution, EntryPoint

GROUP = "modelshelf"
BUILTIN = "modelshelf"
BLOCK_VARIABLE = "MODELSHELF_DISABLE_PLUGINS"
_TOLD_BY = "entry_points.txt"


def blocked_names() -> frozenset[str]:
    """Names of plugins that `MODELSHELF_DISABLE_PLUGINS` blocks."""
    return frozenset(name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip())


class Offer(NamedTuple):
    """What one distribution offers in one group.

    Attributes:
        version: The distribution's version.
        modules: Name of each entry point to the module that it names.
    """

    version: str
    modules: dict[str, str]


def entry_points_of(
    group: str, on_broken: Callable[[str, Exception], None] | None = None
) -> list[EntryPoint]:
    """Every entry point of a group that can be read.

    Args:
        group: The group's name.
        on_broken: Told the name of each distribution that means to offer something in the group and whose
            metadata cannot be read, and why.
    """
    from importlib.metadata import entry_points

    try:
        return list(entry_points(group=group))
    except Exception:  # noqa: BLE001 - which distribution it was, and what else there is, the slow way tells
        return _one_by_one(group, on_broken)


def offered_by(distribution: str, group: str) -> Offer | None:
    """What a distribution offers in a group; None where a plain look cannot tell: ask `entry_points_of`."""
    wanted = _normalized(distribution)
    try:
        stem, folder = next(found for found in _distributions() if _name_of(found[0]) == wanted)
        text = _text(folder)
    except (StopIteration, _NotPlainError, OSError, ValueError):
        return None
    if not folder.endswith(".dist-info"):
        return None
    modules = _section(text, group)
    return None if modules is None else Offer(version=stem.partition("-")[2], modules=modules)


def all_offered(group: str) -> dict[str, Offer] | None:
    """What every distribution offers in a group, by its own name; None where a plain look cannot tell."""
    found: dict[str, Offer] = {}
    try:
        for _, folder in _distributions():
            text = _text(folder)
            if f"[{group}]" not in text:
                continue
            modules = _section(text, group) if folder.endswith(".dist-info") else None
            if modules is None:
                return None
            name, version = _told(folder)
            found[name] = Offer(version=version, modules=modules)
    except (_NotPlainError, OSError, ValueError):
        return None
    return found


def others_offer(distribution: str, group: str) -> bool:
    """Whether a distribution but the named one may offer something in a group."""
    mine, header = _normalized(distribution), f"[{group}]"
    try:
        return any(header in _text(folder) for stem, folder in _distributions() if _name_of(stem) != mine)
    except (_NotPlainError, OSError, ValueError):
        return True


def is_released(distribution: str) -> bool:
    """Whether a distribution's version says which code it is.

    So it is where an installer took a wheel from an index; an editable install, a folder or a repository
    (which ``direct_url.json`` tells of, PEP 610), and whatever a plain look cannot tell, may change under one
    version.
    """
    wanted = _normalized(distribution)
    try:
        folder = next(folder for stem, folder in _distributions() if _name_of(stem) == wanted)
    except (StopIteration, _NotPlainError, OSError):
        return False
    return folder.endswith(".dist-info") and not os.path.exists(os.path.join(folder, "direct_url.json"))


class _NotPlainError(Exception):
    """The import path holds something that only `importlib.metadata` can look into."""


def _distributions() -> Iterator[tuple[str, str]]:
    """Stem and path of each distribution's folder, in the path's order; of two of one name the first."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            raise _NotPlainError
    seen = set()
    for root in sys.path:
        if not isinstance(root, str):
            raise _NotPlainError
        for child in _children(root or os.curdir):
            stem, dot, suffix = child.rpartition(".")
            if dot and suffix.lower() in {"dist-info", "egg-info"} and (name := _name_of(stem)) not in seen:
                seen.add(name)
                yield stem, os.path.join(root, child)


def _children(root: str) -> list[str]:
    if root.endswith(".egg"):
        raise _NotPlainError
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []
    except NotADirectoryError:  # an archive
        raise _NotPlainError from None


def _normalized(name: str) -> str:
    """A distribution's name as the name of its folder has it."""
    plain = name.replace("-", "_").replace(".", "_").lower()
    return re.sub("_+", "_", plain) if "__" in plain else plain


def _name_of(stem: str) -> str:
    return _normalized(stem.partition("-")[0])


def _text(folder: str) -> str:
    try:
        with open(os.path.join(folder, _TOLD_BY), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return ""  # it has none, or as good as none


def _told(folder: str) -> tuple[str, str]:
    """Name and version as a distribution's metadata has them.

    Raises:
        _NotPlainError: They are not among its first fields.
    """
    told: dict[str, str] = {}
    with open(os.path.join(folder, "METADATA"), encoding="utf-8") as file:
        for line in file:
            field, colon, value = line.partition(":")
            if not colon:  # a field that goes on, or the end of them
                break
            told.setdefault(field.lower(), value.strip())
            if "name" in told and "version" in told:
                return told["name"], told["version"]
    raise _NotPlainError


def _section(text: str, group: str) -> dict[str, str] | None:
    """The modules that a section's entries name, or None where one is more than a module's name."""
    modules: dict[str, str] = {}
    current = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            current = line[1:-1]
        elif current == group and line and not line.startswith("#"):
            name, _, module = (part.strip() for part in line.partition("="))
            if not all(part.isidentifier() for part in module.split(".")):
                return None
            modules.setdefault(name, module)
    return modules


def _one_by_one(group: str, on_broken: Callable[[str, Exception], None] | None) -> list[EntryPoint]:
    from importlib.metadata import distributions

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
        return f"[{group}]" in (distribution.read_text(_TOLD_BY) or "")
    except Exception:  # noqa: BLE001 - unreadable altogether: nothing says that it concerns the group
        return False
