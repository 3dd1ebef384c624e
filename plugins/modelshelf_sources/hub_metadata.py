"""What huggingface_hub writes down of the files that it downloads, so that the Hub need not be asked.

``trees/<commit>.json`` of a repository in a cache is ``{"format_version": 1, "files": {path: {size, blob_id,
lfs_sha256?, lfs_size?, xet_hash?}}}``: every file of the commit (huggingface_hub, ``_tree_cache.py``).

``<folder>/.cache/huggingface/download/<path>.metadata`` of a download into a folder has three lines: the
commit, the etag (the sha256 of an LFS file, git's sha1 of a small one), and when it was written
(huggingface_hub, ``_local_folder.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_object, text_of
from modelshelf_sources.download_layouts import DOWNLOAD_METADATA, HUB_FOLDER
from modelshelf_sources.listing import relative

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile
    from modelshelf.source import Folder

SHA256 = re.compile(r"[0-9a-f]{64}")

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TREE_VERSION = 1
_MAX_TREE_BYTES = 64 * 1024 * 1024  # a repository of 100,000 files has about 20 MB
_MAX_ABSENT_NAMES = 20
_MAX_METADATA_BYTES = 4096
_MAX_ETAGS = 20
_NANOSECONDS = 10**9


@frozen(kw_only=True)
class ExpectedFile:
    """One file of a repository.

    Attributes:
        size: Bytes, or None where the list does not say.
        sha256: 64 hex digits of an LFS file, or None.
    """

    size: int | None = None
    sha256: str | None = None


@frozen(kw_only=True)
class ExpectedTree:
    """Every file of a repository at one commit.

    Attributes:
        files: By path within the repository, ``/`` between parts.
    """

    files: Mapping[str, ExpectedFile] = field(factory=dict)

    def facts(self, present: Iterable[str]) -> dict[str, Any]:
        """Count how much of the repository is here. Some files only is what most people want, so no fault."""
        here = set(present)
        lacking = sorted(path for path in self.files if path not in here)
        facts: dict[str, Any] = {"repository_files": len(self.files), "absent_files": len(lacking)}
        if lacking:
            facts["absent"] = [text_of(path, 256) or "" for path in lacking[:_MAX_ABSENT_NAMES]]
        return facts

    def sha256_of(self, path: str, file: ArtifactFile) -> str | None:
        """Return the expected digest of a file that has the expected size."""
        expected = self.files.get(path)
        return expected.sha256 if expected is not None and expected.size == file.size else None

    def wrong_size(self, path: str, file: ArtifactFile) -> int | None:
        """Return the expected size of a file that has another one."""
        expected = self.files.get(path)
        return expected.size if expected is not None and expected.size not in (None, file.size) else None


def read_tree(repository: str, commit: str) -> ExpectedTree | None:
    """Read the list of a commit's files; None where there is none, or one of another version.

    Raises:
        UnusableDocumentError: It is there and cannot be used.
    """
    path = f"{repository}/trees/{commit}.json"
    if not os.path.lexists(path):
        return None
    content = read_object(path, _MAX_TREE_BYTES)
    if content.get("format_version") != _TREE_VERSION:
        return None
    files = content.get("files")
    if not isinstance(files, dict):
        raise UnusableDocumentError(f"{path}: has no list of files")
    return ExpectedTree(files={name: _expected_file(entry) for name, entry in files.items()})


def _expected_file(entry: object) -> ExpectedFile:
    if not isinstance(entry, dict):
        return ExpectedFile()
    size = entry.get("lfs_size", entry.get("size"))
    digest = entry.get("lfs_sha256")
    return ExpectedFile(
        size=size if type(size) is int and size >= 0 else None,
        sha256=digest if isinstance(digest, str) and SHA256.fullmatch(digest) else None,
    )


@frozen(kw_only=True)
class DownloadMetadata:
    """The metadata of one file of a download into a folder.

    Attributes:
        commit: The repository's commit that it comes from.
        etag: The Hub's tag of its content.
    """

    commit: str
    etag: str


def with_download_metadata(folder: Folder, root: str) -> Folder:
    """Add the metadata of a folder's files to it; `root` is the folder that was downloaded into."""
    below = relative(folder.path, root)
    files: list[ArtifactFile] = []
    metadata: dict[str, DownloadMetadata] = {}
    for file in folder.files:
        path = f"{below}/{file.name}" if below else file.name
        own = read_download_metadata(f"{root}/{DOWNLOAD_METADATA}/{path}.metadata", file)
        if own is not None:
            metadata[file.name] = own
        sha256 = own.etag if own is not None and SHA256.fullmatch(own.etag) else None
        files.append(file if sha256 is None else evolve(file, sha256=sha256))
    if not metadata:
        return folder
    commits = sorted({own.commit for own in metadata.values()})
    facts: dict[str, Any] = {"commit": commits[0]} if len(commits) == 1 else {"commits": commits}
    if not below:
        facts.update(_completeness(root, commits))
    facts["etags"] = [f"{name} {own.etag}" for name, own in list(metadata.items())[:_MAX_ETAGS]]
    return evolve(folder, files=tuple(files), facts={**folder.facts, **facts})


def _completeness(root: str, commits: Sequence[str]) -> dict[str, Any]:
    """Count how much of the repository is here, where it was downloaded whole and its list of files kept."""
    if len(commits) != 1 or not _COMMIT.fullmatch(commits[0]):
        return {}
    try:
        tree = read_tree(f"{root}/{HUB_FOLDER}", commits[0])
    except UnusableDocumentError:
        return {}
    return (
        {} if tree is None else tree.facts(name for name in tree.files if os.path.lexists(f"{root}/{name}"))
    )


def read_download_metadata(path: str, file: ArtifactFile) -> DownloadMetadata | None:
    """Read a file's metadata; None where there is none, or the file was changed after it was written."""
    if not os.path.lexists(path):
        return None
    try:
        lines = read_bytes(path, _MAX_METADATA_BYTES).decode().split("\n")
        commit, etag, written = (text_of(line, 256) for line in lines[:3])
        stale = file.mtime_ns / _NANOSECONDS - 1 > float(written or 0)
    except (UnusableDocumentError, ValueError):
        return None
    return None if stale or commit is None or etag is None else DownloadMetadata(commit=commit, etag=etag)
