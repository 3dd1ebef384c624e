"""Every hook once, given by a plugin and used as a person uses it.

`tests/test_contributing.py` counts them.
"""

# ruff: noqa: ARG001, ARG002 - fixtures that write files, and hooks that name their arguments

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import modelshelf_lmdb
from modelshelf import (
    Detection,
    EventKind,
    Finding,
    FormatType,
    HealthStatus,
    MemoryEstimate,
    MemoryRequest,
    ModelConfig,
    ModelMetadata,
    ModelRegistry,
    Origin,
    Query,
    SerializerType,
    Severity,
)
from modelshelf.model import TensorPlaces
from modelshelf.reader import open_local
from modelshelf.source import Place, SourceType
from modelshelf.store import StoreType
from modelshelf.testing import CommandLine, ModelFiles
from tests.distributions import write_distribution


class NoteFormat:
    """Files that end in .note; JSON on one line."""

    def modelshelf_formats(self) -> Iterator[FormatType]:
        yield FormatType(name="note", suffixes=(".note",))

    def modelshelf_detect_format(self, candidate: Any) -> Detection | None:
        if candidate.suffix == ".note":
            return Detection(format="note", confidence=0.5, evidence="it ends in .note")
        return None


@pytest.fixture
def note(tmp_path: Path) -> Path:
    file = tmp_path / "models" / "mine" / "model.note"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"words": 7}))
    return file


@pytest.fixture
def registry_with(tmp_path: Path) -> Iterator[Callable[..., ModelRegistry]]:
    """Opens a registry over ``models`` with these plugins; closed when the test is over."""
    opened: list[ModelRegistry] = []

    def open_it(*plugins: object) -> ModelRegistry:
        opened.append(ModelRegistry(tmp_path / "models", tmp_path / "store", plugins=plugins))
        return opened[-1]

    yield open_it
    for one in opened:
        assert one.plugins.failures == []
        one.close()


def test_hook_formats_decides_which_files_are_models(registry_with, note: Path) -> None:
    note.with_name("readme.txt").write_text("no model")
    registry = registry_with(NoteFormat())
    assert registry.discover_models().models_found == 1


def test_hook_detect_format_votes_with_its_evidence(registry_with, note: Path) -> None:
    registry = registry_with(NoteFormat())
    registry.discover_models()
    assert registry.get("mine").metadata.format == "note"
    assert "it ends in .note" in " ".join(str(one) for one in registry.why(note))


def test_hook_extract_metadata_tells_values_with_their_origin(registry_with, note: Path) -> None:
    class Reader(NoteFormat):
        def modelshelf_extract_metadata(self, format: str, reader: Any) -> ModelMetadata | None:
            if format != "note":
                return None
            words = json.loads(reader.file().read(0, reader.file().size))["words"]
            return ModelMetadata.partial(Origin.HEADER, "words", vocab_size=words)

    registry = registry_with(Reader())
    registry.discover_models()
    metadata = registry.get("mine").metadata
    assert (metadata.vocab_size, str(metadata.provenance["vocab_size"])) == (7, "header: words")


def test_hook_probe_health_decides_the_status(registry_with, note: Path) -> None:
    class Critic(NoteFormat):
        def modelshelf_probe_health(self, artifact: Any, depth: Any) -> Iterator[Finding]:
            yield Finding(code="terse", severity=Severity.WARNING, message=f"terse at depth {depth}")

    registry = registry_with(Critic())
    registry.discover_models(depth="quick")
    model = registry.get("mine")
    assert model.health_status is HealthStatus.DEGRADED
    assert model.findings[0].message == "terse at depth quick"


def test_hook_estimate_memory_answers_for_its_engine_alone(registry_with, note: Path) -> None:
    class Pencil(NoteFormat):
        def modelshelf_estimate_memory(self, model: Any, request: Any) -> MemoryEstimate | None:
            if request.engine != "pencil":
                return None
            weights = {"device": 0, "host": model.metadata.size_bytes}
            return MemoryEstimate(engine="pencil", weights_bytes=weights, exact=("weights",))

    registry = registry_with(Pencil())
    registry.discover_models()
    answer = registry.estimate_memory("mine", MemoryRequest(engine="pencil"))
    assert answer.weights_bytes == {"device": 0, "host": note.stat().st_size}
    assert answer.total_bytes is None  # for it says nothing of the other items
    nobody = registry.estimate_memory("mine", MemoryRequest(engine="brush"))
    assert nobody.unknown == ("no plugin estimates the memory of note with brush",)


def test_hook_tensor_places_decides_which_bytes_of_copies_are_compared(registry_with, note: Path) -> None:
    asked = []

    class Columns(NoteFormat):
        def modelshelf_tensor_places(self, artifact: Any, format: str) -> Iterator[TensorPlaces]:
            asked.append((format, artifact.folder))
            yield TensorPlaces(file="model.note", spans=((1_000_000, 90_000_000),))

    other = note.parent.with_name("other") / note.name
    other.parent.mkdir()
    for path in (note, other):
        with path.open("wb") as file:
            file.seek(5_000_000)
            file.write(b"7" if path == other else b"8")
            file.truncate(100_000_000)
    registry = registry_with(Columns())
    registry.discover_models()
    assert len(registry.list_models()) == 1
    assert asked == [("note", str(note.parent)), ("note", str(other.parent))]


def test_hook_serializers_writes_records_by_name(registry_with, note: Path) -> None:
    class Ids:
        def modelshelf_serializers(self) -> Iterator[SerializerType]:
            yield SerializerType(
                name="ids", media_type="text/plain", dump=lambda models: (one.id.encode() for one in models)
            )

    registry = registry_with(Ids())
    registry.register(ModelConfig(id="mine"))
    assert b"".join(registry.serializer("ids").dump(registry.find(Query()))) == b"mine"


def test_hook_sources_adds_places_that_a_scan_looks_into(registry_with, note: Path) -> None:
    class Notes:
        name = "notes"

        def places(self) -> list[Place]:
            return [Place(source="notes", root=str(note.parent), reason="always")]

        def claims(self, root: str) -> bool:
            return False

        def list(self, place: Place, walk: Any) -> Any:
            return walk(place.root)

        def open(self, artifact: Any, one: Any, budget: Any) -> Any:
            return open_local(artifact, one, budget)

    class WithNotes(NoteFormat):
        def modelshelf_sources(self) -> Iterator[SourceType]:
            yield SourceType(name="notes", make=lambda _settings: Notes())

    registry = registry_with(WithNotes())
    (place,) = [one for one in registry.places() if one.source == "notes"]
    registry.discover_models(place)
    assert registry.get("mine").metadata.source == "notes"


def test_hook_stores_opens_the_store_of_a_url(tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []
    (lmdb,) = modelshelf_lmdb.modelshelf_stores()

    class Memo:
        def modelshelf_stores(self) -> Iterator[StoreType]:
            def open_it(location: str, readonly: bool) -> Any:
                asked.append((location, readonly))
                return lmdb.open(str(tmp_path / "records"), readonly)

            yield StoreType(scheme="memo", open=open_it)

    with ModelRegistry(tmp_path, "memo://somewhere", plugins=[Memo()]) as registry:
        registry.register(ModelConfig(id="mine"))
        assert registry.get("mine").id == "mine"
    assert asked == [("memo://somewhere", False)]


def test_hook_commands_is_in_the_help_and_runs(site: Path, tmp_path: Path) -> None:
    source = """
        import click
        from modelshelf import CommandType

        @click.command()
        @click.pass_obj
        def greet(app):
            app.screen.line("hello")

        def modelshelf_commands():
            yield CommandType(name="greet", summary="Say hello.", load=lambda: greet)
    """
    write_distribution(site, "greeter", source)
    command_line = CommandLine(tmp_path / "cli")
    assert "greet" in command_line.run("--help").out
    assert command_line.run("greet").out == "hello\n"


def test_hook_model_changed_is_reported_after_the_commit(registry_with, tmp_path: Path) -> None:
    events: list[tuple[EventKind, str, bool]] = []

    class Observer:
        def modelshelf_model_changed(self, event: Any) -> None:
            events.append((event.kind, event.model_id, registry.get(event.model_id) is not None))

    ModelFiles(tmp_path / "models").sound("gguf", name="tiny")
    registry = registry_with(Observer())
    registry.discover_models()
    assert (EventKind.REGISTERED, "tiny", True) in events
