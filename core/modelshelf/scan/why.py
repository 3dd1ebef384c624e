"""Why a path is, or is not, in the registry: every rule and every plugin's verdict on it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attrs import frozen

from modelshelf.model import Artifact, Depth, Problem
from modelshelf.model.health import status_of
from modelshelf.scan.examine import Examiner, arbitrate
from modelshelf.scan.file_names import is_auxiliary, is_companion, suffix_of, unfinished_reason
from modelshelf.scan.folder_cache import keeps_times
from modelshelf.scan.group import artifacts_with, group, read_index
from modelshelf.scan.passing import passed_over
from modelshelf.scan.walk import regular_file, walk
from modelshelf.source import Folder

if TYPE_CHECKING:
    from modelshelf.plugin.call import PluginSet
    from modelshelf.records.read import RecordReader

_NO_CTIME = (
    "its file system is not known to keep a change time (ctime) that no program can set: bytes that were "
    "written with the old size and time put back may go unnoticed by scans; `modelshelf check` reads them"
)


@frozen(kw_only=True)
class Reason:
    """One rule's word on a path.

    Attributes:
        rule: The rule, or the plugin.
        verdict: ``admitted``, ``skipped``, ``noted`` or ``rejected``.
        message: Why. May quote hostile text.
    """

    rule: str
    verdict: str
    message: str


def why(path: str, plugins: PluginSet, records: RecordReader) -> list[Reason]:
    """Apply every rule to a path, in the order in which a scan would, and give each one's verdict."""
    examiner = Examiner.of(plugins)
    try:
        status = os.stat(path)
    except OSError as error:
        return [_reason("file", "rejected", f"{error.strerror or error}"), *_registered(path, records)]
    if stat.S_ISDIR(status.st_mode):
        return [*_link_rule(path), *_passing_rule(path), *_why_folder(path, examiner, records)]
    name = os.path.basename(path)
    one = regular_file(name, status)
    if one is None:
        return [_reason("file", "rejected", "is a pipe, socket or device; only regular files are opened")]
    reasons = [*_passing_rule(path), _reason("file", "noted", f"a regular file of {one.size} bytes")]
    if not keeps_times(status.st_dev):
        reasons.append(_reason("change time", "noted", _NO_CTIME))
    entry = records.location(path)
    reasons += _name_rules(name, examiner, is_model=entry is not None and not entry.missing)
    artifact = _artifact_with(path, examiner)
    if isinstance(artifact, Problem):
        return [*reasons, _reason("grouping", "rejected", artifact.message)]
    if artifact is None or name not in {file.name for file in artifact.files}:
        return reasons
    role = next(file.role for file in artifact.files if file.name == name)
    reasons.append(_reason("grouping", "noted", f"{role} of the model that is loaded by {artifact.path}"))
    return [*reasons, *_examined(artifact, examiner), *_registered(artifact.path, records)]


def _link_rule(path: str) -> list[Reason]:
    if not os.path.islink(path):
        return []
    message = (
        f"links to {os.path.realpath(path)}; a scan of a folder above follows a link out of it to a file "
        "that by its real name is a model's, and to a folder with follow_links = true"
    )
    return [_reason("link", "skipped", message)]


def _passing_rule(path: str) -> list[Reason]:
    passed = passed_over(path)
    if passed is None:
        return []
    folder, reason = passed
    message = f"{folder} is {reason}: a scan of a folder above passes it over, unless with --everything"
    return [_reason("passed over", "noted", message)]


def _name_rules(name: str, examiner: Examiner, *, is_model: bool) -> list[Reason]:  # noqa: PLR0911 - a rule each
    unfinished = unfinished_reason(name)
    if unfinished:
        return [_reason("unfinished download", "skipped", f"{unfinished}; it is listed, not admitted")]
    if is_companion(name):
        return [_reason("companion", "noted", "tells about the model beside it")]
    if examiner.formats.is_index(name):
        return [_reason("index", "noted", "names the shards of a model")]
    claimed = sorted(examiner.formats.suffix_formats(suffix_of(name)))
    if is_auxiliary(name):
        return [_reason("companion", "noted", "is a by-product of the model beside it, where there is one")]
    if claimed:
        return [_reason("ending", "noted", f"{suffix_of(name)} is claimed by {', '.join(claimed)}")]
    if examiner.formats.wants(name):
        return [_reason("ending", "noted", "no format claims it; its first bytes decide")]
    ending = f"{suffix_of(name) or 'no ending'}: no model file ends so"
    if is_model:
        return [_reason("ending", "noted", f"{ending}; but a model was found in it, so scans look into it")]
    return [_reason("ending", "skipped", f"{ending}; opened at depth full, or where it is named")]


def _artifact_with(path: str, examiner: Examiner) -> Artifact | Problem | None:
    folder, name = os.path.split(path)
    for listed in walk(folder or ".", lambda entry: examiner.formats.wants(entry) or entry == name):
        if isinstance(listed, Folder):
            grouped = group(listed, examiner.formats, read_index)
            return next(iter(artifacts_with(grouped, name)), None) or next(iter(grouped.problems), None)
    return None


def _examined(artifact: Artifact, examiner: Examiner) -> list[Reason]:
    with examiner.plugins.limit():
        examination = examiner.examine(artifact, Depth.HEADER)
    reasons = [
        _reason(
            vote.plugin,
            "noted",
            f"votes {vote.detection.format} ({vote.detection.confidence:g}): {vote.detection.evidence}",
        )
        for vote in examination.votes
    ]
    suffix = suffix_of(artifact.weights[0].name)
    winner = arbitrate(examination.votes, examiner.formats.suffix_formats(suffix))
    if winner is not None:
        reasons.append(_reason("arbitration", "noted", f"{winner.detection.format} wins, by {winner.plugin}"))
    reasons += [
        _reason(one.plugin, "noted", f"failed in {one.hook}: {one.reason}") for one in examination.failures
    ]
    rejected = examination.rejected
    if rejected is not None:
        return [*reasons, _reason(rejected.code, "rejected", rejected.message)]
    reasons += [_reason(one.code, "noted", f"{one.severity}: {one.message}") for one in examination.findings]
    verdict = f"a {examination.format} model, {status_of(examination.findings)}"
    return [*reasons, _reason("health", "admitted", verdict)]


def _registered(path: str, records: RecordReader) -> list[Reason]:
    entry = records.location(path)
    if entry is None or entry.model_id is None:
        return [_reason("registry", "noted", "is not registered; a scan of its folder would change that")]
    state = "missing since the last scan" if entry.missing else "present"
    return [_reason("registry", "admitted", f"registered as {entry.model_id} {entry.version}, {state}")]


def _why_folder(path: str, examiner: Examiner, records: RecordReader) -> list[Reason]:
    for listed in walk(path, examiner.formats.wants):
        if isinstance(listed, Problem):
            return [_reason(listed.code, "rejected", listed.message)]
        if isinstance(listed, Folder):
            grouped = group(listed, examiner.formats, read_index)
            models = [
                _reason("grouping", "noted", f"{one.model_id} is loaded by {one.path}")
                for one in grouped.artifacts
            ]
            problems = [_reason(one.code, "rejected", one.message) for one in grouped.problems]
            unfinished = [
                _reason("unfinished download", "skipped", f"{one.path}: {one.reason}")
                for one in grouped.unfinished
            ]
            registered = [reason for one in grouped.artifacts for reason in _registered(one.path, records)]
            return [*models, *problems, *unfinished, *registered] or [
                _reason("grouping", "noted", "holds no file that a plugin wants")
            ]
    return [_reason("grouping", "noted", "holds no file that a plugin wants")]


def _reason(rule: str, verdict: str, message: str) -> Reason:
    return Reason(rule=rule, verdict=verdict, message=message)
