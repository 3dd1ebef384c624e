"""The copies of one model: each has findings of its own, and the worst of those that are there decides."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs

from modelshelf.errors import ReadError
from modelshelf.model import (
    Artifact,
    Concern,
    HealthStatus,
    ModelMetadata,
    Origin,
    Provenance,
    Role,
    merge_metadata,
)
from modelshelf.model.health import combine, status_of, worst_first
from modelshelf.reader import ArtifactReader, open_local
from modelshelf.scan.hashing import (
    FINE_SIZE,
    WHOLE,
    fine_digest,
    name_of_bytes,
    sha256_findings,
    sha256_of_weights,
    with_sha256,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.model import ArtifactFile, Finding, Location, ModelConfig
    from modelshelf.plugin.call import PluginSet
    from modelshelf.source import Source

_BESIDE = frozenset({Origin.CONFIG, Origin.CARD, Origin.FILENAME})  # what lies around the weights
_BUDGET = 1 << 62  # bytes; a comparison reads what it needs
_SMALL = 64 << 20  # bytes; models up to this size are compared whole
_MOST_TENSORS = 1000  # a model of more is compared whole


def findings_of(places: Iterable[Location]) -> tuple[Finding, ...]:
    """What is wrong with the copies at these places, worst first; what only a further one has names it."""
    return worst_first(_named(tuple(places)))


def _named(places: tuple[Location, ...]) -> Iterator[Finding]:
    for number, place in enumerate(places):
        for finding in place.findings:
            if number and finding not in places[0].findings and not finding.message.startswith(place.folder):
                yield attrs.evolve(finding, message=f"{place.folder}: {finding.message}")
            else:
                yield finding


def judged(config: ModelConfig) -> ModelConfig:
    """The record with the verdict of its present copies; one whose copies are all gone keeps its last."""
    present = [one for one in config.locations if not one.missing]
    if not present:
        return config
    findings = findings_of(present)
    if findings == config.findings:
        return config
    return attrs.evolve(config, findings=findings, health_status=status_of(findings))


def described(config: ModelConfig) -> ModelConfig:
    """The record with the best value of each field that its present copies have, and what a person set.

    Of values of one rank that of the first place counts. One that was read beside a further copy names the
    folder.
    """
    read = [(one.folder, one.metadata) for one in config.locations if not one.missing and one.metadata]
    if not read:
        return config
    _, first = read[0]
    others = [_with_folder(metadata, folder) for folder, metadata in read[1:]]
    merged = merge_metadata([user_set(config.metadata), first, *others])
    return attrs.evolve(config, metadata=merged)


def _with_folder(metadata: ModelMetadata, folder: str) -> ModelMetadata:
    provenance = {
        name: Provenance(one.origin, f"{one.detail}, in {folder}") if one.origin in _BESIDE else one
        for name, one in metadata.provenance.items()
    }
    return attrs.evolve(metadata, provenance=provenance)


def user_set(metadata: ModelMetadata) -> ModelMetadata:
    """Only the values that a person set."""
    names = [name for name, one in metadata.provenance.items() if one.origin is Origin.USER]
    values: dict[str, Any] = {name: getattr(metadata, name) for name in names}
    return ModelMetadata(**values, provenance={name: metadata.provenance[name] for name in names})


def with_own_metadata(config: ModelConfig) -> ModelConfig:
    """The record of several places, each with what was read there; its only one so far read all there is."""
    if any(one.metadata is not None for one in config.locations):
        return config
    present = [one.path for one in config.locations if not one.missing][:1]
    return attrs.evolve(
        config,
        locations=tuple(
            attrs.evolve(one, metadata=config.metadata) if one.path in present else one
            for one in config.locations
        ),
    )


def with_own_findings(config: ModelConfig) -> ModelConfig:
    """The record with findings at its places, also where release 0.1 kept them for the record alone.

    All present places get them: nobody knows which one was probed, and none becomes better by that.
    """
    if not config.findings or any(one.findings for one in config.locations):
        return config
    everywhere = all(one.missing for one in config.locations)
    return attrs.evolve(
        config,
        locations=tuple(
            attrs.evolve(one, findings=config.findings) if everywhere or not one.missing else one
            for one in config.locations
        ),
    )


def after(before: Location, place: Location, *, finished: bool) -> Location:
    """A copy after another look at it, which may have been a shallower one, or have come to no end.

    What a deeper or a finished look found in files that are as they were is kept, with how deep that was, so
    that no lesser look drops it later either. Bytes that have another sha256 than they had are damaged:
    the copy keeps the sha256 that it had, and the finding with that at each look.
    """
    same = before.unchanged_names(place.files)
    claimed = {one.name: one.sha256 for one in before.files if one.sha256 is not None and one.name in same}
    read = {one.name: one.sha256 for one in place.files if one.sha256 is not None}
    weights = [attrs.evolve(one, sha256=claimed.get(one.name)) for one in _weights(place)]
    differ = tuple(sha256_findings(weights, read))
    if differ:
        kept = with_sha256(place.files, claimed)
        place = attrs.evolve(place, files=kept, findings=worst_first([*differ, *place.findings]))
    deepest = before.found_at or before.depth
    if finished and place.depth.reaches(deepest):
        return place
    is_unchanged = before.has_unchanged(place.files)
    earlier = before.findings
    if not is_unchanged:
        earlier = tuple(one for one in earlier if one.file in same)
    counts = status_of(one for one in earlier if one not in place.findings) is not HealthStatus.HEALTHY
    found_at = deepest if counts and not place.depth.reaches(deepest) else place.found_at
    if is_unchanged and before.has_equal_ctimes(place.files):
        findings = combine(earlier, place.findings)
    else:  # a look that opened nothing says so: nobody has looked at what is there now
        findings = worst_first([*earlier, *place.findings])
    return attrs.evolve(place, findings=findings, found_at=found_at)


def after_elsewhere(before: Location, place: Location, *, finished: bool) -> Location:
    """A copy after its first look, where the same bytes were looked at in another place, maybe deeper.

    What was found there in the weights is found here too, under the names that they have here.
    """
    pairs = list(zip(_weights(before), _weights(place), strict=True))
    weights = {old.name: attrs.evolve(new, sha256=old.sha256) for old, new in pairs}
    files = tuple(weights.get(one.name, one) for one in before.files)
    findings = tuple(_renamed(one, weights) for one in before.findings)
    return after(attrs.evolve(before, files=files, findings=findings), place, finished=finished)


def _renamed(finding: Finding, weights: dict[str, ArtifactFile]) -> Finding:
    new = weights.get(finding.file or "")
    if new is None or new.name == finding.file:
        return finding
    message = finding.message
    if message.startswith(f"{finding.file}:"):
        message = new.name + message.removeprefix(finding.file or "")
    return attrs.evolve(finding, file=new.name, message=message)


class FineDigests:
    """What is read of copies before they are joined, once each: samples only propose that two are one model.

    Two copies are compared by `hashing.fine_digest`, with what the plugins say of where tensors lie; by the
    sha256 of all their bytes where they are small, have more than 1,000 tensors or lie in a format of which
    no plugin says that, or where one of them has a finding of safety: such a verdict may rest on any byte.

    Args:
        sources: The sources, each of which opens its own files.
        plugins: The plugins, which know where tensors lie; None has everything compared whole.
    """

    def __init__(self, sources: Iterable[Source] = (), plugins: PluginSet | None = None) -> None:
        self._openers = {one.name: one.open for one in reversed(tuple(sources))}
        self._plugins = plugins
        self._fine: dict[str, bytes | None] = {}
        self._sha256: dict[str, dict[str, str] | None] = {}

    def name_of(self, place: Location) -> bytes | None:
        """20 bytes that name all bytes of the copy at a place; None where it cannot be read as listed."""
        sha256 = self._sha256_of(place)
        return None if sha256 is None else name_of_bytes(place.files, sha256)

    def is_copy(self, record: ModelConfig, place: Location) -> bool:
        """Whether what lies at a place, and has the record's content digest, is another copy of it.

        The sha256 decide where both are known. A copy that is out of reach can be compared by them alone, but
        where it is the very file that lay there: moved, or come back.
        """
        if len(record.content_digest) == FINE_SIZE:
            return record.content_digest == self.name_of(place)
        others = [one for one in record.locations if one.path != place.path or one.missing]
        names = {one.content_names for one in others} - {None}
        if place.content_names is not None and names:
            return place.content_names in names
        for one in others:
            same = None if one.missing else self._are_same(one, place, record.metadata.format)
            if same is not None:
                return same
        if any(_came_back(one, place) or is_same_file(one, place) for one in record.locations):
            return True
        whole = self._sha256_of(place) if names else None
        return whole is not None and tuple(whole[one.name] for one in _weights(place)) in names

    def have_same_bytes(self, one: Location, other: Location) -> bool:
        """Whether two copies are surely the same bytes, as far as that is known or small files tell it."""
        if len(_weights(one)) != len(_weights(other)):
            return False
        if is_same_file(one, other) or _are_links(one, other):
            return True
        known = [
            one.content_names is not None or one.path in self._sha256 or _size(one) <= _SMALL
            for one in (one, other)
        ]
        names = [self.name_of(place) for place in (one, other)] if all(known) else [None]
        return None not in names and names[0] == names[1]

    def with_sha256(self, place: Location) -> Location:
        """The place, with the sha256 of large files that had to be read whole to compare it."""
        computed = self._sha256.get(place.path)
        if not computed or _size(place) <= _SMALL:
            return place
        return attrs.evolve(place, files=with_sha256(place.files, computed))

    def _are_same(self, one: Location, other: Location, format: str | None) -> bool | None:
        """Whether two copies are one model; None where one cannot be read."""
        if _are_links(one, other):
            return True
        places = (one, other)
        unsafe = any(finding.concern is Concern.SAFETY for place in places for finding in place.findings)
        if not unsafe and _size(one) > _SMALL and format is not None:
            fine = [self._fine_of(place, format) for place in places]
            if None not in fine:
                return fine[0] == fine[1]
        names = [self.name_of(place) for place in places]
        return None if None in names else names[0] == names[1]

    def _fine_of(self, place: Location, format: str) -> bytes | None:
        """The fine digest of a copy; None where nobody says where its tensors lie, or they are too many."""
        if place.path not in self._fine:
            self._fine[place.path] = None
            with suppress(ReadError, OSError), self._open(place) as reader:
                tensors = self._tensors(reader, format)
                if 0 < sum(map(len, tensors.values())) <= _MOST_TENSORS:
                    self._fine[place.path] = fine_digest(reader, tensors)
        return self._fine[place.path]

    def _tensors(self, reader: ArtifactReader, format: str) -> dict[str, tuple[tuple[int, int], ...]]:
        if self._plugins is None:
            return {}
        with self._plugins.limit():
            outcomes = tuple(
                self._plugins.call(
                    "modelshelf_tensor_places",
                    path=reader.artifact.path,
                    artifact=reader.artifact,
                    format=format,
                    reader=reader,
                )
            )
        return {places.file: places.spans for outcome in outcomes for places in outcome.results}

    def _sha256_of(self, place: Location) -> dict[str, str] | None:
        names = place.content_names
        if names is not None:
            return dict(zip([one.name for one in _weights(place)], names, strict=True))
        if place.path not in self._sha256:
            self._sha256[place.path] = None
            with suppress(ReadError, OSError), self._open(place) as reader:
                self._sha256[place.path] = sha256_of_weights(reader)
        return self._sha256[place.path]

    def _open(self, place: Location) -> ArtifactReader:
        artifact = Artifact(
            folder=place.folder,
            primary=os.path.relpath(place.path, place.folder),
            files=place.files,
            source=place.source,
        )
        return ArtifactReader(artifact, self._openers.get(place.source, open_local), _BUDGET)


def is_same_file(one: Location, other: Location) -> bool:
    """Whether two places have the same files by sizes, times and inodes: what was moved, or came back.

    At its own path a file may have another inode: a volume that has none gives new ones at each mount. What
    is on a volume that is not there was not moved.
    """
    inodes = one.path != other.path
    if inodes and one.offline:
        return False

    def status(place: Location) -> list[tuple[int, int, int]]:
        return [(file.size, file.mtime_ns, file.inode if inodes else 0) for file in _weights(place)]

    return status(one) == status(other)


def _came_back(one: Location, place: Location) -> bool:
    """Whether small files, of which the samples are all, were put back where they lay."""
    return one.path == place.path and all(file.size <= WHOLE for file in _weights(place))


def _are_links(one: Location, other: Location) -> bool:
    """Whether two places hold the same inodes: hard links, or one a symbolic link to the other."""
    mine, others = _weights(one), _weights(other)
    try:
        return len(mine) == len(others) and all(
            os.path.samefile(os.path.join(one.folder, a.name), os.path.join(other.folder, b.name))
            for a, b in zip(mine, others, strict=True)
        )
    except (OSError, ValueError):
        return False


def _weights(place: Location) -> list[ArtifactFile]:
    return [one for one in place.files if one.role is Role.WEIGHTS]


def _size(place: Location) -> int:
    return sum(one.size for one in _weights(place))
