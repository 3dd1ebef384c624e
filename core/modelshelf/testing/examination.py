"""What one plugin says of one artifact, asked as a scan asks it, through the same guard."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.errors import ReadError
from modelshelf.model import (
    Artifact,
    ArtifactFile,
    Candidate,
    Depth,
    Detection,
    Finding,
    ModelMetadata,
    Severity,
)
from modelshelf.model.converters import as_tuple
from modelshelf.plugin.call import Outcome, PluginSet
from modelshelf.plugin.given import given
from modelshelf.plugin.load import load
from modelshelf.reader import DEFAULT_BUDGET, ArtifactReader, Budget, Opener, open_local
from modelshelf.testing.artifacts import MemoryFile, in_memory
from modelshelf.testing.no_execution import nothing_executed
from modelshelf.testing.time_limit import HOOK_SECONDS, time_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HEAD = 512  # bytes that a candidate brings along
_FULL_SECONDS = 60.0  # the real loader may have to be imported
_EXTRACT, _PROBE = "modelshelf_extract_metadata", "modelshelf_probe_health"


def plugin_set(plugin: object) -> PluginSet:
    """The plugin alone, loaded as every plugin is."""
    return PluginSet(load(given([plugin])))


def ranges_read(
    plugins: PluginSet, artifact: Artifact, format: str, contents: Mapping[str, bytes]
) -> dict[str, list[tuple[int, int]]]:
    """The (offset, length) of every read that the plugin asks for, by the name of the file."""
    made, _ = in_memory(artifact, contents)
    files: dict[str, MemoryFile] = {}

    def opener(_artifact: Artifact, one: ArtifactFile, budget: Budget) -> MemoryFile:
        return files.setdefault(one.name, MemoryFile(contents[one.name], one.name, budget))

    examine(plugins, made, format, opener=opener)
    return {name: [(at, length) for at, length in one.ranges if length] for name, one in files.items()}


def _comparable(errors: Iterable[ReadError]) -> list[tuple[object, ...]]:
    return [(type(one), str(one), one.code, one.file, one.offset) for one in errors]


@frozen(kw_only=True)
class Examination:
    """What a plugin said of an artifact.

    Attributes:
        detections: Its votes.
        metadata: Its partial metadata.
        findings: Its findings.
        read_errors: Faults of the files that ended a hook, as a scan turns them into findings.
        failures: What the guard around hooks recorded against the plugin, in words.
        spent: Bytes that were read.
    """

    detections: tuple[Detection, ...] = field(default=(), converter=as_tuple)
    metadata: tuple[ModelMetadata, ...] = field(default=(), converter=as_tuple)
    findings: tuple[Finding, ...] = field(default=(), converter=as_tuple)
    read_errors: tuple[ReadError, ...] = field(default=(), converter=as_tuple, eq=_comparable)
    failures: tuple[str, ...] = field(default=(), converter=as_tuple)
    spent: int = field(default=0, eq=False)

    def claims(self, format: str) -> bool:
        """Whether the plugin votes for the format."""
        return any(one.format == format and one.confidence > 0 for one in self.detections)

    @property
    def faults(self) -> list[str]:
        """What makes the file unsound: errors that were found, and reading that failed."""
        found = [one.code for one in self.findings if one.severity is Severity.ERROR]
        return found + [one.code for one in self.read_errors]


def examine(
    plugins: PluginSet,
    artifact: Artifact,
    format: str,
    *,
    opener: Opener = open_local,
    depth: Depth = Depth.HEADER,
    budget: int = DEFAULT_BUDGET,
    probe_first: bool = False,
    detect: bool = True,
) -> Examination:
    """Detect, extract and probe, as a scan does.

    Args:
        probe_first: Whether the last two are turned round.
        detect: Whether there is a detection first, which reads the file's head for all of them.
    """
    before = len(plugins.failures)
    detected: list[Outcome] = []
    called: dict[str, list[Outcome]] = {}
    unread: list[ReadError] = []
    limit = _FULL_SECONDS if depth is Depth.FULL else HOOK_SECONDS
    with (
        ArtifactReader(artifact, opener, budget) as reader,
        _executing_nothing(plugins, depth) as tried,
        time_limit(limit) as expired,
    ):
        try:
            if detect:
                detected += plugins.call("modelshelf_detect_format", candidate=_candidate(reader))
        except ReadError as error:  # a scan shows such a file to nobody
            unread.append(error)
        hooks = [_EXTRACT, _PROBE]
        for hook in reversed(hooks) if probe_first else hooks:
            extra: dict[str, Any] = {"depth": depth} if hook == _PROBE else {}
            called[hook] = list(plugins.call(hook, artifact=artifact, format=format, reader=reader, **extra))
        spent = reader.bytes_read
    assert not expired, f"a hook is endless: {expired[0]}"
    assert not tried, f"a hook runs what lies in a file: {tried}"
    outcomes = [*detected, *called[_EXTRACT], *called[_PROBE]]
    return Examination(
        detections=_results(detected),
        metadata=_results(called[_EXTRACT]),
        findings=_results(called[_PROBE]),
        read_errors=unread + [one.read_error for one in outcomes if one.read_error is not None],
        failures=[str(one) for one in plugins.failures[before:]],
        spent=spent,
    )


@contextmanager
def _executing_nothing(plugins: PluginSet, depth: Depth) -> Iterator[list[str]]:
    """Refuse whatever runs a file's content; the real loader, at full depth, is trusted to run nothing."""
    if depth is Depth.FULL:
        yield []
        return
    with nothing_executed(packages_of(plugins)) as tried:
        yield tried


def packages_of(plugins: PluginSet) -> frozenset[str]:
    """Top-level packages of the plugins' own code."""
    hooks = plugins._loaded.hooks.values()  # noqa: SLF001 - nobody else asks whose code a hook is
    return frozenset(one.function.__module__.split(".")[0] for given in hooks for one in given)


def _candidate(reader: ArtifactReader) -> Candidate:
    file = reader.file(reader.artifact.weights[0].name)
    return Candidate(
        artifact=reader.artifact,
        suffix=Path(file.name).suffix.lower(),
        size=file.size,
        head=file.read_up_to(0, HEAD),
        reader=file,
    )


def _results(outcomes: Iterable[Outcome]) -> list[Any]:
    return [result for outcome in outcomes for result in outcome.results]
