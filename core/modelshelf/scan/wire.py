"""Artifacts and examinations as bytes, on their way between processes.

Both ends are of one release, so values are lists in the order of their fields. What every artifact brings is
written out here; the failures of plugins, which are few, go through the converter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelshelf.model import Artifact, Depth, Detection, Problem
from modelshelf.model.failure import PluginFailure
from modelshelf.records.codec import (
    artifact_back,
    artifact_out,
    converter,
    finding_back,
    finding_out,
    metadata_back,
    metadata_out,
)
from modelshelf.records.sealed import pack, unpack
from modelshelf.scan.examine import Examination, Vote

if TYPE_CHECKING:
    from collections.abc import Sequence


def pack_artifacts(
    artifacts: Sequence[Artifact], depth: Depth, blocked: frozenset[str], hook_seconds: float
) -> bytes:
    """Artifacts on their way to another process, with what it must know of the plugins.

    Args:
        blocked: Names of the plugins that it must not load.
        hook_seconds: Time after which it ends a hook.
    """
    return pack([depth.value, sorted(blocked), hook_seconds, [artifact_out(one) for one in artifacts]])


def unpack_artifacts(data: bytes) -> tuple[list[Artifact], Depth, frozenset[str], float]:
    """What `pack_artifacts` packed."""
    depth, blocked, hook_seconds, artifacts = unpack(data)
    return [artifact_back(one) for one in artifacts], Depth(depth), frozenset(blocked), hook_seconds


def pack_examinations(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return pack([_examination_out(one) for one in examinations])


def unpack_examinations(data: bytes) -> list[Examination]:
    """What `pack_examinations` packed."""
    return [_examination_back(one) for one in unpack(data)]


def _examination_out(seen: Examination) -> list[Any]:
    rejected = seen.rejected
    return [
        seen.format,
        [
            (vote.plugin, vote.detection.format, vote.detection.confidence, vote.detection.evidence)
            for vote in seen.votes
        ],
        metadata_out(seen.metadata),
        [finding_out(one) for one in seen.findings],
        seen.content_digest,
        seen.depth.value,
        seen.sha256,
        seen.bytes_read,
        converter().unstructure(seen.failures) if seen.failures else (),
        None if rejected is None else (rejected.code, rejected.message, rejected.path, rejected.plugin),
    ]


def _examination_back(content: Any) -> Examination:
    (
        told_format,
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
        format=told_format,
        votes=[
            Vote(
                plugin=plugin,
                detection=Detection(format=voted, confidence=confidence, evidence=evidence),
            )
            for plugin, voted, confidence, evidence in votes
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
