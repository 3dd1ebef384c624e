"""The core's own part of health: shards, empty files, and what a file's fault becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Artifact, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.errors import ReadError

_NAMED_AT_MOST = 3


def finding_of(error: ReadError) -> Finding:
    """The finding that a file's fault becomes."""
    return Finding(
        code=error.code, severity=Severity.ERROR, message=str(error), file=error.file, offset=error.offset
    )


def shard_findings(artifact: Artifact) -> Iterator[Finding]:
    """What the listing alone shows: shards that are missing, files that are empty."""
    if artifact.missing:
        named = ", ".join(artifact.missing[:_NAMED_AT_MOST])
        more = len(artifact.missing) - _NAMED_AT_MOST
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
