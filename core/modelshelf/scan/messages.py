"""Calls to worker processes and their answers, as bytes.

Both ends are of one release, so values are lists in the order of their fields. Only the failures of plugins,
which are few, go through the converter: its import and its generated code take each process about
as long as the examination of a hundred small models, see the topic ``messages`` of the benchmarks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.model import Artifact, Depth, Detection, Problem
from modelshelf.model.failure import PluginFailure
from modelshelf.plugin.given import PluginSelection
from modelshelf.plugin.spec import HOOK_SECONDS
from modelshelf.records.codec import (
    converter,
    structure_file,
    structure_finding,
    structure_metadata,
    unstructure_file,
    unstructure_finding,
    unstructure_metadata,
)
from modelshelf.records.frame import pack, unpack
from modelshelf.scan.examine import Examination, Vote

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen(kw_only=True)
class WorkerSettings:
    """What a worker process must know beside the artifacts.

    Attributes:
        plugins: Which plugins it loads beside the installed ones, and which not.
        hook_seconds: Time after which it ends a hook.
    """

    plugins: PluginSelection = field(factory=PluginSelection)
    hook_seconds: float = HOOK_SECONDS


def encode_call(artifacts: Sequence[Artifact], depth: Depth, settings: WorkerSettings) -> bytes:
    """Artifacts on their way to another process, with what it must know beside them."""
    plugins = settings.plugins
    chosen = [sorted(plugins.blocked), plugins.modules, plugins.files]
    return pack(
        [[_unstructure_artifact(one) for one in artifacts], depth.value, chosen, settings.hook_seconds]
    )


def decode_call(data: bytes) -> tuple[list[Artifact], Depth, WorkerSettings]:
    """What `encode_call` encoded."""
    artifacts, depth, (blocked, modules, files), hook_seconds = unpack(data)
    plugins = PluginSelection(blocked=frozenset(blocked), modules=tuple(modules), files=tuple(files))
    settings = WorkerSettings(plugins=plugins, hook_seconds=hook_seconds)
    return [_structure_artifact(one) for one in artifacts], Depth(depth), settings


def encode_answer(examinations: Sequence[Examination]) -> bytes:
    """Examinations on their way back from another process."""
    return pack([_unstructure_examination(one) for one in examinations])


def decode_answer(data: bytes) -> list[Examination]:
    """What `encode_answer` encoded."""
    return [_structure_examination(one) for one in unpack(data)]


def _unstructure_artifact(artifact: Artifact) -> list[Any]:
    return [
        artifact.folder,
        artifact.primary,
        [unstructure_file(one) for one in artifact.files],
        artifact.source,
        artifact.model_id,
        artifact.aliases,
        artifact.facts,
        artifact.missing,
        artifact.named_directly,
    ]


def _structure_artifact(content: list[Any]) -> Artifact:
    folder, primary, files, source, model_id, aliases, facts, missing, named_directly = content
    return Artifact(
        folder=folder,
        primary=primary,
        files=tuple([structure_file(one) for one in files]),
        source=source,
        model_id=model_id,
        aliases=tuple(aliases),
        facts=facts,
        missing=tuple(missing),
        named_directly=named_directly,
    )


def _unstructure_examination(one: Examination) -> list[Any]:
    rejected = one.rejected
    return [
        one.format,
        [
            (vote.plugin, vote.detection.format, vote.detection.confidence, vote.detection.evidence)
            for vote in one.votes
        ],
        unstructure_metadata(one.metadata),
        [unstructure_finding(finding) for finding in one.findings],
        one.content_digest,
        one.depth.value,
        one.sha256,
        one.bytes_read,
        converter().unstructure(one.failures) if one.failures else (),
        one.unreadable,
        None if rejected is None else (rejected.code, rejected.message, rejected.path, rejected.plugin),
    ]


def _structure_examination(content: list[Any]) -> Examination:
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
        unreadable,
        rejected,
    ) = content
    return Examination(
        format=format_name,
        votes=[
            Vote(plugin=plugin, detection=Detection(format=name, confidence=confidence, evidence=evidence))
            for plugin, name, confidence, evidence in votes
        ],
        metadata=structure_metadata(metadata),
        findings=[structure_finding(one) for one in findings],
        content_digest=content_digest,
        depth=Depth(depth),
        sha256=sha256,
        bytes_read=bytes_read,
        failures=converter().structure(failures, tuple[PluginFailure, ...]) if failures else (),
        unreadable=unreadable,
        rejected=None if rejected is None else _structure_problem(*rejected),
    )


def _structure_problem(code: str, message: str, path: str | None, plugin: str | None) -> Problem:
    return Problem(code=code, message=message, path=path, plugin=plugin)
