"""The registry's tables within a store: keys, and the records behind them.

==========  ==========================================  =====================================
key prefix  rest of the key                             value
==========  ==========================================  =====================================
``m``       id, version                                 the sealed `ModelConfig`
``l``       path                                        fingerprint, id, version, missing, path
``c``       content digest                              id, version
``x``       path                                        fingerprint, code, message, path
``i``       path of an index of shards                  size, mtime_ns, inode, names, path
``a``       alias                                       id
``p``       id                                          pinned version
``s``       ``default``, ``failures``                   id; failures of plugins in scans
==========  ==========================================  =====================================

Parts of a key are joined by NUL; a part that would make the key too long is cut and ends in its hash.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from modelshelf.model import ArtifactFile, ModelConfig, ModelVersion
from modelshelf.model.failure import PluginFailure
from modelshelf.sealed import Summary, seal_value, unseal_summary, unseal_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.store import Snapshot, Transaction

_LONGEST_PART = 300
_LONGEST_VERSION = 150
_DEFAULT = b"s\0default"
_FAILURES = b"s\0failures"
_MOST_FAILURES = 200


def _part(data: bytes, longest: int = _LONGEST_PART) -> bytes:
    if len(data) <= longest:
        return data
    return data[: longest - 34] + b"\x01#" + hashlib.blake2b(data, digest_size=16).hexdigest().encode()


def path_bytes(path: str) -> bytes:
    """A path as the system has it; undecodable bytes come back as they were."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:  # a surrogate that no file system made
        return path.encode("utf-8", "surrogatepass")


def _id_key(table: bytes, model_id: str) -> bytes:
    return table + b"\0" + _part(model_id.encode("utf-8", "surrogatepass"))


def _version_key(model_id: str, version: ModelVersion) -> bytes:
    return _id_key(b"m", model_id) + b"\0" + _part(str(version).encode(), _LONGEST_VERSION)


def _path_key(table: bytes, path: str) -> bytes:
    return table + b"\0" + _part(path_bytes(path))


@frozen(kw_only=True)
class Seen:
    """What an earlier scan made of a path.

    Attributes:
        fingerprint: Digest of the stat data then.
        model_id: The record's id, or None where the path was rejected.
        version: The record's version.
        missing: Whether the files were gone at the last scan.
        code: Why it was rejected, or None.
        message: The same for a person.
    """

    fingerprint: bytes
    model_id: str | None = None
    version: ModelVersion | None = None
    missing: bool = False
    code: str | None = None
    message: str | None = None


class RecordReader:
    """Typed reading of one state of a store."""

    def __init__(self, state: Snapshot) -> None:
        self._state = state

    def _value(self, key: bytes) -> Any:
        value = self._state.get(key)
        return None if value is None else unseal_value(key, value)

    def model(self, model_id: str, version: ModelVersion) -> ModelConfig | None:
        """The record of that id and version."""
        from modelshelf.serde import unseal

        key = _version_key(model_id, version)
        value = self._state.get(key)
        return None if value is None else unseal(key, value)

    def versions(self, model_id: str) -> list[ModelVersion]:
        """Versions of a model, newest first; empty for an unknown id."""
        found = [ModelVersion.parse(one.version) for one in self._summaries(_id_key(b"m", model_id) + b"\0")]
        return sorted(found, reverse=True)

    def current(self, model_id: str) -> ModelConfig | None:
        """The pinned record of an id or alias, else its newest that is not missing, else its newest."""
        summaries = list(self._summaries(_id_key(b"m", model_id) + b"\0"))
        if not summaries:
            aliased = self._value(_id_key(b"a", model_id))
            return None if aliased is None or aliased == model_id else self.current(aliased)
        chosen = current_version(summaries, self.pinned(model_id))
        return self.model(model_id, ModelVersion.parse(chosen.version))

    def _summaries(self, prefix: bytes) -> Iterator[Summary]:
        for key, value in self._state.scan(prefix):
            yield unseal_summary(key, value)

    def summaries(self) -> Iterator[Summary]:
        """The summary of every record, all versions, a model's together."""
        return self._summaries(b"m\0")

    def pinned(self, model_id: str) -> str | None:
        """The version that an id is pinned to."""
        return cast("str | None", self._value(_id_key(b"p", model_id)))

    def pins(self) -> dict[bytes, str]:
        """Every pin: the id's key part, see `pin_part`, to the version."""
        return {key[2:]: unseal_value(key, value) for key, value in self._state.scan(b"p\0")}

    def default(self) -> str | None:
        """The default model's id."""
        return cast("str | None", self._value(_DEFAULT))

    def failures(self) -> list[PluginFailure]:
        """What plugins failed at in scans, as far as it is remembered."""
        return [
            PluginFailure(plugin=plugin, version=version, hook=hook, reason=reason, path=path)
            for plugin, version, hook, reason, path in self._value(_FAILURES) or ()
        ]

    def alias(self, name: str) -> str | None:
        """The id behind an alias."""
        return cast("str | None", self._value(_id_key(b"a", name)))

    def by_content(self, digest: bytes) -> tuple[str, ModelVersion] | None:
        """The id and version of the record with that content."""
        value = self._value(b"c\0" + digest)
        return None if value is None else (value[0], ModelVersion.parse(value[1]))

    def location(self, path: str) -> Seen | None:
        """What is known of a path that a record lies at."""
        value = self._value(_path_key(b"l", path))
        return None if value is None else _seen_model(value)

    def seen_below(self, root: str) -> dict[str, Seen]:
        """What earlier scans made of every path at or below a root."""
        found: dict[str, Seen] = {}
        for table, make in ((b"x", _seen_rejected), (b"l", _seen_model)):
            for path, value in self._paths(table, root):
                found[path] = make(value)
        return found

    def indexes_below(self, root: str) -> dict[str, tuple[int, int, int, list[str]]]:
        """Size, mtime_ns, inode and shard names of every known index at or below a root."""
        return {
            path: (value[0], value[1], value[2], [os.fsdecode(name) for name in value[3]])
            for path, value in self._paths(b"i", root)
        }

    def _paths(self, table: bytes, root: str) -> Iterator[tuple[str, list[Any]]]:
        start = path_bytes(root.rstrip("/"))
        prefix = table + b"\0" + start[: _LONGEST_PART - 34]
        for key, value in self._state.scan(prefix):
            content = unseal_value(key, value)
            path = content[-1]
            if path == start or path.startswith(start + b"/"):
                yield os.fsdecode(path), content


class Records(RecordReader):
    """Typed changes within one transaction."""

    def __init__(self, state: Transaction) -> None:
        super().__init__(state)
        self._changing = state

    def _put(self, key: bytes, content: Any) -> None:
        self._changing.put(key, seal_value(key, content))

    def put(self, config: ModelConfig) -> None:
        """Write a record, with its entries in the tables of locations, content and aliases."""
        from modelshelf.serde import seal

        key = _version_key(config.id, config.version)
        self._changing.put(key, seal(key, config))
        for place in config.locations:
            if place.missing and self._is_anothers(place.path, config):
                continue  # other bytes lie there by now, and the path is their record's
            seen = [place.fingerprint, config.id, str(config.version), place.missing, path_bytes(place.path)]
            self._put(_path_key(b"l", place.path), seen)
            self._changing.delete(_path_key(b"x", place.path))
        if config.content_digest:
            self._put(b"c\0" + config.content_digest, [config.id, str(config.version)])
        for alias in config.aliases:
            self._put(_id_key(b"a", alias), config.id)

    def _is_anothers(self, path: str, config: ModelConfig) -> bool:
        seen = self.location(path)
        return seen is not None and (seen.model_id, seen.version) != (config.id, config.version)

    def delete(self, config: ModelConfig) -> None:
        """Remove a record and whatever points to it."""
        self._changing.delete(_version_key(config.id, config.version))
        mine = (config.id, config.version)
        for place in config.locations:
            self.forget_location(place.path, config.id, config.version)
        if config.content_digest and self.by_content(config.content_digest) == mine:
            self._changing.delete(b"c\0" + config.content_digest)
        if not self.versions(config.id):
            self._changing.delete(_id_key(b"p", config.id))
            self.forget_aliases(config.id, config.aliases)

    def forget_aliases(self, model_id: str, aliases: tuple[str, ...]) -> None:
        """Remove aliases that point to this id."""
        for alias in aliases:
            if self.alias(alias) == model_id:
                self._changing.delete(_id_key(b"a", alias))

    def forget_location(self, path: str, model_id: str, version: ModelVersion) -> None:
        """Remove what is known of a path, where it is that record's."""
        seen = self.location(path)
        if seen is not None and (seen.model_id, seen.version) == (model_id, version):
            self._changing.delete(_path_key(b"l", path))

    def reject(self, path: str, fingerprint: bytes, code: str, message: str) -> None:
        """Remember that a path holds no model, so that it is not opened again until it changes."""
        self._put(_path_key(b"x", path), [fingerprint, code, _storable(message), path_bytes(path)])

    def remember_index(self, path: str, index: ArtifactFile, names: list[str]) -> None:
        """Remember which shards an index names."""
        held = [path_bytes(name) for name in names]
        self._put(_path_key(b"i", path), [index.size, index.mtime_ns, index.inode, held, path_bytes(path)])

    def set_default(self, model_id: str | None) -> None:
        """Make a model the default, or none."""
        if model_id is None:
            self._changing.delete(_DEFAULT)
        else:
            self._put(_DEFAULT, model_id)

    def remember_failures(self, failures: list[PluginFailure]) -> None:
        """Remember what plugins failed at, in place of what was remembered before."""
        told = [[one.plugin, one.version, one.hook, one.reason, one.path] for one in failures]
        self._put(_FAILURES, told[-_MOST_FAILURES:])

    def pin(self, model_id: str, version: ModelVersion | None) -> None:
        """Pin an id to a version, or let it go."""
        if version is None:
            self._changing.delete(_id_key(b"p", model_id))
        else:
            self._put(_id_key(b"p", model_id), str(version))


def pin_part(model_id: str) -> bytes:
    """An id as `RecordReader.pins` names it."""
    return _id_key(b"p", model_id)[2:]


def current_version(summaries: list[Summary], pinned: str | None) -> Summary:
    """Of all versions of one model the one that its id stands for."""
    for one in summaries:
        if one.version == pinned:
            return one
    return max(summaries, key=lambda one: (not one.missing, ModelVersion.parse(one.version)))


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _seen_model(value: list[Any]) -> Seen:
    return Seen(
        fingerprint=value[0], model_id=value[1], version=ModelVersion.parse(value[2]), missing=bool(value[3])
    )


def _seen_rejected(value: list[Any]) -> Seen:
    return Seen(fingerprint=value[0], code=value[1], message=value[2])
