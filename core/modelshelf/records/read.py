"""Reading the registry's records out of one state of a store.

A listing reads summaries, pins and the default, and loads no more than that takes: what reads a record whole,
and the classes of `modelshelf.model`, are imported where they are used, because attrs takes longer to load
than a listing of a thousand models to make.
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from modelshelf.errors import DamagedStoreError
from modelshelf.records.frame import damaged, decode_value, is_intact, misplaced, unchecked_summary
from modelshelf.records.summary import Summary, current_version, decode_summary, summaries
from modelshelf.records.tables import (
    ALIASES,
    CACHED_ROOTS,
    CHANGED_PATHS,
    DEFAULT,
    FAILURE_PLACES,
    FAILURES,
    FOLDER_CACHES,
    HOOKS,
    LOCATIONS,
    MOUNTS,
    NOT_WELL,
    PATH_PREFIX,
    PINS,
    PREFIX_BYTES,
    RECORDS,
    REJECTIONS,
    SHARD_INDEXES,
    SHARED_NAMES,
    UNHEALTHY,
    Rebuild,
    after,
    changed_prefix,
    content_key,
    id_key,
    path_bytes,
    path_key,
    record_key,
    shared_name_prefix,
    table_of,
    versions_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Depth, ModelConfig, ModelVersion, PluginFailure
    from modelshelf.records.summary import OnDamage, Record
    from modelshelf.records.tables import Table
    from modelshelf.store import Snapshot


class PathEntry(NamedTuple):
    """What an earlier scan made of a path. No attrs class, because a listing loads this module.

    Attributes:
        fingerprint: Digest of the stat data then.
        depth: How deep the last look into the files went.
        model_id: The record's id, or None where the path was rejected.
        version: The record's version.
        missing: Whether the files were gone at the last scan.
        code: Why it was rejected, or None.
        message: The same for a person.
        proposed_id: The id that the place proposed for the model; empty where a release before 0.2 read it.
    """

    fingerprint: bytes
    depth: Depth
    model_id: str | None = None
    version: ModelVersion | None = None
    missing: bool = False
    code: str | None = None
    message: str | None = None
    proposed_id: str = ""


class RecordReader:
    """Typed reading of one state of a store.

    A damaged entry is a `DamagedStoreError`, also where its key is what was damaged: such an entry lies
    beside the place where it is missed. Of rejections and shard indexes, which only spare a scan work, the
    damaged ones are left out.

    Args:
        state: The state.
        on_damage: Called with the error of each record that `summaries` and `ids` leave out because it is
            damaged; without it the first one ends them.
    """

    def __init__(self, state: Snapshot, on_damage: OnDamage | None = None) -> None:
        self._state = state
        self._on_damage = on_damage

    def ids(self, beginning: str) -> list[str]:
        """The ids that begin so, sorted; only the pages that can contain them are read."""
        prefix = id_key(RECORDS, beginning)[: PREFIX_BYTES + PATH_PREFIX]
        found = summaries(self._state.scan(prefix), self._on_damage)
        return sorted({one.id for one in found if one.id.startswith(beginning)})

    def summaries(self, needle: bytes = b"") -> Iterator[Summary]:
        """Of every record, all versions, a model's together; for `needle` see `records.summary.summaries`."""
        yield from summaries(self._state.scan(RECORDS.prefix), self._on_damage, needle)
        try:
            self._ensure_none_beside(RECORDS, RECORDS.prefix)
        except DamagedStoreError as error:
            if self._on_damage is None:
                raise
            self._on_damage(error)

    def summary(self, model_id: str, version: str) -> Summary | None:
        """The listing fields of the record of that id and version."""
        key = record_key(model_id, _version(version))
        value = self._state.get(key)
        return None if value is None else decode_summary(key, value)

    def model(self, model_id: str, version: ModelVersion | str) -> ModelConfig | None:
        """The record of that id and version."""
        from modelshelf.records.codec import decode_record

        key = record_key(model_id, version)
        value = self._state.get(key)
        if value is None:
            self._ensure_absent(key)
            return None
        return decode_record(key, value)

    def versions(self, model_id: str) -> list[ModelVersion]:
        """Versions of a model, newest first; empty for an unknown id."""
        return sorted((_version(one.version) for one in self._of_model(model_id)), reverse=True)

    def current(self, model_id: str) -> ModelConfig | None:
        """The pinned record of an id or alias, else its newest that is not missing, else its newest."""
        found = self._of_model(model_id)
        if not found:
            aliased = self.alias(model_id)
            return None if aliased is None or aliased == model_id else self.current(aliased)
        chosen = current_version(found, self.pinned(model_id))
        return self.model(model_id, _version(chosen.version))

    def _of_model(self, model_id: str) -> list[Summary]:
        prefix = versions_prefix(model_id)
        found = [decode_summary(key, value) for key, value in self._state.scan(prefix)]
        for near, value in self._near(prefix, after(prefix)):
            if unchecked_summary(value)[:1] == [model_id]:
                raise misplaced(near, prefix)
        return found

    def pins(self) -> dict[bytes, str]:
        """Every pin: the id's key part, see `tables.pin_part`, to the version."""
        found = self._entries(PINS, PINS.prefix)
        return {key[PREFIX_BYTES:]: decode_value(key, value) for key, value in found}

    def pinned(self, model_id: str) -> str | None:
        """The version that an id is pinned to."""
        return cast("str | None", self._value(id_key(PINS, model_id)))

    def default(self) -> str | None:
        """The default model's id."""
        return cast("str | None", self._value(DEFAULT))

    def alias(self, name: str) -> str | None:
        """The id behind an alias."""
        return cast("str | None", self._value(id_key(ALIASES, name)))

    def sharing(self, name: str, folder: str) -> set[str]:
        """Ids of the models outside of a folder that would have a name as their id, and have a longer one."""
        found = set()
        for key, value in self._entries(SHARED_NAMES, shared_name_prefix(name)):
            path = os.fsdecode(decode_value(key, value))
            entry = self.location(path) if path.rpartition("/")[0] != folder else None
            if entry is not None and entry.model_id is not None and not entry.missing:
                found.add(entry.model_id)
        return found

    def aliases(self) -> Iterator[tuple[str, str]]:
        """Every alias with the id behind it; of an alias too long for a key what the key has of it."""
        for key, value in self._entries(ALIASES, ALIASES.prefix):
            yield key[PREFIX_BYTES:].decode("utf-8", "surrogatepass"), decode_value(key, value)

    def by_content(self, digest: bytes) -> tuple[str, ModelVersion] | None:
        """The id and version of the record with that content."""
        value = self._value(content_key(digest))
        return None if value is None else (value[0], _version(value[1]))

    def failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans, the newest of them."""
        value = self._value(FAILURES)
        if not value:
            return []
        from modelshelf.model.failure import PluginFailure

        # Under a key of their own, as release 0.1 reads no longer entries, and by what it keeps of a failure.
        stored = self._value(FAILURE_PLACES) or ()
        places = {(plugin, hook, reason): place for plugin, hook, reason, *place in stored}
        failures = []
        for plugin, version, hook, reason, path in value:
            file, line, always = places.get((plugin, hook, reason), (None, None, False))
            failures.append(
                PluginFailure(
                    plugin=plugin,
                    version=version,
                    hook=hook,
                    reason=reason,
                    path=path,
                    file=file,
                    line=line,
                    always=always,
                )
            )
        return failures

    def plugin_hooks(self) -> dict[tuple[str, str, str], tuple[str, ...]]:
        """Distribution, version and name of each plugin whose hooks are known, to the names of its hooks."""
        rows = self._value(HOOKS) or ()
        return {(distribution, version, name): tuple(hooks) for distribution, version, name, hooks in rows}

    def mounts(self) -> list[str]:
        """The mount points that models lie, or lay, on."""
        return [os.fsdecode(one) for one in self._value(MOUNTS) or ()]

    def location(self, path: str) -> PathEntry | None:
        """What is known of a path that a record lies at."""
        value = self._value(path_key(LOCATIONS, path))
        return None if value is None else _location(value)

    def is_present(self, path: str) -> bool:
        """Whether a record lies at a path, was read whole, and was there at the last scan."""
        value = self._value(path_key(LOCATIONS, path))
        return value is not None and _is_present(value)

    def present_paths_below(self, root: str) -> Iterator[str]:
        """Every path at or below a root of which `is_present` is true."""
        return (path for path, value in self._paths(LOCATIONS, root) if _is_present(value))

    def models_below(self, root: str) -> Iterator[tuple[str, str]]:
        """Id and version of the record at every path at or below a root, but those that are missing."""
        for _, (_, model_id, version, missing, *_) in self._paths(LOCATIONS, root):
            if not missing:
                yield model_id, version

    def files(self) -> Iterator[tuple[str, str, str]]:
        """Every path that a record lies at, or lay at, with the record's id and version."""
        for path, (_, model_id, version, *_) in self._paths(LOCATIONS, ""):
            yield path, model_id, version

    def unhealthy_below(self, root: str) -> Iterator[tuple[str, str, str]]:
        """Id, version and status of every unhealthy or degraded model at or below a root.

        Where their table is damaged the records are read in its place, so that none is left out.
        """
        try:
            table = list(self._paths(UNHEALTHY, root))
        except DamagedStoreError:
            for model_id, version in self.models_below(root):
                found = self.summary(model_id, version)
                if found is not None and found.health_status in NOT_WELL:
                    yield model_id, version, found.health_status
        else:
            for _, (model_id, version, status, *_) in table:
                yield model_id, version, status

    def rejection(self, path: str) -> PathEntry | None:
        """What is known of a path that was looked into and holds no model."""
        value = self._value_if_intact(path_key(REJECTIONS, path))
        return None if value is None else _rejection(value)

    def path_entries_below(self, root: str) -> dict[str, PathEntry]:
        """What earlier scans made of every path at or below a root."""
        found = {path: _rejection(value) for path, value in self._paths(REJECTIONS, root)}
        found.update((path, _location(value)) for path, value in self._paths(LOCATIONS, root))
        return found

    def shard_index(self, path: str) -> tuple[int, int, int, list[str]] | None:
        """Size, mtime_ns, inode and shard names of a known index."""
        value = self._value_if_intact(path_key(SHARD_INDEXES, path))
        return None if value is None else _shard_index(value)

    def shard_indexes_below(self, root: str) -> dict[str, tuple[int, int, int, list[str]]]:
        """Size, mtime_ns, inode and shard names of every known index at or below a root."""
        return {path: _shard_index(value) for path, value in self._paths(SHARD_INDEXES, root)}

    def folder_cache(self, root: str) -> Any:
        """What the last scan saved of the tree below a root, or None.

        None too where an entry of `changed_paths`, or the list of the roots that those are kept for, is
        damaged: nobody knows then what changed since.
        """
        try:
            if path_bytes(root) not in (self._value(CACHED_ROOTS) or ()):
                return None
            self.changed_paths(root)
            return self._value(path_key(FOLDER_CACHES, root))
        except DamagedStoreError:
            return None

    def changed_paths(self, root: str) -> list[str]:
        """Paths below a root whose location or rejection changed since its folder cache was saved."""
        prefix = changed_prefix(path_bytes(root))
        found = self._entries(CHANGED_PATHS, prefix)
        return [os.fsdecode(decode_value(key, value)) for key, value in found]

    def _paths(self, table: Table, root: str) -> Iterator[tuple[str, list[Any]]]:
        """Each path at or below a root in a table whose keys are paths, with the value."""
        start = path_bytes(root.rstrip("/"))
        prefix = table.prefix + start[:PATH_PREFIX]
        spares_work = table.rebuild is Rebuild.NEXT_SCAN
        for key, value in self._state.scan(prefix):
            if spares_work and not is_intact(key, value):
                continue
            content = decode_value(key, value)
            path = content[-1]
            if not start or path == start or path.startswith(start + b"/"):
                yield os.fsdecode(path), content
        if not spares_work:
            self._ensure_none_beside(table, prefix)

    def _entries(self, table: Table, prefix: bytes) -> Iterator[Record]:
        """Every entry of a table whose key begins with a prefix.

        Raises:
            DamagedStoreError: One lies beside them under a damaged key.
        """
        yield from self._state.scan(prefix)
        self._ensure_none_beside(table, prefix)

    def _value(self, key: bytes) -> Any:
        value = self._state.get(key)
        if value is None:
            self._ensure_absent(key)
            return None
        return decode_value(key, value)

    def _value_if_intact(self, key: bytes) -> Any:
        """The value in a table that only spares work: None too where it is damaged."""
        try:
            return self._value(key)
        except DamagedStoreError:
            return None

    def _near(self, start: bytes, stop: bytes) -> list[Record]:
        """The entries at the edges of a range; see `Snapshot.around`."""
        return self._state.around(start, stop)

    def _ensure_absent(self, key: bytes) -> None:
        """Make sure that an entry which was not found does not lie beside its place, under a damaged key.

        Raises:
            DamagedStoreError: It does.
        """
        for near, value in self._near(key, key + b"\0"):
            if is_intact(key, value):
                raise misplaced(near, key)

    def _ensure_none_beside(self, table: Table, prefix: bytes) -> None:
        """Make sure that none of a table's entries lies beside a range of its keys, under a damaged key.

        Raises:
            DamagedStoreError: One does.
        """
        for near, value in self._near(prefix, after(prefix)):
            if not is_intact(near, value) and _may_belong_to(table, near, value):
                raise damaged(near, "does not match its checksum")


def _may_belong_to(table: Table, key: bytes, value: bytes) -> bool:
    """Whether an entry under a damaged key may be one of a table's; records alone have a summary."""
    if unchecked_summary(value):
        return table is RECORDS
    if table_of(key) in (None, table):
        return table is not RECORDS
    return is_intact(table.prefix + key[PREFIX_BYTES:], value)


def _location(value: list[Any]) -> PathEntry:
    fingerprint, model_id, version, missing, *added = value
    return PathEntry(
        fingerprint=fingerprint,
        depth=_depth(added[0] if len(added) > 1 else "header"),  # the path comes last
        model_id=model_id,
        version=_version(version),
        missing=bool(missing),
        proposed_id=added[1] if len(added) > 2 else "",  # noqa: PLR2004 - as above
    )


def _rejection(value: list[Any]) -> PathEntry:
    fingerprint, code, message, *_ = value
    return PathEntry(fingerprint=fingerprint, depth=_depth("header"), code=code, message=message)


def _is_present(location: list[Any]) -> bool:
    fingerprint, model_id, _, missing, *_ = location
    return bool(fingerprint and model_id) and not missing


def _shard_index(value: list[Any]) -> tuple[int, int, int, list[str]]:
    return (value[0], value[1], value[2], [os.fsdecode(name) for name in value[3]])


@cache
def _depth(text: str) -> Depth:
    from modelshelf.model.depth import Depth

    return Depth(text)


@lru_cache(maxsize=1024)  # nearly all models have one of a few versions
def _version(text: str) -> ModelVersion:
    from modelshelf.model.version import ModelVersion

    return ModelVersion.parse(text)
