"""Whether a registry is sound: its store, its records, what points to them, and the plugins."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf.model import Finding, Severity
from modelshelf.plugin.report import PluginState
from modelshelf.records.codec import decode_record
from modelshelf.records.frame import decode_frame, decode_value, printable
from modelshelf.records.tables import pin_part, record_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelConfig
    from modelshelf.plugin.call import PluginSet
    from modelshelf.store import Snapshot, Store

_MOST_OF_A_KIND = 20
_DESCRIPTORS = ("formats", "serializers", "sources", "stores", "commands")
_TABLES = b"mlcxiawtps"
_REPAIRABLE = ("store-damaged", "record-damaged", "record-misplaced", "index-", "dangling-")


def is_repairable(finding: Finding) -> bool:
    """Whether rebuilding the store out of its records mends it."""
    return finding.severity is Severity.ERROR and finding.code.startswith(_REPAIRABLE)


def diagnose_store(store: Store) -> list[Finding]:
    """Check the store's structure, every record's seal, and that the tables fit each other.

    A kind of trouble that many records have is told for the first of them, with their number.
    """
    found = list(store.check())
    if not any(one.code == "store-unavailable" for one in found):
        try:
            found += store.view(lambda state: list(_look_over(state)))
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


def _look_over(state: Snapshot) -> Iterator[Finding]:
    whole = _Tables()
    for table in sorted(_TABLES):
        try:
            for key, value in state.scan(bytes((table, 0))):
                yield from whole.take(key, value)
        except DamagedStoreError as error:  # the other tables may be readable
            whole.unread.add(table)
            yield _error("store-damaged", str(error))
    yield from whole.compared()


class _Tables:
    """What the tables hold, as far as it takes to compare them.

    Attributes:
        unread: The tables that could not be read to their end.
    """

    def __init__(self) -> None:
        self.unread: set[int] = set()
        self._versions: dict[str, set[str]] = {}
        self._places: dict[str, tuple[str, str]] = {}
        self._digests: dict[bytes, tuple[str, str]] = {}
        self._aliases: dict[bytes, str] = {}
        self._pins: dict[bytes, str] = {}
        self._default: str | None = None
        self._wanted_places: list[tuple[str, str, str]] = []
        self._wanted_digests: list[tuple[bytes, str, str]] = []
        self._aliased: dict[str, ModelConfig] = {}

    def take(self, key: bytes, value: bytes) -> Iterator[Finding]:
        """Check one record's seal and remember what it says."""
        takers: dict[int, Callable[[bytes, bytes], Iterable[Finding]]] = {
            ord("m"): self._take_record,
            ord("l"): self._take_place,
            ord("c"): self._take_digest,
            ord("a"): self._take_alias,
            ord("p"): self._take_pin,
            ord("s"): self._take_setting,
        }
        try:
            yield from takers.get(key[0], _take_other)(key, value)
        except DamagedStoreError as error:
            yield _error("record-damaged", str(error))
        except (ValueError, TypeError, IndexError) as error:
            yield _error("record-damaged", f"record {printable(key)} cannot be understood: {error}")
        except StoreError as error:  # of a newer release
            yield _error("record-unreadable", str(error))

    def _take_record(self, key: bytes, value: bytes) -> Iterator[Finding]:
        config = decode_record(key, value)
        version = str(config.version)
        self._versions.setdefault(config.id, set()).add(version)
        if key != record_key(config.id, config.version):
            yield _error("record-misplaced", f"record {printable(key)} is that of {config.id} {version}")
        self._wanted_places += [(one.path, config.id, version) for one in config.locations if not one.missing]
        if config.content_digest:
            self._wanted_digests.append((config.content_digest, config.id, version))
        held = self._aliased.get(config.id)
        if config.aliases and (held is None or held.version < config.version):
            self._aliased[config.id] = config

    def _take_place(self, key: bytes, value: bytes) -> Iterable[Finding]:
        _, model_id, version, *_, path = decode_value(key, value)
        self._places[os.fsdecode(path)] = (model_id, version)
        return ()

    def _take_digest(self, key: bytes, value: bytes) -> Iterable[Finding]:
        model_id, version = decode_value(key, value)
        self._digests[key[2:]] = (model_id, version)
        return ()

    def _take_alias(self, key: bytes, value: bytes) -> Iterable[Finding]:
        self._aliases[key[2:]] = decode_value(key, value)
        return ()

    def _take_pin(self, key: bytes, value: bytes) -> Iterable[Finding]:
        self._pins[key[2:]] = decode_value(key, value)
        return ()

    def _take_setting(self, key: bytes, value: bytes) -> Iterable[Finding]:
        content = decode_value(key, value)
        if key == b"s\0default":
            self._default = content
        return ()

    def compared(self) -> Iterator[Finding]:
        """Where one table says what another does not; a table that was not read to its end says nothing."""
        if ord("m") not in self.unread:
            yield from self._pointing_nowhere()
        for table, compare in (("l", self._compare_places), ("c", self._compare_digests)):
            if ord(table) not in self.unread:
                yield from compare()
        if ord("a") not in self.unread:
            yield from self._compare_aliases()

    def _compare_places(self) -> Iterator[Finding]:
        for path, model_id, version in self._wanted_places:
            if self._places.get(path) != (model_id, version):
                yield _error("index-lacks-place", f"{model_id} {version}: {path} does not lead to it")

    def _compare_digests(self) -> Iterator[Finding]:
        for digest, model_id, version in self._wanted_digests:
            if digest not in self._digests:
                yield _error("index-lacks-content", f"{model_id} {version}: is not found by its content")

    def _compare_aliases(self) -> Iterator[Finding]:
        for config in self._aliased.values():
            for alias in config.aliases:
                if self._aliases.get(pin_part(alias)) != config.id:
                    yield _error("index-lacks-alias", f"{config.id}: its alias {alias} does not lead to it")

    def _pointing_nowhere(self) -> Iterator[Finding]:
        for path, (model_id, version) in self._places.items():
            if version not in self._versions.get(model_id, ()):
                yield _error(
                    "dangling-place", f"{path}: leads to {model_id} {version}, which is not recorded"
                )
        for digest, (model_id, version) in self._digests.items():
            if version not in self._versions.get(model_id, ()):
                shown = digest.hex()[:16]
                yield _error(
                    "dangling-content",
                    f"content {shown}…: leads to {model_id} {version}, which is not recorded",
                )
        for alias, model_id in self._aliases.items():
            if model_id not in self._versions:
                yield _error(
                    "dangling-alias", f"alias {printable(alias)}: leads to {model_id}, which is not recorded"
                )
        held = {pin_part(model_id): versions for model_id, versions in self._versions.items()}
        for part, version in self._pins.items():
            if version not in held.get(part, ()):
                yield _error(
                    "dangling-pin", f"{printable(part)}: is pinned to {version}, which is not recorded"
                )
        if self._default is not None and self._default not in self._versions:
            yield _error(
                "dangling-default",
                f"{self._default}: is the default and not recorded; `modelshelf default ID` sets another",
            )


def _take_other(key: bytes, value: bytes) -> Iterable[Finding]:
    decode_frame(key, value)
    return ()


def _error(code: str, message: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, message=message)


def _shortened(found: Iterable[Finding]) -> list[Finding]:
    """The findings, but of a code that many have the first few and a line that counts the others."""
    kept: list[Finding] = []
    counts: Counter[str] = Counter()
    last: dict[str, Finding] = {}
    for one in found:
        counts[one.code] += 1
        last[one.code] = one
        if counts[one.code] <= _MOST_OF_A_KIND:
            kept.append(one)
    for code, count in counts.items():
        if count > _MOST_OF_A_KIND:
            more = f"and {count - _MOST_OF_A_KIND} more of this kind"
            kept.append(Finding(code=code, severity=last[code].severity, message=more))
    return kept
