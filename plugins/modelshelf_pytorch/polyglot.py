"""Files of other formats that are pickles as well: a loader of pickles runs what they say.

A pickle begins with its file's first byte, so that most files of other formats are ruled out by a few bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Depth
from modelshelf_pytorch.detection import stream_at_start
from modelshelf_pytorch.verdict import Verdict, dangerous, suspicious

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact, Finding
    from modelshelf.reader import ArtifactReader

_HEAD_BYTES = 512


def probe_foreign(artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Yield the findings about weight files of another format that are pickles from their first byte on.

    Raises:
        ReadError: A file cannot be read.
    """
    if depth is Depth.QUICK:
        return
    for weights in artifact.weights:
        file = reader.file(weights.name)
        outcome = stream_at_start(file, file.read_up_to(0, _HEAD_BYTES), file.size)
        if outcome is None:
            continue
        attacks = [issue for issue in outcome.issues if issue.verdict is Verdict.DANGEROUS]
        message = f"a {format} file that is a pickle as well, from its first byte on"
        if attacks:
            what = f"{message}: a loader that takes it for one runs what it calls; do not load or rename it"
            yield dangerous("polyglot", what, 0).finding(weights.name)
        else:
            what = f"{message}, which no program writes; ask who made it"
            yield suspicious("polyglot", what, 0).finding(weights.name)
        for issue in attacks:
            yield issue.finding(weights.name)
