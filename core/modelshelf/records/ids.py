"""Which ids a record may have by its places, and which of them it leaves to nobody because others share them.

Loaded by what changes records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model.names import candidate_ids, reserved_id
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import Location, ModelConfig


def naming_place(locations: Iterable[Location]) -> Location | None:
    """The place that a model is named after: of a tool before a plain folder, then the first by its path."""
    named = [one for one in locations if one.proposed_id and not one.missing]
    if len(named) == 1:
        return named[0]
    return min(named, key=lambda one: (one.source == LOCAL, one.path), default=None)


def ids_of_place(place: Location) -> Iterator[str]:
    """The ids that a model at a place may have, the shortest first."""
    return candidate_ids(place.proposed_id, place.folder, None if place.source == LOCAL else place.source)


def reserved_by(place: Location) -> str | None:
    """The name of the place's folder, where that has several models and so is the id of none."""
    return reserved_id(place.proposed_id, place.folder) if place.source == LOCAL else None


def shared_names(config: ModelConfig) -> tuple[Location, list[str]] | None:
    """The place that a model is named after, and the shorter ids that it has not because others share them.

    None where there are none, or where the id is not one of a place's: a program's own, or a moved model's.
    """
    place = naming_place(config.locations)
    if place is None:
        return None
    reserved = reserved_by(place)
    shared = [] if reserved is None else [reserved]
    if config.id != place.proposed_id:
        ids = list(ids_of_place(place))
        if config.id not in ids:
            return None
        shared += ids[: ids.index(config.id)]
    return (place, shared) if shared else None
