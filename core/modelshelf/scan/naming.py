"""Which id a model gets: of those that its place allows the shortest that is its alone.

The same files get the same ids whatever the order and number of scans: where two models would have the same
id, neither gets it, and the one that had it gives it up. What it was called before an earlier scan ended
stays an alias of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.records.ids import ids_of_place, naming_place, reserved_by
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Location, ModelConfig
    from modelshelf.records.write import Records


class Naming:
    """Settles ids within one transaction of a scan.

    Args:
        records: The registry's tables.
        new_ids: Ids that this scan registered or gave: nobody can have asked for one of these yet.

    Attributes:
        renamed: The models that got another id, each with the one that it had.
    """

    def __init__(self, records: Records, new_ids: set[str]) -> None:
        self._records = records
        self._new_ids = new_ids
        self.renamed: list[tuple[str, ModelConfig]] = []

    def id_for(self, place: Location, digest: bytes, *, is_unused: bool) -> str:
        """The id of a new model at a place; whoever has one that is not its alone gives it up.

        Args:
            place: The place.
            digest: Of the content, for a name of its own where no other is free.
            is_unused: Whether what the place proposes is no model's id or alias, as for most.
        """
        is_alone = is_unused and reserved_by(place) is None
        if is_alone and not self._records.sharing(place.proposed_id, place.folder):
            found = place.proposed_id
        else:
            found = self._choose(place, ids_of_place(place), None) or self._unique(place.proposed_id, digest)
        self._new_ids.add(found)
        return found

    def settle(self, old: ModelConfig, new: ModelConfig) -> ModelConfig:
        """Give a model that was written the id that its places ask for by now.

        An id that a program gave stays, and one that a tool gave while no copy comes before it.
        """
        place = naming_place(new.locations)
        if place is None:
            return new
        if not (_is_by_place(old) if place.source == LOCAL else _is_of_copy(old, new, place)):
            return new
        chosen = self._choose(place, ids_of_place(place), new.id)
        if chosen is None or chosen == new.id:
            return new
        return self._rename(new.id, chosen)

    def _choose(self, place: Location, ids: Iterable[str], own_id: str | None) -> str | None:
        reserved = reserved_by(place)
        if reserved is not None:
            self._is_free(reserved, place, own_id)
        return next((one for one in ids if self._is_free(one, place, own_id)), None)

    def _is_free(self, name: str, place: Location, own_id: str | None) -> bool:
        """Whether no other model has a name, or would have it; one that has it by its place gives it up."""
        if self._records.sharing(name, place.folder) - {own_id}:
            return False
        if name == own_id:
            return True
        if self._records.versions(name):
            self._evict(name, place)
            return False
        return self._records.alias(name) in (None, own_id)

    def _evict(self, name: str, place: Location) -> None:
        """Have the model that has a name as its id take its next longer one, where it has it by its place."""
        holder = self._records.current(name)
        own_place = None if holder is None or holder.missing else naming_place(holder.locations)
        if holder is None or own_place is None or "id" in holder.set_by_user:
            return
        if own_place.folder == place.folder:
            return  # it gives it up by itself, as its place proposes another by now
        ids = ids_of_place(own_place)
        if name in ids:  # which goes on behind it
            longer = self._choose(own_place, ids, name)
            self._rename(name, longer or self._unique(name, holder.content_digest))

    def _rename(self, old_id: str, new_id: str) -> ModelConfig:
        renamed = self._records.rename(old_id, new_id, keep_name=old_id not in self._new_ids)
        if old_id in self._new_ids:
            self._new_ids.add(new_id)
        self.renamed.append((old_id, renamed))
        return renamed

    def _unique(self, name: str, digest: bytes) -> str:
        """The name with a suffix by the content: the shortest one, of six digits or more, that is free."""
        text = digest.hex()
        for length in range(6, len(text) + 1):
            candidate = f"{name}~{text[:length]}"
            if self._records.current(candidate) is None:
                return candidate
        return f"{name}~{text}"


def _is_of_copy(old: ModelConfig, new: ModelConfig, place: Location) -> bool:
    """Whether a model has its id by another place of a tool, or a plain one, than the one that names it."""
    if "id" in old.set_by_user:
        return False
    others = (one for one in new.locations if one.path != place.path and one.proposed_id and not one.missing)
    return any(old.id in ids_of_place(one) for one in others)


def _is_by_place(config: ModelConfig) -> bool:
    """Whether a model has its id by a plain place, by this release's rule or that of the one before."""
    if "id" in config.set_by_user:
        return False
    for one in config.locations:
        if one.source != LOCAL and config.id == one.proposed_id:
            return False
        if not one.proposed_id:
            folder = one.folder.rstrip("/").rpartition("/")[2]
            if config.id == folder or config.id.startswith((f"{folder}:", f"{folder}~")):
                return True
        elif config.id in ids_of_place(one) or config.id.startswith(f"{one.proposed_id}~"):
            return True
    return False
