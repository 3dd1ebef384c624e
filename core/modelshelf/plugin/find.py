"""Find the installed plugins: the entry points of group ``modelshelf``, in a fixed order, none imported yet.

`importlib.metadata` finds them too, but takes six times as long (53 ms against 8 where this was measured),
longer than `ls` as a whole, and raises for the first distribution whose ``entry_points.txt`` does not parse.
So where the import path is folders, as it nearly always is, their ``.dist-info`` is read here, for the
questions of every start: what one distribution offers, and whether any other offers something. Whatever is
not as simple as that (an archive on the path, another finder, an entry that names more than a module) is left
to `importlib.metadata`. Both ways read the same files by the same rules, those of
https://packaging.python.org/en/latest/specifications/entry-points/.
"""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution, EntryPoint

GROUP = "modelshelf"
BUILTIN = "modelshelf"
BLOCK_VARIABLE = "MODELSHELF_DISABLE_PLUGINS"
FILES_VARIABLE = "MODELSHELF_PLUGINS"
_ENTRY_POINTS = "entry_points.txt"


class FoundPlugin(NamedTuple):
    """A plugin that was found and not yet imported. A named tuple: loading attrs takes longer than finding.

    Attributes:
        name: The entry point's name.
        display: ``distribution[entry]``.
        load: Imports the plugin and returns its namespace.
        distribution: The distribution's name, or None.
        version: Its version, or None.
    """

    name: str
    display: str
    load: Callable[[], object]
    distribution: str | None = None
    version: str | None = None


class Offer(NamedTuple):
    """What one distribution offers in one group.

    Attributes:
        version: The distribution's version.
        modules: Name of each entry point to the module that it names.
    """

    version: str
    modules: dict[str, str]


def blocked_names() -> frozenset[str]:
    """Names of plugins that `MODELSHELF_DISABLE_PLUGINS` blocks."""
    return frozenset(name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip())


def files_of_environment() -> list[str]:
    """Paths of one-file plugins in `MODELSHELF_PLUGINS`, which are separated as those in PATH."""
    return [one.strip() for one in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if one.strip()]


def find() -> list[FoundPlugin]:
    """Every installed plugin: the built-in ones first, then by distribution and name.

    A distribution whose entry points cannot be read is found too; loading it fails with the reason.
    """
    offered = all_offered(GROUP)
    if offered is None:
        found = []
        entries = entry_points_of(GROUP, lambda name, error: found.append(_broken(name, error)))
        found += map(_from_entry_point, entries)
    else:
        found = [_from_offer(who, one, name) for who, one in offered.items() for name in one.modules]
    found.sort(key=lambda one: (one.distribution != BUILTIN, one.distribution or "", one.name))
    unique: dict[tuple[str, str | None], FoundPlugin] = {}
    for one in found:  # an editable and an installed copy of one distribution name the same entry twice
        unique.setdefault((one.name, one.distribution), one)
    return list(unique.values())


def find_builtin(name: str) -> FoundPlugin | None:
    """The built-in plugin of that name alone, or None; found without a look at other distributions."""
    offer = offered_by(BUILTIN, GROUP)
    if offer is None:
        return next((one for one in find() if one.distribution == BUILTIN and one.name == name), None)
    return _from_offer(BUILTIN, offer, name) if name in offer.modules else None


def entry_points_of(
    group: str, on_broken: Callable[[str, Exception], None] | None = None
) -> list[EntryPoint]:
    """Every entry point of a group that can be read, by `importlib.metadata`.

    Args:
        group: The group's name.
        on_broken: Called with the name of each distribution that means to offer something in the group and
            whose metadata cannot be read, and with the reason.
    """
    from importlib.metadata import entry_points

    try:
        return list(entry_points(group=group))
    except Exception:  # noqa: BLE001 - asking one distribution after another shows which of them it is
        return _one_by_one(group, on_broken)


def offered_by(distribution: str, group: str) -> Offer | None:
    """What a distribution offers in a group; None where only `entry_points_of` can say."""
    wanted = _normalized(distribution)
    try:
        stem, folder = next(found for found in _distributions() if _name_in(found[0]) == wanted)
        text = _read_entry_points(folder)
    except (StopIteration, _NeedsImportlibError, OSError, ValueError):
        return None
    if not folder.endswith(".dist-info"):
        return None
    modules = _parse_section(text, group)
    return None if modules is None else Offer(version=stem.partition("-")[2], modules=modules)


def all_offered(group: str) -> dict[str, Offer] | None:
    """What every distribution offers in a group, by its name; None where only `entry_points_of` can say."""
    found: dict[str, Offer] = {}
    try:
        for _, folder in _distributions():
            text = _read_entry_points(folder)
            if f"[{group}]" not in text:
                continue
            modules = _parse_section(text, group) if folder.endswith(".dist-info") else None
            if modules is None:
                return None
            name, version = _read_name_and_version(folder)
            found[name] = Offer(version=version, modules=modules)
    except (_NeedsImportlibError, OSError, ValueError):
        return None
    return found


def others_offer(distribution: str, group: str) -> bool:
    """Whether a distribution but the named one may offer something in a group."""
    mine, header = _normalized(distribution), f"[{group}]"
    try:
        return any(
            header in _read_entry_points(folder)
            for stem, folder in _distributions()
            if _name_in(stem) != mine
        )
    except (_NeedsImportlibError, OSError, ValueError):
        return True


def is_released(distribution: str) -> bool:
    """Whether a distribution's version says which code it is.

    So it is where an installer took a wheel from an index. An editable install, a folder or a repository
    (which ``direct_url.json`` names, PEP 610) may change under one version, and so may whatever only
    `importlib.metadata` can look into.
    """
    wanted = _normalized(distribution)
    try:
        folder = next(folder for stem, folder in _distributions() if _name_in(stem) == wanted)
    except (StopIteration, _NeedsImportlibError, OSError):
        return False
    return folder.endswith(".dist-info") and not os.path.exists(os.path.join(folder, "direct_url.json"))


def _from_offer(distribution: str, offer: Offer, name: str) -> FoundPlugin:
    return FoundPlugin(
        name=name,
        display=f"{distribution}[{name}]",
        load=partial(import_module, offer.modules[name]),
        distribution=distribution,
        version=offer.version,
    )


def _from_entry_point(entry: EntryPoint) -> FoundPlugin:
    distribution = entry.dist.name if entry.dist else None
    return FoundPlugin(
        name=entry.name,
        display=f"{distribution or entry.value}[{entry.name}]",
        load=entry.load,
        distribution=distribution,
        version=entry.dist.version if entry.dist else None,
    )


def _broken(distribution: str, error: Exception) -> FoundPlugin:
    def load() -> object:
        raise ImportError(f"its {_ENTRY_POINTS} cannot be read: {type(error).__name__}: {error}")

    display = f"{distribution}[{_ENTRY_POINTS}]"
    return FoundPlugin(name=distribution, display=display, load=load, distribution=distribution)


class _NeedsImportlibError(Exception):
    """The import path holds something that only `importlib.metadata` can look into."""


def _distributions() -> Iterator[tuple[str, str]]:
    """Stem and path of each distribution's folder, in the path's order; of two of one name the first."""
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            raise _NeedsImportlibError
    names = set()
    for root in sys.path:
        if not isinstance(root, str):
            raise _NeedsImportlibError
        for child in _children(root or os.curdir):
            stem, dot, suffix = child.rpartition(".")
            if dot and suffix.lower() in {"dist-info", "egg-info"} and (name := _name_in(stem)) not in names:
                names.add(name)
                yield stem, os.path.join(root, child)


def _children(root: str) -> list[str]:
    if root.endswith(".egg"):
        raise _NeedsImportlibError
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []
    except NotADirectoryError:  # an archive
        raise _NeedsImportlibError from None


def _normalized(name: str) -> str:
    """A distribution's name as the name of its folder has it."""
    simple = name.replace("-", "_").replace(".", "_").lower()
    return re.sub("_+", "_", simple) if "__" in simple else simple


def _name_in(stem: str) -> str:
    return _normalized(stem.partition("-")[0])


def _read_entry_points(folder: str) -> str:
    try:
        with open(os.path.join(folder, _ENTRY_POINTS), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return ""  # it has none, or as good as none


def _read_name_and_version(folder: str) -> tuple[str, str]:
    """Name and version as a distribution's metadata has them.

    Raises:
        _NeedsImportlibError: They are not among its first fields.
    """
    fields: dict[str, str] = {}
    with open(os.path.join(folder, "METADATA"), encoding="utf-8") as file:
        for line in file:
            field, colon, value = line.partition(":")
            if not colon:  # a field that goes on, or the end of them
                break
            fields.setdefault(field.lower(), value.strip())
            if "name" in fields and "version" in fields:
                return fields["name"], fields["version"]
    raise _NeedsImportlibError


def _parse_section(text: str, group: str) -> dict[str, str] | None:
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
    names: set[str] = set()
    for distribution in distributions():
        name = ""
        try:
            name = distribution.metadata["Name"] or ""
            if name not in names:  # the first on the path is the one that is imported
                names.add(name)
                found += [one for one in distribution.entry_points if one.group == group]
        except Exception as error:  # noqa: BLE001 - handed to the caller, where it concerns the group
            if on_broken is not None and _mentions(distribution, group):
                on_broken(name or "a distribution without a name", error)
    return found


def _mentions(distribution: Distribution, group: str) -> bool:
    try:
        return f"[{group}]" in (distribution.read_text(_ENTRY_POINTS) or "")
    except Exception:  # noqa: BLE001 - unreadable altogether: nothing says that it concerns the group
        return False
