r"""Records as plain data, ready for JSON: in full, and as the entries of OpenAI's ``/v1/models``.

Lone surrogates (bytes of a file name that are not UTF-8) stay in the text: ``json.dumps`` with its default
``ensure_ascii`` writes them as ``\udcXX``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.model.status import current_health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Finding, Location, ModelConfig, ModelMetadata


_OF_THE_REGISTRY = (
    "display_name",
    "path",
    "version",
    "architecture",
    "quantization",
    "parameter_count",
    "format",
    "context_length",
    "tags",
    "source",
    "license",
    "size_bytes",
    "enabled",
    "health_status",
    "use_count",
    "last_used",
    "preload",
    "max_workers",
    "max_tokens",
    "temperature",
    "aliases",
    "missing",
    "offline",
)
"""What an entry holds beside OpenAI's own four fields, as far as it is known."""


def plain(config: ModelConfig) -> dict[str, Any]:
    """A record in full; its health is unknown while its files are missing."""
    return {
        "id": config.id,
        "version": str(config.version),
        "display_name": config.display_name,
        "path": config.path,
        "locations": [plain_location(one) for one in config.locations],
        "health_status": current_health(config),
        "findings": [plain_finding(one) for one in config.findings],
        "checked_at": config.checked_at,
        "enabled": config.enabled,
        "preload": config.preload,
        "max_workers": config.max_workers,
        "max_tokens": config.max_tokens,
        "temperature": _ready(config.temperature),
        "use_count": config.use_count,
        "last_used": config.last_used,
        "aliases": list(config.aliases),
        "added_at": config.added_at,
        "updated_at": config.updated_at,
        "missing_since": config.missing_since,
        "content_digest": config.content_digest.hex(),
        "fingerprint": config.fingerprint.hex(),
        "set_by_user": sorted(config.set_by_user),
        "metadata": plain_metadata(config.metadata),
    }


def plain_location(place: Location) -> dict[str, Any]:
    """One location."""
    return {
        "path": place.path,
        "folder": place.folder,
        "source": place.source,
        "missing": place.missing,
        "depth": place.depth.value,
        "files": [{"name": one.name, "size": one.size, "role": one.role.value} for one in place.files],
    }


def plain_finding(finding: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "file": finding.file,
        "offset": finding.offset,
    }


def plain_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    """Metadata with the provenance of each value; unknown is null."""
    told = {name: _ready(getattr(metadata, name)) for name in FIELD_NAMES}
    provenance = {
        name: {"origin": str(one.origin), "detail": one.detail} for name, one in metadata.provenance.items()
    }
    return {**told, "details": _ready(metadata.details), "provenance": provenance}


def _ready(value: Any) -> Any:
    """A value as JSON can hold it; what a plugin gave that no JSON type fits becomes text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _ready(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_ready(one) for one in value]
    return value.hex() if isinstance(value, bytes) else str(value)


def openai_entry(config: ModelConfig, *, strict: bool = False) -> dict[str, Any]:
    """One model as OpenAI's ``/v1/models/{id}`` gives it.

    Args:
        strict: Only ``id``, ``object``, ``created`` and ``owned_by``; otherwise the registry's own fields
            follow, those that are unset left out. One whose files are missing says so (``missing``, and
            ``offline`` where their volume is not there), and its health is unknown.
    """
    told = config.metadata
    owner, slash, _ = config.id.partition("/")
    entry: dict[str, Any] = {
        "id": config.id,
        "object": "model",
        "created": told.created_at if told.created_at is not None else config.added_at,
        "owned_by": owner if slash else told.source or "local",
    }
    if strict:
        return entry
    held = (
        config.display_name,
        config.path,
        str(config.version),
        told.architecture,
        told.quantization,
        told.parameter_count,
        told.format,
        told.context_length,
        None if told.tags is None else list(told.tags),
        told.source,
        told.license,
        told.size_bytes,
        config.enabled,
        current_health(config),
        config.use_count,
        config.last_used,
        config.preload,
        config.max_workers,
        config.max_tokens,
        _ready(config.temperature),
        list(config.aliases) or None,
        config.missing or None,
        config.offline or None,
    )
    known = {name: value for name, value in zip(_OF_THE_REGISTRY, held, strict=True) if value is not None}
    return {**entry, **known}


def openai_listing(configs: Iterable[ModelConfig], *, strict: bool = False) -> dict[str, Any]:
    """Models as OpenAI's ``/v1/models`` gives them.

    Args:
        strict: As for `openai_entry`; models whose files are missing are left out then, because nothing in
            OpenAI's own fields could say so.
    """
    listed = (one for one in configs if not (strict and one.missing))
    return {"object": "list", "data": [openai_entry(one, strict=strict) for one in listed]}
