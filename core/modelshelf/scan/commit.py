"""An examined artifact meets the registry in one transaction: new, changed, copied, moved or as before."""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from modelshelf.model import (
    Artifact,
    EventKind,
    HealthStatus,
    Location,
    ModelConfig,
    ModelEvent,
    ModelMetadata,
    ModelVersion,
    Origin,
    merge_metadata,
)
from modelshelf.model.health import status_of
from modelshelf.scan.examine import Examination
from modelshelf.scan.hashing import with_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.records.write import Records

_LENIENT_VERSION = re.compile(r"\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?!\d)", re.IGNORECASE)
_PLAIN_FOLDERS = "local"
# What the person set follows a model to its next version; counters and health start anew.
_CARRIED = ("preload", "max_workers", "max_tokens", "temperature", "enabled", "aliases", "display_name")


class Change(Enum):
    """What an admission did."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@frozen(kw_only=True)
class Admission:
    """What became of one artifact.

    Attributes:
        change: What it did to the registry.
        events: What to tell observers once it is committed.
    """

    change: Change
    events: tuple[ModelEvent, ...] = ()


@frozen(kw_only=True)
class _Arrival:
    """An examined artifact on its way into the registry."""

    place: Location
    seen: Examination
    now: int
    names: tuple[str, ...] = ()


def admit(records: Records, artifact: Artifact, seen: Examination, now: int) -> Admission:
    """Bring the registry up to date with one examined artifact."""
    place = Location(
        path=artifact.path,
        folder=artifact.folder,
        source=artifact.source,
        files=with_sha256(artifact.files, seen.sha256),
        fingerprint=artifact.fingerprint.digest if seen.complete else b"",
        depth=seen.depth,
    )
    new = _Arrival(place=place, seen=seen, now=now, names=artifact.aliases)
    known = records.location(artifact.path)
    old = records.model(known.model_id, known.version) if known and known.model_id and known.version else None
    if old is not None and old.content_digest == seen.content_digest:
        return _refresh(records, old, new)
    twin = _twin(records, seen.content_digest, place)
    if old is not None:
        _leave(records, old, place.path, now)
    if twin is not None:
        return _join(records, twin, attrs.evolve(new, names=_names_of(artifact)))
    if old is not None:
        return _succeed(records, old, new)
    model_id = artifact.model_id or os.path.basename(artifact.folder)
    standing = records.current(model_id)
    if standing is not None and _is_by_hand(standing, place):
        return _refresh(records, standing, new)
    if standing is not None and _is_of_one_tool(standing, place):
        return _succeed(records, standing, new)
    if standing is not None or records.alias(model_id):
        model_id = _free_id(records, model_id, seen.content_digest or place.fingerprint)
    return _add(records, _named(records, _fresh(model_id, first_version(seen.metadata), new), new.names))


def first_version(metadata: ModelMetadata) -> ModelVersion:
    """The version that the header tells, else the name, else 1.0.0."""
    for key in ("model_version", "name_version"):
        match = _LENIENT_VERSION.match(str(metadata.details.get(key, "")))
        if match:
            major, minor, patch = (int(part or 0) for part in match.groups())
            return ModelVersion(major=major, minor=minor, patch=patch)
    return ModelVersion(major=1)


def mark_missing(
    records: Records, paths: Iterable[str], now: int, *, offline: bool = False
) -> list[ModelEvent]:
    """Mark the locations at these paths as gone; a record without any other is missing from now on.

    Args:
        records: The registry's tables.
        paths: Primary files that a scan did not find.
        now: Unix time in seconds.
        offline: Whether their whole volume is not there, so that they may well come back.
    """
    events = []
    for path in paths:
        seen = records.location(path)
        if seen is None or seen.model_id is None or seen.version is None:
            continue
        config = records.model(seen.model_id, seen.version)
        if config is None:
            continue
        changed = _without(config, path, now, offline=offline)
        if changed.locations == config.locations:
            continue
        records.put(changed)
        if changed.missing and not config.missing:
            events.append(_event(EventKind.MISSING, changed, path=path))
        elif not changed.missing:  # a copy is gone
            events.append(_event(EventKind.UPDATED, changed, fields=["locations"], path=path))
    return events


def user_set(metadata: ModelMetadata) -> ModelMetadata:
    """Only the values that a person set."""
    mine = [name for name, told in metadata.provenance.items() if told.origin is Origin.USER]
    values: dict[str, Any] = {name: getattr(metadata, name) for name in mine}
    return ModelMetadata(**values, provenance={name: metadata.provenance[name] for name in mine})


def _twin(records: Records, digest: bytes, place: Location) -> ModelConfig | None:
    """The record of the same content, unless the sha256 of both is known and tells them apart."""
    found = records.by_content(digest) if digest else None
    twin = records.model(*found) if found else None
    if twin is None:
        return None
    mine = place.content_names
    theirs = {one.content_names for one in twin.locations} - {None}
    return twin if mine is None or not theirs or mine in theirs else None


def _is_by_hand(standing: ModelConfig, place: Location) -> bool:
    """Whether a program registered this very place before a scan saw it."""
    if standing.content_digest or not standing.path:
        return False
    return os.path.abspath(standing.path) in (place.path, place.folder)


def _is_of_one_tool(standing: ModelConfig, place: Location) -> bool:
    """Whether a tool that names its models itself gave this id to other content: a newer pull, say."""
    return (
        place.source != _PLAIN_FOLDERS
        and bool(standing.locations)
        and all(one.source == place.source for one in standing.locations)
    )


def _succeed(records: Records, old: ModelConfig, new: _Arrival) -> Admission:
    """Other content under a known id: its next patch version; the old record stays."""
    version = max(records.versions(old.id)).next_patch()
    return _add(records, _named(records, _fresh(old.id, version, new, before=old), new.names))


def _names_of(artifact: Artifact) -> tuple[str, ...]:
    """What a tool calls a copy; the name of a plain folder is no name that anyone would ask for."""
    if artifact.source == _PLAIN_FOLDERS or artifact.model_id is None:
        return artifact.aliases
    return (artifact.model_id, *artifact.aliases)


def _named(records: Records, config: ModelConfig, aliases: tuple[str, ...]) -> ModelConfig:
    """The model with those further names of its source that are free; what a person named stays alone."""
    if not aliases or "aliases" in config.set_by_user:
        return config
    free = [
        one
        for one in aliases
        if one != config.id
        and one not in config.aliases
        and records.alias(one) in (None, config.id)
        and not records.versions(one)
    ]
    return attrs.evolve(config, aliases=(*config.aliases, *free)) if free else config


def _refresh(records: Records, old: ModelConfig, new: _Arrival) -> Admission:
    place, seen = new.place, new.seen
    others = [one for one in old.locations if one.path != place.path]
    config = attrs.evolve(
        old,
        path=place.path,
        metadata=merge_metadata([user_set(old.metadata), seen.metadata]),
        health_status=status_of(seen.findings),
        findings=seen.findings,
        content_digest=seen.content_digest,
        locations=(place, *others),
        missing_since=None,
    )
    if "display_name" not in old.set_by_user:
        config = attrs.evolve(config, display_name=config.metadata.title or config.id)
    return _write(records, old, _named(records, config, new.names), new.now)


def _write(records: Records, old: ModelConfig, config: ModelConfig, now: int, **told: Any) -> Admission:
    if config == old:
        return Admission(change=Change.UNCHANGED)
    config = attrs.evolve(config, updated_at=now, checked_at=now)
    records.put(config)
    fields = [
        one.name for one in attrs.fields(ModelConfig) if getattr(config, one.name) != getattr(old, one.name)
    ]
    changed = [name for name in fields if name not in {"updated_at", "checked_at"}]
    events = [
        _event(EventKind.MOVED if "moved_from" in told else EventKind.UPDATED, config, fields=changed, **told)
    ]
    if config.health_status is not old.health_status:
        events.append(health_event(old, config))
    return Admission(change=Change.UPDATED, events=tuple(events))


def _join(records: Records, twin: ModelConfig, new: _Arrival) -> Admission:
    """The same content in another place: a copy, or the record moves with it where the old place is empty."""
    place, seen = new.place, new.seen
    others = [one for one in twin.locations if one.path != place.path]
    away = [one for one in others if one.offline]
    gone = [one for one in others if one not in away and (one.missing or not os.path.lexists(one.path))]
    kept = [one for one in others if one not in away and one not in gone]
    for one in gone:
        records.delete_location(one.path, twin.id, twin.version)
    places = (*kept, place, *away)
    config = attrs.evolve(twin, path=places[0].path, locations=places, missing_since=None)
    if not kept:
        config = attrs.evolve(
            config,
            metadata=merge_metadata([user_set(twin.metadata), seen.metadata]),
            health_status=status_of(seen.findings),
            findings=seen.findings,
        )
    config = _named(records, config, new.names)
    if gone and not kept:
        return _write(records, twin, config, new.now, moved_from=gone[0].path, path=place.path)
    return _write(records, twin, config, new.now, path=place.path)


def _leave(records: Records, old: ModelConfig, path: str, now: int) -> None:
    """Other bytes lie at this path now: the old record stays, without it."""
    records.put(_without(old, path, now))


def _without(config: ModelConfig, path: str, now: int, *, offline: bool = False) -> ModelConfig:
    locations = tuple(
        attrs.evolve(one, missing=True, offline=offline) if one.path == path else one
        for one in config.locations
    )
    present = [one for one in locations if not one.missing]
    return attrs.evolve(
        config,
        locations=(*present, *(one for one in locations if one.missing)),
        path=present[0].path if present else config.path,
        missing_since=None if present else config.missing_since or now,
        updated_at=now,
    )


def _fresh(
    model_id: str, version: ModelVersion, new: _Arrival, before: ModelConfig | None = None
) -> ModelConfig:
    place, seen, now = new.place, new.seen, new.now
    metadata = seen.metadata if before is None else merge_metadata([user_set(before.metadata), seen.metadata])
    config = ModelConfig(
        id=model_id,
        path=place.path,
        display_name=metadata.title or model_id,
        version=version,
        metadata=metadata,
        health_status=status_of(seen.findings),
        findings=seen.findings,
        checked_at=now,
        locations=(place,),
        content_digest=seen.content_digest,
        added_at=now,
        updated_at=now,
    )
    if before is None:
        return config
    carried = {name: getattr(before, name) for name in _CARRIED if name in before.set_by_user}
    return attrs.evolve(config, set_by_user=before.set_by_user, **carried)


def _add(records: Records, config: ModelConfig) -> Admission:
    records.put(config)
    events = [_event(EventKind.REGISTERED, config, path=config.path)]
    if records.default() is None:
        records.set_default(config.id)
        events.append(ModelEvent(kind=EventKind.DEFAULT_CHANGED, model_id=config.id, details={"old": None}))
    return Admission(change=Change.ADDED, events=tuple(events))


def _free_id(records: Records, model_id: str, digest: bytes) -> str:
    """The id with a suffix that tells the content: the shortest one, of six digits or more, that is free."""
    text = digest.hex()
    for length in range(6, len(text) + 1):
        candidate = f"{model_id}~{text[:length]}"
        if records.current(candidate) is None and records.alias(candidate) is None:
            return candidate
    return f"{model_id}~{text}"


def health_event(old: ModelConfig, new: ModelConfig) -> ModelEvent:
    """The event of a change of health."""
    worst = new.findings[0].code if new.findings and new.health_status is not HealthStatus.HEALTHY else None
    return _event(
        EventKind.HEALTH_CHANGED,
        new,
        old=old.health_status.value,
        new=new.health_status.value,
        finding=worst,
    )


def _event(kind: EventKind, config: ModelConfig, **details: Any) -> ModelEvent:
    return ModelEvent(kind=kind, model_id=config.id, version=str(config.version), details=details)
