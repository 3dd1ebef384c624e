"""The list of all files of a Hub repository at one commit, as huggingface_hub keeps it beside the snapshot.

``trees/<commit>.json`` holds ``{"format_version": 1, "files": {path: {size, blob_id, lfs_sha256?, lfs_size?,
xet_hash?}}}`` (huggingface_hub, ``_tree_cache.py``), so what a snapshot lacks can be told without asking.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf_sources.documents import UnusableDocumentError, read_object, text_of

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile

SHA256 = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
_VERSION = 1
_MOST_BYTES = 64 * 1024 * 1024  # a repository of 100,000 files has about 20 MB
_MOST_NAMED = 20


@frozen(kw_only=True)
class ExpectedFile:
    """One file that the repository holds.

    Attributes:
        size: Bytes, or None where the list does not tell.
        sha256: 64 hex digits of an LFS file, or None.
    """

    size: int | None = None
    sha256: str | None = None


@frozen(kw_only=True)
class ExpectedTree:
    """Every file that a repository holds at one commit.

    Attributes:
        files: By path within the repository, ``/`` between parts.
    """

    files: Mapping[str, ExpectedFile] = field(factory=dict)

    def facts(self, present: Iterable[str]) -> dict[str, Any]:
        """How much of the repository is here. Some files only is what most people want, so no fault."""
        here = set(present)
        lacking = sorted(path for path in self.files if path not in here)
        facts: dict[str, Any] = {"repository_files": len(self.files), "absent_files": len(lacking)}
        if lacking:
            facts["absent"] = [text_of(path, 256) or "" for path in lacking[:_MOST_NAMED]]
        return facts

    def sha256_of(self, path: str, one: ArtifactFile) -> str | None:
        """The digest that the Hub told for a file that has the size that it told."""
        expected = self.files.get(path)
        return expected.sha256 if expected is not None and expected.size == one.size else None

    def wrong_size(self, path: str, one: ArtifactFile) -> int | None:
        """The size that a file should have, where it has another."""
        expected = self.files.get(path)
        return expected.size if expected is not None and expected.size not in (None, one.size) else None


def read_tree(repository: str, commit: str) -> ExpectedTree | None:
    """The list of a commit's files; None where there is none, or one of another version.

    Raises:
        UnusableDocumentError: It is there and cannot be used.
    """
    path = f"{repository}/trees/{commit}.json"
    if not os.path.lexists(path):
        return None
    content = read_object(path, _MOST_BYTES)
    if content.get("format_version") != _VERSION:
        return None
    files = content.get("files")
    if not isinstance(files, dict):
        raise UnusableDocumentError(f"{path}: has no list of files")
    return ExpectedTree(files={name: _expected(told) for name, told in files.items()})


def _expected(told: object) -> ExpectedFile:
    if not isinstance(told, dict):
        return ExpectedFile()
    size = told.get("lfs_size", told.get("size"))
    digest = told.get("lfs_sha256")
    return ExpectedFile(
        size=size if type(size) is int and size >= 0 else None,
        sha256=digest if isinstance(digest, str) and SHA256.fullmatch(digest) else None,
    )
