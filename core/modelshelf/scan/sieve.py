"""What a place lists becomes artifacts, and those that are as they were are left out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from modelshelf.model import Artifact, ArtifactFile, Orphan, Problem, UnfinishedDownload
from modelshelf.records.write import Records
from modelshelf.scan.changed import bound
from modelshelf.scan.group import Grouped, group
from modelshelf.source import Folder, room_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelshelf.model import Depth
    from modelshelf.scan.counters import Tally
    from modelshelf.scan.file_names import FormatTable
    from modelshelf.scan.remembered import Remembered
    from modelshelf.source import Listing
    from modelshelf.store import Store, Transaction


class Sieve:
    """Lets through the artifacts of one place that are new or changed.

    Args:
        formats: The names that the formats claim.
        rules: What a rejection holds under; see `rules_of`.
        remembered: What earlier scans left of the place.
        tally: Counts what is held back.
        visited: Paths of the artifacts that the scan came by, in other places too; grows.
        unlisted: Places and folders that could not be listed; grows.
        depth: How deep the scan looks: what was not looked at so deeply is let through.
        force: Whether to let unchanged artifacts through too.
    """

    def __init__(
        self,
        formats: FormatTable,
        rules: bytes,
        remembered: Remembered,
        tally: Tally,
        *,
        visited: set[str],
        unlisted: list[str],
        depth: Depth,
        force: bool,
    ) -> None:
        self._formats = formats
        self._rules = rules
        self._remembered = remembered
        self._tally = tally
        self._visited = visited
        self._unlisted = unlisted
        self._depth = depth
        self._force = force
        self._new_indexes: list[tuple[str, ArtifactFile, list[str]]] = []

    def changed(self, listings: Iterator[Listing], source: str) -> Iterator[Artifact]:
        """The artifacts to examine, of what the source of that name lists."""
        for artifact in self._artifacts(listings, source):
            if artifact.path in self._visited:
                self._remembered.leave_open(artifact)
                continue
            self._visited.add(artifact.path)
            if not self._is_known(artifact):
                yield artifact

    def remember_indexes(self, store: Store) -> None:
        """Keep the shards that new or changed indexes name."""
        if self._new_indexes:
            store.update(self._write_indexes)

    def _write_indexes(self, state: Transaction) -> None:
        records = Records(state)
        for path, index, names in self._new_indexes:
            records.save_shard_index(path, index, names)

    def _is_known(self, artifact: Artifact) -> bool:
        seen = None if self._force else self._remembered.known.seen(artifact.path)
        if seen is None or seen.missing:
            return False
        digest = artifact.fingerprint.digest
        if seen.code is None:
            if seen.fingerprint != digest or not seen.depth.reaches(self._depth):
                return False
            self._tally.found += 1
            self._tally.unchanged += 1
        else:
            if seen.fingerprint != bound(digest, self._rules):
                return False
            if self._formats.claims(artifact.weights[0].name):
                self._remembered.leave_open(artifact)
                self._tally.problems.append(
                    Problem(code=seen.code, path=artifact.path, message=seen.message or "")
                )
            else:
                self._remembered.dismiss(artifact)
        self._tally.done += 1
        return True

    def _artifacts(self, listings: Iterator[Listing], source: str) -> Iterator[Artifact]:
        for one in listings:
            if isinstance(one, Folder):
                self._tally.folders += 1
                grouped = group(one, self._formats, self._read_index, source)
                self._tally.unfinished += map(_with_room, grouped.unfinished)
                self._tally.problems += grouped.problems
                self._note(one, grouped)
                yield from grouped.artifacts
            elif isinstance(one, Artifact):
                yield one
            elif isinstance(one, UnfinishedDownload):
                self._tally.unfinished.append(one)
            elif isinstance(one, Orphan):
                self._tally.orphans.append(one)
            else:
                self._tally.problems.append(one)
                if one.code in {"absent", "unreadable-folder", "unreadable"} and one.path:
                    self._unlisted.append(one.path)

    def _note(self, folder: Folder, grouped: Grouped) -> None:
        tree = self._remembered.tree
        if tree is not None:
            tree.held(folder.path, (one.primary for one in grouped.artifacts))
            if grouped.unfinished or grouped.problems:
                tree.look_again(folder.path)

    def _read_index(self, folder: str, index: ArtifactFile) -> Sequence[str] | Problem:
        path = f"{folder.rstrip('/')}/{index.name}"
        known = self._remembered.known.shards(path, index)
        if known is not None:
            return known
        from modelshelf.scan.index import read_index  # it reads JSON: most folders have no index

        names = read_index(folder, index)
        if not isinstance(names, Problem):
            self._new_indexes.append((path, index, names))
        return names


def _with_room(one: UnfinishedDownload) -> UnfinishedDownload:
    """An unfinished download of a plain folder with the room that it takes: some are sparse."""
    try:
        return attrs.evolve(one, size=room_of(os.stat(one.path)))
    except (OSError, ValueError):
        return one
