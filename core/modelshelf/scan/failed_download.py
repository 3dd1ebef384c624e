"""What a download that failed leaves under a model's name: a pointer, a web page, zeros, or nothing.

Such a file is incomplete rather than damaged: none of its bytes was ever the model's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf.errors import ReadError
from modelshelf.model import Severity
from modelshelf.model.health import Concern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Finding
    from modelshelf.reader import ArtifactReader

_HEAD = 512  # bytes
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def without_damage(findings: Iterable[Finding], reader: ArtifactReader) -> list[Finding]:
    """The same findings, with damage of a file that a failed download left as incompleteness."""
    return [
        evolve(one, concern=Concern.INCOMPLETE) if _is_damage(one) and _is_left(reader, one.file) else one
        for one in findings
    ]


def is_failed_download(head: bytes) -> bool:
    """Whether a file with these first bytes is what a failed download leaves."""
    return not head.strip(b"\0") or head.startswith(_POINTER) or head.lstrip().lower().startswith(_PAGES)


def _is_damage(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR and finding.concern is Concern.DAMAGE


def _is_left(reader: ArtifactReader, name: str | None) -> bool:
    names = {one.name for one in reader.artifact.weights}
    if name is not None and name not in names:
        return False
    try:
        heads = [reader.file(one).read_up_to(0, _HEAD) for one in ([name] if name is not None else names)]
    except ReadError:
        return False
    return any(map(is_failed_download, heads))
