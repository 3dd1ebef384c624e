"""Examined artifacts become records, a batch in one transaction: new, changed, copied, moved or as before."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

import attrs
from attrs import define, field, frozen

from modelshelf.errors import InvalidModelError
from modelshelf.model import (
    Artifact,
    EventKind,
    HealthStatus,
    Kind,
    Location,
    ModelConfig,
    ModelEvent,
    ModelMetadata,
    ModelVersion,
    Problem,
    merge_metadata,
)
from modelshelf.model.health import status_of
from modelshelf.records.read import RecordReader
from modelshelf.records.write import Records
from modelshelf.scan.changed import under_rules
from modelshelf.scan.copies import (
    FineDigests,
    after,
    after_elsewhere,
    described,
    judged,
    user_set,
    with_own_findings,
    with_own_metadata,
)
from modelshelf.scan.counters import Change
from modelshelf.scan.examine import Examination
from modelshelf.scan.hashing import FINE_SIZE, with_sha256
from modelshelf.scan.naming import Naming
from modelshelf.scan.volumes import is_on
from modelshelf.source import LOCAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from modelshelf.plugin.call import PluginSet
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
        model: Its record.
        events: The events of its commit, for observers.
    """

    change: Change
    model: ModelConfig
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


@define
class ScanChoices:
    """What one scan chose so far: the default, where none was set before it, and ids.

    Attributes:
        rules: Digest of what it goes by; see `scan.changed.rules_of`.
        chosen: The least id among its healthy models that write text, or None.
        new_ids: Ids that it gave to models: nobody knew these before.
    """

    rules: bytes = b""
    chosen: str | None = None
    new_ids: set[str] = field(factory=set)

    def follow(self, renamed: Iterable[tuple[str, ModelConfig]]) -> None:
        """Take over the ids that models got in place of others."""
        for old_id, model in renamed:
            if self.chosen == old_id:
                self.chosen = model.id

    def choose_default(self, records: Records, models: Iterable[ModelConfig]) -> list[ModelEvent]:
        """Choose among what a batch made, too; what anybody else set stays."""
        now = records.default()
        if now != self.chosen:
            return []
        found = [one.id for one in models if one.metadata.kind == Kind.TEXT_GENERATION and _is_usable(one)]
        least = min([*found, now] if now is not None else found, default=None)
        if least is None or least == now:
            return []
        records.set_default(least)
        self.chosen = least
        return [ModelEvent(kind=EventKind.DEFAULT_CHANGED, model_id=least, details={"old": now})]


def _is_usable(model: ModelConfig) -> bool:
    return model.available and model.healthy


def commit(
    store: Store,
    examined: Sequence[tuple[Artifact, Examination]],
    volumes: Volumes,
    save_rejection: Callable[[Records, Artifact, Problem], None],
    *,
    sources: Iterable[Source] = (),
    plugins: PluginSet | None = None,
    choices: ScanChoices | None = None,
) -> list[Outcome]:
    """Bring the registry up to date with some examined artifacts, in one transaction.

    Args:
        store: The store.
        examined: The artifacts.
        volumes: The mount points that models lie on; those of the artifacts are added.
        save_rejection: Writes why an artifact gets no record.
        sources: The sources, for what is read of two copies before they are joined.
        plugins: The plugins, which say where tensors lie.
        choices: What the scan chose in its earlier batches.
    """
    choices = choices or ScanChoices()
    now = int(time.time())
    fine = FineDigests(sources, plugins)
    for record, location in store.view(lambda state: _proposed_copies(RecordReader(state), examined)):
        fine.is_copy(record, location) or fine.name_of(location)  # while nobody has to wait
    has_new_mounts = volumes.add({artifact.folder for artifact, _ in examined})
    chosen = choices.chosen

    def work(state: Transaction) -> list[Outcome]:
        choices.chosen = chosen  # a store that has to grow runs this again
        records = Records(state)
        if has_new_mounts:
            records.save_mounts({*volumes.mounts, *records.mounts()})
        outcomes = [commit_one(records, artifact, examination) for artifact, examination in examined]
        made = [one.committed.model for one in outcomes if one.committed is not None]
        events = choices.choose_default(records, made)
        return _with_events(outcomes, events) if events else outcomes

    def commit_one(records: Records, artifact: Artifact, examination: Examination) -> Outcome:
        if examination.rejected is not None:
            if examination.complete:
                save_rejection(records, artifact, examination.rejected)
            return Outcome(artifact=artifact, examination=examination)
        try:
            committed = commit_artifact(records, artifact, examination, now, fine, choices)
        except InvalidModelError as error:  # a source's id, say, that is none
            reason = Problem(code="unfit-record", path=artifact.path, message=str(error))
            return Outcome(artifact=artifact, examination=attrs.evolve(examination, rejected=reason))
        return Outcome(artifact=artifact, examination=examination, committed=committed)

    return store.update(work)


def _with_events(outcomes: list[Outcome], events: list[ModelEvent]) -> list[Outcome]:
    """The outcomes, with further events of their commit at the one that they are about."""
    (event,) = events
    return [
        attrs.evolve(one, committed=attrs.evolve(one.committed, events=(*one.committed.events, event)))
        if one.committed is not None and one.committed.model.id == event.model_id
        else one
        for one in outcomes
    ]


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
class _Means:
    """What a commit goes by: the time, what compares copies, what settles ids, the scan's rules."""

    now: int
    fine: FineDigests
    naming: Naming
    rules: bytes


@frozen(kw_only=True)
class _Examined:
    """An examined artifact at its location."""

    location: Location
    examination: Examination
    now: int = 0


@frozen(kw_only=True)
class _New(_Examined):
    """The same on its way to a record: what settles its id, and other names that its source gives it."""

    naming: Naming
    names: tuple[str, ...] = ()


def _location_of(artifact: Artifact, examination: Examination, rules: bytes = b"") -> Location:
    fingerprint = artifact.fingerprint.digest if examination.complete else b""
    if fingerprint and not examination.is_finished:
        fingerprint = under_rules(fingerprint, rules)
    return Location(
        path=artifact.path,
        folder=artifact.folder,
        source=artifact.source,
        files=with_sha256(artifact.files, examination.sha256),
        fingerprint=fingerprint,
        depth=examination.depth,
        findings=examination.findings,
        proposed_id=artifact.proposed_id,
    )


def _location_after(
    old: ModelConfig | None, artifact: Artifact, examination: Examination, rules: bytes
) -> Location:
    """The location; where a deeper look was at the same bytes, or this one did not finish, with both."""
    location = _location_of(artifact, examination, rules)
    places = () if old is None else with_own_findings(old).locations
    before = next((one for one in places if one.path == location.path), None)
    return location if before is None else after(before, location, finished=examination.is_finished)


def _proposed_copies(
    reader: RecordReader, examined: Sequence[tuple[Artifact, Examination]]
) -> list[tuple[ModelConfig, Location]]:
    """What `commit_artifact` will compare: records, and the places that by samples are copies of them."""
    first: dict[bytes, tuple[Artifact, Examination]] = {}
    proposed = []
    for artifact, examination in examined:
        digest = examination.content_digest
        if not digest or examination.rejected is not None:
            continue
        location = _location_of(artifact, examination)
        found = reader.by_content(digest)
        record = reader.model(*found) if found else None
        if record is not None and not _is_alone(record, location):
            proposed.append((record, location))
        if digest in first:
            new = _Examined(location=_location_of(*first[digest]), examination=first[digest][1])
            proposed.append((_new_record(artifact.path, ModelVersion(major=1), new), location))
        first.setdefault(digest, (artifact, examination))
    return proposed


def commit_artifact(
    records: Records,
    artifact: Artifact,
    examination: Examination,
    now: int,
    fine: FineDigests | None = None,
    choices: ScanChoices | None = None,
) -> Committed:
    """Bring the registry up to date with one examined artifact."""
    choices = choices or ScanChoices()
    naming = Naming(records, choices.new_ids)
    means = _Means(now=now, fine=fine or FineDigests(), naming=naming, rules=choices.rules)
    committed = _commit_at(records, artifact, examination, means)
    choices.follow(naming.renamed)
    if not naming.renamed:
        return committed
    return attrs.evolve(committed, events=(*committed.events, *map(_renaming, naming.renamed)))


def _commit_at(records: Records, artifact: Artifact, examination: Examination, means: _Means) -> Committed:
    """Find the record that an examined artifact belongs to, or make one."""
    now, fine, naming = means.now, means.fine, means.naming
    entry = records.location(artifact.path)
    old = records.model(entry.model_id, entry.version) if entry and entry.model_id and entry.version else None
    location = _location_after(old, artifact, examination, means.rules)
    new = _New(location=location, examination=examination, now=now, names=artifact.aliases, naming=naming)
    if old is not None and _has_content(old, examination.content_digest, location, fine):
        return _refresh(records, old, attrs.evolve(new, location=fine.with_sha256(location)))
    was_never_of = old is not None and _was_never_of(old, location, examination.content_digest)
    digest, copy = _record_of_same_content(records, examination.content_digest, location, fine)
    examination = attrs.evolve(examination, content_digest=digest)
    new = attrs.evolve(new, examination=examination, location=fine.with_sha256(location))
    if old is not None and was_never_of:
        split = split_off(records, old, location.path, now)
        committed = _commit_at(records, artifact, examination, means)
        return attrs.evolve(committed, events=(split, *committed.events))
    if old is not None:  # other bytes lie at its path now: it stays, without it
        records.put(without_location(old, location.path, now))
    if copy is not None:
        compared = attrs.evolve(copy, locations=tuple(map(fine.with_sha256, copy.locations)))
        return _add_location(records, compared, attrs.evolve(new, names=_names_of_copy(artifact)), fine)
    if old is not None:
        return _add_version(records, old, new)
    return _add_record(records, new)


def _add_record(records: Records, new: _New) -> Committed:
    """Content that no record has, at a place that no other content had."""
    location, examination = new.location, new.examination
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


def _has_content(old: ModelConfig, digest: bytes, location: Location, fine: FineDigests) -> bool:
    """Whether the record of a path is still that of what lies there, and of its other copies."""
    mine = next((one for one in old.locations if one.path == location.path), None)
    if mine is not None and mine.content_names is not None and mine.content_names == location.content_names:
        return True
    if len(old.content_digest) == FINE_SIZE:
        return fine.is_copy(old, location)
    if old.content_digest != digest:
        return False
    return _is_alone(old, location) or fine.is_copy(old, location)


def _is_alone(record: ModelConfig, location: Location) -> bool:
    """Whether a record's only present place is this one, with which nothing is to be compared."""
    return [one.path for one in record.locations if not one.missing] == [location.path]


def _was_never_of(old: ModelConfig, location: Location, digest: bytes) -> bool:
    """Whether a copy whose files and samples are as they were proved to be none of the others' model."""
    if old.content_digest != digest:
        return False
    before = {one.path: one for one in old.locations if not one.missing}
    mine = before.pop(location.path, None)
    return mine is not None and bool(before) and mine.has_unchanged(location.files)


def split_off(records: Records, old: ModelConfig, path: str, now: int) -> ModelEvent:
    """Take from a record a copy that is another model; id, aliases, settings and default stay."""
    kept = tuple(one for one in with_own_findings(old).locations if one.path != path)
    first = next((one.path for one in kept if not one.missing), old.path)
    records.delete_location(path, old.id, old.version)
    config = described(judged(attrs.evolve(old, path=first, locations=kept, updated_at=now)))
    records.put(config)
    return _event(EventKind.UPDATED, config, fields=["locations"], path=path, reason="no copy of it")


def _record_of_same_content(
    records: Records, digest: bytes, location: Location, fine: FineDigests
) -> tuple[bytes, ModelConfig | None]:
    """The digest that a record of this content has, and that record where there is one.

    Content that only its samples have in common with another record's is found by all its bytes.
    """
    found = records.by_content(digest) if digest else None
    record = records.model(*found) if found else None
    if record is None or fine.is_copy(record, location):
        return digest, record
    digest = fine.name_of(location) or digest
    found = records.by_content(digest) if len(digest) == FINE_SIZE else None
    return digest, records.model(*found) if found else None


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
    location, examination = new.location, new.examination
    if len(judged_before.locations) > 1:
        location = attrs.evolve(location, metadata=examination.metadata)
    present = [one for one in judged_before.locations if not one.missing]
    if location.path in {one.path for one in present}:
        present = [location if one.path == location.path else one for one in present]
    else:
        present = [*present, location]
    missing = [one for one in judged_before.locations if one.missing and one.path != location.path]
    config = attrs.evolve(
        old,
        path=present[0].path,
        metadata=merge_metadata([user_set(old.metadata), examination.metadata]),
        content_digest=old.content_digest or examination.content_digest,
        locations=(*present, *missing),
        missing_since=None,
    )
    config = described(judged(config))
    config = attrs.evolve(config, health_status=status_of(config.findings))
    if "display_name" not in old.set_by_user:
        config = attrs.evolve(config, display_name=config.metadata.title or config.id)
    return _update(records, old, _with_aliases(records, config, new.names), new)


def _update(records: Records, old: ModelConfig, config: ModelConfig, new: _New, **details: Any) -> Committed:
    if config == old:
        return Committed(change=Change.UNCHANGED, model=old)
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
    return Committed(change=Change.UPDATED, model=config, events=tuple(events))


def _add_location(records: Records, record: ModelConfig, new: _New, fine: FineDigests) -> Committed:
    """The same content in another place: a copy, or the record moves with it where the old place is empty."""
    location, examination = new.location, new.examination
    before = with_own_metadata(with_own_findings(record))
    others = [one for one in before.locations if one.path != location.path]
    offline = [one for one in others if one.offline]
    gone = [one for one in others if one not in offline and (one.missing or not os.path.lexists(one.path))]
    kept = [one for one in others if one not in offline and one not in gone]
    for one in others:  # nothing becomes better by being moved or copied
        if fine.have_same_bytes(one, location):
            location = after_elsewhere(one, location, finished=examination.is_finished)
    for one in gone:
        records.delete_location(one.path, record.id, record.version)
    if kept or offline:
        location = attrs.evolve(location, metadata=examination.metadata)
    locations = (*kept, location, *offline)
    config = attrs.evolve(record, path=locations[0].path, locations=locations, missing_since=None)
    if not kept:
        config = attrs.evolve(
            config,
            metadata=merge_metadata([user_set(record.metadata), examination.metadata]),
            health_status=status_of(location.findings),
        )
    config = _with_aliases(records, described(judged(config)), new.names)
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
    changed = judged(
        attrs.evolve(
            config,
            locations=(*present, *(one for one in locations if one.missing)),
            path=present[0].path if present else config.path,
            missing_since=None if present else config.missing_since or now,
            updated_at=now,
        )
    )
    return described(changed)


def _new_record(
    model_id: str, version: ModelVersion, new: _Examined, before: ModelConfig | None = None
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
        health_status=status_of(location.findings),
        findings=location.findings,
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
    event = _event(EventKind.REGISTERED, config, path=config.path)
    return Committed(change=Change.ADDED, model=config, events=(event,))


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
