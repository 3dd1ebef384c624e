"""Settings that were taken elsewhere are put onto the records of this registry, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from modelshelf.errors import InvalidValueError
from modelshelf.model import ModelConfig, ModelMetadata, Origin
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.registry import edits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import ModelEvent, ModelVersion
    from modelshelf.records.write import Records
    from modelshelf.registry.settings_export import ModelSettings

Key = tuple[str, "ModelVersion"]


@frozen(kw_only=True)
class Restored:
    """What became of settings; each entry is one line for a person.

    Attributes:
        changed: Ids of the models that were changed.
        unchanged: Number of models that had it all already.
        unknown: Models that are not registered here; a later import may find them.
        superseded: Older versions whose files are not here, while a newer one of the model is.
        by_id: Models that were found by their id alone: their content is another one.
        conflicts: What a person has set otherwise here, and was left so.
        refused: Values that cannot be here.
    """

    changed: tuple[str, ...] = ()
    unchanged: int = 0
    unknown: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()
    by_id: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that could be wanted was taken over."""
        return not (self.unknown or self.conflicts or self.refused)


class Undone(Exception):  # noqa: N818 - it ends a transaction that went well
    """Raised within a transaction to undo it.

    Attributes:
        restored: What would have been done.
    """

    def __init__(self, restored: Restored) -> None:
        super().__init__("nothing was changed")
        self.restored = restored


def restore(
    records: Records, settings: Iterable[ModelSettings], *, replace: bool
) -> tuple[Restored, list[ModelEvent]]:
    """Put settings onto the records that they belong to.

    Args:
        records: The registry's, within a transaction.
        settings: What `portable.parse` gave.
        replace: Whether what a person has set otherwise here gives way.
    """
    work = _Restoring(records, replace=replace)
    work.match(settings)
    for key, one in work.matched.items():
        work.apply(key, one)
    return work.result(), work.events


class _Restoring:
    """One run; see `restore`."""

    def __init__(self, records: Records, *, replace: bool) -> None:
        self._records = records
        self._replace = replace
        self.matched: dict[Key, ModelSettings] = {}
        self.events: list[ModelEvent] = []
        self._registered: set[Key] = set()
        self._changed: list[str] = []
        self._unchanged = 0
        self._lines: dict[str, list[str]] = {
            name: [] for name in ("unknown", "superseded", "by_id", "conflicts", "refused")
        }

    def match(self, settings: Iterable[ModelSettings]) -> None:
        """Find each entry's record: by content, else by id, the newest entry of an id first."""
        rest = []
        for one in settings:
            found = self._records.by_content(one.content_digest) if one.content_digest else None
            if found is None or self._records.model(*found) is None:
                rest.append(one)
            elif found in self.matched:
                self._lines["superseded"].append(f"{one.id} {one.version}: has the content of {found[0]}")
            else:
                self.matched[found] = one
        for one in sorted(rest, key=lambda entry: entry.version, reverse=True):
            self._match_by_id(one)

    def _match_by_id(self, one: ModelSettings) -> None:
        versions = self._records.versions(one.id)
        if not versions:
            if one.path is not None:
                self._register(one)
            else:
                self._lines["unknown"].append(f"{one.id} {one.version}")
            return
        version = one.version if one.version in versions else versions[0]
        if (one.id, version) in self.matched:
            self._lines["superseded"].append(f"{one.id} {one.version}: its files are not here")
            return
        held = self._records.model(one.id, version)
        if held is not None and held.content_digest and one.content_digest:
            self._lines["by_id"].append(f"{one.id} {version}: has other content than {one.version} had there")
        self.matched[one.id, version] = one

    def _register(self, one: ModelSettings) -> None:
        """Add a record that a person had made without files that a scan saw."""
        metadata = {name: value for name, value in one.fields.items() if name in FIELD_NAMES}
        try:
            config = ModelConfig(
                id=one.id,
                version=one.version,
                path=one.path or "",
                metadata=ModelMetadata.partial(Origin.USER, **metadata),
            )
            _, events = edits.register(self._records, config)
        except InvalidValueError as error:
            self._lines["refused"].append(str(error))
            return
        self.events += events
        self._registered.add((one.id, one.version))
        self.matched[one.id, one.version] = one

    def apply(self, key: Key, one: ModelSettings) -> None:
        """Set what is to be set on one record."""
        model_id, version = key
        before = self._records.model(model_id, version)
        if before is None:
            return
        self._set(before, self._wanted(before, one))
        held = self._records.model(model_id, version) or before
        counted = attrs.evolve(
            held,
            use_count=max(held.use_count, one.use_count),
            last_used=max((at for at in (held.last_used, one.last_used) if at is not None), default=None),
        )
        if counted != held:
            self._records.put(counted)
        pointed = self._point(counted, one)
        if counted == before and not pointed and key not in self._registered:
            self._unchanged += 1
        else:
            self._changed.append(model_id)

    def _wanted(self, held: ModelConfig, one: ModelSettings) -> dict[str, Any]:
        """The fields that are to be set; those that a person has set otherwise are left out and told."""
        wanted = {}
        for name, value in one.fields.items():
            mine = name in held.set_by_user
            now = getattr(held.metadata if name in FIELD_NAMES else held, name)
            if mine and _same(now, value):
                continue
            if mine and not self._replace:
                self._lines["conflicts"].append(f"{held.id} {held.version}: {name} was set by hand here")
            else:
                wanted[name] = value
        return wanted

    def _set(self, held: ModelConfig, wanted: dict[str, Any]) -> None:
        """Set all fields at once; where one cannot be, each by itself, so that the others are."""
        if not wanted:
            return
        try:
            self.events += edits.update(self._records, held.id, held.version, wanted)[1]
        except InvalidValueError as error:
            if len(wanted) == 1:
                self._lines["refused"].append(str(error))
            else:
                for name, value in wanted.items():
                    self._set(held, {name: value})

    def _point(self, held: ModelConfig, one: ModelSettings) -> bool:
        """Pin, and make the default; whether anything was changed."""
        before = len(self.events)
        pinned = self._records.pinned(held.id)
        if one.pinned and pinned != str(held.version):
            if pinned is None or self._replace:
                self.events += edits.pin(self._records, held.id, held.version)[1]
            else:
                self._lines["conflicts"].append(f"{held.id}: is pinned to {pinned} here")
        if one.default:
            self.events += edits.set_default(self._records, held.id)[1]
        return len(self.events) > before

    def result(self) -> Restored:
        """The account of it."""
        told = {name: tuple(lines) for name, lines in self._lines.items()}
        return Restored(changed=tuple(self._changed), unchanged=self._unchanged, **told)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or repr(one) == repr(other)  # NaN equals nothing
