"""Missing or offline is never healthy, listed unmarked, the default or chosen; disabled is never chosen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from modelshelf import HealthStatus, ModelConfig, ModelRegistry, ModelVersion, Query
from modelshelf.records.json import json_record, openai_entry
from modelshelf.records.write import Records
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class Shelf:
    """Three scanned models of different sizes; `small` is the default."""

    def __init__(self, root: Path) -> None:
        self.models = root / "models"
        for name, parameters in (("small", 10), ("medium", 1000), ("large", 100_000)):
            write_toy(self.models / name / "m.toy", parameters=parameters)
        self.registry = ModelRegistry(
            self.models, root / "data", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS
        )
        self.registry.discover_models()
        self.registry.set_default("small")

    def delete(self, name: str) -> None:
        shutil.rmtree(self.models / name)
        self.registry.discover_models()

    def unmount(self, name: str) -> None:
        """Leave all as it is after the volume on which the model lies was unmounted, and a scan."""
        volume = str(self.models / name)
        self.registry.store.update(lambda state: Records(state).save_mounts([volume]))
        shutil.rmtree(volume)
        (self.models / name).mkdir()  # the mount point, at which nothing is mounted
        self.registry.discover_models()

    def disable(self, name: str) -> None:
        self.registry.update(name, enabled=False)


Loss = Callable[[Shelf, str], None]
GONE = pytest.mark.parametrize("lose", [Shelf.delete, Shelf.unmount], ids=["missing", "offline"])
UNAVAILABLE = pytest.mark.parametrize(
    "lose", [Shelf.delete, Shelf.unmount, Shelf.disable], ids=["missing", "offline", "disabled"]
)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    assert made.registry.get_healthy_models() == ["large", "medium", "small"]
    yield made
    made.registry.close()


@GONE
def test_the_marks_tell_missing_from_offline(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "small")
    model = shelf.registry.get("small")
    assert (model.missing, model.offline) == (True, lose is Shelf.unmount)


@UNAVAILABLE
def test_an_unavailable_model_is_not_among_the_healthy_ones(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "medium")
    assert shelf.registry.get_healthy_models() == ["large", "small"]
    assert shelf.registry.list_models() == ["large", "medium", "small"]


@UNAVAILABLE
def test_an_unavailable_model_is_never_chosen(shelf: Shelf, lose: Loss) -> None:
    assert shelf.registry.select_best("complex").id == "large"
    lose(shelf, "large")
    assert shelf.registry.select_best("complex").id == "medium"
    assert shelf.registry.select_best("complex", query=Query(text="large")).id == "small"  # the default
    lose(shelf, "medium")
    lose(shelf, "small")
    assert shelf.registry.select_best("complex") is None
    assert shelf.registry.select_best("simple") is None


@UNAVAILABLE
def test_the_default_is_none_while_what_was_set_is_unavailable(shelf: Shelf, lose: Loss) -> None:
    assert shelf.registry.default() == shelf.registry.get("small")
    lose(shelf, "small")
    assert shelf.registry.default() is None
    assert shelf.registry.default_id() == "small"
    if lose is Shelf.disable:
        shelf.registry.update("small", enabled=True)
    else:
        write_toy(shelf.models / "small" / "m.toy", parameters=10)
        shelf.registry.discover_models()
    assert shelf.registry.default() == shelf.registry.get("small")


@UNAVAILABLE
def test_health_is_that_of_what_is_available(shelf: Shelf, lose: Loss) -> None:
    registry = shelf.registry
    lose(shelf, "small")
    assert registry.check_health() is HealthStatus.HEALTHY
    registry.update_health_status("medium", "degraded")
    assert registry.check_health() is HealthStatus.DEGRADED
    lose(shelf, "large")
    assert registry.check_health() is HealthStatus.UNHEALTHY
    lose(shelf, "medium")
    assert registry.check_health() is HealthStatus.UNHEALTHY


def test_an_empty_registry_is_healthy(tmp_path: Path) -> None:
    with ModelRegistry(tmp_path, tmp_path / "data") as registry:
        assert registry.check_health() is HealthStatus.HEALTHY


@GONE
def test_a_record_that_is_gone_keeps_its_verdict_and_is_not_healthy(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "small")
    model = shelf.registry.get("small")
    assert model.health_status is HealthStatus.HEALTHY
    assert (model.healthy, model.available, model.current_health) == (False, False, HealthStatus.UNKNOWN)
    present = shelf.registry.get("large")
    assert (present.healthy, present.available, present.current_health) == (True, True, HealthStatus.HEALTHY)


def test_a_disabled_record_is_healthy_and_not_available(shelf: Shelf) -> None:
    shelf.disable("small")
    model = shelf.registry.get("small")
    assert (model.healthy, model.available) == (True, False)


@GONE
def test_a_listing_marks_what_is_gone_and_gives_its_health_as_unknown(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "small")
    entries = {one["id"]: one for one in json.loads(shelf.registry.to_json())["data"]}
    assert entries["small"]["health_status"] == "unknown"
    assert entries["small"]["missing"] is True
    assert entries["small"].get("offline", False) is (lose is Shelf.unmount)
    assert entries["large"]["health_status"] == "healthy"
    assert not {"missing", "offline"} & entries["large"].keys()


@GONE
def test_a_strict_listing_which_has_no_mark_leaves_out_what_is_gone(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "small")
    entries = json.loads(shelf.registry.to_json(strict=True))["data"]
    assert [one["id"] for one in entries] == ["large", "medium"]


@pytest.mark.parametrize("name", ["json", "jsonl", "yaml", "csv", "openai"])
@GONE
def test_no_serializer_writes_healthy_of_what_is_gone(shelf: Shelf, lose: Loss, name: str) -> None:
    lose(shelf, "small")
    dump = shelf.registry.serializer(name).dump
    assert b"healthy" not in b"".join(dump([shelf.registry.get("small")]))
    assert b"healthy" in b"".join(dump([shelf.registry.get("large")]))


@GONE
def test_a_query_for_healthy_models_finds_none_that_is_gone(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "small")
    for _ in range(2):  # a state's first query picks out what it needs, the second one has all of them
        assert [one.id for one in shelf.registry.find(Query(health="healthy"))] == ["large", "medium"]
    shelf.registry.mark_used("small")
    for _ in range(2):
        assert [one.id for one in shelf.registry.find(Query(health="unknown"))] == ["small"]
    by_health = shelf.registry.find(Query(sort="health"))
    assert [one.id for one in by_health] == ["small", "large", "medium"]


@UNAVAILABLE
def test_of_what_is_left_an_available_model_becomes_the_default(shelf: Shelf, lose: Loss) -> None:
    lose(shelf, "large")  # the first by its id
    shutil.rmtree(shelf.models / "small")
    shelf.registry.remove("small")
    assert shelf.registry.default_id() == "medium"
    lose(shelf, "medium")
    shelf.registry.remove("medium")
    assert shelf.registry.default_id() is None


def test_a_model_that_is_pinned_to_a_version_that_is_gone_is_not_chosen(shelf: Shelf) -> None:
    write_toy(shelf.models / "small" / "m.toy", parameters=20)
    shelf.registry.discover_models()
    assert shelf.registry.default().version == ModelVersion.parse("1.0.1")
    shelf.registry.pin("small", "1.0.0")
    assert shelf.registry.default() is None
    assert "small" not in shelf.registry.get_healthy_models()


def test_what_was_never_probed_is_neither_healthy_nor_missing() -> None:
    model = ModelConfig(id="by-hand")
    assert (model.available, model.healthy, model.current_health) == (True, False, HealthStatus.UNKNOWN)
    gone = attrs.evolve(model, missing_since=7, health_status=HealthStatus.HEALTHY)
    assert json_record(gone)["health_status"] == openai_entry(gone)["health_status"] == "unknown"
