"""One model repository in a cache of huggingface_hub's layout: its refs, its blobs, its snapshots.

::

    models--<org>--<name>/
        refs/<ref>                  text: the commit; a ref may hold slashes (refs/refs/pr/1)
        blobs/<etag>                64 hex digits: sha256 of an LFS file; 40: git's sha1 of a small one
        snapshots/<commit>/<path>   links into blobs; real files on Windows and without links
        trees/<commit>.json         every file of the commit, see `hub_tree`
        .no_exist/<commit>/         not looked at
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from modelshelf.model import ArtifactFile, Problem
from modelshelf.source import Folder, Listing, Walk
from modelshelf_sources.documents import UnusableDocumentError, read_bytes
from modelshelf_sources.download_layouts import PREFIX
from modelshelf_sources.hub_metadata import SHA256, ExpectedTree, read_tree
from modelshelf_sources.listing import model_id, orphan, relative, unfinished, unlisted

if TYPE_CHECKING:
    from modelshelf.model import UnfinishedDownload
    from modelshelf_sources.download_layouts import Spot


MAIN = "main"

_UNFINISHED = (".incomplete", ".downloadInProgress", ".tmp")  # huggingface_hub's, and llama.cpp's

_LONGEST_REF = 1024  # bytes of a file below refs/

_SHORT = 8  # digits of a commit that has no ref


def repository_id(folder: str) -> str:
    """``org/name`` of a folder ``models--org--name``."""
    return os.path.basename(folder).removeprefix(PREFIX).replace("--", "/")


def list_repository(folder: str, walk: Walk, *, only: str | None = None) -> Iterator[Listing]:
    """Everything in one repository's folder.

    Args:
        folder: Its absolute path.
        walk: The core's walker.
        only: The commit of the one snapshot that is meant; None means all, and what no snapshot uses.
    """
    faults: list[Problem] = []
    blobs = _entries(f"{folder}/blobs", faults)
    if faults:  # every link would seem to lead to nothing, and every model to be gone
        yield evolve(faults[0], path=folder)
        return
    refs = read_refs(f"{folder}/refs", faults)
    snapshots = _entries(f"{folder}/snapshots", faults)
    yield from faults
    commits = [name for name, entry in snapshots.items() if entry.is_dir() and only in (None, name)]
    used: set[str] = set()
    whole = not faults
    for commit in sorted(commits, key=lambda one: _order(one, refs)):
        snapshot = _Snapshot.read(folder, commit, refs.get(commit, ()), blobs)
        used |= snapshot.used
        whole = whole and snapshot.whole
        yield from snapshot.list(walk)
    if only is None:
        yield from _left_over(f"{folder}/blobs", blobs, used if whole else None)


def read_refs(folder: str, faults: list[Problem]) -> dict[str, tuple[str, ...]]:
    """Refs by commit, ``main`` first; what cannot be read is added to `faults`."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    waiting = [folder]
    while waiting:
        for name, entry in _entries(waiting.pop(), faults).items():
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            try:
                commit = read_bytes(entry.path, _LONGEST_REF).decode().strip()
            except (UnusableDocumentError, UnicodeDecodeError) as error:
                faults.append(_problem("unreadable-ref", entry.path, f"{entry.path}: {name}: {error}"))
                continue
            found[commit].append(relative(entry.path, folder))
    return {commit: tuple(sorted(refs, key=lambda ref: (ref != MAIN, ref))) for commit, refs in found.items()}


@frozen(kw_only=True)
class _Snapshot:
    """The files of one commit that are here.

    Attributes:
        path: Its folder.
        repository: ``org/name``.
        refs: Refs that lead to it, the one that names it first.
        blob_of: Path within the snapshot to the name of the blob behind it; None for a real file.
        refused: Problems of its links by absolute path: such a file is never listed.
        whole: Whether all of it could be looked at.
    """

    path: str
    repository: str
    refs: tuple[str, ...]
    blob_of: Mapping[str, str | None]
    refused: Mapping[str, Problem]
    whole: bool = field()

    @classmethod
    def read(
        cls, folder: str, commit: str, refs: tuple[str, ...], blobs: Mapping[str, os.DirEntry[str]]
    ) -> _Snapshot:
        path = f"{folder}/snapshots/{commit}"
        blob_of: dict[str, str | None] = {}
        refused: dict[str, Problem] = {}
        faults: list[Problem] = []
        waiting = [("", "../../blobs/")]
        while waiting:
            below, way = waiting.pop()
            for entry in _entries(f"{path}/{below}" if below else path, faults).values():
                name = f"{below}/{entry.name}" if below else entry.name
                if not entry.is_symlink():
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((name, f"../{way}"))
                    else:
                        blob_of[name] = None
                    continue
                blob = _blob_behind(entry.path, way, f"{folder}/blobs", blobs)
                if isinstance(blob, Problem):
                    refused[entry.path] = blob
                else:
                    blob_of[name] = blob
        return cls(
            path=path,
            repository=repository_id(folder),
            refs=refs,
            blob_of=blob_of,
            refused=refused,
            whole=not faults,
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
        if MAIN in self.refs:
            return self.repository
        return f"{self.repository}@{self.refs[0] if self.refs else self.commit[:_SHORT]}"

    def list(self, walk: Walk) -> Iterator[Listing]:
        """Its folders, and what is wrong with its links and sizes."""
        try:
            tree = read_tree(os.path.dirname(os.path.dirname(self.path)), self.commit)
        except UnusableDocumentError as error:
            yield _problem("unreadable-tree", self.path, f"{error}; what the snapshot lacks is not known")
            tree = None
        facts = self._facts(tree)
        yield from self.refused.values()
        for listed in walk(self.path):
            if isinstance(listed, Folder):
                yield from self._told(listed, facts, tree or ExpectedTree())
            elif not (isinstance(listed, Problem) and listed.path in self.refused):
                yield listed

    def _facts(self, tree: ExpectedTree | None) -> dict[str, Any]:
        facts: dict[str, Any] = {"repository": self.repository, "commit": self.commit}
        if self.refs:
            facts["ref"] = self.refs[0]
        if len(self.refs) > 1:
            facts["other_refs"] = list(self.refs[1:])
        return facts if tree is None else {**facts, **tree.facts(self.blob_of)}

    def _told(self, folder: Folder, facts: dict[str, Any], tree: ExpectedTree) -> Iterator[Listing]:
        below = relative(folder.path, self.path)
        files = []
        for one in folder.files:
            path = f"{below}/{one.name}" if below else one.name
            if path not in self.blob_of:
                continue  # refused, or came after the links were read
            wanted = tree.wrong_size(path, one)
            if wanted is not None:
                yield _wrong_size(folder, one, wanted)
            files.append(_with_digest(one, self._sha256(path, one, tree)))
        named = model_id(f"{self.model_id}:{below}" if below else self.model_id)
        yield evolve(folder, files=tuple(files), model_id=named, facts=facts)

    def _sha256(self, path: str, one: ArtifactFile, tree: ExpectedTree) -> str | None:
        blob = self.blob_of[path]
        if blob is None:
            return tree.sha256_of(path, one)
        return blob if SHA256.fullmatch(blob) else None


def _with_digest(one: ArtifactFile, sha256: str | None) -> ArtifactFile:
    if sha256 is None:
        return one
    # Made anew and not evolved: there is one for each file of each snapshot, and this is four times faster.
    return ArtifactFile(
        name=one.name,
        size=one.size,
        mtime_ns=one.mtime_ns,
        inode=one.inode,
        role=one.role,
        etag=one.etag,
        sha256=sha256,
    )


def _order(commit: str, refs: Mapping[str, tuple[str, ...]]) -> tuple[bool, bool, tuple[str, ...], str]:
    """Main's snapshot first, so that content that several share gets its id; then others with a ref."""
    told = refs.get(commit, ())
    return (MAIN not in told, not told, told, commit)


def _blob_behind(link: str, way: str, blobs: str, known: Mapping[str, os.DirEntry[str]]) -> str | Problem:
    """The name of the blob that a snapshot's link leads to, or why it is refused.

    Args:
        link: The link's absolute path.
        way: The relative way from its folder to the blobs, as huggingface_hub writes it into links.
        blobs: The folder of blobs.
        known: Its entries by name.
    """
    try:
        text = os.readlink(link)
    except (OSError, ValueError) as error:
        return _problem("unreadable", link, f"{link}: {error}")
    name = text.removeprefix(way)
    if name == text or "/" in name:  # not the way that the tool writes: it may lead there all the same
        target = os.path.normpath(os.path.join(os.path.dirname(link), text))
        folder, name = os.path.split(target)
        if folder != blobs and os.path.realpath(folder) != os.path.realpath(blobs):
            return _problem(
                "link-leaves-blobs",
                link,
                f"{link}: links to {target}, which is no blob of its repository, so not followed",
            )
    blob = known.get(name)
    if blob is None:
        return _problem("missing-blob", link, f"{link}: its blob {name} is gone; download the file again")
    if not blob.is_file(follow_symlinks=False):
        return _problem(
            "link-leaves-blobs", link, f"{link}: its blob {name} is no regular file, so not followed"
        )
    return name


def _left_over(
    folder: str, blobs: Mapping[str, os.DirEntry[str]], used: set[str] | None
) -> Iterator[Listing]:
    """Unfinished downloads; and blobs that no snapshot uses, where all snapshots could be read."""
    for name in blobs:
        path = f"{folder}/{name}"
        try:
            if name.endswith(_UNFINISHED):
                yield _unfinished(path)
            elif used is not None and name not in used:
                yield orphan(path, "no snapshot of the repository uses this blob")
        except OSError:
            continue  # finished or cleaned in the meantime


def _unfinished(path: str) -> UnfinishedDownload:
    return unfinished(path, f"its name ends in .{path.rpartition('.')[2]}")


def _wrong_size(folder: Folder, one: ArtifactFile, wanted: int) -> Problem:
    path = f"{folder.path}/{one.name}"
    return _problem(
        "size-differs",
        path,
        f"{path}: has {one.size} bytes, the repository tells {wanted}; download it again",
    )


def _entries(folder: str, faults: list[Problem]) -> dict[str, os.DirEntry[str]]:
    """The entries of a folder by name, sorted; none where it is absent."""
    try:
        with os.scandir(folder) as listing:
            return {entry.name: entry for entry in sorted(listing, key=attrgetter("name"))}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        faults.append(unlisted(folder, error))
        return {}


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)


def list_spot(spot: Spot, walk: Walk) -> Iterator[Listing]:
    """Everything that a path means: every repository of the cache, or the one."""
    if spot.repository is not None:
        yield from list_repository(spot.repository, walk, only=spot.commit)
    elif spot.cache is not None:
        yield from list_cache(spot.cache, walk)


def list_cache(folder: str, walk: Walk) -> Iterator[Listing]:
    """Every model of a cache; data sets, spaces, locks and tags are not looked at."""
    try:
        with os.scandir(folder) as listing:
            names = sorted(
                entry.name for entry in listing if entry.name.startswith(PREFIX) and entry.is_dir()
            )
    except OSError as error:
        yield unlisted(folder, error)
        return
    for name in names:
        yield from list_repository(f"{folder}/{name}", walk)
