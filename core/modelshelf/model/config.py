"""A registered model: the record that the registry keeps."""

from __future__ import annotations

import time
from typing import Any

import attrs
from attrs import field, frozen

from modelshelf.errors import InvalidModelError
from modelshelf.model.artifact import ArtifactFile, Role
from modelshelf.model.converters import as_frozenset, as_tuple
from modelshelf.model.depth import Depth
from modelshelf.model.health import Finding, verdict_of
from modelshelf.model.metadata import ModelMetadata
from modelshelf.model.status import (
    HealthStatus,
    current_health,
    current_verdict,
    is_available,
    is_healthy,
)
from modelshelf.model.version import ModelVersion

_LONGEST_ID = 1024  # characters


@frozen(kw_only=True)
class Location:
    """One place where a model's bytes lie.

    Attributes:
        path: Absolute path, or URL, of the file to load.
        folder: The folder that the files' names are relative to.
        source: Name of the source that found it.
        files: The files as they were when they were read.
        fingerprint: Digest of the files' stat data; an equal one means nothing to read again.
        missing: Whether a scan found the place without them.
        offline: Whether it is missing because the volume that holds it is not there.
        depth: How deep the last look into the files went.
        findings: What the last look at this copy noticed, worst first, with what a deeper one had noticed.
        found_at: How deep that deeper look went; None where the last one was the deepest.
        metadata: What the last look read here, of a model that has several places; None for its only one.
        proposed_id: The id that the place proposes for the model; empty where a release before 0.2 read it.
    """

    path: str
    folder: str
    source: str = "local"
    files: tuple[ArtifactFile, ...] = ()
    fingerprint: bytes = b""
    missing: bool = False
    offline: bool = False
    depth: Depth = Depth.HEADER
    findings: tuple[Finding, ...] = field(default=(), converter=as_tuple)
    found_at: Depth | None = None
    metadata: ModelMetadata | None = None
    proposed_id: str = ""

    def has_unchanged(self, files: tuple[ArtifactFile, ...]) -> bool:
        """Whether these are the files that it had, by names, sizes, times and inodes."""
        return list(map(_status_of, self.files)) == list(map(_status_of, files))

    def unchanged_names(self, files: tuple[ArtifactFile, ...]) -> frozenset[str]:
        """Names of the files that are as they were, by sizes, times and inodes."""
        return frozenset(one[0] for one in {*map(_status_of, self.files)} & {*map(_status_of, files)})

    def has_equal_ctimes(self, files: tuple[ArtifactFile, ...]) -> bool:
        """Whether nothing was written to these files since, as far as the times tell that nobody can set."""
        return [one.ctime_ns for one in self.files] == [one.ctime_ns for one in files]

    @property
    def content_names(self) -> tuple[str, ...] | None:
        """The sha256 of every weight file, in shard order, or None where one is not known."""
        digests = [one.sha256 for one in self.files if one.role is Role.WEIGHTS]
        present = tuple(one for one in digests if one is not None)
        return present if digests and len(present) == len(digests) else None


def _status_of(one: ArtifactFile) -> tuple[str, int, int, int, str | None]:
    return one.name, one.size, one.mtime_ns, one.inode, one.etag


def _at_least(lowest: float, *, optional: bool = True) -> Any:
    def check(instance: ModelConfig, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= lowest:
            raise InvalidModelError(
                instance.id, attribute.name, f"must be a number of {lowest} or more, not {value!r}"
            )

    return check


def _whole(lowest: int) -> Any:
    def check(instance: ModelConfig, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is None:
            return
        if type(value) is not int or value < lowest:
            raise InvalidModelError(
                instance.id, attribute.name, f"must be an integer of {lowest} or more, not {value!r}"
            )

    return check


def _of_type(wanted: type) -> Any:
    def check(instance: ModelConfig, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, wanted):
            raise InvalidModelError(instance.id, attribute.name, f"must be {wanted.__name__}, not {value!r}")

    return check


def _check_id(_instance: ModelConfig, _attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InvalidModelError(str(value), "id", "must be text that is not empty")
    if len(value) > _LONGEST_ID:
        raise InvalidModelError(value[:40] + "…", "id", f"must not be longer than {_LONGEST_ID} characters")
    if "\0" in value:
        raise InvalidModelError(value, "id", "must not hold a NUL")


@frozen(kw_only=True)
class ModelConfig:
    """One version of one model.

    Attributes:
        id: Unique identifier of the model; its versions share it.
        path: File to load, or folder, of the first location.
        display_name: The name for people; the id where none is given.
        version: Semantic version.
        metadata: What is known, with provenance.
        preload: Whether a server should load it on start.
        max_workers: Most worker threads, or None for no limit.
        max_tokens: Most tokens to generate, or None for no limit.
        temperature: Sampling temperature, 0 or more, or None.
        enabled: Whether it may be selected.
        health_status: What the last probe or its server said, kept while its files are missing: `healthy` and
            `current_health` tell what that is worth now.
        findings: What the last probe of each present copy noticed, worst first.
        checked_at: Unix time in seconds of that probe, or None.
        last_used: Unix time in seconds of the last use, or None.
        use_count: Number of uses.
        aliases: Other ids that `get` answers to.
        given_aliases: Of them those that tools give, and ids that the model had: a person's change of
            `aliases` leaves them.
        locations: Every place where this content lies.
        content_digest: Digest of the content that finds copies and moved files, or empty.
        fingerprint: Digest of the first location's stat data, or empty.
        added_at: Unix time in seconds of its registration.
        updated_at: Unix time in seconds of its last change.
        missing_since: Unix time in seconds since which its files are at no location, or None.
        set_by_user: Names of the fields that a person set; a rescan leaves those alone.
    """

    id: str = field(validator=_check_id)
    path: str = field(default="", validator=_of_type(str))
    display_name: str = field(validator=_of_type(str))
    version: ModelVersion = field(factory=lambda: ModelVersion(major=1), validator=_of_type(ModelVersion))
    metadata: ModelMetadata = field(factory=ModelMetadata, validator=_of_type(ModelMetadata))
    preload: bool = field(default=False, validator=_of_type(bool))
    max_workers: int | None = field(default=None, validator=_whole(1))
    max_tokens: int | None = field(default=None, validator=_whole(1))
    temperature: float | None = field(default=None, validator=_at_least(0))
    enabled: bool = field(default=True, validator=_of_type(bool))
    health_status: HealthStatus = field(default=HealthStatus.UNKNOWN, validator=_of_type(HealthStatus))
    findings: tuple[Finding, ...] = field(default=(), converter=as_tuple)
    checked_at: int | None = None
    last_used: int | None = None
    use_count: int = field(default=0, validator=_whole(0))
    aliases: tuple[str, ...] = field(default=(), converter=as_tuple)
    given_aliases: tuple[str, ...] = field(default=(), converter=as_tuple)
    locations: tuple[Location, ...] = field(default=(), converter=as_tuple)
    content_digest: bytes = b""
    added_at: int = field(factory=lambda: int(time.time()))
    updated_at: int = field(factory=lambda: int(time.time()))
    missing_since: int | None = None
    set_by_user: frozenset[str] = field(default=frozenset(), converter=as_frozenset)

    @display_name.default
    def _id_as_name(self) -> str:
        return self.id

    @property
    def fingerprint(self) -> bytes:
        """The first location's fingerprint."""
        return self.locations[0].fingerprint if self.locations else b""

    @property
    def missing(self) -> bool:
        """Whether its files are gone from every location."""
        return self.missing_since is not None

    @property
    def offline(self) -> bool:
        """Whether it is missing, and one of its places is on a volume that is not there."""
        return self.missing and any(one.offline for one in self.locations)

    @property
    def available(self) -> bool:
        """Whether it may be the default or be chosen: it is enabled, and its files are there."""
        return is_available(self)

    @property
    def healthy(self) -> bool:
        """Whether its files are there and its last known health is healthy."""
        return is_healthy(self)

    @property
    def current_health(self) -> HealthStatus:
        """Its health as listings give it: unknown while its files are missing, else `health_status`."""
        return HealthStatus(current_health(self))

    @property
    def verdict(self) -> str:
        """What its last probe found, in the word that people see, kept while its files are missing."""
        return verdict_of(self.findings, self.health_status)

    @property
    def current_verdict(self) -> str:
        """Its verdict as listings give it; see `modelshelf.model.status.VERDICTS`."""
        return current_verdict(self)

    def mark_used(self, at: int | None = None) -> ModelConfig:
        """The same model with one more use, at this moment or at Unix time `at` in seconds."""
        return attrs.evolve(
            self, use_count=self.use_count + 1, last_used=int(time.time()) if at is None else at
        )

    def update_health_status(self, status: HealthStatus) -> ModelConfig:
        """The same model with another health status."""
        return attrs.evolve(self, health_status=status)
