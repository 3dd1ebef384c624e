"""The findings about a model: its files, its index, its missing shards, and the pickles beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelshelf.errors import (
    FormatError,
    ReadError,
    TruncatedFileError,
    UnreadableFileError,
)
from modelshelf.model import Artifact, Depth, Finding, Severity
from modelshelf_pytorch.containers.dispatch import inspect_once, inspect_readable
from modelshelf_pytorch.containers.issues import examine, issues_of
from modelshelf_pytorch.metadata import count_model
from modelshelf_pytorch.pickle.allowlist import runs_code
from modelshelf_pytorch.signatures import may_be_pickled_companion
from modelshelf_pytorch.trainer_classes import is_class, is_of_training
from modelshelf_pytorch.verdict import LIMIT_CODES, Issue, Verdict, not_judged, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader
    from modelshelf_pytorch.containers.inspection import Inspection

_LONGEST_NAME = 120  # characters
_OTHER_SUFFIXES = (".gguf", ".safetensors")  # each of one format alone
_TOKENIZER = "tokenizer.model"  # sentencepiece or text where it is honest
_PICKLE_STARTS = (b"\x80", b"c", b"(", b"PK")
_TRAINING_ARGUMENTS = "training_args.bin"
# Every training program keeps numpy's random state there: arrays, which run nothing, and no weights.
_NO_FAULT_BESIDE = frozenset({"numpy-global", "weights-only-refuses"})
_NO_CHECKPOINT = suspicious(
    "no-checkpoint",
    "no checkpoint: the ZIP has no data.pkl in the folder of its first member, and torch.load refuses it; "
    "if it is another kind of archive, give it that kind's suffix",
)


def probe(artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Yield every finding about a model.

    Raises:
        UnreadableFileError: The system refused to open or read a file, which it may not at the next scan.
    """
    refused: UnreadableFileError | None = None
    for file in artifact.weights:
        try:
            inspection = inspect_once(reader, file.name)
            for issue in issues_of(reader.file(file.name), inspection, depth):
                yield issue.finding(file.name, _weights_severity(file.name, issue))
            yield from _no_checkpoint(inspection, format, file.name)
            if file.name.lower().endswith(_OTHER_SUFFIXES):
                yield _misnamed(file.name)
        except UnreadableFileError as error:
            refused = refused or error
        except ReadError as error:
            yield _read_failure(error, file.name)
    for name in artifact.missing:
        yield unreadable("missing-shard", "this shard is missing; download it again").finding(name)
    try:
        yield from _index_findings(artifact, reader)
    except UnreadableFileError as error:
        refused = refused or error
    if format == "pytorch":
        yield from _not_understood(artifact, reader)
    yield from probe_companions(artifact, reader, depth)
    if refused is not None:
        raise refused


def _misnamed(name: str) -> Finding:
    message = (
        "its content is a pickle's or a checkpoint's, its ending that of a format which runs no code: who "
        "trusts the ending is wrong; give it the ending .pt or .pkl"
    )
    return suspicious("misnamed", message).finding(name)


def _no_checkpoint(inspection: Inspection, format: str, name: str) -> Iterator[Finding]:
    """Yield the finding about a ZIP that torch.load refuses, where it was taken for a checkpoint."""
    if not inspection.no_checkpoint:
        return
    if inspection.bare_pickle:
        yield _NO_CHECKPOINT.finding(name, Severity.INFO)
    elif format == "pytorch":
        yield _NO_CHECKPOINT.finding(name)


def _index_findings(artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
    if artifact.index is None:
        return
    name = artifact.index.name
    from modelshelf_pytorch.containers.sharded import index_issues, read_index  # most models have no index

    try:
        index = read_index(reader, name)
    except UnreadableFileError:
        raise
    except ReadError as error:
        yield _read_failure(error, name)
        return
    for file, issue in index_issues(artifact, index, inspect_readable(artifact, reader)):
        yield issue.finding(file)


def _read_failure(error: ReadError, file: str) -> Finding:
    if error.code in LIMIT_CODES:
        return not_judged(str(error), error.offset).finding(file)
    return Finding(
        code=error.code,
        severity=Severity.ERROR,
        message=str(error),
        file=error.file or file,
        offset=error.offset,
    )


def _not_understood(artifact: Artifact, reader: ArtifactReader) -> Iterator[Finding]:
    names = count_model(artifact, reader).not_understood
    if names:
        listed = ", ".join(repr(name[:_LONGEST_NAME]) for name in names)
        yield Finding(
            code="packing-unknown",
            severity=Severity.INFO,
            message=f"how weights are packed in {listed} is not known, so parameters are not counted",
            file=artifact.weights[0].name,
        )


def probe_companions(artifact: Artifact, reader: ArtifactReader, depth: Depth) -> Iterator[Finding]:
    """Yield findings about the pickles beside a model: an attack fails it, a foreign class degrades it.

    Raises:
        UnreadableFileError: The system refused to open or read one, which it may not at the next scan.
    """
    refused: UnreadableFileError | None = None
    for file in artifact.companions:
        if not may_be_pickled_companion(file.name):
            continue
        try:
            if file.name.lower().endswith(_TOKENIZER) and not reader.file(file.name).read_up_to(
                0, 2
            ).startswith(_PICKLE_STARTS):
                continue
            issues = examine(reader.file(file.name), depth)
        except UnreadableFileError as error:
            refused = refused or error
            continue
        except (TruncatedFileError, FormatError) as error:
            issue = unreadable(error.code, str(error), error.offset)
            yield issue.finding(file.name, _companion_severity(file.name, issue))
            continue
        except ReadError as error:  # a limit, or a file that changes: nobody knows what it would do
            yield not_judged(str(error), error.offset).finding(file.name)
            continue
        for issue in issues:
            yield issue.finding(file.name, _companion_severity(file.name, issue))
    if refused is not None:
        raise refused


def _weights_severity(name: str, issue: Issue) -> Severity | None:
    """Return the severity of an issue of a weight file, as which training arguments may lie somewhere."""
    return Severity.INFO if _is_of_arguments(name, issue) else None


def _companion_severity(name: str, issue: Issue) -> Severity | None:
    """Return the severity of an issue of a companion, or None for that of its verdict."""
    if issue.code in _NO_FAULT_BESIDE or _is_of_arguments(name, issue):
        return Severity.INFO
    return Severity.WARNING if _is_mild(issue) else None


def _is_of_arguments(name: str, issue: Issue) -> bool:
    """Return whether it is about a class that a training program writes there."""
    if issue.subject is None or not name.lower().endswith(_TRAINING_ARGUMENTS):
        return False
    return is_of_training(issue.subject)


def _is_mild(issue: Issue) -> bool:
    """Return whether an issue of a companion leaves the model itself usable."""
    if issue.subject is None:
        return issue.verdict is Verdict.UNREADABLE
    return is_class(issue.subject) and not runs_code(issue.subject)
