"""Look into one artifact: detect, arbitrate, extract, probe. Runs in any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from attrs import field, frozen

from modelshelf.errors import FileChangedError, ReadError
from modelshelf.model import (
    Artifact,
    Candidate,
    Depth,
    Finding,
    ModelMetadata,
    Origin,
    Problem,
    Provenance,
    merge_metadata,
)
from modelshelf.model.converters import as_tuple
from modelshelf.model.failure import PluginFailure
from modelshelf.model.health import worst_first
from modelshelf.model.metadata import FIELD_NAMES, detail_key
from modelshelf.reader import DEFAULT_BUDGET, ArtifactReader, Opener, open_local
from modelshelf.scan.arbitrate import Vote, winner
from modelshelf.scan.file_names import suffix_of
from modelshelf.scan.hashing import content_digest, sha256_findings, sha256_of_weights
from modelshelf.scan.health import finding_of, shard_findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.file_names import FormatTable

_HEAD = 512
_SIGNATURE = Provenance(Origin.HEADER, "signature")
_FILE_SYSTEM = Provenance(Origin.FILENAME, "file system")
_FULL_BUDGET = 1 << 62  # at depth full every byte is meant to be read


@frozen(kw_only=True)
class Examination:
    """What one look into an artifact gave.

    Attributes:
        format: The winning format, or None where no plugin claims it.
        votes: Every plugin's detection.
        metadata: The merged metadata.
        findings: What is wrong with it, worst first.
        content_digest: Digest of its content, or empty where it cannot be read.
        depth: How deep the look went.
        sha256: By name of each weight file the digest of all its bytes; only depth full reads them.
        bytes_read: Bytes read.
        failures: Plugins that failed over it.
        rejected: Why it is not admitted, or None.
    """

    format: str | None = None
    votes: tuple[Vote, ...] = field(default=(), converter=as_tuple)
    metadata: ModelMetadata = field(factory=ModelMetadata)
    findings: tuple[Finding, ...] = field(default=(), converter=as_tuple)
    content_digest: bytes = b""
    depth: Depth = Depth.HEADER
    sha256: dict[str, str] = field(factory=dict)
    bytes_read: int = 0
    failures: tuple[PluginFailure, ...] = field(default=(), converter=as_tuple)
    rejected: Problem | None = None

    @property
    def complete(self) -> bool:
        """Whether no plugin that votes for it failed over it; otherwise the next scan looks again."""
        voters = {vote.plugin for vote in self.votes}
        return not any(failure.plugin in voters for failure in self.failures)


class _Seen(TypedDict, total=False):
    """What becomes an `Examination` once it is known what reading it cost."""

    format: str | None
    votes: list[Vote]
    metadata: ModelMetadata
    findings: Iterable[Finding]
    content_digest: bytes
    sha256: dict[str, str]
    rejected: Problem | None


def look(
    artifact: Artifact, plugins: PluginSet, formats: FormatTable, depth: Depth, opener: Opener | None
) -> Examination:
    """Look into an artifact; never raises for what a file or a plugin does.

    Args:
        opener: Opens its files; None means that they lie on this machine.
    """
    failed_before = len(plugins.failures)
    budget = _FULL_BUDGET if depth is Depth.FULL else DEFAULT_BUDGET
    with ArtifactReader(artifact, opener or open_local, budget) as reader:
        told = _look(artifact, plugins, formats, reader, depth)
    failures = plugins.failures[failed_before:]
    return Examination(**told, depth=depth, bytes_read=reader.bytes_read, failures=failures)


def hash_alone(artifact: Artifact, opener: Opener | None) -> Examination:
    """Read every byte of the weights, for nothing but their sha256; see `look`."""
    with ArtifactReader(artifact, opener or open_local, _FULL_BUDGET) as reader:
        try:
            sha256 = sha256_of_weights(reader)
        except ReadError as error:
            return Examination(findings=(finding_of(error),), bytes_read=reader.bytes_read)
        return Examination(
            sha256=sha256, findings=tuple(sha256_findings(artifact, sha256)), bytes_read=reader.bytes_read
        )


def _look(
    artifact: Artifact, plugins: PluginSet, formats: FormatTable, reader: ArtifactReader, depth: Depth
) -> _Seen:
    name = artifact.weights[0].name
    suffix = suffix_of(name)
    try:
        file = reader.file(name)
        head = file.read_up_to(0, _HEAD)
    except ReadError as error:
        return _Seen(rejected=_problem(artifact, error.code, str(error)))
    candidate = Candidate(artifact=artifact, suffix=suffix, size=file.size, head=head, reader=file)
    votes: list[Vote] = []
    faults: list[ReadError] = []
    for outcome in plugins.call("modelshelf_detect_format", path=artifact.path, candidate=candidate):
        votes += [Vote(plugin=outcome.plugin, detection=one) for one in outcome.results]
        faults += [outcome.read_error] if outcome.read_error else []
    chosen = winner(votes, formats.suffix_formats(suffix))
    if chosen is None:
        return _Seen(votes=votes, rejected=_unclaimed(artifact, suffix, faults, formats))
    metadata, extract_faults = _extract(plugins, artifact, chosen, reader)
    findings = [*shard_findings(artifact), *_probe(plugins, artifact, chosen.detection.format, reader, depth)]
    findings += [finding_of(error) for error in extract_faults]
    digest, sha256 = b"", {}
    try:
        digest = content_digest(reader)
        if depth is Depth.FULL:
            sha256 = sha256_of_weights(reader)
            findings += sha256_findings(artifact, sha256)
    except ReadError as error:
        findings.append(finding_of(error))
    try:
        changed = reader.changed_files()
    except OSError:
        changed = (name,)
    if changed or any(one.code == FileChangedError.code for one in findings):
        names = ", ".join(changed) or "a file"
        message = f"{artifact.path}: {names} changed while it was read; scan again later"
        return _Seen(votes=votes, rejected=_problem(artifact, FileChangedError.code, message))
    return _Seen(
        format=chosen.detection.format,
        votes=votes,
        metadata=metadata,
        findings=worst_first(findings),
        content_digest=digest,
        sha256=sha256,
    )


def _extract(
    plugins: PluginSet, artifact: Artifact, chosen: Vote, reader: ArtifactReader
) -> tuple[ModelMetadata, list[ReadError]]:
    partials: list[ModelMetadata] = []
    faults: list[ReadError] = []
    told_format = chosen.detection.format
    for outcome in plugins.call(
        "modelshelf_extract_metadata",
        path=artifact.path,
        artifact=artifact,
        format=told_format,
        reader=reader,
    ):
        # Of two readings with one rank the winner's own stands.
        partials = (
            [*outcome.results, *partials]
            if outcome.plugin == chosen.plugin
            else partials + list(outcome.results)
        )
        faults += [outcome.read_error] if outcome.read_error else []
    return merge_metadata([*partials, *_told_by_listing(artifact, told_format)]), faults


def _probe(
    plugins: PluginSet, artifact: Artifact, told_format: str, reader: ArtifactReader, depth: Depth
) -> Iterable[Finding]:
    for outcome in plugins.call(
        "modelshelf_probe_health",
        path=artifact.path,
        artifact=artifact,
        format=told_format,
        reader=reader,
        depth=depth,
    ):
        yield from outcome.results
        if outcome.read_error:
            yield finding_of(outcome.read_error)


def _told_by_listing(artifact: Artifact, told_format: str) -> Iterable[ModelMetadata]:
    newest = max(one.mtime_ns for one in artifact.weights) // 10**9
    told_by_source = Provenance(Origin.SOURCE, artifact.source)
    details = {name: value for name, value in artifact.facts.items() if name not in FIELD_NAMES}
    if artifact.facts:
        facts = {name: value for name, value in artifact.facts.items() if name in FIELD_NAMES}
        yield ModelMetadata.partial(Origin.SOURCE, artifact.source, **facts)
    yield ModelMetadata(
        format=told_format,
        source=artifact.source,
        size_bytes=artifact.size_bytes,
        created_at=max(newest, 0),
        details=details,
        provenance={
            **{detail_key(name): told_by_source for name in details},
            "format": _SIGNATURE,
            "source": told_by_source,
            "size_bytes": _FILE_SYSTEM,
            "created_at": _FILE_SYSTEM,
        },
    )


def _problem(artifact: Artifact, code: str, message: str) -> Problem:
    return Problem(code=code, path=artifact.path, message=message)


def _unclaimed(artifact: Artifact, suffix: str, faults: list[ReadError], formats: FormatTable) -> Problem:
    if faults:
        return _problem(artifact, faults[0].code, f"{artifact.path}: {faults[0]}")
    if suffix in formats.suffixes:
        told = f"its ending {suffix} is known, its content is not"
    else:
        name = f"its ending {suffix}" if suffix else "its name, which has no ending,"
        told = f"neither {name} nor its content is known"
    return _problem(artifact, "no-format", f"{artifact.path}: no plugin recognises it: {told}")
