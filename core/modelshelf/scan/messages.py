"""Calls to worker processes and their answers, as bytes.

Both ends are of one release, so values are lists in the order of their fields. Only the failures of plugins,
which are few, go through the converter: its import and its generated code take each process about as long as
the examination of a hundred small models, see the topic ``messages`` of the benchmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.model import Artifact, Depth, Detection, Problem
from modelshelf.model.failure import PluginFailure
from modelshelf.records.codec import (
    converter,
    file_back,
    file_out,
    finding_back,
    finding_out,
    metadata_back,
    metadata_out,
)
from modelshelf.records.sealed import pack, unpack
from modelshelf.scan.examine import Examination, Vote

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen(kw_only=True)
class WorkerSettings:
    """What a worker process must know of the plugins.

    Attributes:
        blocked: Names of the plugins that it must not load.
        hook_seconds: Time after which it ends a hook.
    """

    blocked: frozenset[str]
    hook_seconds: float


def encode_call(artifacts: Sequence[Artifact], depth: Depth, settings: WorkerSettings) -> bytes:
    """Artifacts on their way to another process."""
    return pack(
        [
            [_artifact_out(one) for one in artifacts],
            depth.value,
            sorted(settings.blocked),
            settings.hook_seconds,
        ]
    )


def decode_call(data: bytes) -> tuple[list[Artifact], Depth, WorkerSettings]:
    """What `encode_call` encoded."""
    artifacts, depth, blocked, hook_seconds = unpack(data)
    settings = WorkerSettings(blocked=frozenset(blocked), hook_seconds=hook_seconds)
    return [_artifact_back(one) for one in artifacts], Depth(depth), settings


def encode_answer(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return pack([_examination_out(one) for one in examinations])


def decode_answer(data: bytes) -> list[Examination]:
    """What `encode_answer` encoded."""
    return [_examination_back(one) for one in unpack(data)]


def _artifact_out(artifact: Artifact) -> list[Any]:
    return [
        artifact.folder,
        artifact.primary,
        [file_out(one) for one in artifact.files],
        artifact.source,
        artifact.model_id,
        artifact.aliases,
        artifact.facts,
        artifact.missing,
        artifact.named_directly,
    ]


def _artifact_back(content: list[Any]) -> Artifact:
    folder, primary, files, source, model_id, aliases, facts, missing, named_directly = content
    return Artifact(
        folder=folder,
        primary=primary,
        files=tuple([file_back(one) for one in files]),
        source=source,
        model_id=model_id,
        aliases=tuple(aliases),
        facts=facts,
        missing=tuple(missing),
        named_directly=named_directly,
    )


def _examination_out(one: Examination) -> list[Any]:
    rejected = one.rejected
    return [
        one.format,
        [
            (vote.plugin, vote.detection.format, vote.detection.confidence, vote.detection.evidence)
            for vote in one.votes
        ],
        metadata_out(one.metadata),
        [finding_out(finding) for finding in one.findings],
        one.content_digest,
        one.depth.value,
        one.sha256,
        one.bytes_read,
        converter().unstructure(one.failures) if one.failures else (),
        None if rejected is None else (rejected.code, rejected.message, rejected.path, rejected.plugin),
    ]


def _examination_back(content: list[Any]) -> Examination:
    (
        format_name,
        votes,
        metadata,
        findings,
        content_digest,
        depth,
        sha256,
        bytes_read,
        failures,
        rejected,
    ) = content
    return Examination(
        format=format_name,
        votes=[
            Vote(plugin=plugin, detection=Detection(format=name, confidence=confidence, evidence=evidence))
            for plugin, name, confidence, evidence in votes
        ],
        metadata=metadata_back(metadata),
        findings=[finding_back(one) for one in findings],
        content_digest=content_digest,
        depth=Depth(depth),
        sha256=sha256,
        bytes_read=bytes_read,
        failures=converter().structure(failures, tuple[PluginFailure, ...]) if failures else (),
        rejected=None if rejected is None else _problem_back(*rejected),
    )


def _problem_back(code: str, message: str, path: str | None, plugin: str | None) -> Problem:
    return Problem(code=code, message=message, path=path, plugin=plugin)
