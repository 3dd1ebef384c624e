"""A model that a program registers by its path is judged before anybody is given it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import Depth, Finding, HealthStatus, ModelConfig, Problem, Severity
from modelshelf.model.health import not_judged, status_of, worst_first
from modelshelf.scan.counters import HARMLESS
from modelshelf.scan.examine import Examiner
from modelshelf.scan.group import group, read_index
from modelshelf.scan.walk import walk
from modelshelf.source import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.plugin.call import PluginSet


def has_to_be_judged(config: ModelConfig) -> bool:
    """Whether nobody judged it yet, and its path, which may be a file or a folder, exists."""
    if config.health_status is not HealthStatus.UNKNOWN or config.findings or config.locations:
        return False
    return bool(config.path) and "\0" not in config.path and os.path.exists(config.path)


def judge(config: ModelConfig, plugins: PluginSet) -> ModelConfig:
    """The same model with what the plugins find wrong at its path, looked at as a scan would.

    Of a folder every model that lies directly in it is looked at, and the worst of them decides.
    """
    examiner = Examiner.of(plugins)
    found = list(artifacts_at(os.path.abspath(config.path), examiner))
    findings = worst_first(one for artifact in found for one in _findings_at(artifact, examiner))
    if not found:
        findings = (not_judged(f"{config.path}: no model file is known there, so nothing was judged"),)
    return attrs.evolve(
        config, health_status=status_of(findings), findings=findings, checked_at=int(time.time())
    )


def artifacts_at(path: str, examiner: Examiner) -> Iterator[Artifact | Problem]:
    """What a scan would make of a file, or of the files that lie directly in a folder."""
    is_folder = os.path.isdir(path)
    folder, name = (path, "") if is_folder else os.path.split(path)
    for listed in walk(folder or ".", lambda entry: examiner.formats.wants(entry) or entry == name):
        if isinstance(listed, Folder) and os.path.abspath(listed.path) == os.path.abspath(folder or "."):
            grouped = group(listed, examiner.formats, read_index)
            yield from (
                one for one in grouped.artifacts if is_folder or name in {file.name for file in one.files}
            )
            yield from grouped.problems if is_folder else ()
            return


def _findings_at(artifact: Artifact | Problem, examiner: Examiner) -> Iterator[Finding]:
    if isinstance(artifact, Problem):
        yield not_judged(artifact.message)
        return
    examination = examiner.examine(artifact, Depth.HEADER)
    yield from examination.findings
    rejected = examination.rejected
    if rejected is not None and rejected.code in HARMLESS:
        yield not_judged(rejected.message)
    elif rejected is not None:
        yield Finding(code=rejected.code, severity=Severity.ERROR, message=rejected.message)
