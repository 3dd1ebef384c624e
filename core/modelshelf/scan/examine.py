"""The examination of one artifact, in any process: detect, arbitrate, extract, probe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from attrs import field, frozen

from modelshelf.errors import BudgetExceededError, FileChangedError, ReadError, UnreadableFileError
from modelshelf.model import (
    Artifact,
    Candidate,
    Depth,
    Detection,
    Finding,
    ModelMetadata,
    Origin,
    Problem,
    Provenance,
    Severity,
    merge_metadata,
)
from modelshelf.model.consistency import consistent
from modelshelf.model.converters import as_tuple
from modelshelf.model.failure import PluginFailure
from modelshelf.model.health import NOT_OPENED, Concern, is_unfinished, not_judged, worst_first
from modelshelf.model.metadata import FIELD_NAMES, detail_key
from modelshelf.model.usual import with_usual
from modelshelf.reader import DEFAULT_BUDGET, ArtifactReader, open_local
from modelshelf.scan.counters import FOREIGN
from modelshelf.scan.file_names import FormatTable, suffix_of
from modelshelf.scan.hashing import content_digest, sha256_findings, sha256_of_weights
from modelshelf.scan.places import make_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modelshelf.plugin.call import PluginSet
    from modelshelf.source import Source

_CHECKS = frozenset({"modelshelf_detect_format", "modelshelf_probe_health"})  # hooks that a verdict rests on
_HEAD = 512  # bytes that every plugin is shown
_FULL_BUDGET = 1 << 62  # at depth full every byte is meant to be read
_SHARDS_NAMED = 3  # missing shards that a finding names
_SIGNATURE = Provenance(Origin.HEADER, "signature")
_FILE_SYSTEM = Provenance(Origin.FILENAME, "file system")


@frozen(kw_only=True)
class Vote:
    """One plugin's detection.

    Attributes:
        plugin: The plugin's display name.
        detection: The format that it detects.
    """

    plugin: str
    detection: Detection


@frozen(kw_only=True)
class Examination:
    """The result of examining one artifact.

    Attributes:
        format: The winning format, or None where no plugin claims it.
        votes: Every plugin's detection.
        metadata: The merged metadata.
        findings: What is wrong with it, worst first.
        content_digest: Digest of its content, or empty where it cannot be read.
        depth: How deep the probe looked.
        sha256: By name of each weight file the digest of all its bytes; only depth full reads them.
        bytes_read: Bytes read.
        failures: Plugins that failed over it.
        unreadable: Whether the system refused to open or read a file that a check needed.
        rejected: Why it gets no record, or None.
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
    unreadable: bool = False
    rejected: Problem | None = None

    @property
    def called_hooks(self) -> set[str]:
        """The hooks that were called over it, as far as its result shows that."""
        hooks = {one.hook for one in self.failures}
        if self.votes or self.bytes_read:
            hooks.add("modelshelf_detect_format")
        if self.format is not None:
            hooks |= {"modelshelf_extract_metadata", "modelshelf_probe_health"}
        return hooks

    @property
    def is_finished(self) -> bool:
        """Whether every check of it came to an end."""
        return not is_unfinished(self.findings)

    @property
    def complete(self) -> bool:
        """Whether another look would give the same; otherwise the next scan examines it again."""
        if self.unreadable:
            return False
        voters = {vote.plugin for vote in self.votes}
        return not any(failure.plugin in voters or failure.hook in _CHECKS for failure in self.failures)


class Examiner:
    """Examines artifacts with a set of plugins.

    Args:
        plugins: The plugins.
        formats: The names that their formats claim.
        sources: The sources, each of which opens its own artifacts' files.

    Attributes:
        plugins: The plugins.
        formats: The names that their formats claim.
    """

    def __init__(self, plugins: PluginSet, formats: FormatTable, sources: Iterable[Source]) -> None:
        self.plugins = plugins
        self.formats = formats
        self._openers = {one.name: one.open for one in reversed(tuple(sources))}

    @classmethod
    def of(cls, plugins: PluginSet) -> Self:
        """The examiner of artifacts of every source that the plugins offer."""
        formats = FormatTable.of(plugins.collect("modelshelf_formats"))
        return cls(plugins, formats, make_sources(plugins))

    def examine(self, artifact: Artifact, depth: Depth = Depth.HEADER) -> Examination:
        """Examine an artifact; never raises for what a file or a plugin does."""
        with self._open(artifact, _FULL_BUDGET if depth is Depth.FULL else DEFAULT_BUDGET) as reader:
            return _Steps(self.plugins, self.formats, reader, depth).examine()

    def hash_weights(self, artifact: Artifact) -> Examination:
        """Read every byte of the weights, for nothing but their sha256."""
        with self._open(artifact, _FULL_BUDGET) as reader:
            try:
                sha256 = sha256_of_weights(reader)
            except ReadError as error:
                return Examination(findings=(_finding_of(error),), bytes_read=reader.bytes_read)
            findings = sha256_findings(artifact.weights, sha256)
            return Examination(sha256=sha256, findings=findings, bytes_read=reader.bytes_read)

    def _open(self, artifact: Artifact, budget: int) -> ArtifactReader:
        return ArtifactReader(artifact, self._openers.get(artifact.source, open_local), budget)


class _Steps:
    """The steps of one examination."""

    def __init__(
        self, plugins: PluginSet, formats: FormatTable, reader: ArtifactReader, depth: Depth
    ) -> None:
        self._plugins = plugins
        self._formats = formats
        self._reader = reader
        self._artifact = reader.artifact
        self._depth = depth
        self._failures_before = len(plugins.failures)
        self._votes: list[Vote] = []
        self._unreadable = False

    def examine(self) -> Examination:
        """Take them one after another."""
        name = self._artifact.weights[0].name
        suffix = suffix_of(name)
        try:
            faults = self.detect(name, suffix)
        except ReadError as error:
            return self._rejected(error.code, str(error))
        winner = arbitrate(self._votes, self._formats.suffix_formats(suffix))
        if winner is None:
            return self._unclaimed(suffix, faults)
        format_name = winner.detection.format
        metadata, faults = self.extract(winner)
        metadata, doubts = consistent(metadata)
        findings = [*doubts, *_shard_findings(self._artifact), *self.probe(winner)]
        findings += map(self._finding_of, faults)
        findings += self._unfinished_checks()
        if findings and any(one.concern is Concern.DAMAGE for one in findings):
            from modelshelf.scan.failed_download import without_damage

            findings = without_damage(findings, self._reader)
        digest, sha256 = b"", {}
        try:
            digest = content_digest(self._reader)
            if self._depth is Depth.FULL:
                sha256 = sha256_of_weights(self._reader)
                findings += sha256_findings(self._artifact.weights, sha256)
        except ReadError as error:
            findings.append(self._finding_of(error))
        changed = self._changed_files(name)
        if changed or any(one.code == FileChangedError.code for one in findings):
            names = ", ".join(changed) or "a file"
            message = f"{self._artifact.path}: {names} changed while it was read; scan again later"
            return self._rejected(FileChangedError.code, message)
        return self._result(
            format=format_name,
            metadata=metadata,
            findings=worst_first(findings),
            content_digest=digest,
            sha256=sha256,
        )

    def detect(self, name: str, suffix: str) -> list[ReadError]:
        """Ask every plugin for its vote on the first weight file; gives the faults of the file.

        Raises:
            ReadError: The file cannot be opened, or its first bytes cannot be read.
        """
        file = self._reader.file(name)
        candidate = Candidate(
            artifact=self._artifact,
            suffix=suffix,
            size=file.size,
            head=file.read_up_to(0, _HEAD),
            reader=file,
        )
        faults: list[ReadError] = []
        for outcome in self._plugins.call(
            "modelshelf_detect_format", path=self._artifact.path, candidate=candidate
        ):
            self._votes += [Vote(plugin=outcome.plugin, detection=one) for one in outcome.results]
            faults += [outcome.read_error] if outcome.read_error else []
        return faults

    def extract(self, winner: Vote) -> tuple[ModelMetadata, list[ReadError]]:
        """What the plugins extract, merged, and the faults of the files."""
        partials: list[ModelMetadata] = []
        faults: list[ReadError] = []
        format_name = winner.detection.format
        for outcome in self._plugins.call(
            "modelshelf_extract_metadata",
            path=self._artifact.path,
            artifact=self._artifact,
            format=format_name,
            reader=self._reader,
        ):
            if outcome.plugin == winner.plugin:  # of two readings with one rank its own counts
                partials = [*outcome.results, *partials]
            else:
                partials += outcome.results
            faults += [outcome.read_error] if outcome.read_error else []
        merged = merge_metadata([*partials, *_listed_metadata(self._artifact, format_name)])
        return with_usual(merged), faults

    def probe(self, winner: Vote) -> Iterator[Finding]:
        """What the plugins, and the reading of the files for them, find wrong.

        That nobody reads a foreign format is no news of one that the winner reads.
        """
        for outcome in self._plugins.call(
            "modelshelf_probe_health",
            path=self._artifact.path,
            artifact=self._artifact,
            format=winner.detection.format,
            reader=self._reader,
            depth=self._depth,
        ):
            if outcome.plugin == winner.plugin:
                yield from outcome.results
            else:
                yield from (one for one in outcome.results if one.concern is not Concern.FOREIGN)
            if outcome.read_error:
                yield self._finding_of(outcome.read_error)

    def _unfinished_checks(self) -> Iterator[Finding]:
        """What was not judged: by plugins that failed, and by a look that opens nothing."""
        for failure in self._plugins.failures[self._failures_before :]:
            if failure.hook in _CHECKS:
                yield not_judged(
                    f"{failure.plugin} failed, so what it checks was not judged: {failure.reason}"
                )
        if self._depth is Depth.QUICK:
            message = "looked at by names and sizes alone: what is in the files was not judged"
            yield Finding(code=NOT_OPENED, severity=Severity.INFO, message=message)

    def _finding_of(self, error: ReadError) -> Finding:
        self._unreadable |= error.code == UnreadableFileError.code
        return _finding_of(error)

    def _changed_files(self, name: str) -> tuple[str, ...]:
        try:
            return self._reader.changed_files()
        except OSError:
            return (name,)

    def _unclaimed(self, suffix: str, faults: list[ReadError]) -> Examination:
        path = self._artifact.path
        if faults:
            return self._rejected(faults[0].code, f"{path}: {faults[0]}")
        foreign = next((one.detection for one in self._votes if one.detection.evidence), None)
        if foreign is not None:
            return self._rejected(FOREIGN, f"{path}: {foreign.evidence}")
        if suffix in self._formats.suffixes:
            reason = f"its ending {suffix} is known, its content is not"
        else:
            name = f"its ending {suffix}" if suffix else "its name, which has no ending,"
            reason = f"neither {name} nor its content is known"
        return self._rejected("no-format", f"{path}: no plugin recognises it: {reason}")

    def _rejected(self, code: str, message: str) -> Examination:
        return self._result(rejected=Problem(code=code, path=self._artifact.path, message=message))

    def _result(self, **fields: Any) -> Examination:
        return Examination(
            votes=self._votes,
            depth=self._depth,
            bytes_read=self._reader.bytes_read,
            failures=self._plugins.failures[self._failures_before :],
            unreadable=self._unreadable,
            **fields,
        )


def arbitrate(votes: Iterable[Vote], suffix_formats: frozenset[str]) -> Vote | None:
    """The vote that wins: highest confidence, then the format whose suffix it is, then the first by name.

    Independent of the order of the votes. None where there is no vote, or only votes of confidence 0.
    """
    counted = [vote for vote in votes if vote.detection.confidence > 0]
    if len(counted) <= 1:
        return counted[0] if counted else None
    return min(
        counted,
        key=lambda vote: (
            -vote.detection.confidence,
            vote.detection.format not in suffix_formats,
            vote.detection.format,
            vote.plugin,
        ),
    )


def _listed_metadata(artifact: Artifact, format_name: str) -> Iterator[ModelMetadata]:
    """The metadata that needs no open file: what the source and the file system say of the artifact."""
    newest = max(one.mtime_ns for one in artifact.weights) // 10**9
    by_source = Provenance(Origin.SOURCE, artifact.source)
    details = {name: value for name, value in artifact.facts.items() if name not in FIELD_NAMES}
    if artifact.facts:
        facts = {name: value for name, value in artifact.facts.items() if name in FIELD_NAMES}
        yield ModelMetadata.partial(Origin.SOURCE, artifact.source, **facts)
    yield ModelMetadata(
        format=format_name,
        source=artifact.source,
        size_bytes=artifact.size_bytes,
        created_at=max(newest, 0),
        details=details,
        provenance={
            **{detail_key(name): by_source for name in details},
            "format": _SIGNATURE,
            "source": by_source,
            "size_bytes": _FILE_SYSTEM,
            "created_at": _FILE_SYSTEM,
        },
    )


def _shard_findings(artifact: Artifact) -> Iterator[Finding]:
    """What the listing alone shows: shards that are missing, files that are empty."""
    if artifact.missing:
        named = ", ".join(artifact.missing[:_SHARDS_NAMED])
        more = len(artifact.missing) - _SHARDS_NAMED
        total = len(artifact.missing) + len(artifact.weights)
        yield Finding(
            code="missing-shard",
            severity=Severity.ERROR,
            message=f"{len(artifact.missing)} of {total} shards are missing: {named}"
            + (f" and {more} more" if more > 0 else "")
            + "; download them again",
            file=artifact.missing[0],
        )
    for one in artifact.weights:
        if one.size == 0:
            yield Finding(
                code="empty-file",
                severity=Severity.ERROR,
                message=f"{one.name}: the file is empty",
                file=one.name,
            )


def _finding_of(error: ReadError) -> Finding:
    """The finding that a file's fault becomes; what kept it from being read to its end judges nothing."""
    if error.code in {BudgetExceededError.code, UnreadableFileError.code}:
        return not_judged(str(error), error.file, error.offset)
    return Finding(
        code=error.code, severity=Severity.ERROR, message=str(error), file=error.file, offset=error.offset
    )
