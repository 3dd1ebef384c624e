"""Rebuild a damaged store out of the records that can still be read of it.

What a store's plugin finds is not trusted: a record counts only where its seal, which covers its key, is
whole. The tables that point to records (places, content, aliases) are made anew from the records; what only
spares a scan work is left out. A record that the newest state held, and that cannot be read any more, is
taken from an older state where one lies about.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf.model import ModelVersion
from modelshelf.records.codec import decode_record
from modelshelf.records.frame import decode_value, unpack
from modelshelf.records.tables import pin_part, record_key
from modelshelf.records.write import RecordReader, Records
from modelshelf.registry.open_store import DEFAULT_SCHEME
from modelshelf.store import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelConfig
    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Remnant, Snapshot, Store, StoreType

    Salvage = Callable[[str], Iterator[Remnant]]
    Replace = Callable[[str, Callable[[Store], None]], str]

_BATCH = 500  # records in one commit
_DEFAULT_KEY = b"s\0default"
_SUMMARY = 9  # offset of the summary in a sealed record, after its length of four bytes; see `sealed`
Recency = tuple[int, int, int]


@frozen(kw_only=True)
class LostRecord:
    """A record that the store held and that cannot be read.

    Attributes:
        model_id: Its id.
        version: Its version.
        paths: Where its files lay, as far as that is known.
    """

    model_id: str
    version: str
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" ({', '.join(self.paths)})" if self.paths else ""
        return f"{self.model_id} {self.version}{where}"


@frozen(kw_only=True)
class Salvaged:
    """What was, or would be, saved of a damaged store.

    Attributes:
        records: Number of records that could be read.
        older: Ids of those among them that were found in an older state, or may have been deleted.
        lost: Those that are known to be gone.
        unreadable: Number of stretches of the file that cannot be read.
        folders: Folders in which the models of the store lay.
        default: The default model's id, or None.
        kept: Where the damaged store is kept, or None when nothing was changed.
    """

    records: int
    older: tuple[str, ...] = ()
    lost: tuple[LostRecord, ...] = ()
    unreadable: int = 0
    folders: tuple[str, ...] = ()
    default: str | None = None
    kept: str | None = None


def survey(location: str, plugins: PluginSet) -> Salvaged:
    """What `repair` would save; nothing is changed.

    Raises:
        StoreUnavailableError: Stores of this kind cannot be repaired here, or there is none.
        StoreError: A newer release wrote a record.
    """
    salvage, _ = _means(location, plugins)
    gathered = _Gathered(None)
    gathered.take_all(salvage(location))
    return gathered.result(None)


def repair(location: str, plugins: PluginSet) -> Salvaged:
    """Put a sound store with all that can be saved in the place of a damaged one, which is kept beside it.

    Ended at any point, there is the damaged store or the new one.

    Raises:
        StoreUnavailableError: Stores of this kind cannot be repaired here, there is none, or it is in use.
        StoreFullError: There is no room for a second store.
        StoreError: A newer release wrote a record.
    """
    salvage, replace = _means(location, plugins)
    found: list[_Gathered] = []

    def fill(store: Store) -> None:
        found.append(_Gathered(store))
        found[-1].take_all(salvage(location))

    kept = replace(location, fill)
    return found[-1].result(kept)


def still_lost(state: Snapshot, salvaged: Salvaged) -> tuple[LostRecord, ...]:
    """Those that a scan after the repair did not find again at any of their places."""
    records = RecordReader(state)

    def found(path: str) -> bool:
        seen = records.location(path)
        return seen is not None and not seen.missing

    return tuple(one for one in salvaged.lost if not any(map(found, one.paths)))


def _means(location: str, plugins: PluginSet) -> tuple[Salvage, Replace]:
    """How stores of the location's kind are salvaged and replaced."""
    before, separator, _ = location.partition("://")
    scheme = before.lower() if separator else DEFAULT_SCHEME
    kinds: list[StoreType] = plugins.collect("modelshelf_stores")
    for kind in kinds:
        if kind.scheme.lower() == scheme and kind.salvage is not None and kind.replace is not None:
            return kind.salvage, kind.replace
    raise StoreUnavailableError(
        f"{location}: stores of kind {scheme} cannot be repaired here; use the tools of what keeps them"
    )


class _Gathered:
    """The records of a store so far, written to `store` as they come, or only counted."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._batch: list[ModelConfig] = []
        self._written: set[bytes] = set()
        self._damaged: set[bytes] = set()
        self._uncertain: dict[bytes, tuple[Recency, ModelConfig]] = {}
        self._values: dict[bytes, Any] = {}
        self._places: dict[tuple[str, str], set[str]] = {}
        self._folders: set[str] = set()
        self._ids: dict[bytes, str] = {}
        self._older: list[str] = []
        self._unreadable = 0

    def take_all(self, remnants: Iterable[Remnant]) -> None:
        """Take what a store's plugin found, then what is best of the uncertain, then pins and default."""
        for one in remnants:
            if one.value is None:
                self._unreadable += 1
                self._damaged.add(one.key)
            elif one.key.startswith(b"m\0"):
                self._take_record(one.key, one.value, one.standing)
            elif one.key.startswith((b"p\0", _DEFAULT_KEY)):
                self._take_value(one.key, one.value, one.standing)
            elif one.key.startswith(b"l\0") and one.standing is not Standing.FORMER:
                self._take_place(one.key, one.value)
        for key, (_, config) in self._uncertain.items():
            if key not in self._written:
                self._older.append(config.id)
                self._write(key, config)
        self._flush()
        if self._store is not None:
            self._store.update(lambda state: self._point(Records(state)))

    def _take_record(self, key: bytes, value: bytes, standing: Standing) -> None:
        if standing is not Standing.CURRENT and key in self._written:
            return
        config = _whole(key, value)
        if config is None:
            if standing is Standing.CURRENT:
                self._damaged.add(key)
            return
        key = record_key(config.id, config.version)  # another one where the stored key was damaged
        if standing is Standing.CURRENT:
            self._write(key, config)
        elif standing is Standing.POSSIBLE or key in self._damaged:
            recency = (config.updated_at, config.last_used or 0, config.use_count)
            if key not in self._uncertain or recency > self._uncertain[key][0]:
                self._uncertain[key] = (recency, config)

    def _take_value(self, key: bytes, value: bytes, standing: Standing) -> None:
        try:
            content = decode_value(key, value)
        except DamagedStoreError:
            if standing is Standing.CURRENT:
                self._damaged.add(key)
            return
        if standing is not Standing.FORMER or key in self._damaged:
            self._values.setdefault(key, content)

    def _take_place(self, key: bytes, value: bytes) -> None:
        try:
            _, model_id, version, *_, path = decode_value(key, value)
        except (DamagedStoreError, ValueError, TypeError):
            return
        self._places.setdefault((model_id, version), set()).add(os.fsdecode(path))

    def _write(self, key: bytes, config: ModelConfig) -> None:
        self._written.add(key)
        self._ids[pin_part(config.id)] = config.id
        self._folders.update(one.folder for one in config.locations)
        if self._store is not None:
            self._batch.append(config)
            if len(self._batch) >= _BATCH:
                self._flush()

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        if batch and self._store is not None:
            self._store.update(lambda state: _put_all(Records(state), batch))

    def _point(self, records: Records) -> None:
        """Pins and the default, where they point to something."""
        for key, content in self._values.items():
            model_id = self._ids.get(key[2:]) if key.startswith(b"p\0") else None
            if model_id is not None and records.model(model_id, ModelVersion.parse(content)) is not None:
                records.pin(model_id, ModelVersion.parse(content))
        wanted = self._values.get(_DEFAULT_KEY)
        if self._ids:
            records.set_default(wanted if wanted in self._ids.values() else min(self._ids.values()))

    def result(self, kept: str | None) -> Salvaged:
        """The account of it."""
        lost = [
            LostRecord(model_id=model_id, version=version, paths=tuple(sorted(paths)))
            for (model_id, version), paths in sorted(self._places.items())
            if record_key(model_id, ModelVersion.parse(version)) not in self._written
        ]
        folders = self._folders.union(os.path.dirname(path) for one in lost for path in one.paths)
        return Salvaged(
            records=len(self._written),
            older=tuple(sorted(set(self._older))),
            lost=tuple(lost),
            unreadable=self._unreadable,
            folders=_outermost(folders),
            default=self._values.get(_DEFAULT_KEY),
            kept=kept,
        )


def _put_all(records: Records, configs: Iterable[ModelConfig]) -> None:
    for config in configs:
        records.put(config)


def _whole(key: bytes, value: bytes) -> ModelConfig | None:
    """The record, where it is whole under its key, or under the key that it names itself."""
    try:
        return decode_record(key, value)
    except DamagedStoreError:
        pass
    end = _SUMMARY + int.from_bytes(value[_SUMMARY - 4 : _SUMMARY], "little")
    try:
        model_id, version = unpack(value[_SUMMARY:end])[:2]
        return decode_record(record_key(model_id, ModelVersion.parse(version)), value)
    except (DamagedStoreError, ValueError, TypeError, AttributeError):
        return None


def _outermost(folders: Iterable[str]) -> tuple[str, ...]:
    """The folders that lie in no other of them."""
    kept: list[str] = []
    for folder in sorted(folder for folder in folders if folder):
        if not kept or not (folder + "/").startswith(kept[-1].rstrip("/") + "/"):
            kept.append(folder)
    return tuple(kept)
