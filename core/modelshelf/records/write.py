"""Writing the registry's records: each table that points to a record changes with it, in one transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from modelshelf.errors import DamagedStoreError
from modelshelf.records.frame import decode_value, encode_value, is_intact
from modelshelf.records.read import RecordReader
from modelshelf.records.tables import (
    ALIASES,
    CACHED_ROOTS,
    DEFAULT,
    FAILURE_PLACES,
    FAILURES,
    FOLDER_CACHES,
    HOOKS,
    LOCATIONS,
    MOUNTS,
    NOT_WELL,
    PINS,
    REJECTIONS,
    SHARD_INDEXES,
    UNHEALTHY,
    changed_prefix,
    content_key,
    id_key,
    key_part,
    path_bytes,
    path_key,
    record_key,
    shared_name_key,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from modelshelf.model import ArtifactFile, Location, ModelConfig, ModelVersion, PluginFailure
    from modelshelf.records.summary import Record
    from modelshelf.records.tables import Table
    from modelshelf.store import Transaction

_MOST_FAILURES = 200
_MOST_FOLDER_CACHES = 64
_MOST_PLUGINS = 500


def _renamed(config: ModelConfig, new_id: str, *, keep_name: bool) -> ModelConfig:
    import attrs  # as in `Records.put`

    kept = [config.id] if keep_name else []
    return attrs.evolve(
        config,
        id=new_id,
        aliases=[*(one for one in config.aliases if one != new_id), *kept],
        given_aliases=[*(one for one in config.given_aliases if one != new_id), *kept],
        display_name=new_id if config.display_name == config.id else config.display_name,
    )


class Records(RecordReader):
    """Typed changes within one transaction, which sees them."""

    def __init__(self, state: Transaction) -> None:
        super().__init__(state)
        self._changing = state
        self._roots: list[bytes] | None = None

    def _near(self, start: bytes, stop: bytes) -> list[Record]:  # noqa: ARG002 - as it is inherited
        """None: what a writer misses is no answer to anybody, and a scan misses a lot."""
        return []

    def put(self, config: ModelConfig) -> None:
        """Write a record, with its entries in the tables that point to it."""
        from modelshelf.records.codec import encode_record  # a scan of what is unchanged encodes none
        from modelshelf.records.ids import shared_names

        key = record_key(config.id, config.version)
        self._changing.put(key, encode_record(key, config))
        for place in config.locations:
            if place.missing and self._is_of_another(place.path, config):
                continue  # other bytes lie there by now, and the path is their record's
            entry = [place.fingerprint, config.id, str(config.version), place.missing, place.depth.value]
            if place.proposed_id:
                entry.append(place.proposed_id)
            self._put_path(LOCATIONS, place.path, entry)
            self._changing.delete(path_key(REJECTIONS, place.path))
            self._put_health(place, config)
        if config.content_digest:
            self._put(content_key(config.content_digest), [config.id, str(config.version)])
        for alias in config.aliases:
            self._put(id_key(ALIASES, alias), config.id)
        shared = shared_names(config)
        if shared is not None:
            path = path_bytes(shared[0].path)
            for name in shared[1]:
                self._put(shared_name_key(name, path), path)

    def rename(self, model_id: str, new_id: str, *, keep_name: bool) -> ModelConfig:
        """Give a model another id: its versions, aliases, pin and the default go with it.

        Args:
            model_id: The id that it has.
            new_id: An id that no other model has; an alias of the model itself is fine.
            keep_name: Whether the id that it had is an alias from now on.

        Returns:
            Its current version.
        """
        versions = [self.model(model_id, one) for one in self.versions(model_id)]
        records = [one for one in versions if one is not None]
        pinned, is_default = self.pinned(model_id), self.default() == model_id
        current = self.current(model_id)
        for one in records:
            self.delete(one)
        self._changing.delete(id_key(ALIASES, new_id))
        renamed = [_renamed(one, new_id, keep_name=keep_name) for one in reversed(records)]
        for one in renamed:
            self.put(one)
        if pinned is not None:
            self._put(id_key(PINS, new_id), pinned)
        if is_default:
            self.set_default(new_id)
        return next(one for one in renamed if current is not None and one.version == current.version)

    def _put_health(self, place: Location, config: ModelConfig) -> None:
        """Keep the few that are not well where a scan that changed nothing finds them quickly."""
        from modelshelf.model.health import is_unfinished  # as in `put`

        key = path_key(UNHEALTHY, place.path)
        status = config.health_status.value
        reported = status in NOT_WELL or is_unfinished(config.findings)
        if reported and not place.missing:
            self._put(key, [config.id, str(config.version), status, path_bytes(place.path)])
        else:
            self._changing.delete(key)

    def _is_of_another(self, path: str, config: ModelConfig) -> bool:
        entry = self.location(path)
        return entry is not None and (entry.model_id, entry.version) != (config.id, config.version)

    def delete(self, config: ModelConfig) -> None:
        """Remove a record and whatever points to it."""
        self._changing.delete(record_key(config.id, config.version))
        for place in config.locations:
            self.delete_location(place.path, config.id, config.version)
        digest = config.content_digest
        if digest and self.by_content(digest) == (config.id, config.version):
            self._changing.delete(content_key(digest))
        if not self.versions(config.id):
            self.pin(config.id, None)
            self.delete_aliases(config.id, config.aliases)

    def delete_aliases(self, model_id: str, aliases: tuple[str, ...]) -> None:
        """Remove aliases that point to this id."""
        for alias in aliases:
            if self.alias(alias) == model_id:
                self._changing.delete(id_key(ALIASES, alias))

    def delete_location(self, path: str, model_id: str, version: ModelVersion) -> None:
        """Remove what is known of a path, where it is that record's."""
        entry = self.location(path)
        if entry is not None and (entry.model_id, entry.version) == (model_id, version):
            self._changing.delete(path_key(LOCATIONS, path))
            self._changing.delete(path_key(UNHEALTHY, path))
            self.mark_changed(path)

    def pin(self, model_id: str, version: ModelVersion | None) -> None:
        """Pin an id to a version, or unpin it."""
        key = id_key(PINS, model_id)
        if version is None:
            self._changing.delete(key)
        else:
            self._put(key, str(version))

    def set_default(self, model_id: str | None) -> None:
        """Make a model the default, or none."""
        if model_id is None:
            self._changing.delete(DEFAULT)
        else:
            self._put(DEFAULT, model_id)

    def reject(self, path: str, fingerprint: bytes, code: str, message: str) -> None:
        """Remember that a path holds no model, so that it is not opened again until it changes."""
        storable = message.encode("utf-8", "backslashreplace").decode()
        self._put_path(REJECTIONS, path, [fingerprint, code, storable])

    def save_shard_index(self, path: str, index: ArtifactFile, names: list[str]) -> None:
        """Remember which shards an index names."""
        shards = [path_bytes(name) for name in names]
        entry = [index.size, index.mtime_ns, index.inode, shards, path_bytes(path)]
        self._put(path_key(SHARD_INDEXES, path), entry)

    def save_mounts(self, mounts: Iterable[str]) -> None:
        """Remember the mount points that models lie, or lay, on."""
        self._put(MOUNTS, sorted(path_bytes(one) for one in mounts))

    def save_failures(self, failures: list[PluginFailure]) -> None:
        """Remember what plugins failed at, in place of what was remembered before."""
        kept = failures[-_MOST_FAILURES:]
        self._put(FAILURES, [[one.plugin, one.version, one.hook, one.reason, one.path] for one in kept])
        placed = [one for one in kept if one.file or one.always]
        if placed or self._state.get(FAILURE_PLACES) is not None:
            places = [[one.plugin, one.hook, one.reason, one.file, one.line, one.always] for one in placed]
            self._put(FAILURE_PLACES, places)

    def save_plugin_hooks(self, hooks: dict[tuple[str, str, str], tuple[str, ...]]) -> None:
        """Remember which hooks plugins implement; of many the last ones."""
        self._put(HOOKS, [[*plugin, list(names)] for plugin, names in hooks.items()][-_MOST_PLUGINS:])

    def save_folder_cache(self, root: str, content: Any) -> None:
        """Save the cache of a tree, in place of an earlier one; `changed_paths` gives what changed since."""
        own = path_bytes(root)
        self._put(path_key(FOLDER_CACHES, root), content)
        roots = [*(one for one in self._cached_roots() if one != own), own]
        for oldest in roots[:-_MOST_FOLDER_CACHES]:
            self._changing.delete(path_key(FOLDER_CACHES, os.fsdecode(oldest)))
            self.clear_changed(os.fsdecode(oldest))
        self._roots = roots[-_MOST_FOLDER_CACHES:]
        self._put(CACHED_ROOTS, self._roots)

    def mark_changed(self, path: str) -> None:
        """Have the next scan look at a path again, whatever the folder caches above it say."""
        if self._roots is None:
            self._roots = self._cached_roots()
        if self._roots:
            changed = path_bytes(path)
            for root in self._roots:
                if changed.startswith(root.rstrip(b"/") + b"/"):
                    self._put(changed_prefix(root) + key_part(changed), changed)

    def clear_changed(self, root: str, kept: Collection[str] = ()) -> None:
        """Remove the paths below a root that `mark_changed` noted, but for those that are `kept`."""
        for key, value in list(self._state.scan(changed_prefix(path_bytes(root)))):
            if not is_intact(key, value) or os.fsdecode(decode_value(key, value)) not in kept:
                self._changing.delete(key)

    def _cached_roots(self) -> list[bytes]:
        """The roots that have a folder cache; none where their list is damaged, for no cache counts then."""
        try:
            return self._value(CACHED_ROOTS) or []
        except DamagedStoreError:
            return []

    def _put_path(self, table: Table, path: str, entry: list[Any]) -> None:
        """Write what is known of a path, where that is news, and mark it as changed then."""
        key = path_key(table, path)
        value = encode_value(key, [*entry, path_bytes(path)])
        if self._state.get(key) != value:
            self._changing.put(key, value)
            self.mark_changed(path)

    def _put(self, key: bytes, content: Any) -> None:
        self._changing.put(key, encode_value(key, content))
