"""Rebuild a damaged store out of the records that can still be read of it.

What a store's plugin finds is not trusted: an entry counts only where its checksum, which covers its key, is
right. What becomes of each table the list in `records.tables` says: tables that point to records are made
anew from the records, what exists nowhere else is copied, what only spares a scan work is left out. A record
that the newest state had, and that cannot be read any more, is taken from an older state where one is found.
An entry under a damaged key is put under the key that its checksum is right for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import DamagedStoreError, StoreUnavailableError
from modelshelf.model import ModelVersion
from modelshelf.records.codec import decode_record
from modelshelf.records.frame import decode_value, encode_value, is_intact, newer, unchecked_summary
from modelshelf.records.read import RecordReader
from modelshelf.records.tables import (
    CACHED_ROOTS,
    DEFAULT,
    FAILURE_PLACES,
    FAILURES,
    LOCATIONS,
    MOUNTS,
    PINS,
    PREFIX_BYTES,
    RECORDS,
    TABLES,
    Rebuild,
    after,
    pin_part,
    record_key,
    table_of,
)
from modelshelf.records.write import Records
from modelshelf.registry.open_store import DEFAULT_SCHEME
from modelshelf.store import RemnantState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelConfig
    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Remnant, Snapshot, Store, StoreType, Transaction

    Salvage = Callable[[str], Iterator[Remnant]]
    Replace = Callable[[str, Callable[[Store], None]], str]

_BATCH = 500  # records in one commit
_LONGEST_PIN = 300  # bytes
Recency = tuple[int, int, int]


@frozen(kw_only=True)
class LostRecord:
    """A record that was in the store and that cannot be read.

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
        lost: Those that are gone, as far as something names them.
        unnamed: Number of further ones that are gone; None where nobody can tell.
        unreadable: Number of stretches of the file that cannot be read.
        unread_entries: Number of entries, of all tables, that could not be read intact; None where
            the store's own count of them cannot be read either.
        folders: Folders in which the models of the store lay.
        default: The default model's id, or None.
        kept: Where the damaged store is kept, or None when nothing was changed.
    """

    records: int
    older: tuple[str, ...] = ()
    lost: tuple[LostRecord, ...] = ()
    unnamed: int | None = 0
    unread_entries: int | None = 0
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
    salvage, _ = _functions_of(location, plugins)
    rescue = _Rescue(None)
    rescue.take_all(salvage(location))
    return rescue.result(None)


def repair(location: str, plugins: PluginSet) -> Salvaged:
    """Put a sound store with all that can be saved in the place of a damaged one, which is kept beside it.

    Ended at any point, there is the damaged store or the new one.

    Raises:
        StoreUnavailableError: Stores of this kind cannot be repaired here, there is none, or it is in use.
        StoreFullError: There is no room for a second store.
        StoreError: A newer release wrote a record.
    """
    salvage, replace = _functions_of(location, plugins)
    rescues: list[_Rescue] = []

    def fill(store: Store) -> None:
        rescues.append(_Rescue(store))
        rescues[-1].take_all(salvage(location))

    kept = replace(location, fill)
    return rescues[-1].result(kept)


def still_lost(state: Snapshot, salvaged: Salvaged) -> tuple[LostRecord, ...]:
    """Those that a scan after the repair did not find again at any of their places."""
    records = RecordReader(state)

    def found(path: str) -> bool:
        entry = records.location(path)
        return entry is not None and not entry.missing

    return tuple(one for one in salvaged.lost if not any(map(found, one.paths)))


def _functions_of(location: str, plugins: PluginSet) -> tuple[Salvage, Replace]:
    """What salvages and replaces stores of the location's kind."""
    before, separator, _ = location.partition("://")
    scheme = before.lower() if separator else DEFAULT_SCHEME
    kinds: list[StoreType] = plugins.collect("modelshelf_stores")
    for kind in kinds:
        if kind.scheme.lower() == scheme and kind.salvage is not None and kind.replace is not None:
            return kind.salvage, kind.replace
    raise StoreUnavailableError(
        f"{location}: stores of kind {scheme} cannot be repaired here; use the tools of what keeps them"
    )


class _Rescue:
    """What was saved of a store so far: written to `store` as it comes, or only counted."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._batch: list[ModelConfig] = []
        self._written: set[bytes] = set()
        self._damaged: set[bytes] = set()
        self._uncertain: dict[bytes, tuple[Recency, ModelConfig]] = {}
        self._values: dict[bytes, Any] = {}
        self._under_damaged_keys: list[bytes] = []
        self._locations: dict[tuple[str, str], set[str]] = {}
        self._folders: set[str] = set()
        self._ids: dict[bytes, str] = {}
        self._older: list[str] = []
        self._intact: set[int] = set()  # hashes of the keys of current entries
        self._misplaced: set[bytes] = set()  # right keys of entries under damaged ones
        self._gaps: list[tuple[bytes, bytes | None]] = []
        self._total: int | None = None
        self._ambiguous = False  # whether something was found that may be of an older state

    def take_all(self, remnants: Iterable[Remnant]) -> None:
        """Take what a store's plugin found: records first, and what points to them when those are known."""
        for one in remnants:
            self._ambiguous = self._ambiguous or one.state is RemnantState.POSSIBLE
            if one.value is None:
                self._gaps.append((one.key, one.until))
                self._total = one.total if one.until is not None else self._total
                self._damaged.add(one.key)
            elif table_of(one.key) is RECORDS or unchecked_summary(one.value):
                self._take_record(one.key, one.value, one.state)
            else:
                self._take_other(one.key, one.value, one.state)
        for key, (_, config) in self._uncertain.items():
            if key not in self._written:
                self._older.append(config.id)
                self._write(key, config)
        self._flush()
        for value in self._under_damaged_keys:
            own = self._key_of(value)
            if own is not None:
                self._values[own] = decode_value(own, value)
        if self._store is not None:
            self._store.update(self._write_values)

    def _take_record(self, key: bytes, value: bytes, state: RemnantState) -> None:
        if state is not RemnantState.CURRENT and key in self._written:
            return
        config = _decode(key, value)
        if config is None:
            if state is RemnantState.CURRENT:
                self._damaged.add(key)
            return
        key = record_key(config.id, config.version)  # another one where the stored key was damaged
        if state is RemnantState.CURRENT:
            self._intact.add(hash(key))
            self._write(key, config)
        elif state is RemnantState.POSSIBLE or key in self._damaged:
            recency = (config.updated_at, config.last_used or 0, config.use_count)
            if key not in self._uncertain or recency > self._uncertain[key][0]:
                self._uncertain[key] = (recency, config)

    def _take_other(self, key: bytes, value: bytes, state: RemnantState) -> None:
        table = table_of(key)
        former = state is RemnantState.FORMER
        if not is_intact(key, value):
            if state is RemnantState.CURRENT:
                # One of another table, whose key alone is damaged, is no record that is missed.
                own = next((one for one in _keys_beside(key) if is_intact(one, value)), None)
                (self._damaged if own is None else self._misplaced).add(own or key)
            if not former:
                self._under_damaged_keys.append(value)
            return
        if state is RemnantState.CURRENT:
            self._intact.add(hash(key))
        if table is None:
            if not former:
                raise newer(key, "this one has no such table")
        elif table.rebuild is Rebuild.NOTHING:
            if not former or key in self._damaged:
                self._values.setdefault(key, decode_value(key, value))
        elif table is LOCATIONS and not former:
            _, model_id, version, *_, path = decode_value(key, value)
            self._locations.setdefault((model_id, version), set()).add(os.fsdecode(path))

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

    def _key_of(self, value: bytes) -> bytes | None:
        """The key that a value under a damaged one was written under, if it exists nowhere else."""
        pins = (PINS.prefix + part for part in self._ids) if len(value) <= _LONGEST_PIN else ()
        keys = (DEFAULT, FAILURES, FAILURE_PLACES, MOUNTS, *pins)
        return next((key for key in keys if is_intact(key, value)), None)

    def _write_values(self, state: Transaction) -> None:
        """Write what exists nowhere else; pins and the default where they lead to a record."""
        records = Records(state)
        for key, content in self._values.items():
            if table_of(key) is PINS:
                model_id, version = self._ids.get(key[PREFIX_BYTES:]), ModelVersion.parse(content)
                if model_id is not None and records.model(model_id, version) is not None:
                    records.pin(model_id, version)
            elif key not in {DEFAULT, CACHED_ROOTS}:  # the roots' caches are left out
                state.put(key, encode_value(key, content))
        default = self._values.get(DEFAULT)
        if self._ids:
            records.set_default(default if default in self._ids.values() else min(self._ids.values()))

    def result(self, kept: str | None) -> Salvaged:
        """The account of it."""
        lost = self._named()
        folders = self._folders.union(os.path.dirname(path) for one in lost for path in one.paths)
        return Salvaged(
            records=len(self._written),
            older=tuple(sorted(set(self._older))),
            lost=tuple(lost),
            unnamed=self._unnamed(len(lost)),
            unread_entries=self._unread_entries(),
            unreadable=len(self._gaps),
            folders=_outermost(folders),
            default=self._values.get(DEFAULT),
            kept=kept,
        )

    def _named(self) -> list[LostRecord]:
        """Those that are gone and that a path leads to, or of which the key can be read."""
        named = {
            record_key(model_id, version): LostRecord(
                model_id=model_id, version=version, paths=tuple(sorted(paths))
            )
            for (model_id, version), paths in sorted(self._locations.items())
        }
        stretches = {key for key, until in self._gaps if until is not None}
        for key in sorted(self._damaged - stretches):
            model_id, _, version = key[PREFIX_BYTES:].decode("utf-8", "replace").partition("\0")
            if table_of(key) is RECORDS and version:
                named.setdefault(key, LostRecord(model_id=model_id, version=version))
        return [one for key, one in named.items() if key not in self._written]

    def _unread_entries(self) -> int | None:
        if not self._gaps:
            return len(self._damaged)
        if self._total is None or self._ambiguous:
            return None
        return max(0, self._total - len(self._intact | {hash(key) for key in self._misplaced}))

    def _unnamed(self, named: int) -> int | None:
        """Number of records that are gone beside the named ones, None where that is not known.

        Where all that cannot be read belongs to the table of records, the store's own count tells.
        """
        stretches = [(key, until) for key, until in self._gaps if until is not None]
        unread = self._unread_entries()
        if not stretches or unread == 0:
            return 0
        if not any(_may_hold_records(begin, until) for begin, until in stretches):
            return 0
        alone = all(_holds_records_only(begin, until) for begin, until in stretches)
        if unread is None or not alone or any(table_of(key) is not RECORDS for key in self._damaged):
            return None
        older = sum(key in self._written and hash(key) not in self._intact for key in self._uncertain)
        return max(0, unread - named - older)


def _keys_beside(key: bytes) -> Iterator[bytes]:
    """Keys that are as this one, but in another table."""
    return (table.prefix + key[PREFIX_BYTES:] for table in TABLES)


def _may_hold_records(begin: bytes, until: bytes) -> bool:
    return begin < after(RECORDS.prefix) and (not until or until > RECORDS.prefix)


def _holds_records_only(begin: bytes, until: bytes) -> bool:
    return RECORDS.prefix <= begin and b"" < until <= after(RECORDS.prefix)


def _put_all(records: Records, configs: Iterable[ModelConfig]) -> None:
    for config in configs:
        records.put(config)


def _decode(key: bytes, value: bytes) -> ModelConfig | None:
    """The record, where it is whole under its key, or under the key that it names itself."""
    try:
        return decode_record(key, value)
    except DamagedStoreError:
        pass
    try:
        model_id, version = unchecked_summary(value)[:2]
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
