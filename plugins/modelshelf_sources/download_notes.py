"""What huggingface_hub noted beside files that it downloaded into a folder with ``local_dir``.

``<folder>/.cache/huggingface/download/<path>.metadata`` has three lines: the commit, the etag (the sha256 of
an LFS file, git's sha1 of a small one), and when it was noted (huggingface_hub, ``_local_folder.py``).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf_sources.documents import UnusableDocumentError, read_bytes, text_of
from modelshelf_sources.hub_tree import COMMIT, SHA256, read_tree
from modelshelf_sources.local_download import HUB, NOTES
from modelshelf_sources.model_ids import relative

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile
    from modelshelf.source import Folder

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
