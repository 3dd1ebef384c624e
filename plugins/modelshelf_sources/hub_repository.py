"""Model repositories in a cache of huggingface_hub's layout: their refs, their blobs, their snapshots.

::

    models--<org>--<name>/
        refs/<ref>                  text: the commit; a ref may have slashes (refs/refs/pr/1)
        blobs/<etag>                64 hex digits: sha256 of an LFS file; 40: git's sha1 of a small one
        snapshots/<commit>/<path>   links into blobs; real files on Windows and without links
        trees/<commit>.json         every file of the commit, see `hub_metadata`
        .no_exist/<commit>/         not looked at

`huggingface_hub.scan_cache_dir` is not used: it drops a whole repository for one bad entry.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf.source import Folder, Listing, Walk
from modelshelf_sources.documents import UnusableDocumentError, read_bytes
from modelshelf_sources.download_layouts import REPOSITORY_PREFIX
from modelshelf_sources.hub_metadata import SHA256, ExpectedTree, read_tree
from modelshelf_sources.listing import leftovers, model_id, relative, unreadable_folder

if TYPE_CHECKING:
    from modelshelf_sources.download_layouts import CacheLocation

_MAIN = "main"
_UNFINISHED = (".incomplete", ".downloadInProgress", ".tmp")  # huggingface_hub's, and llama.cpp's
_MAX_REF_BYTES = 1024
_SHORT_COMMIT = 8  # digits of a commit that has no ref


def list_location(location: CacheLocation, walk: Walk) -> Iterator[Listing]:
    """List everything that a path means: every repository of the cache, or the one."""
    if location.repository is not None:
        yield from _list_repository(location.repository, walk, only=location.commit)
    elif location.cache is not None:
        yield from list_cache(location.cache, walk)


def list_cache(folder: str, walk: Walk) -> Iterator[Listing]:
    """List every model of a cache; data sets, spaces, locks and tags are not looked at."""
    try:
        with os.scandir(folder) as listing:
            names = sorted(
                # A DirEntry's own answer raises where a link leads in a circle.
                entry.name
                for entry in listing
                if entry.name.startswith(REPOSITORY_PREFIX) and os.path.isdir(entry.path)
            )
    except OSError as error:
        yield unreadable_folder(folder, error)
        return
    for name in names:
        yield from _list_repository(f"{folder}/{name}", walk)


def _list_repository(folder: str, walk: Walk, *, only: str | None = None) -> Iterator[Listing]:
    """List everything in one repository's folder.

    Args:
        folder: Its absolute path.
        walk: The core's walker.
        only: The commit of the one snapshot that is meant; None means all, and what no snapshot uses.
    """
    problems: list[Problem] = []
    blobs = _entries(f"{folder}/blobs", problems)
    if problems:  # every link would seem to lead to nothing, and every model to be removed
        yield evolve(problems[0], path=folder)
        return
    refs = _read_refs(f"{folder}/refs", problems)
    snapshots = _entries(f"{folder}/snapshots", problems)
    yield from problems
    # A DirEntry's own answer raises where a link leads in a circle.
    commits = [
        name for name, entry in snapshots.items() if only in (None, name) and os.path.isdir(entry.path)
    ]
    used: set[str] = set()
    complete = not problems
    for commit in sorted(commits, key=lambda commit: _order(commit, refs)):
        snapshot = _Snapshot.read(folder, commit, refs.get(commit, ()), blobs)
        used |= snapshot.used
        complete = complete and snapshot.complete
        yield from snapshot.list(walk)
    if only is None:
        reason = "no snapshot of the repository uses this blob"
        yield from leftovers(f"{folder}/blobs", blobs, used if complete else None, _UNFINISHED, reason)


def _read_refs(folder: str, problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    """Read refs by commit, ``main`` first; what cannot be read is added to `problems`."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    waiting = [folder]
    while waiting:
        for name, entry in _entries(waiting.pop(), problems).items():
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            try:
                commit = read_bytes(entry.path, _MAX_REF_BYTES).decode().strip()
            except UnicodeDecodeError as error:
                what = f"is not UTF-8 at byte {error.start}"
                problems.append(_problem("unreadable-ref", entry.path, f"{entry.path}: {name}: {what}"))
                continue
            except UnusableDocumentError as error:
                problems.append(_problem("unreadable-ref", entry.path, f"{entry.path}: {name}: {error}"))
                continue
            found[commit].append(relative(entry.path, folder))
    return {
        commit: tuple(sorted(refs, key=lambda ref: (ref != _MAIN, ref))) for commit, refs in found.items()
    }


@frozen(kw_only=True)
class _Snapshot:
    """The files of one commit that are here.

    Attributes:
        path: Its folder.
        repository: ``org/name``.
        refs: Refs that lead to it, the one that names it first.
        blob_of: Path within the snapshot to the name of the blob behind it; None for a real file.
        refused: Problems of its links by absolute path: such a file is never listed.
        complete: Whether all of it could be read.
    """

    path: str
    repository: str
    refs: tuple[str, ...]
    blob_of: Mapping[str, str | None]
    refused: Mapping[str, Problem]
    complete: bool

    @classmethod
    def read(
        cls, folder: str, commit: str, refs: tuple[str, ...], blobs: Mapping[str, os.DirEntry[str]]
    ) -> _Snapshot:
        path = f"{folder}/snapshots/{commit}"
        blob_of: dict[str, str | None] = {}
        refused: dict[str, Problem] = {}
        problems: list[Problem] = []
        waiting = [("", "../../blobs/")]
        while waiting:
            below, to_blobs = waiting.pop()
            for entry in _entries(f"{path}/{below}" if below else path, problems).values():
                name = f"{below}/{entry.name}" if below else entry.name
                if not entry.is_symlink():
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((name, f"../{to_blobs}"))
                    else:
                        blob_of[name] = None
                    continue
                blob = _blob_behind(entry.path, to_blobs, f"{folder}/blobs", blobs)
                if isinstance(blob, Problem):
                    refused[entry.path] = blob
                else:
                    blob_of[name] = blob
        return cls(
            path=path,
            repository=os.path.basename(folder).removeprefix(REPOSITORY_PREFIX).replace("--", "/"),
            refs=refs,
            blob_of=blob_of,
            refused=refused,
            complete=not problems,
        )

    @property
    def commit(self) -> str:
        return os.path.basename(self.path)

    @property
    def used(self) -> set[str]:
        """Names of the blobs that it links to."""
        return {blob for blob in self.blob_of.values() if blob is not None}

    @property
    def model_id(self) -> str:
        """``org/name`` where main leads here, else ``org/name@ref``, else ``org/name@`` and the commit."""
        if _MAIN in self.refs:
            return self.repository
        return f"{self.repository}@{self.refs[0] if self.refs else self.commit[:_SHORT_COMMIT]}"

    def list(self, walk: Walk) -> Iterator[Listing]:
        """List its folders, and what is wrong with its links and sizes."""
        try:
            tree = read_tree(os.path.dirname(os.path.dirname(self.path)), self.commit)
        except UnusableDocumentError as error:
            yield _problem("unreadable-tree", self.path, f"{error}; what the snapshot lacks is not known")
            tree = None
        facts = self._facts(tree)
        yield from self.refused.values()
        for item in walk(self.path):
            if isinstance(item, Folder):
                yield from self._list_folder(item, facts, tree or ExpectedTree())
            elif not (isinstance(item, Problem) and item.path in self.refused):
                yield item

    def _facts(self, tree: ExpectedTree | None) -> dict[str, Any]:
        facts: dict[str, Any] = {"repository": self.repository, "commit": self.commit}
        if self.refs:
            facts["ref"] = self.refs[0]
        if len(self.refs) > 1:
            facts["other_refs"] = list(self.refs[1:])
        return facts if tree is None else {**facts, **tree.facts(self.blob_of)}

    def _list_folder(self, folder: Folder, facts: dict[str, Any], tree: ExpectedTree) -> Iterator[Listing]:
        below = relative(folder.path, self.path)
        files = []
        for file in folder.files:
            path = f"{below}/{file.name}" if below else file.name
            if path not in self.blob_of:
                continue  # refused, or came after the links were read
            expected = tree.wrong_size(path, file)
            if expected is not None:
                yield _wrong_size(folder, file, expected)
            files.append(_with_digest(file, self._sha256(path, file, tree)))
        named = model_id(f"{self.model_id}:{below}" if below else self.model_id)
        yield evolve(folder, files=tuple(files), model_id=named, facts=facts)

    def _sha256(self, path: str, file: ArtifactFile, tree: ExpectedTree) -> str | None:
        blob = self.blob_of[path]
        if blob is None:
            return tree.sha256_of(path, file)
        return blob if SHA256.fullmatch(blob) else None


def _with_digest(file: ArtifactFile, sha256: str | None) -> ArtifactFile:
    if sha256 is None:
        return file
    # Made anew and not evolved: there is one for each file of each snapshot, and this is four times faster.
    return ArtifactFile(
        name=file.name,
        size=file.size,
        mtime_ns=file.mtime_ns,
        inode=file.inode,
        role=file.role,
        etag=file.etag,
        sha256=sha256,
        ctime_ns=file.ctime_ns,
    )


def _order(commit: str, refs: Mapping[str, tuple[str, ...]]) -> tuple[bool, bool, tuple[str, ...], str]:
    """Sort main's snapshot first, so that content that several share gets its id; then others with a ref."""
    own = refs.get(commit, ())
    return (_MAIN not in own, not own, own, commit)


def _blob_behind(
    link: str, to_blobs: str, blobs: str, entries: Mapping[str, os.DirEntry[str]]
) -> str | Problem:
    """Return the name of the blob that a snapshot's link leads to, or why it is refused.

    Args:
        link: The link's absolute path.
        to_blobs: The relative path from its folder to the blobs, as huggingface_hub writes it into links.
        blobs: The folder of blobs.
        entries: Its entries by name.
    """
    try:
        text = os.readlink(link)
    except (OSError, ValueError) as error:
        return _problem("unreadable", link, f"{link}: {error}")
    name = text.removeprefix(to_blobs)
    if name == text or "/" in name:  # not as the tool writes it: it may lead there all the same
        target = os.path.normpath(os.path.join(os.path.dirname(link), text))
        folder, name = os.path.split(target)
        if folder != blobs and os.path.realpath(folder) != os.path.realpath(blobs):
            return _problem(
                "link-leaves-blobs",
                link,
                f"{link}: links to {target}, which is no blob of its repository, so not followed",
            )
    blob = entries.get(name)
    if blob is None:
        return _problem("missing-blob", link, f"{link}: its blob {name} is gone; download the file again")
    if not blob.is_file(follow_symlinks=False):
        return _problem(
            "link-leaves-blobs", link, f"{link}: its blob {name} is no regular file, so not followed"
        )
    return name


def _wrong_size(folder: Folder, file: ArtifactFile, expected: int) -> Problem:
    path = f"{folder.path}/{file.name}"
    return _problem(
        "size-differs",
        path,
        f"{path}: has {file.size} bytes, the repository tells {expected}; download it again",
    )


def _entries(folder: str, problems: list[Problem]) -> dict[str, os.DirEntry[str]]:
    """List the entries of a folder by name, sorted; none where it is absent or cannot be listed."""
    try:
        with os.scandir(folder) as listing:
            return {entry.name: entry for entry in sorted(listing, key=attrgetter("name"))}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        problems.append(unreadable_folder(folder, error))
        return {}


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)
