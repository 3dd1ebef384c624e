"""What the registry knows of the paths in one place, as a scan asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.records.write import RecordReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from modelshelf.model import ArtifactFile
    from modelshelf.records.seen import PathEntry
    from modelshelf.store import Store


class Known:
    """Answers out of the store, path by path, or from a copy of all that it knows below a root.

    Args:
        store: The store.
        root: The root whose paths are asked for.
        at_once: Whether to read everything now, which is less work than many single questions.
    """

    def __init__(self, store: Store, root: str, *, at_once: bool) -> None:
        self._store = store
        self._seen: dict[str, PathEntry] | None = None
        self._indexes: dict[str, tuple[int, int, int, list[str]]] | None = None
        if at_once:
            self._seen = store.view(lambda state: RecordReader(state).path_entries_below(root))
            self._indexes = store.view(lambda state: RecordReader(state).shard_indexes_below(root))

    def seen(self, path: str) -> PathEntry | None:
        """What an earlier scan made of a path."""
        if self._seen is not None:
            return self._seen.get(path)
        return self._store.view(
            lambda state: RecordReader(state).location(path) or RecordReader(state).rejection(path)
        )

    def shards(self, path: str, index: ArtifactFile) -> Sequence[str] | None:
        """The shards that an index names, where it is known and unchanged."""
        if self._indexes is not None:
            known = self._indexes.get(path)
        else:
            known = self._store.view(lambda state: RecordReader(state).shard_index(path))
        if known is None or known[:3] != (index.size, index.mtime_ns, index.inode):
            return None
        return known[3]

    def standing(self, paths: Iterable[str] | None) -> list[str]:
        """Of these paths, or of all that are known, those at which a record lies that is not missing."""
        if self._seen is None:
            asked = list(dict.fromkeys(paths or ()))
            found = self._store.view(
                lambda state: [(path, RecordReader(state).location(path)) for path in asked]
            )
        elif paths is None:
            found = list(self._seen.items())
        else:
            found = [(path, self._seen.get(path)) for path in dict.fromkeys(paths)]
        return [path for path, seen in found if seen and seen.model_id is not None and not seen.missing]
