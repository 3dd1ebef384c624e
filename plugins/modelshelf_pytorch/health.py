"""Every issue of a file, and what they mean for a model made of several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model import Artifact, Depth, Finding, Severity
from modelshelf_pytorch.containers.inspection import Inspection, inspect
from modelshelf_pytorch.pickle import embedded
from modelshelf_pytorch.pickle.allowlist import runs_code
from modelshelf_pytorch.verdict import Issue, Verdict, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader, FileReader

_MOST_ISSUES = 64  # of each verdict in one file
_COMPANION_NAMES = ("training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin")
_COMPANION_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")


def issues_of(
    reader: FileReader, depth: Depth, level: int = 0, effort: embedded.Effort | None = None
) -> tuple[Issue, ...]:
    """Every issue of one file, read from scratch.

    Raises:
        ReadError: The file cannot be read.
    """
    return tuple(issues_in(reader, inspect(reader), depth, level, effort))


def issues_in(
    reader: FileReader,
    found: Inspection,
    depth: Depth,
    level: int = 0,
    effort: embedded.Effort | None = None,
) -> Iterator[Issue]:
    """The issues of one file whose header was read already: every one, or so many as matter.

    Args:
        reader: The file.
        found: What its header told.
        depth: How deep to look.
        level: How many archives it lies in.
        effort: What may still be spent in search of hidden pickles, where an archive's members share it.

    Raises:
        ReadError: The file cannot be read.
    """
    counts: Counter[Verdict] = Counter()
    for issue in _all_issues(reader, found, depth, level, effort):
        counts[issue.verdict] += 1
        if counts[issue.verdict] <= _MOST_ISSUES:
            yield issue
        elif issue.verdict is Verdict.DANGEROUS:  # nothing that may follow is worse
            message = f"more than {_MOST_ISSUES} things are wrong with it; the rest was not looked for"
            yield Issue(code="more-issues", verdict=Verdict.CLEAN, message=message)
            return


def _all_issues(
    reader: FileReader, found: Inspection, depth: Depth, level: int, effort: embedded.Effort | None
) -> Iterator[Issue]:
    from modelshelf_pytorch.containers import members

    yield from found.issues
    if depth is Depth.QUICK:
        return
    effort = effort or embedded.Effort()
    if found.directory is not None:
        yield from members.examine(reader, found, depth, level, effort)
    elif not found.details.get("compressed"):
        for stream in found.streams:
            yield from embedded.search(stream, reader, effort=effort)
    if found.kind in {"zip", "legacy"}:
        yield from _dialect_issues(found)


def _dialect_issues(found: Inspection) -> Iterator[Issue]:
    """A checkpoint saved with another pickle protocol: harmless, but torch refuses it by default."""
    for stream in found.streams:
        if stream.foreign is not None:
            name, offset = stream.foreign
            message = (
                f"its pickle uses {name}, which torch's weights_only loading does not know (a value or "
                "pickle protocol that torch.save does not write by itself)"
            )
            yield suspicious("weights-only-refuses", message, offset)
            return


def is_pickled_companion(name: str) -> bool:
    """Whether a file beside a model is one of this plugin's: optimizer, scheduler, random state."""
    base = name.rpartition("/")[2].lower()
    return base in _COMPANION_NAMES or base.endswith(_COMPANION_SUFFIXES)


def companion_findings(artifact: Artifact, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Findings about the pickles beside a model: an attack fails the model, a foreign class degrades it."""
    for one in artifact.companions:
        if not is_pickled_companion(one.name):
            continue
        try:
            file = reader.file(one.name)
            issues: Iterable[Issue] = issues_of(file, depth)
        except ReadError as error:
            yield unreadable(error.code, str(error), error.offset).finding(one.name, Severity.WARNING)
            continue
        for issue in issues:
            mild = issue.verdict is Verdict.UNREADABLE or (
                issue.subject is not None and not runs_code(issue.subject)
            )
            yield issue.finding(one.name, Severity.WARNING if mild else None)
