"""Where the space goes: bytes on disk by group, and copies that could be freed. Nothing is ever deleted here.

Bytes are those that a file takes up on its disk, so that a sparse file counts as what it is, and every inode
counts once, whatever number of hard and symbolic links leads to it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.model import Depth, Role
from modelshelf.model.health import is_unfinished
from modelshelf.source import room_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modelshelf.model import Location, ModelConfig

NO_NAME = "unknown"

Inode = tuple[int, int]


@frozen(kw_only=True)
class Share:
    """What one group takes up.

    Attributes:
        name: The group: a source, a family or a quantization.
        models: Number of models with files in it.
        bytes: Bytes on disk, no inode twice.
    """

    name: str
    models: int
    bytes: int


@frozen(kw_only=True)
class Copy:
    """One place where a model's weights lie.

    Attributes:
        path: The file to load.
        source: The source that found it.
        bytes: Bytes on disk of its weights.
        own: Bytes that no other copy of the model shares with it through links.
    """

    path: str
    source: str
    bytes: int
    own: int


@frozen(kw_only=True)
class Duplicate:
    """A model whose weights take up space more than once.

    Attributes:
        id: The model's id.
        version: Its version.
        copies: Its places, the first registered first.
        freeable: Bytes that would be free if one copy were kept.
        confirmed: Whether all bytes of every copy were hashed, and are the same; otherwise they are
            probable copies: a name that a store gives was not hashed here.
    """

    id: str
    version: str
    copies: tuple[Copy, ...]
    freeable: int
    confirmed: bool


GROUPINGS: dict[str, Callable[[ModelConfig, Location], str]] = {
    "source": lambda _, place: place.source,
    "family": lambda model, _: model.metadata.architecture or NO_NAME,
    "quantization": lambda model, _: model.metadata.quantization or NO_NAME,
}
"""What `shares` can group by."""


def shares(models: Iterable[ModelConfig], grouping: str) -> list[Share]:
    """What each group takes up, the largest first.

    An inode that several groups lead to counts for the one that comes first by name, so that the sum is what
    the disk holds.

    Args:
        models: The models; companions beside their weights count with them.
        grouping: One of `GROUPINGS`.
    """
    group_of = GROUPINGS[grouping]
    inodes: dict[str, dict[Inode, int]] = {}
    members: dict[str, set[tuple[str, str]]] = {}
    for model in models:
        for place in model.locations:
            found = _inodes(place)
            if found:
                name = group_of(model, place)
                inodes.setdefault(name, {}).update(found)
                members.setdefault(name, set()).add((model.id, str(model.version)))
    counted: set[Inode] = set()
    groups = []
    for name in sorted(inodes):
        fresh = {inode: size for inode, size in inodes[name].items() if inode not in counted}
        counted.update(fresh)
        groups.append(Share(name=name, models=len(members[name]), bytes=sum(fresh.values())))
    return sorted(groups, key=lambda one: (-one.bytes, one.name))


def duplicates(models: Iterable[ModelConfig]) -> list[Duplicate]:
    """Models whose weights lie on disk more than once, those that would free the most first."""
    found = [one for model in models if (one := _duplicate(model)) is not None]
    return sorted(found, key=lambda one: (-one.freeable, one.id, one.version))


def _duplicate(model: ModelConfig) -> Duplicate | None:
    weights = [(place, _inodes(place, Role.WEIGHTS)) for place in model.locations]
    weights = _alike([(place, inodes) for place, inodes in weights if inodes])
    everything = {inode: size for _, inodes in weights for inode, size in inodes.items()}
    largest = max((sum(inodes.values()) for _, inodes in weights), default=0)
    freeable = sum(everything.values()) - largest
    if freeable <= 0:
        return None
    copies = tuple(
        Copy(path=place.path, source=place.source, bytes=sum(inodes.values()), own=_own(place, weights))
        for place, inodes in weights
    )
    confirmed = are_confirmed([place for place, _ in weights])
    return Duplicate(
        id=model.id, version=str(model.version), copies=copies, freeable=freeable, confirmed=confirmed
    )


def are_confirmed(places: Iterable[Location]) -> bool:
    """Whether all bytes of these copies were hashed, and are the same; otherwise they are probable copies."""
    kept = tuple(places)
    names = {place.content_names for place in kept}
    hashed = all(place.depth is Depth.FULL and not is_unfinished(place.findings) for place in kept)
    return hashed and len(names) == 1 and None not in names


def _alike(weights: list[tuple[Location, dict[Inode, int]]]) -> list[tuple[Location, dict[Inode, int]]]:
    """Without the places whose sha256 is known to be another one than the first known."""
    first = next((names for place, _ in weights if (names := place.content_names) is not None), None)
    return [(place, inodes) for place, inodes in weights if place.content_names in (None, first)]


def _own(place: Location, weights: list[tuple[Location, dict[Inode, int]]]) -> int:
    """Bytes of a place's weights that no other place shares."""
    others = {inode for other, inodes in weights if other is not place for inode in inodes}
    return sum(
        size
        for one, inodes in weights
        if one is place
        for inode, size in inodes.items()
        if inode not in others
    )


def _inodes(place: Location, role: Role | None = None) -> dict[Inode, int]:
    """Bytes on disk of every inode of a place's files that is there now."""
    found: dict[Inode, int] = {}
    for one in () if place.missing else place.files:
        if role is None or one.role is role:
            try:
                stat = os.stat(os.path.join(place.folder, one.name))
            except (OSError, ValueError):
                continue
            found[stat.st_dev, stat.st_ino] = room_of(stat)
    return found
