"""Whether a registry is sound: its store, its records, the tables that point to them, and the plugins.

Looks and reports; nothing is changed.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf.model import Finding, Severity
from modelshelf.plugin.report import PluginState
from modelshelf.records.codec import decode_record
from modelshelf.records.frame import decode_frame, decode_value, newer, printable
from modelshelf.records.tables import (
    ALIASES,
    CONTENTS,
    DEFAULT,
    LOCATIONS,
    NOT_WELL,
    PINS,
    PREFIX_BYTES,
    RECORDS,
    REGISTRY,
    UNHEALTHY,
    pin_part,
    record_key,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelConfig
    from modelshelf.plugin.call import PluginSet
    from modelshelf.records.tables import Table
    from modelshelf.store import Snapshot, Store

    Named = tuple[str, str]  # id and version

_MOST_OF_A_CODE = 20
_DESCRIPTORS = ("formats", "serializers", "sources", "stores", "commands")
_REPAIRABLE = ("store-damaged", "record-damaged", "record-misplaced", "index-", "dangling-")
_BYTES = 256


def is_repairable(finding: Finding) -> bool:
    """Whether rebuilding the store out of its records mends it."""
    return finding.severity is Severity.ERROR and finding.code.startswith(_REPAIRABLE)


def diagnose_store(store: Store) -> list[Finding]:
    """Check the store's structure, the checksum of every entry, and that the tables agree.

    Of a code that many findings have, the first few are given, and one that counts the others.
    """
    found = list(store.check())
    if not any(one.code == "store-unavailable" for one in found):
        try:
            found += store.view(lambda state: list(dict.fromkeys(_check_entries(state))))
        except StoreError as error:
            found.append(_error("store-damaged", str(error)))
    return _shortened(found)


def diagnose_plugins(plugins: PluginSet) -> list[Finding]:
    """What failed when the plugins were loaded and asked what they offer, and what they lack."""
    for hook in _DESCRIPTORS:
        plugins.collect(f"modelshelf_{hook}")
    found = []
    for report in plugins.reports:
        found += [
            _error("plugin-failed", f"{one}; `modelshelf plugins` tells more") for one in report.failures
        ]
        if report.distribution is not None and report.state is not PluginState.DISABLED:
            found += [
                _error("missing-dependency", f"{report.plugin}: needs {lacking}; `pip install {lacking}`")
                for lacking in _lacking(report.distribution)
            ]
    return _shortened(dict.fromkeys(found))


def _lacking(distribution: str) -> list[str]:
    """Names of distributions that one requires always, and that are not installed."""
    import re
    from importlib.metadata import PackageNotFoundError, requires, version

    missing = []
    try:
        needed = requires(distribution) or []
    except PackageNotFoundError:  # its metadata went since it was found
        return []
    for requirement in needed:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name is None or ";" in requirement:  # of an extra, or of another system
            continue
        try:
            version(name[0])
        except PackageNotFoundError:
            missing.append(name[0])
    return missing


def _check_entries(state: Snapshot) -> Iterator[Finding]:
    """Every entry by itself, those of no table too, then the tables against each other."""
    contents = _Contents()
    for first in range(_BYTES):  # apart, so that what cannot be read ends with the keys that begin alike
        try:
            for key, value in state.scan(bytes((first,))):
                yield from contents.check(key, value)
        except DamagedStoreError as error:
            contents.unread.add(first)
            yield _error("store-damaged", str(error))
    yield from contents.compare()


class _Contents:
    """What the tables say, as far as it takes to compare them.

    Attributes:
        unread: First bytes of the keys that could not be read to their end.
    """

    def __init__(self) -> None:
        self.unread: set[int] = set()
        self._statuses: dict[str, dict[str, str]] = {}  # by id and version
        self._locations: dict[str, Named] = {}
        self._contents: dict[bytes, Named] = {}
        self._unhealthy: dict[str, tuple[str, str, str]] = {}
        self._aliases: dict[bytes, str] = {}
        self._pins: dict[bytes, str] = {}
        self._default: str | None = None
        self._expected_locations: list[tuple[str, Named]] = []
        self._expected_contents: list[tuple[bytes, Named]] = []
        self._with_aliases: dict[str, ModelConfig] = {}
        self._remember: dict[Table | None, Callable[[bytes, bytes], None]] = {
            LOCATIONS: self._remember_location,
            CONTENTS: self._remember_content,
            UNHEALTHY: self._remember_unhealthy,
            ALIASES: self._remember_alias,
            PINS: self._remember_pin,
            REGISTRY: self._remember_setting,
        }

    def check(self, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check one entry, and remember what it says."""
        table = table_of(key)
        try:
            if table is RECORDS:
                yield from self._check_record(key, value)
            elif table in self._remember:
                self._remember[table](key, value)
            else:
                decode_frame(key, value)
                if table is None:
                    yield _error("record-unreadable", str(newer(key, "this one has no such table")))
        except DamagedStoreError as error:
            yield _error("record-damaged", str(error))
        except (ValueError, TypeError, IndexError) as error:
            yield _error("record-damaged", f"record {printable(key)} cannot be understood: {error}")
        except StoreError as error:  # of a newer release
            yield _error("record-unreadable", str(error))

    def _check_record(self, key: bytes, value: bytes) -> Iterator[Finding]:
        config = decode_record(key, value)
        version = str(config.version)
        self._statuses.setdefault(config.id, {})[version] = config.health_status.value
        if key != record_key(config.id, config.version):
            yield _error("record-misplaced", f"record {printable(key)} is that of {config.id} {version}")
        present = [one.path for one in config.locations if not one.missing]
        self._expected_locations += [(path, (config.id, version)) for path in present]
        if config.content_digest:
            self._expected_contents.append((config.content_digest, (config.id, version)))
        newest = self._with_aliases.get(config.id)
        if config.aliases and (newest is None or newest.version < config.version):
            self._with_aliases[config.id] = config

    def _remember_location(self, key: bytes, value: bytes) -> None:
        _, model_id, version, *_, path = decode_value(key, value)
        self._locations[os.fsdecode(path)] = (model_id, version)

    def _remember_content(self, key: bytes, value: bytes) -> None:
        model_id, version = decode_value(key, value)
        self._contents[key[PREFIX_BYTES:]] = (model_id, version)

    def _remember_unhealthy(self, key: bytes, value: bytes) -> None:
        model_id, version, status, path = decode_value(key, value)
        self._unhealthy[os.fsdecode(path)] = (model_id, version, status)

    def _remember_alias(self, key: bytes, value: bytes) -> None:
        self._aliases[key[PREFIX_BYTES:]] = decode_value(key, value)

    def _remember_pin(self, key: bytes, value: bytes) -> None:
        self._pins[key[PREFIX_BYTES:]] = decode_value(key, value)

    def _remember_setting(self, key: bytes, value: bytes) -> None:
        content = decode_value(key, value)
        if key == DEFAULT:
            self._default = content

    def compare(self) -> Iterator[Finding]:
        """Where one table says what another does not; a table that was not read to its end says nothing."""
        if self._was_read(RECORDS):
            yield from self._dangling_places()
            yield from self._dangling_names()
        for table, compare in (
            (LOCATIONS, self._lacking_locations),
            (CONTENTS, self._lacking_contents),
            (UNHEALTHY, self._lacking_unhealthy),
            (ALIASES, self._lacking_aliases),
        ):
            if self._was_read(table):
                yield from compare()

    def _was_read(self, table: Table) -> bool:
        return table.prefix[0] not in self.unread

    def _is_recorded(self, named: Named) -> bool:
        model_id, version = named
        return version in self._statuses.get(model_id, ())

    def _lacking_locations(self) -> Iterator[Finding]:
        for path, named in self._expected_locations:
            if self._locations.get(path) != named:
                yield _error("index-lacks-place", f"{' '.join(named)}: {path} does not lead to it")

    def _lacking_contents(self) -> Iterator[Finding]:
        for digest, named in self._expected_contents:
            if digest not in self._contents:
                yield _error("index-lacks-content", f"{' '.join(named)}: is not found by its content")

    def _lacking_unhealthy(self) -> Iterator[Finding]:
        for path, (model_id, version) in self._expected_locations:
            status = self._statuses[model_id][version]
            if status in NOT_WELL and self._unhealthy.get(path, ("", ""))[:2] != (model_id, version):
                message = f"{model_id} {version}: {path} is {status}, and scans do not report it"
                yield _error("index-lacks-health", message)

    def _lacking_aliases(self) -> Iterator[Finding]:
        for config in self._with_aliases.values():
            for alias in config.aliases:
                if self._aliases.get(pin_part(alias)) != config.id:
                    yield _error("index-lacks-alias", f"{config.id}: its alias {alias} does not lead to it")

    def _dangling_places(self) -> Iterator[Finding]:
        """Paths and contents that lead to a record which is not there, or is otherwise."""
        for path, named in self._locations.items():
            if not self._is_recorded(named):
                yield _error("dangling-place", f"{path}: leads to {' '.join(named)}, which is not recorded")
        for digest, named in self._contents.items():
            if not self._is_recorded(named):
                shown = digest.hex()[:16]
                message = f"content {shown}…: leads to {' '.join(named)}, which is not recorded"
                yield _error("dangling-content", message)
        for path, (model_id, version, status) in self._unhealthy.items():
            if self._statuses.get(model_id, {}).get(version) != status:
                message = f"{path}: scans report {model_id} {version} as {status}, which is not recorded"
                yield _error("dangling-health", message)

    def _dangling_names(self) -> Iterator[Finding]:
        """Aliases, pins and the default that lead to a record which is not there."""
        for alias, model_id in self._aliases.items():
            if model_id not in self._statuses:
                yield _error(
                    "dangling-alias", f"alias {printable(alias)}: leads to {model_id}, which is not recorded"
                )
        versions = {pin_part(model_id): found for model_id, found in self._statuses.items()}
        for part, version in self._pins.items():
            if version not in versions.get(part, ()):
                yield _error(
                    "dangling-pin", f"{printable(part)}: is pinned to {version}, which is not recorded"
                )
        if self._default is not None and self._default not in self._statuses:
            yield _error(
                "dangling-default",
                f"{self._default}: is the default and not recorded; `modelshelf default ID` sets another",
            )


def _error(code: str, message: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, message=message)


def _shortened(found: Iterable[Finding]) -> list[Finding]:
    """The findings, but of a code that many have the first few and one that counts the others."""
    kept: list[Finding] = []
    counts: Counter[str] = Counter()
    last: dict[str, Finding] = {}
    for one in found:
        counts[one.code] += 1
        last[one.code] = one
        if counts[one.code] <= _MOST_OF_A_CODE:
            kept.append(one)
    for code, count in counts.items():
        if count > _MOST_OF_A_CODE:
            more = f"and {count - _MOST_OF_A_CODE} more of this kind"
            kept.append(Finding(code=code, severity=last[code].severity, message=more))
    return kept
