"""A model of one file or several: each file inspected once, for the metadata and the findings alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Artifact, Depth, Finding, Severity
from modelshelf_pytorch.containers.inspection import bares_pickle, inspected, is_foreign, readable
from modelshelf_pytorch.health import companion_findings, issues_in
from modelshelf_pytorch.verdict import Issue, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader


def findings(artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Every finding about a model: its files, its index, its missing shards, the pickles beside it."""
    for one in artifact.weights:
        try:
            file = reader.file(one.name)
            found = inspected(reader, one.name)
            for issue in issues_in(file, found, depth):
                yield issue.finding(one.name)
            if is_foreign(found) and (format == "pytorch" or bares_pickle(found)):
                yield _foreign().finding(one.name, Severity.INFO if bares_pickle(found) else None)
        except ReadError as error:
            yield _failure(error, one.name)
    for name in artifact.missing:
        yield unreadable("missing-shard", "this shard is missing; download it again").finding(name)
    if artifact.index is not None:
        yield from _index_findings(artifact, reader, artifact.index.name)
    yield from companion_findings(artifact, reader, depth)


def _foreign() -> Issue:
    message = (
        "no checkpoint: the ZIP has no data.pkl in the folder of its first member, and torch.load refuses "
        "it; if it is another kind of archive, give it that kind's suffix"
    )
    return suspicious("no-checkpoint", message)


def _index_findings(artifact: Artifact, reader: ArtifactReader, name: str) -> Iterator[Finding]:
    from modelshelf_pytorch.containers.sharded import index_issues, read_index

    try:
        index = read_index(reader, name)
    except ReadError as error:
        yield _failure(error, name)
        return
    for file, issue in index_issues(artifact, index, readable(artifact, reader)):
        yield issue.finding(file)


def _failure(error: ReadError, file: str) -> Finding:
    return Finding(
        code=error.code,
        severity=Severity.ERROR,
        message=str(error),
        file=error.file or file,
        offset=error.offset,
    )
