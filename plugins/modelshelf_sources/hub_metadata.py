"""What huggingface_hub noted beside files that it downloaded into a folder with ``local_dir``.

``<folder>/.cache/huggingface/download/<path>.metadata`` has three lines: the commit, the etag (the sha256 of
an LFS file, git's sha1 of a small one), and when it was noted (huggingface_hub, ``_local_folder.py``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from modelshelf_sources.documents import UnusableDocumentError, read_bytes, read_object, text_of
from modelshelf_sources.download_layouts import HUB, NOTES
from modelshelf_sources.listing import relative

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile
    from modelshelf.source import Folder


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


_LONGEST_NOTE = 4096

_NANOSECONDS = 10**9

_MOST_ETAGS = 20


@frozen(kw_only=True)
class Note:
    """What was noted of one file.

    Attributes:
        commit: The repository's commit that it comes from.
        etag: The Hub's tag for its content.
    """

    commit: str
    etag: str


def annotated(folder: Folder, root: str) -> Folder:
    """The folder with what was noted of its files; `root` is the folder that was downloaded into."""
    below = relative(folder.path, root)
    files: list[ArtifactFile] = []
    notes: dict[str, Note] = {}
    for one in folder.files:
        path = f"{below}/{one.name}" if below else one.name
        note = read_note(f"{root}/{NOTES}/{path}.metadata", one)
        if note is not None:
            notes[one.name] = note
        sha256 = note.etag if note is not None and SHA256.fullmatch(note.etag) else None
        files.append(one if sha256 is None else evolve(one, sha256=sha256))
    if not notes:
        return folder
    commits = sorted({note.commit for note in notes.values()})
    facts: dict[str, Any] = {"commit": commits[0]} if len(commits) == 1 else {"commits": commits}
    if not below:
        facts.update(_completeness(root, commits))
    facts["etags"] = [f"{name} {note.etag}" for name, note in list(notes.items())[:_MOST_ETAGS]]
    return evolve(folder, files=tuple(files), facts={**folder.facts, **facts})


def _completeness(root: str, commits: Sequence[str]) -> dict[str, Any]:
    """How much of the repository is here, where it was downloaded as a whole and its list of files kept."""
    if len(commits) != 1 or not COMMIT.fullmatch(commits[0]):
        return {}
    try:
        tree = read_tree(f"{root}/{HUB}", commits[0])
    except UnusableDocumentError:
        return {}
    return (
        {} if tree is None else tree.facts(name for name in tree.files if os.path.lexists(f"{root}/{name}"))
    )


def read_note(path: str, one: ArtifactFile) -> Note | None:
    """What was noted of a file; None where nothing was, or the file was changed after that."""
    if not os.path.lexists(path):
        return None
    try:
        lines = read_bytes(path, _LONGEST_NOTE).decode().split("\n")
        commit, etag, noted = (text_of(line, 256) for line in lines[:3])
        stale = one.mtime_ns / _NANOSECONDS - 1 > float(noted or 0)
    except (UnusableDocumentError, ValueError):
        return None
    return None if stale or commit is None or etag is None else Note(commit=commit, etag=etag)
