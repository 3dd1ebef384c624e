r"""Records as plain data that JSON has words for: in full, and as the entries of OpenAI's ``/v1/models``.

Written out and not left to the converter: what people and programs read has an order and names of its own,
and ``ls --json`` is quicker by the time that cattrs takes to load. Lone surrogates (bytes of a file name that
are not UTF-8) stay in the text: ``json.dumps`` with its default ``ensure_ascii`` writes them as ``\udcXX``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from modelshelf.model.metadata import FIELD_NAMES
from modelshelf.model.status import current_health, current_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Finding, Location, ModelConfig, ModelMetadata


_MODALITIES = ("input_modalities", "output_modalities")  # one table together


def json_record(config: ModelConfig) -> dict[str, Any]:
    """A record in full; its health is unknown while its files are missing."""
    return {
        "id": config.id,
        "version": str(config.version),
        "display_name": config.display_name,
        "path": config.path,
        "locations": [json_location(one) for one in config.locations],
        "health_status": current_health(config),
        "verdict": current_verdict(config),
        "findings": [json_finding(one) for one in config.findings],
        "checked_at": config.checked_at,
        "enabled": config.enabled,
        "preload": config.preload,
        "max_workers": config.max_workers,
        "max_tokens": config.max_tokens,
        "temperature": _json_value(config.temperature),
        "use_count": config.use_count,
        "last_used": config.last_used,
        "aliases": list(config.aliases),
        "given_aliases": list(config.given_aliases),
        "added_at": config.added_at,
        "updated_at": config.updated_at,
        "missing_since": config.missing_since,
        "content_digest": config.content_digest.hex(),
        "fingerprint": config.fingerprint.hex(),
        "set_by_user": sorted(config.set_by_user),
        "metadata": json_metadata(config.metadata),
    }


def json_location(place: Location) -> dict[str, Any]:
    """One location."""
    content: dict[str, Any] = {
        "path": place.path,
        "folder": place.folder,
        "source": place.source,
        "missing": place.missing,
        "depth": place.depth.value,
        "files": [{"name": one.name, "size": one.size, "role": one.role.value} for one in place.files],
    }
    if place.findings:
        content["findings"] = [json_finding(one) for one in place.findings]
    return content


def json_finding(finding: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "code": finding.code,
        "severity": finding.severity.value,
        "concern": finding.concern and finding.concern.value,
        "message": finding.message,
        "file": finding.file,
        "offset": finding.offset,
    }


def json_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    """Metadata with the provenance of each value; unknown is null."""
    values = {name: _json_value(getattr(metadata, name)) for name in FIELD_NAMES if name not in _MODALITIES}
    values["modalities"] = dict(zip(("input", "output"), map(_json_value, metadata.modalities), strict=True))
    provenance = {
        name: {"origin": str(one.origin), "detail": one.detail} for name, one in metadata.provenance.items()
    }
    return {**values, "details": _json_value(metadata.details), "provenance": provenance}


def _json_value(value: Any) -> Any:
    """A value as JSON can express it; what a plugin gave that no JSON type fits becomes text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(one) for one in value]
    return value.hex() if isinstance(value, bytes) else str(value)


def openai_entry(config: ModelConfig, *, strict: bool = False) -> dict[str, Any]:
    """One model as OpenAI's ``/v1/models/{id}`` gives it.

    Args:
        strict: Only ``id``, ``object``, ``created`` and ``owned_by``; otherwise the registry's own fields
            follow, those that are unset left out. One whose files are missing says so (``missing``, and
            ``offline`` where their volume is not there), and its health is unknown.
    """
    metadata = config.metadata
    owner, slash, _ = config.id.partition("/")
    entry: dict[str, Any] = {
        "id": config.id,
        "object": "model",
        "created": metadata.created_at if metadata.created_at is not None else config.added_at,
        "owned_by": owner if slash else metadata.source or "local",
    }
    if strict:
        return entry
    own = {
        "display_name": config.display_name,
        "path": config.path,
        "version": str(config.version),
        "architecture": metadata.architecture,
        "quantization": metadata.quantization,
        "kind": metadata.kind,
        "capabilities": None if metadata.capabilities is None else list(metadata.capabilities),
        "parameter_count": metadata.parameter_count,
        "format": metadata.format,
        "context_length": metadata.context_length,
        "tags": None if metadata.tags is None else list(metadata.tags),
        "source": metadata.source,
        "license": metadata.license,
        "size_bytes": metadata.size_bytes,
        "enabled": config.enabled,
        "health_status": current_health(config),
        "verdict": current_verdict(config),
        "use_count": config.use_count,
        "last_used": config.last_used,
        "preload": config.preload,
        "max_workers": config.max_workers,
        "max_tokens": config.max_tokens,
        "temperature": _json_value(config.temperature),
        "aliases": list(config.aliases) or None,
        "missing": config.missing or None,
        "offline": config.offline or None,
    }
    entry.update((name, value) for name, value in own.items() if value is not None)
    return entry


def openai_listing(configs: Iterable[ModelConfig], *, strict: bool = False) -> dict[str, Any]:
    """Models as OpenAI's ``/v1/models`` gives them.

    Args:
        strict: As for `openai_entry`; models whose files are missing are left out then, because nothing in
            OpenAI's own fields could say so.
    """
    listed = (one for one in configs if not (strict and one.missing))
    return {"object": "list", "data": [openai_entry(one, strict=strict) for one in listed]}
