"""Changes that a program or a person makes to records, each within one transaction.

Each function gives its result and the events to be emitted once the transaction is committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.errors import DuplicateModelError, InvalidModelError, UnknownModelError
from modelshelf.model import (
    EventKind,
    HealthStatus,
    ModelConfig,
    ModelEvent,
    ModelMetadata,
    ModelVersion,
    Origin,
    Provenance,
)
from modelshelf.model.metadata import COUNTS, FIELD_NAMES, TEXTS, did_you_mean, misfit
from modelshelf.model.quantity import format_parameters
from modelshelf.model.status import is_available
from modelshelf.records.query import for_text

if TYPE_CHECKING:
    from modelshelf.records.write import Records

CONFIG_FIELDS = ("display_name", "enabled", "preload", "max_workers", "max_tokens", "temperature", "aliases")
"""Fields of a model that a person sets; those of its metadata come beside them."""

Changed = tuple[ModelConfig, list[ModelEvent]]


def register(records: Records, config: ModelConfig) -> Changed:
    """Add a record; see `ModelRegistry.register`."""
    if records.model(config.id, config.version) is not None:
        raise DuplicateModelError(config.id, config.version)
    if records.alias(config.id) not in {None, config.id}:
        raise InvalidModelError(config.id, "id", f"is an alias of model {records.alias(config.id)!r}")
    _check_aliases(records, config.id, config.aliases)
    records.put(config)
    events = [_event(EventKind.REGISTERED, config, path=config.path)]
    if records.default() is None:
        records.set_default(config.id)
        events.append(_event(EventKind.DEFAULT_CHANGED, config, old=None))
    return config, events


def update(records: Records, model_id: str, version: ModelVersion | None, fields: dict[str, Any]) -> Changed:
    """Set fields; see `ModelRegistry.update`."""
    old = _existing(records, model_id, version)
    for name in fields:
        if name not in CONFIG_FIELDS and name not in FIELD_NAMES:
            names = (*CONFIG_FIELDS, *FIELD_NAMES)
            hint = did_you_mean(name, names) or f"; there are {', '.join(names)}"
            raise InvalidModelError(old.id, name, f"is not a field that can be set{hint}")
    own = {name: value for name, value in fields.items() if name in CONFIG_FIELDS}
    facts = {name: value for name, value in fields.items() if name in FIELD_NAMES}
    if "aliases" in own:
        named = _texts(old.id, "aliases", own["aliases"])
        _check_aliases(records, old.id, named)
        own["aliases"] = (*named, *(one for one in old.given_aliases if one not in named))
    config = attrs.evolve(
        old,
        **own,
        metadata=_with_user_values(old, facts) if facts else old.metadata,
        set_by_user=old.set_by_user | set(fields),
        updated_at=int(time.time()),
    )
    if "aliases" in own:
        records.delete_aliases(old.id, tuple(set(old.aliases) - set(own["aliases"])))
    records.put(config)
    return config, [_event(EventKind.UPDATED, config, fields=sorted(fields))]


def _with_user_values(old: ModelConfig, facts: dict[str, Any]) -> ModelMetadata:
    values: dict[str, Any] = {}
    for name, value in facts.items():
        values[name] = _texts(old.id, name, value) if name in TEXTS and value is not None else value
        reason = misfit(name, values[name])
        if reason is None and name in COUNTS and value is not None and value < 0:
            reason = f"must be an integer of 0 or more, not {value}"
        if reason is not None:
            raise InvalidModelError(old.id, name, reason)
    if values.get("parameters") is not None and "parameter_count" not in values:
        values["parameter_count"] = format_parameters(values["parameters"])
    mine = {name: Provenance(Origin.USER) for name in values}
    return attrs.evolve(old.metadata, **values, provenance={**old.metadata.provenance, **mine})


def mark_used(records: Records, model_id: str) -> Changed:
    """Count a use; see `ModelRegistry.mark_used`."""
    config = _existing(records, model_id).mark_used()
    records.put(config)
    return config, [_event(EventKind.USED, config, use_count=config.use_count)]


def update_health_status(records: Records, model_id: str, status: HealthStatus | str) -> Changed:
    """Set the health; see `ModelRegistry.update_health_status`."""
    old = _existing(records, model_id)
    try:
        wanted = HealthStatus(status)
    except ValueError:
        names = ", ".join(one.value for one in HealthStatus)
        raise InvalidModelError(old.id, "health_status", f"must be one of {names}, not {status!r}") from None
    config = attrs.evolve(old.update_health_status(wanted), updated_at=int(time.time()))
    records.put(config)
    if wanted is old.health_status:
        return config, []
    return config, [
        _event(EventKind.HEALTH_CHANGED, config, old=old.health_status.value, new=wanted.value, finding=None)
    ]


def set_default(records: Records, model_id: str) -> Changed:
    """Make a model the default; see `ModelRegistry.set_default`."""
    config = _existing(records, model_id)
    old = records.default()
    if old == config.id:
        return config, []
    records.set_default(config.id)
    return config, [_event(EventKind.DEFAULT_CHANGED, config, old=old)]


def pin(records: Records, model_id: str, version: ModelVersion | None) -> Changed:
    """Pin a model to a version; see `ModelRegistry.pin`."""
    config = _existing(records, model_id, version)
    records.pin(config.id, version)
    return config, [_event(EventKind.UPDATED, config, pinned=None if version is None else str(version))]


def remove(records: Records, model_id: str, version: ModelVersion | None) -> Changed:
    """Forget a model or a version of it; see `ModelRegistry.remove`."""
    config = _existing(records, model_id, version)
    versions = records.versions(config.id) if version is None else [version]
    for one in versions:
        record = records.model(config.id, one)
        if record is not None:
            records.delete(record)
    events = [_event(EventKind.REMOVED, config, versions=[str(one) for one in versions])]
    if records.pinned(config.id) in {str(one) for one in versions}:
        records.pin(config.id, None)
    if records.default() == config.id and not records.versions(config.id):
        heirs = for_text(one for one in records.summaries() if is_available(one))
        heir = min((one.id for one in heirs), default=None)
        records.set_default(heir)
        events.append(
            ModelEvent(kind=EventKind.DEFAULT_CHANGED, model_id=heir or "", details={"old": config.id})
        )
    return config, events


def _existing(records: Records, model_id: str, version: ModelVersion | None = None) -> ModelConfig:
    current = records.current(model_id)
    found = current if current is None or version is None else records.model(current.id, version)
    if found is None:
        raise UnknownModelError(model_id, version)
    return found


def _texts(model_id: str, name: str, value: Any) -> tuple[str, ...]:
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    texts = tuple(value) if several else () if value is None else (value,)
    for one in texts:
        if not isinstance(one, str) or not one:
            raise InvalidModelError(
                model_id,
                name,
                f"must be text that is not empty, or several, not {type(one).__name__} {one!r}",
            )
    return texts


def _check_aliases(records: Records, model_id: str, aliases: tuple[str, ...]) -> None:
    for alias in aliases:
        holder = records.alias(alias)
        if (holder is not None and holder != model_id) or (alias != model_id and records.versions(alias)):
            raise InvalidModelError(
                model_id, "aliases", f"{alias!r} is the name of model {holder or alias!r} already"
            )


def _event(kind: EventKind, config: ModelConfig, **details: Any) -> ModelEvent:
    return ModelEvent(kind=kind, model_id=config.id, version=str(config.version), details=details)
