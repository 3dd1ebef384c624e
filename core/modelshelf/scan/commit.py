"""Examined artifacts become records, a batch in one transaction: new, changed, copied, moved or as before."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from modelshelf.errors import InvalidModelError
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
    Problem,
    merge_metadata,
)
from modelshelf.model.health import combine, status_of
from modelshelf.records.read import RecordReader
from modelshelf.records.write import Records
from modelshelf.scan.copies import FineDigests, judged, with_own_findings
from modelshelf.scan.counters import Change
from modelshelf.scan.examine import Examination
from modelshelf.scan.hashing import FINE_SIZE, with_sha256
from modelshelf.scan.naming import Naming
from modelshelf.scan.volumes import is_on
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelshelf.scan.volumes import Volumes
    from modelshelf.source import Source
    from modelshelf.store import Store, Transaction

_LENIENT_VERSION = re.compile(r"\s*v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?!\d)", re.IGNORECASE)
# What the person set follows a model to its next version; counters and health start anew.
_CARRIED = ("preload", "max_workers", "max_tokens", "temperature", "enabled", "aliases", "display_name")


@frozen(kw_only=True)
class Committed:
    """What became of one artifact.

    Attributes:
        change: What it did to the registry.
        events: The events of its commit, for observers.
    """

    change: Change
    events: tuple[ModelEvent, ...] = ()


@frozen(kw_only=True)
class Outcome:
    """An examined artifact after its commit.

    Attributes:
        artifact: The artifact.
        examination: Its examination; rejected too where it makes no record.
        committed: What became of it; None where it is rejected.
    """

    artifact: Artifact
    examination: Examination
    committed: Committed | None = None


def commit(
    store: Store,
    examined: Sequence[tuple[Artifact, Examination]],
    volumes: Volumes,
    save_rejection: Callable[[Records, Artifact, Problem], None],
    sources: Iterable[Source] = (),
    new_ids: set[str] | None = None,
) -> list[Outcome]:
    """Bring the registry up to date with some examined artifacts, in one transaction.

    Args:
        store: The store.
        examined: The artifacts.
        volumes: The mount points that models lie on; those of the artifacts are added.
        save_rejection: Writes why an artifact gets no record.
        sources: The sources, for what is read of two copies before they are joined.
        new_ids: Ids that this scan gave so far; more are added.
    """
    new_ids = set() if new_ids is None else new_ids
    now = int(time.time())
    fine = FineDigests(sources)
    store.view(lambda state: _read_copies(RecordReader(state), examined, fine))  # while nobody has to wait
    has_new_mounts = volumes.add({artifact.folder for artifact, _ in examined})

    def work(state: Transaction) -> list[Outcome]:
        records = Records(state)
        if has_new_mounts:
            records.save_mounts({*volumes.mounts, *records.mounts()})
        return [commit_one(records, artifact, examination) for artifact, examination in examined]

    def commit_one(records: Records, artifact: Artifact, examination: Examination) -> Outcome:
        if examination.rejected is not None:
            save_rejection(records, artifact, examination.rejected)
            return Outcome(artifact=artifact, examination=examination)
        try:
            committed = commit_artifact(records, artifact, examination, now, fine, new_ids)
        except InvalidModelError as error:  # a source's id, say, that is none
            reason = Problem(code="unfit-record", path=artifact.path, message=str(error))
            return Outcome(artifact=artifact, examination=attrs.evolve(examination, rejected=reason))
        return Outcome(artifact=artifact, examination=examination, committed=committed)

    return store.update(work)


def commit_missing(store: Store, paths: Sequence[str], volumes: Volumes) -> list[ModelEvent]:
    """Mark the models whose files are not at these paths any more; gives the events of the commit."""
    lost = volumes.lost()
    offline = [path for path in paths if is_on(path, lost)]
    deleted = [path for path in paths if path not in set(offline)] if offline else paths
    now = int(time.time())

    def work(state: Transaction) -> list[ModelEvent]:
        records = Records(state)
        events = mark_missing(records, deleted, now)
        return [*events, *mark_missing(records, offline, now, offline=True)]

    return store.update(work)


@frozen(kw_only=True)
class _New:
    """An examined artifact at its location."""

    location: Location
    examination: Examination
    now: int
    naming: Naming
    names: tuple[str, ...] = ()

    def after(self, old: ModelConfig) -> Location:
        """The location; where a deeper look was at the same bytes, or this one did not finish, with both."""
        before = next((one for one in old.locations if one.path == self.location.path), None)
        if before is None or not before.has_unchanged(self.location.files):
            return self.location
        if self.examination.is_finished and self.location.depth.reaches(before.depth):
            return self.location
        return attrs.evolve(self.location, findings=combine(before.findings, self.location.findings))


def _location_of(artifact: Artifact, examination: Examination) -> Location:
    return Location(
        path=artifact.path,
        folder=artifact.folder,
        source=artifact.source,
        files=with_sha256(artifact.files, examination.sha256),
        fingerprint=artifact.fingerprint.digest if examination.complete else b"",
        depth=examination.depth,
        findings=examination.findings,
        proposed_id=artifact.proposed_id,
    )


def _read_copies(
    reader: RecordReader, examined: Sequence[tuple[Artifact, Examination]], fine: FineDigests
) -> None:
    """Read the fine digests that `commit_artifact` will ask for."""
    first: dict[bytes, Location] = {}
    for artifact, examination in examined:
        digest = examination.content_digest
        if not digest or examination.rejected is not None:
            continue
        location = _location_of(artifact, examination)
        found = reader.by_content(digest)
        record = reader.model(*found) if found else None
        if record is not None:
            fine.is_copy(record, location)
        if digest in first:
            fine.of(first[digest])
            fine.of(location)
        first.setdefault(digest, location)


def commit_artifact(
    records: Records,
    artifact: Artifact,
    examination: Examination,
    now: int,
    fine: FineDigests | None = None,
    new_ids: set[str] | None = None,
) -> Committed:
    """Bring the registry up to date with one examined artifact."""
    fine = fine or FineDigests()
    location = _location_of(artifact, examination)
    naming = Naming(records, set() if new_ids is None else new_ids)
    new = _New(location=location, examination=examination, now=now, names=artifact.aliases, naming=naming)
    committed = _commit_at(records, artifact, new, fine)
    if not naming.renamed:
        return committed
    return attrs.evolve(committed, events=(*committed.events, *map(_renaming, naming.renamed)))


def _commit_at(records: Records, artifact: Artifact, new: _New, fine: FineDigests) -> Committed:
    """Find the record that an examined artifact belongs to, or make one."""
    location, examination, now = new.location, new.examination, new.now
    entry = records.location(artifact.path)
    old = records.model(entry.model_id, entry.version) if entry and entry.model_id and entry.version else None
    if old is not None and _has_content(old, examination.content_digest, location, fine):
        return _refresh(records, old, new)
    digest, copy = _record_of_same_content(records, examination.content_digest, location, fine)
    examination = attrs.evolve(examination, content_digest=digest)
    new = attrs.evolve(new, examination=examination)
    if old is not None:  # other bytes lie at its path now: it stays, without it
        records.put(without_location(old, location.path, now))
    if copy is not None:
        return _add_location(records, copy, attrs.evolve(new, names=_names_of_copy(artifact)))
    if old is not None:
        return _add_version(records, old, new)
    current = records.current(location.proposed_id)
    if current is not None and _is_registered_by_hand(current, location):
        chosen = attrs.evolve(current, set_by_user=current.set_by_user | {"id"})  # the program chose it
        return _refresh(records, chosen, new)
    if current is not None and _is_of_one_tool(current, location):
        return _add_version(records, current, new)
    digest = examination.content_digest or location.fingerprint
    model_id = new.naming.id_for(location, digest, is_unused=current is None)
    config = _new_record(model_id, first_version(examination.metadata), new)
    return _register(records, _with_aliases(records, config, new.names))


def first_version(metadata: ModelMetadata) -> ModelVersion:
    """The version that the header gives, else the name, else 1.0.0."""
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
        entry = records.location(path)
        if entry is None or entry.model_id is None or entry.version is None:
            continue
        config = records.model(entry.model_id, entry.version)
        if config is None:
            continue
        changed = without_location(config, path, now, offline=offline)
        if changed.locations == config.locations:
            continue
        records.put(changed)
        if changed.missing and not config.missing:
            events.append(_event(EventKind.MISSING, changed, path=path))
        elif not changed.missing:  # a copy is gone
            events.append(_event(EventKind.UPDATED, changed, fields=["locations"], path=path))
        if changed.health_status is not config.health_status:
            events.append(health_event(config, changed))
    return events


def user_set(metadata: ModelMetadata) -> ModelMetadata:
    """Only the values that a person set."""
    names = [name for name, one in metadata.provenance.items() if one.origin is Origin.USER]
    values: dict[str, Any] = {name: getattr(metadata, name) for name in names}
    return ModelMetadata(**values, provenance={name: metadata.provenance[name] for name in names})


def _has_content(old: ModelConfig, digest: bytes, location: Location, fine: FineDigests) -> bool:
    """Whether the record of a path is still that of what lies there, and of its other copies."""
    if len(old.content_digest) == FINE_SIZE:
        return old.content_digest == fine.of(location)
    if old.content_digest != digest:
        return False
    others = [one for one in old.locations if one.path != location.path and not one.missing]
    return not others or fine.is_copy(old, location)


def _record_of_same_content(
    records: Records, digest: bytes, location: Location, fine: FineDigests
) -> tuple[bytes, ModelConfig | None]:
    """The digest that a record of this content has, and that record where there is one.

    Content that only its samples have in common with another record's is found by its fine digest.
    """
    found = records.by_content(digest) if digest else None
    record = records.model(*found) if found else None
    if record is None or fine.is_copy(record, location):
        return digest, record
    digest = fine.of(location) or digest
    found = records.by_content(digest) if len(digest) == FINE_SIZE else None
    record = records.model(*found) if found else None
    return digest, record if record is not None and fine.is_copy(record, location) else None


def _is_registered_by_hand(record: ModelConfig, location: Location) -> bool:
    """Whether a program registered this very place before a scan found it."""
    if record.content_digest or not record.path:
        return False
    return os.path.abspath(record.path) in (location.path, location.folder)


def _is_of_one_tool(record: ModelConfig, location: Location) -> bool:
    """Whether a tool that names its models itself gave this id to other content: a newer pull, say."""
    return (
        location.source != LOCAL
        and bool(record.locations)
        and all(one.source == location.source for one in record.locations)
    )


def _add_version(records: Records, old: ModelConfig, new: _New) -> Committed:
    """Other content under the id of a record: its next patch version; the old record stays."""
    version = max(records.versions(old.id)).next_patch()
    names = (*(one for one in old.given_aliases if records.alias(one) == old.id), *new.names)
    return _register(records, _with_aliases(records, _new_record(old.id, version, new, before=old), names))


def _names_of_copy(artifact: Artifact) -> tuple[str, ...]:
    """What a tool calls a copy; the name of a plain folder is no name that anyone would ask for."""
    if artifact.source == LOCAL or artifact.model_id is None:
        return artifact.aliases
    return (artifact.model_id, *artifact.aliases)


def _with_aliases(records: Records, config: ModelConfig, aliases: tuple[str, ...]) -> ModelConfig:
    """The model with those further names of its source that are free, beside those that a person gave it."""
    free = [
        one
        for one in aliases
        if one != config.id
        and one not in config.given_aliases
        and records.alias(one) in (None, config.id)
        and not records.versions(one)
    ]
    if not free:
        return config
    return attrs.evolve(
        config,
        aliases=(*config.aliases, *(one for one in free if one not in config.aliases)),
        given_aliases=(*config.given_aliases, *free),
    )


def _refresh(records: Records, old: ModelConfig, new: _New) -> Committed:
    """The content that the record has, at a location that it has or that a person gave it."""
    judged_before = with_own_findings(old)
    location, examination = new.after(judged_before), new.examination
    others = [one for one in judged_before.locations if one.path != location.path]
    config = attrs.evolve(
        old,
        path=location.path,
        metadata=merge_metadata([user_set(old.metadata), examination.metadata]),
        content_digest=old.content_digest
        if len(old.content_digest) == FINE_SIZE
        else examination.content_digest,
        locations=(location, *others),
        missing_since=None,
    )
    config = judged(config)
    config = attrs.evolve(config, health_status=status_of(config.findings))
    if "display_name" not in old.set_by_user:
        config = attrs.evolve(config, display_name=config.metadata.title or config.id)
    return _update(records, old, _with_aliases(records, config, new.names), new)


def _update(records: Records, old: ModelConfig, config: ModelConfig, new: _New, **details: Any) -> Committed:
    if config == old:
        return Committed(change=Change.UNCHANGED)
    config = attrs.evolve(config, updated_at=new.now, checked_at=new.now)
    records.put(config)
    config = new.naming.settle(old, config)
    fields = [
        one.name for one in attrs.fields(ModelConfig) if getattr(config, one.name) != getattr(old, one.name)
    ]
    changed = [name for name in fields if name not in {"updated_at", "checked_at"}]
    kind = EventKind.MOVED if "moved_from" in details else EventKind.UPDATED
    events = [_event(kind, config, fields=changed, **details)]
    if config.health_status is not old.health_status:
        events.append(health_event(old, config))
    return Committed(change=Change.UPDATED, events=tuple(events))


def _add_location(records: Records, record: ModelConfig, new: _New) -> Committed:
    """The same content in another place: a copy, or the record moves with it where the old place is empty."""
    location, examination = new.location, new.examination
    others = [one for one in with_own_findings(record).locations if one.path != location.path]
    offline = [one for one in others if one.offline]
    gone = [one for one in others if one not in offline and (one.missing or not os.path.lexists(one.path))]
    kept = [one for one in others if one not in offline and one not in gone]
    for one in gone:
        records.delete_location(one.path, record.id, record.version)
    locations = (*kept, location, *offline)
    config = attrs.evolve(record, path=locations[0].path, locations=locations, missing_since=None)
    if not kept:
        config = attrs.evolve(
            config,
            metadata=merge_metadata([user_set(record.metadata), examination.metadata]),
            health_status=status_of(examination.findings),
        )
    config = _with_aliases(records, judged(config), new.names)
    if gone and not kept:
        return _update(records, record, config, new, moved_from=gone[0].path, path=location.path)
    return _update(records, record, config, new, path=location.path)


def without_location(config: ModelConfig, path: str, now: int, *, offline: bool = False) -> ModelConfig:
    """The record after its copy at a path is gone: that one's findings go with it."""
    locations = tuple(
        attrs.evolve(one, missing=True, offline=offline) if one.path == path else one
        for one in with_own_findings(config).locations
    )
    present = [one for one in locations if not one.missing]
    return judged(
        attrs.evolve(
            config,
            locations=(*present, *(one for one in locations if one.missing)),
            path=present[0].path if present else config.path,
            missing_since=None if present else config.missing_since or now,
            updated_at=now,
        )
    )


def _new_record(
    model_id: str, version: ModelVersion, new: _New, before: ModelConfig | None = None
) -> ModelConfig:
    location, examination, now = new.location, new.examination, new.now
    metadata = examination.metadata
    if before is not None:
        metadata = merge_metadata([user_set(before.metadata), metadata])
    config = ModelConfig(
        id=model_id,
        path=location.path,
        display_name=metadata.title or model_id,
        version=version,
        metadata=metadata,
        health_status=status_of(examination.findings),
        findings=examination.findings,
        checked_at=now,
        locations=(location,),
        content_digest=examination.content_digest,
        added_at=now,
        updated_at=now,
    )
    if before is None:
        return config
    carried = {name: getattr(before, name) for name in _CARRIED if name in before.set_by_user}
    return attrs.evolve(config, set_by_user=before.set_by_user, **carried)


def _register(records: Records, config: ModelConfig) -> Committed:
    records.put(config)
    events = [_event(EventKind.REGISTERED, config, path=config.path)]
    if records.default() is None:
        records.set_default(config.id)
        events.append(ModelEvent(kind=EventKind.DEFAULT_CHANGED, model_id=config.id, details={"old": None}))
    return Committed(change=Change.ADDED, events=tuple(events))


def _renaming(renamed: tuple[str, ModelConfig]) -> ModelEvent:
    old_id, config = renamed
    return _event(EventKind.UPDATED, config, fields=["id"], renamed_from=old_id)


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
