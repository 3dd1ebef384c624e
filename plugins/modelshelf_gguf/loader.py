"""The full probe: load with the `gguf` package's own reader, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from modelshelf.model import Finding, Severity
from modelshelf.reader import ArtifactReader, LocalFile

if TYPE_CHECKING:
    from modelshelf_gguf.header import Header

_MOST_ITEMS = 1_000_000
"""Array elements that the package's reader is given: it takes some 25 µs and 1 kB for each."""


def findings_of(
    headers: Sequence[Header], reader: ArtifactReader, found: Sequence[Finding]
) -> Iterator[Finding]:
    """What the package's reader says of files that are sound by ours.

    It is shown no file that ours refuses: it trusts every count it reads.
    """
    if any(finding.severity is Severity.ERROR for finding in found):
        return
    try:
        from gguf import GGUFReader
    except ImportError:
        message = "the gguf package is not installed, so its reader was not tried; install modelshelf[gguf]"
        yield Finding(code="loader-not-tried", severity=Severity.INFO, message=message)
        return
    for header in headers:
        if header.version == 1 or not isinstance(reader.file(header.file), LocalFile):
            continue
        if sum(field.length or 0 for field in header.fields.values()) > _MOST_ITEMS:
            message = f"{header.file}: too large a vocabulary to be loaded with the gguf package's reader"
            yield Finding(code="loader-not-tried", severity=Severity.INFO, message=message, file=header.file)
            continue
        try:
            GGUFReader(reader.artifact.path_of(header.file))
        except Exception as error:  # noqa: BLE001 - whatever it raises is its verdict
            message = f"{header.file}: the gguf package's reader refuses it: {type(error).__name__}: {error}"
            yield Finding(code="loader-refused", severity=Severity.ERROR, message=message, file=header.file)
