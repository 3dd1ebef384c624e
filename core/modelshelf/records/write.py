"""The records of the registry, read and written by what they mean; see `record_keys` for the tables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from modelshelf.records.read import ListingReader, current_version
from modelshelf.records.sealed import (
    Summary,
    decode_summary,
    decode_value,
    encode_value,
    id_inside,
    misplaced_error,
)
from modelshelf.records.tables import (
    CACHED_ROOTS,
    DEFAULT,
    FAILURES,
    HOOKS,
    MOUNTS,
    PATH_PREFIX,
    changed_prefix,
    id_key,
    key_part,
    path_bytes,
    path_key,
    record_key,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from modelshelf.model import ArtifactFile, Location, ModelConfig, PluginFailure
    from modelshelf.model.version import ModelVersion
    from modelshelf.records.seen import PathEntry
    from modelshelf.store import Transaction


_NOT_WELL = frozenset({"unhealthy", "degraded"})
_MOST_FAILURES = 200
_MOST_CENSUSES = 64
_MOST_PLUGINS = 500


class RecordReader(ListingReader):
    """Typed reading of one state of a store."""

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
        summaries = self._of_model(model_id)
        if not summaries:
            aliased = self._value(id_key(b"a", model_id))
            return None if aliased is None or aliased == model_id else self.current(aliased)
        chosen = current_version(summaries, self.pinned(model_id))
        return self.model(model_id, _version(chosen.version))

    def _of_model(self, model_id: str) -> list[Summary]:
        prefix = id_key(b"m", model_id) + b"\0"
        found = [decode_summary(key, value) for key, value in self._state.scan(prefix)]
        for near, value in self._near(prefix, prefix[:-1] + b"\1"):
            if id_inside(value) == model_id:
                raise misplaced_error(near, prefix)
        return found

    def pinned(self, model_id: str) -> str | None:
        """The version that an id is pinned to."""
        return cast("str | None", self._value(id_key(b"p", model_id)))

    def failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans, as far as it is remembered."""
        held = self._value(FAILURES)
        if not held:
            return []
        from modelshelf.model.failure import PluginFailure

        return [
            PluginFailure(plugin=plugin, version=version, hook=hook, reason=reason, path=path)
            for plugin, version, hook, reason, path in held
        ]

    def plugin_hooks(self) -> dict[tuple[str, str, str], tuple[str, ...]]:
        """Distribution, version and name of each plugin whose hooks are known, to the names of its hooks."""
        rows = self._value(HOOKS) or ()
        return {(distribution, version, name): tuple(hooks) for distribution, version, name, hooks in rows}

    def mounts(self) -> list[str]:
        """The mount points that models lie, or lay, on."""
        return [os.fsdecode(one) for one in self._value(MOUNTS) or ()]

    def alias(self, name: str) -> str | None:
        """The id behind an alias."""
        return cast("str | None", self._value(id_key(b"a", name)))

    def by_content(self, digest: bytes) -> tuple[str, ModelVersion] | None:
        """The id and version of the record with that content."""
        value = self._value(b"c\0" + digest)
        return None if value is None else (value[0], _version(value[1]))

    def location(self, path: str) -> PathEntry | None:
        """What is known of a path that a record lies at."""
        from modelshelf.records.seen import PathEntry

        value = self._value(path_key(b"l", path))
        return None if value is None else PathEntry.of_model(value)

    def rejection(self, path: str) -> PathEntry | None:
        """What is known of a path that was looked into and holds no model."""
        from modelshelf.records.seen import PathEntry

        value = self._value(path_key(b"x", path))
        return None if value is None else PathEntry.of_rejected(value)

    def is_present(self, path: str) -> bool:
        """Whether a record lies at a path, was read whole, and was there at the last scan."""
        value = self._value(path_key(b"l", path))
        return value is not None and _stands(value)

    def present_paths_below(self, root: str) -> Iterator[str]:
        """Every path at or below a root of which `is_present` is true."""
        return (path for path, value in self._paths(b"l", root) if _stands(value))

    def shard_index(self, path: str) -> tuple[int, int, int, list[str]] | None:
        """Size, mtime_ns, inode and shard names of a known index."""
        value = self._value(path_key(b"i", path))
        return None if value is None else _index(value)

    def folder_cache(self, root: str) -> Any:
        """What the last scan remembered of the tree below a root, or None."""
        return self._value(path_key(b"w", root))

    def changed_paths(self, root: str) -> list[str]:
        """Paths below a root whose location or rejection changed since its census."""
        prefix = changed_prefix(path_bytes(root))
        return [os.fsdecode(decode_value(key, value)) for key, value in self._state.scan(prefix)]

    def _cached_roots(self) -> list[bytes]:
        return self._value(CACHED_ROOTS) or []

    def path_entries_below(self, root: str) -> dict[str, PathEntry]:
        """What earlier scans made of every path at or below a root."""
        from modelshelf.records.seen import PathEntry

        found: dict[str, PathEntry] = {}
        for table, make in ((b"x", PathEntry.of_rejected), (b"l", PathEntry.of_model)):
            for path, value in self._paths(table, root):
                found[path] = make(value)
        return found

    def models_below(self, root: str) -> Iterator[tuple[str, str]]:
        """Id and version of the record at every path at or below a root, but those that are missing."""
        for _, (_, model_id, version, missing, *_) in self._paths(b"l", root):
            if not missing:
                yield model_id, version

    def unhealthy_below(self, root: str) -> Iterator[tuple[str, str, str]]:
        """Id, version and status of every unhealthy or degraded model at or below a root."""
        for _, (model_id, version, status, *_) in self._paths(b"u", root):
            yield model_id, version, status

    def summary(self, model_id: str, version: str) -> Summary | None:
        """The listing fields of the record of that id and version."""
        key = record_key(model_id, _version(version))
        value = self._state.get(key)
        return None if value is None else decode_summary(key, value)

    def shard_indexes_below(self, root: str) -> dict[str, tuple[int, int, int, list[str]]]:
        """Size, mtime_ns, inode and shard names of every known index at or below a root."""
        return {path: _index(value) for path, value in self._paths(b"i", root)}

    def _paths(self, table: bytes, root: str) -> Iterator[tuple[str, list[Any]]]:
        start = path_bytes(root.rstrip("/"))
        prefix = table + b"\0" + start[:PATH_PREFIX]
        for key, value in self._state.scan(prefix):
            content = decode_value(key, value)
            path = content[-1]
            if path == start or path.startswith(start + b"/"):
                yield os.fsdecode(path), content


class Records(RecordReader):
    """Typed changes within one transaction."""

    def __init__(self, state: Transaction) -> None:
        super().__init__(state)
        self._changing = state
        self._roots: list[bytes] | None = None

    def _near(self, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:  # noqa: ARG002 - as above
        """None: what a writer misses is no answer to anybody, and a scan misses a lot."""
        return []

    def _put(self, key: bytes, content: Any) -> None:
        self._changing.put(key, encode_value(key, content))

    def _put_path(self, table: bytes, path: str, content: list[Any]) -> None:
        """Write what is known of a path, where that is news, and tell the censuses that cover it."""
        key = path_key(table, path)
        value = encode_value(key, content)
        if self._state.get(key) != value:
            self._changing.put(key, value)
            self.mark_changed(path)

    def mark_changed(self, path: str) -> None:
        """Tell the censuses that cover a path that they know nothing of it."""
        if self._roots is None:
            self._roots = self._cached_roots()
        if self._roots:
            told = path_bytes(path)
            for root in self._roots:
                if told.startswith(root.rstrip(b"/") + b"/"):
                    self._put(changed_prefix(root) + key_part(told), told)

    def put(self, config: ModelConfig) -> None:
        """Write a record, with its entries in the tables of locations, content and aliases."""
        from modelshelf.records.codec import encode_record

        key = record_key(config.id, config.version)
        self._changing.put(key, encode_record(key, config))
        for place in config.locations:
            if place.missing and self._is_anothers(place.path, config):
                continue  # other bytes lie there by now, and the path is their record's
            seen = [place.fingerprint, config.id, str(config.version), place.missing, place.depth.value]
            self._put_path(b"l", place.path, [*seen, path_bytes(place.path)])
            self._changing.delete(path_key(b"x", place.path))
            self._note_health(place, config)
        if config.content_digest:
            self._put(b"c\0" + config.content_digest, [config.id, str(config.version)])
        for alias in config.aliases:
            self._put(id_key(b"a", alias), config.id)

    def _note_health(self, place: Location, config: ModelConfig) -> None:
        """Keep the few that are not well where a scan that changed nothing finds them quickly."""
        key = path_key(b"u", place.path)
        status = config.health_status.value
        if status in _NOT_WELL and not place.missing:
            self._put(key, [config.id, str(config.version), status, path_bytes(place.path)])
        else:
            self._changing.delete(key)

    def _is_anothers(self, path: str, config: ModelConfig) -> bool:
        seen = self.location(path)
        return seen is not None and (seen.model_id, seen.version) != (config.id, config.version)

    def delete(self, config: ModelConfig) -> None:
        """Remove a record and whatever points to it."""
        self._changing.delete(record_key(config.id, config.version))
        mine = (config.id, config.version)
        for place in config.locations:
            self.delete_location(place.path, config.id, config.version)
        if config.content_digest and self.by_content(config.content_digest) == mine:
            self._changing.delete(b"c\0" + config.content_digest)
        if not self.versions(config.id):
            self._changing.delete(id_key(b"p", config.id))
            self.delete_aliases(config.id, config.aliases)

    def delete_aliases(self, model_id: str, aliases: tuple[str, ...]) -> None:
        """Remove aliases that point to this id."""
        for alias in aliases:
            if self.alias(alias) == model_id:
                self._changing.delete(id_key(b"a", alias))

    def delete_location(self, path: str, model_id: str, version: ModelVersion) -> None:
        """Remove what is known of a path, where it is that record's."""
        seen = self.location(path)
        if seen is not None and (seen.model_id, seen.version) == (model_id, version):
            self._changing.delete(path_key(b"l", path))
            self._changing.delete(path_key(b"u", path))
            self.mark_changed(path)

    def reject(self, path: str, fingerprint: bytes, code: str, message: str) -> None:
        """Remember that a path holds no model, so that it is not opened again until it changes."""
        self._put_path(b"x", path, [fingerprint, code, _storable(message), path_bytes(path)])

    def save_folder_cache(self, root: str, content: Any) -> None:
        """Save the cache of a tree, in place of an earlier one; `changed_paths` gives what changed since."""
        told = path_bytes(root)
        self._put(path_key(b"w", root), content)
        roots = [*(one for one in self._cached_roots() if one != told), told]
        for left_out in roots[:-_MOST_CENSUSES]:
            self._changing.delete(path_key(b"w", os.fsdecode(left_out)))
            self.clear_changed(os.fsdecode(left_out))
        self._roots = roots[-_MOST_CENSUSES:]
        self._put(CACHED_ROOTS, self._roots)

    def clear_changed(self, root: str, kept: Collection[str] = ()) -> None:
        """Forget which paths below a root were touched, but for those that are `kept`."""
        prefix = changed_prefix(path_bytes(root))
        for key, value in list(self._state.scan(prefix)):
            if os.fsdecode(decode_value(key, value)) not in kept:
                self._changing.delete(key)

    def save_shard_index(self, path: str, index: ArtifactFile, names: list[str]) -> None:
        """Remember which shards an index names."""
        held = [path_bytes(name) for name in names]
        self._put(path_key(b"i", path), [index.size, index.mtime_ns, index.inode, held, path_bytes(path)])

    def set_default(self, model_id: str | None) -> None:
        """Make a model the default, or none."""
        if model_id is None:
            self._changing.delete(DEFAULT)
        else:
            self._put(DEFAULT, model_id)

    def save_mounts(self, mounts: Iterable[str]) -> None:
        """Remember the mount points that models lie, or lay, on."""
        self._put(MOUNTS, sorted(path_bytes(one) for one in mounts))

    def save_failures(self, failures: list[PluginFailure]) -> None:
        """Remember what plugins failed at, in place of what was remembered before."""
        told = [[one.plugin, one.version, one.hook, one.reason, one.path] for one in failures]
        self._put(FAILURES, told[-_MOST_FAILURES:])

    def save_plugin_hooks(self, hooks: dict[tuple[str, str, str], tuple[str, ...]]) -> None:
        """Remember which hooks plugins implement; of many the last ones."""
        self._put(HOOKS, [[*plugin, list(names)] for plugin, names in hooks.items()][-_MOST_PLUGINS:])

    def pin(self, model_id: str, version: ModelVersion | None) -> None:
        """Pin an id to a version, or let it go."""
        if version is None:
            self._changing.delete(id_key(b"p", model_id))
        else:
            self._put(id_key(b"p", model_id), str(version))


def _version(text: str) -> ModelVersion:
    from modelshelf.model.version import ModelVersion  # a scan of what is unchanged reads none

    return ModelVersion.parse(text)


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _stands(location: list[Any]) -> bool:
    fingerprint, model_id, _, missing, *_ = location
    return bool(fingerprint and model_id) and not missing


def _index(value: list[Any]) -> tuple[int, int, int, list[str]]:
    return (value[0], value[1], value[2], [os.fsdecode(name) for name in value[3]])
