"""Values as plain data and back, for the store and between processes: the one converter.

`converter` is that of cattrs, with the hooks that cattrs generates, for all but a record and its parts. Those
have hooks that are written out, for what `tests/benchmarks/codec.py` shows: to plain data they take 0.6 of
the time of generated ones, from plain data 0.5, and a process that shows or changes one record needs no
cattrs, which saves 20 ms of its 125. They are plain functions, so that such a process calls them directly.

A record and metadata are mappings by field name without the values that are unknown; their smaller parts are
lists in the order of their fields. Fields are added by name, or at the end of a list. What a later minor
release adds is left out on reading; whatever changes the meaning of a field raises `frame.SCHEMA` and gets a
step in `frame.UPGRADES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.model.artifact import ArtifactFile, Role
from modelshelf.model.config import Location, ModelConfig
from modelshelf.model.depth import Depth
from modelshelf.model.health import Finding, Severity, usual_concern
from modelshelf.model.metadata import ModelMetadata, Origin, Provenance, field_values
from modelshelf.model.status import HealthStatus
from modelshelf.model.version import ModelVersion
from modelshelf.records.frame import damaged, encode_frame, pack, unpack_content
from modelshelf.records.summary import Summary

if TYPE_CHECKING:
    from cattrs import Converter

_AS_IT_IS = (
    "id",
    "path",
    "display_name",
    "preload",
    "max_workers",
    "max_tokens",
    "temperature",
    "enabled",
    "checked_at",
    "last_used",
    "use_count",
    "aliases",
    "content_digest",
    "added_at",
    "updated_at",
    "missing_since",
)
_values_of = attrgetter(*_AS_IT_IS)
_CONFIG_FIELDS = frozenset(one.name for one in attrs.fields(ModelConfig))
_METADATA_FIELDS = frozenset(one.name for one in attrs.fields(ModelMetadata))
_ROLES = {one.value: one for one in Role}
_STATUSES = {one.value: one for one in HealthStatus}
_ORIGINS = {one.value: one for one in Origin}
_DEPTHS = {one.value: one for one in Depth}
_LOCATION_ADDED: tuple[Any, ...] = (False, Depth.HEADER.value, (), None, None, "")
"""What older entries of a location lack."""


@lru_cache(maxsize=1)
def converter() -> Converter:
    """The converter, to and from what msgpack can pack; see the module."""
    from cattrs.preconf.msgpack import make_converter  # see above: few processes need it

    made = make_converter(omit_if_default=True, detailed_validation=False)
    for kind, unstructure, structure in (
        (ModelVersion, _unstructure_version, _structure_version),
        (ArtifactFile, unstructure_file, structure_file),
        (Location, _unstructure_location, _structure_location),
        (Finding, unstructure_finding, structure_finding),
        (ModelMetadata, unstructure_metadata, structure_metadata),
        (ModelConfig, _unstructure_config, _structure_config),
    ):
        made.register_unstructure_hook(kind, unstructure)
        made.register_structure_hook(kind, _hook(structure))
    return made


def _hook(structure: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda content, _: structure(content)


def _unstructure_version(version: ModelVersion) -> list[Any]:
    return [version.major, version.minor, version.patch, version.prerelease, version.build]


def _structure_version(content: Any) -> ModelVersion:
    major, minor, patch, prerelease, build, *_ = content
    return ModelVersion(major=major, minor=minor, patch=patch, prerelease=prerelease, build=build)


def unstructure_file(one: ArtifactFile) -> list[Any]:
    """A file as plain data."""
    content = [one.name, one.size, one.mtime_ns, one.inode, one.role.value, one.etag, one.sha256]
    return [*content, one.ctime_ns] if one.ctime_ns else content


def structure_file(content: Any) -> ArtifactFile:
    """A file out of plain data."""
    name, size, mtime_ns, inode, role, etag, *added = content
    return ArtifactFile(
        name=name,
        size=size,
        mtime_ns=mtime_ns,
        inode=inode,
        role=_ROLES[role],
        etag=etag,
        sha256=added[0] if added else None,
        ctime_ns=added[1] if len(added) > 1 else 0,
    )


def _unstructure_location(place: Location) -> list[Any]:
    files = [unstructure_file(one) for one in place.files]
    state: list[Any] = [place.fingerprint, place.missing, place.offline, place.depth.value]
    later: list[Any] = [
        [unstructure_finding(one) for one in place.findings],
        place.found_at and place.found_at.value,
        place.metadata and unstructure_metadata(place.metadata),
        place.proposed_id,
    ]
    while later and not later[-1]:  # what is unset at the end is left out
        later.pop()
    state += later
    return [place.path, place.folder, place.source, files, *state]


def _structure_location(content: Any) -> Location:
    path, folder, source, files, fingerprint, missing, *added = content
    state: list[Any] = [*list(added), *_LOCATION_ADDED[len(added) :]]
    offline, depth, findings, found_at, metadata, proposed_id, *_ = state
    return Location(
        path=path,
        folder=folder,
        source=source,
        files=tuple([structure_file(one) for one in files]),
        fingerprint=fingerprint,
        missing=missing,
        offline=offline,
        depth=_DEPTHS[depth],
        findings=tuple([structure_finding(one) for one in findings]),
        found_at=found_at and _DEPTHS[found_at],
        metadata=metadata and structure_metadata(metadata),
        proposed_id=proposed_id,
    )


def unstructure_finding(finding: Finding) -> list[Any]:
    """A finding as plain data; its concern only where it is not the usual one."""
    content = [finding.code, finding.severity.value, finding.message, finding.file, finding.offset]
    if finding.concern is not usual_concern(finding.code, finding.severity):
        content.append(finding.concern and finding.concern.value)
    return content


def structure_finding(content: Any) -> Finding:
    """A finding out of plain data."""
    code, severity, message, file, offset, *added = content
    found = Finding(code=code, severity=Severity(severity), message=message, file=file, offset=offset)
    return attrs.evolve(found, concern=added[0]) if added else found


def unstructure_metadata(metadata: ModelMetadata) -> dict[str, Any]:
    """Metadata as plain data: what is unset is left out."""
    content = dict(field_values(metadata))
    if metadata.parameter_count is None and metadata.parameters is not None:
        content["parameter_count"] = None  # left out, it would be computed
    if metadata.details:
        content["details"] = metadata.details
    if metadata.provenance:
        content["provenance"] = unstructure_provenance(metadata.provenance)
    return content


def structure_metadata(content: Any) -> ModelMetadata:
    """Metadata out of plain data."""
    content = _only(_METADATA_FIELDS, content)
    if "provenance" in content:
        content["provenance"] = structure_provenance(content["provenance"])
    return ModelMetadata(**content)


def unstructure_provenance(provenance: dict[str, Provenance]) -> list[Any]:
    """Provenance as plain data: most values come from one place, so each place is written once, with them."""
    fields: dict[int, tuple[Provenance, list[str]]] = {}  # by identity first, which costs no comparison
    for name, place in provenance.items():
        fields.setdefault(id(place), (place, []))[1].append(name)
    places: dict[tuple[int, str], list[str]] = {}
    for place, names in fields.values():
        places.setdefault((place.origin.value, place.detail), []).extend(names)
    return [[origin, detail, names] for (origin, detail), names in places.items()]


def structure_provenance(content: Any) -> dict[str, Provenance]:
    """Provenance by field name, from what `unstructure_provenance` gave."""
    provenance: dict[str, Provenance] = {}
    for origin, detail, names, *_ in content:
        provenance.update(dict.fromkeys(names, Provenance(_ORIGINS[origin], detail)))
    return provenance


def _unstructure_config(config: ModelConfig) -> dict[str, Any]:
    content = {
        name: value for name, value in zip(_AS_IT_IS, _values_of(config), strict=True) if value is not None
    }
    content["version"] = _unstructure_version(config.version)
    content["metadata"] = unstructure_metadata(config.metadata)
    content["health_status"] = config.health_status.value
    content["locations"] = [_unstructure_location(one) for one in config.locations]
    if config.findings:
        content["findings"] = [unstructure_finding(one) for one in config.findings]
    if config.given_aliases:
        content["given_aliases"] = config.given_aliases
    if config.set_by_user:
        content["set_by_user"] = sorted(config.set_by_user)
    return content


def _structure_config(content: Any) -> ModelConfig:
    content = _only(_CONFIG_FIELDS, content)
    content["version"] = _structure_version(content["version"])
    content["metadata"] = structure_metadata(content["metadata"])
    content["health_status"] = _STATUSES[content["health_status"]]
    content["locations"] = tuple([_structure_location(one) for one in content["locations"]])
    if "findings" in content:
        content["findings"] = tuple([structure_finding(one) for one in content["findings"]])
    return ModelConfig(**content)


def _only(fields: frozenset[str], content: dict[str, Any]) -> dict[str, Any]:
    """A copy, without the fields of a later minor release."""
    if content.keys() <= fields:
        return dict(content)
    return {name: value for name, value in content.items() if name in fields}


def encode_record(key: bytes, config: ModelConfig) -> bytes:
    """A record as it is stored.

    Raises:
        StoreError: A value of it cannot be stored, such as an object among its details.
    """
    return encode_frame(key, pack(_unstructure_config(config)), pack(summary_of(config)))


def decode_record(key: bytes, value: bytes) -> ModelConfig:
    """What `encode_record` encoded, brought up to the present schema.

    Raises:
        DamagedStoreError: The checksum does not match, or the content is no record; the error names the key.
        StoreError: A newer release wrote it.
    """
    content = unpack_content(key, value)
    try:
        return _structure_config(content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(key, f"cannot be read ({error})") from None


def summary_of(config: ModelConfig) -> Summary:
    """The listing fields of a record."""
    metadata = config.metadata
    inputs, outputs, able = metadata.input_modalities, metadata.output_modalities, metadata.capabilities
    return Summary(
        id=config.id,
        version=str(config.version),
        display_name=config.display_name,
        path=config.path,
        format=metadata.format,
        architecture=metadata.architecture,
        quantization=metadata.quantization,
        parameters=metadata.parameters,
        parameter_count=metadata.parameter_count,
        context_length=metadata.context_length,
        size_bytes=metadata.size_bytes,
        tags=None if metadata.tags is None else list(metadata.tags),
        source=metadata.source,
        license=metadata.license,
        health_status=config.health_status.value,
        enabled=config.enabled,
        missing=config.missing,
        last_used=config.last_used,
        use_count=config.use_count,
        added_at=config.added_at,
        offline=config.offline,
        verdict=config.verdict,
        kind=metadata.kind,
        input_modalities=None if inputs is None else list(inputs),
        output_modalities=None if outputs is None else list(outputs),
        capabilities=None if able is None else list(able),
    )
