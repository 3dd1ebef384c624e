"""What a program or a person changes, each within one transaction; gives the result and the events."""

from __future__ import annotations

import time
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
from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.model.quantity import format_parameters

if TYPE_CHECKING:
    from modelshelf.records.write import Records

CONFIG_FIELDS = ("display_name", "enabled", "preload", "max_workers", "max_tokens", "temperature", "aliases")
"""Fields of a model that a person sets; those of its metadata come beside them."""

_TUPLES = frozenset({"tags", "base_model", "languages"})
_WHOLE = frozenset(
    {
        "parameters",
        "context_length",
        "created_at",
        "size_bytes",
        "embedding_length",
        "block_count",
        "head_count",
        "head_count_kv",
        "vocab_size",
        "tensor_count",
    }
)
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
    old = _standing(records, model_id, version)
    told = {name: value for name, value in fields.items() if name in FIELD_NAMES}
    own = {name: value for name, value in fields.items() if name in CONFIG_FIELDS}
    for name in fields:
        if name not in told and name not in own:
            known = ", ".join((*CONFIG_FIELDS, *FIELD_NAMES))
            raise InvalidModelError(old.id, name, f"is not a field that can be set; there are {known}")
    if "aliases" in own:
        own["aliases"] = _strings(old.id, "aliases", own["aliases"])
        _check_aliases(records, old.id, own["aliases"])
    config = attrs.evolve(
        old,
        **own,
        metadata=_with_user_values(old, told) if told else old.metadata,
        set_by_user=old.set_by_user | set(fields),
        updated_at=int(time.time()),
    )
    if "aliases" in own:
        records.delete_aliases(old.id, tuple(set(old.aliases) - set(own["aliases"])))
    records.put(config)
    return config, [_event(EventKind.UPDATED, config, fields=sorted(fields))]


def _with_user_values(old: ModelConfig, told: dict[str, Any]) -> ModelMetadata:
    values: dict[str, Any] = {}
    for name, value in told.items():
        if name in _TUPLES and value is not None:
            values[name] = _strings(old.id, name, value)
        elif name in _WHOLE and value is not None and (type(value) is not int or value < 0):
            raise InvalidModelError(old.id, name, f"must be an integer of 0 or more, not {value!r}")
        else:
            values[name] = value
    if "parameters" in values and "parameter_count" not in values and values["parameters"] is not None:
        values["parameter_count"] = format_parameters(values["parameters"])
    mine = {name: Provenance(Origin.USER) for name in values}
    return attrs.evolve(old.metadata, **values, provenance={**old.metadata.provenance, **mine})


def mark_used(records: Records, model_id: str) -> Changed:
    """Count a use; see `ModelRegistry.mark_used`."""
    config = _standing(records, model_id).mark_used()
    records.put(config)
    return config, [_event(EventKind.USED, config, use_count=config.use_count)]


def update_health_status(records: Records, model_id: str, status: HealthStatus | str) -> Changed:
    """Set the health; see `ModelRegistry.update_health_status`."""
    old = _standing(records, model_id)
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
    config = _standing(records, model_id)
    old = records.default()
    if old == config.id:
        return config, []
    records.set_default(config.id)
    return config, [_event(EventKind.DEFAULT_CHANGED, config, old=old)]


def pin(records: Records, model_id: str, version: ModelVersion | None) -> Changed:
    """Pin a model to a version; see `ModelRegistry.pin`."""
    config = _standing(records, model_id, version)
    records.pin(config.id, version)
    return config, [_event(EventKind.UPDATED, config, pinned=None if version is None else str(version))]


def remove(records: Records, model_id: str, version: ModelVersion | None) -> Changed:
    """Forget a model or a version of it; see `ModelRegistry.remove`."""
    config = _standing(records, model_id, version)
    wanted = records.versions(config.id) if version is None else [version]
    for one in wanted:
        held = records.model(config.id, one)
        if held is not None:
            records.delete(held)
    events = [_event(EventKind.REMOVED, config, versions=[str(one) for one in wanted])]
    if records.pinned(config.id) in {str(one) for one in wanted}:
        records.pin(config.id, None)
    if records.default() == config.id and not records.versions(config.id):
        heir = min((one.id for one in records.summaries()), default=None)
        records.set_default(heir)
        events.append(
            ModelEvent(kind=EventKind.DEFAULT_CHANGED, model_id=heir or "", details={"old": config.id})
        )
    return config, events


def _standing(records: Records, model_id: str, version: ModelVersion | None = None) -> ModelConfig:
    current = records.current(model_id)
    found = current if current is None or version is None else records.model(current.id, version)
    if found is None:
        raise UnknownModelError(model_id, version)
    return found


def _strings(model_id: str, name: str, value: Any) -> tuple[str, ...]:
    words = (value,) if isinstance(value, str) else tuple(value or ())
    if not all(isinstance(word, str) and word for word in words):
        raise InvalidModelError(model_id, name, f"must be text that is not empty, not {value!r}")
    return words


def _check_aliases(records: Records, model_id: str, aliases: tuple[str, ...]) -> None:
    for alias in aliases:
        holder = records.alias(alias)
        if (holder is not None and holder != model_id) or (alias != model_id and records.versions(alias)):
            raise InvalidModelError(
                model_id, "aliases", f"{alias!r} is the name of model {holder or alias!r} already"
            )


def _event(kind: EventKind, config: ModelConfig, **details: Any) -> ModelEvent:
    return ModelEvent(kind=kind, model_id=config.id, version=str(config.version), details=details)
