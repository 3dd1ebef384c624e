"""The conformance suite of a serializer: contract, escaping, laziness, isolation, round trip, determinism."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from modelshelf.model import (
    ModelConfig,
    Query,
)
from modelshelf.testing.audit import side_effects
from modelshelf.testing.examination import plugin_set
from modelshelf.testing.process_settings import settings_kept
from modelshelf.testing.records import hostile_records, ordinary_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.serializer import SerializerType

_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+(; ?[a-z0-9-]+=[a-zA-Z0-9.\"-]+)*")  # RFC 9110, section 8.3.1
_LINE_BREAKS = "\r\n\t"
_AHEAD = 50  # records that a writer may take before it gives its first chunks


@frozen(kw_only=True)
class SerializerCase:
    """A serializer and how its documents are read.

    Attributes:
        plugin: The plugin: its module, or an object whose methods are hooks.
        name: The serializer's name.
        load: Reads a document and gives one entry for each record. Left out, it goes by the media type:
            JSON (an array, or an object with a list ``data``), JSON Lines, YAML, CSV with a heading, lines.
        binary: Whether documents are no text, so that their characters are not looked at.
    """

    plugin: object
    name: str
    load: Callable[[bytes], Sequence[Any]] | None = None
    binary: bool = False

    @property
    def serializer(self) -> SerializerType:
        """What the plugin offers under the name."""
        offered = plugin_set(self.plugin).collect("modelshelf_serializers")
        found = [one for one in offered if one.name == self.name]
        assert found, f"modelshelf_serializers() offers no {self.name!r}"
        kind: SerializerType = found[0]
        return kind

    def dumped(self, records: Sequence[ModelConfig]) -> bytes:
        """The document of these records."""
        return b"".join(self.serializer.dump(records))

    def loaded(self, document: bytes) -> Sequence[Any]:
        """A document's entries."""
        if self.load is not None:
            return self.load(document)
        essence = self.serializer.media_type.partition(";")[0].strip()
        assert essence in _LOADERS, f"say how {essence} is read: SerializerCase(load=...)"
        return _LOADERS[essence](document)


def _load_json(document: bytes) -> Sequence[Any]:
    content = json.loads(document, parse_constant=_no_json)
    entries: Sequence[Any] = content["data"] if isinstance(content, dict) else content
    return entries


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON (RFC 8259, section 6)")


def _load_yaml(document: bytes) -> Sequence[Any]:
    import yaml

    entries: Sequence[Any] = yaml.safe_load(document) or []
    return entries


def _load_csv(document: bytes) -> Sequence[Any]:
    heading, *rows = csv.reader(io.StringIO(document.decode(), newline=""), strict=True)
    return [dict(zip(heading, row, strict=True)) for row in rows]


_LOADERS: dict[str, Callable[[bytes], Sequence[Any]]] = {
    "application/json": _load_json,
    "application/jsonl": lambda document: [json.loads(line) for line in document.split(b"\n") if line],
    "application/yaml": _load_yaml,
    "text/csv": _load_csv,
    "text/plain": lambda document: [line for line in document.decode().split("\n") if line],
}


class SerializerSuite:
    """Inherit this in an empty class and give a fixture ``serializer_case``, a `SerializerCase`."""

    def test_the_serializer_is_offered(self, serializer_case: SerializerCase) -> None:
        """The plugin loads, and its descriptor has a name and a media type."""
        plugins = plugin_set(serializer_case.plugin)
        assert plugins.collect("modelshelf_serializers")
        assert not plugins.failures, [str(one) for one in plugins.failures]
        kind = serializer_case.serializer
        assert re.fullmatch(r"[a-z][a-z0-9.-]*", kind.name), f"{kind.name!r} is hard to type"
        assert _MEDIA_TYPE.fullmatch(kind.media_type), f"{kind.media_type!r} is no media type"

    def test_no_records_give_a_valid_empty_document(self, serializer_case: SerializerCase) -> None:
        """An empty registry is exported too."""
        assert list(serializer_case.loaded(serializer_case.dumped([]))) == []

    def test_every_record_comes_back_in_order(self, serializer_case: SerializerCase) -> None:
        """The document is read as that many entries, each with its record's id."""
        records = ordinary_records()
        entries = serializer_case.loaded(serializer_case.dumped(records))
        assert len(entries) == len(records), f"{len(records)} records are read as {len(entries)} entries"
        for record, entry in zip(records, entries, strict=True):
            assert record.id in str(entry), f"{record.id} is not in {entry!r}"

    def test_hostile_text_stays_within_its_field(self, serializer_case: SerializerCase) -> None:
        """Quotes, line breaks and separators out of a file make no further entry, and break none."""
        records = hostile_records()
        entries = serializer_case.loaded(serializer_case.dumped(records))
        assert len(entries) == len(records), f"{len(records)} records are read as {len(entries)} entries"
        for record in records:
            one = serializer_case.loaded(serializer_case.dumped([record]))
            assert len(one) == 1, f"the record {record.id!r} is read as {len(one)} entries"

    def test_no_character_steers_a_terminal(self, serializer_case: SerializerCase) -> None:
        """Controls, bidirectional marks and what is no UTF-8 are escaped."""
        if serializer_case.binary:
            pytest.skip("its documents are no text")
        text = serializer_case.dumped(hostile_records()).decode("utf-8")
        unseen = {one for one in text if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
        unseen -= set(_LINE_BREAKS)
        assert not unseen, f"not escaped: {sorted(map(ascii, unseen))}"

    def test_records_are_written_as_they_come(self, serializer_case: SerializerCase) -> None:
        """The first chunks are there long before the last record is; they are bytes."""
        record, taken = ordinary_records()[0], 0

        def records() -> Iterator[ModelConfig]:
            nonlocal taken
            for _ in range(20 * _AHEAD):
                taken += 1
                yield record

        chunks = iter(serializer_case.serializer.dump(records()))
        first = [next(chunks) for _ in range(3)]
        assert all(isinstance(one, bytes) for one in first), (
            f"chunks are bytes, not {type(first[0]).__name__}"
        )
        assert taken <= _AHEAD, f"{taken} records were taken before the third chunk"

    def test_an_error_of_the_records_is_passed_on(self, serializer_case: SerializerCase) -> None:
        """A document that ends early must not look whole."""

        def records() -> Iterator[ModelConfig]:
            yield from ordinary_records()
            raise LookupError("the store went away")

        with pytest.raises(LookupError):
            list(serializer_case.serializer.dump(records()))

    def test_the_same_records_give_the_same_document(self, serializer_case: SerializerCase) -> None:
        """Each time, in a plugin that was loaded anew too."""
        records = [*ordinary_records(), *hostile_records()]
        assert serializer_case.dumped(records) == serializer_case.dumped(records)

    def test_two_documents_at_a_time_do_not_mix(self, serializer_case: SerializerCase) -> None:
        """A serializer keeps nothing between its calls."""
        one, other = ordinary_records(), hostile_records()
        dump = serializer_case.serializer.dump
        first, second = iter(dump(one)), iter(dump(other))
        begun = [next(first), next(second)]
        whole = (begun[0] + b"".join(first), begun[1] + b"".join(second))
        assert whole == (serializer_case.dumped(one), serializer_case.dumped(other))

    def test_records_are_left_as_they_were(self, serializer_case: SerializerCase) -> None:
        """Other readers hold the same values."""
        records = ordinary_records()
        before = copy.deepcopy(records)
        serializer_case.dumped(records)
        assert records == before

    def test_nothing_is_run_written_or_printed(
        self, serializer_case: SerializerCase, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The bytes that it gives are all that it makes."""
        serializer_case.dumped(ordinary_records())  # imports what it needs
        capfd.readouterr()
        with side_effects() as done, settings_kept() as changed:
            serializer_case.dumped(hostile_records())
        assert not done, done
        assert not changed, f"it changes {', '.join(changed)}"
        assert capfd.readouterr() == ("", "")

    def test_a_registry_is_written_by_its_name(
        self, serializer_case: SerializerCase, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """The registry finds it and hands it its records."""
        from modelshelf.registry.registry import ModelRegistry

        folder = tmp_path_factory.mktemp("registry")
        with ModelRegistry(folder, folder / "store", plugins=[serializer_case.plugin]) as registry:
            registry.register(ordinary_records()[0])
            document = b"".join(registry.serializer(serializer_case.name).dump(registry.find(Query())))
        (entry,) = serializer_case.loaded(document)
        assert "lab/model-1" in str(entry)
