from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from modelshelf import (
    DuplicateModelError,
    HealthStatus,
    InvalidModelError,
    InvalidValueError,
    ModelConfig,
    ModelEvent,
    ModelMetadata,
    ModelRegistry,
    ModelshelfError,
    ModelVersion,
    Query,
    RegistryClosedError,
    UnknownModelError,
)
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class Shelf:
    """A folder of toy models and a registry on it."""

    def __init__(self, root: Path) -> None:
        self.models = root / "models"
        self.models.mkdir()
        self.data = root / "data"
        self.format = ToyFormat()
        self.registry = self.open()

    def open(self, *plugins: object) -> ModelRegistry:
        return ModelRegistry(self.models, self.data, plugins=[self.format, *plugins], blocked=BUILTIN_FORMATS)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.registry.close()


def model(model_id: str = "a", version: str = "1.0.0", **fields: object) -> ModelConfig:
    return ModelConfig(id=model_id, version=ModelVersion.parse(version), **fields)  # type: ignore[arg-type]


def test_the_first_model_registered_is_the_default(shelf: Shelf) -> None:
    registry = shelf.registry
    assert registry.default() is None
    registry.register(model("b"))
    registry.register(model("a"))
    default = registry.default()
    assert default is not None
    assert default.id == "b"
    registry.set_default("a")
    assert registry.default() == registry.get("a")


def test_what_is_not_there_is_none(shelf: Shelf) -> None:
    assert shelf.registry.get("x") is None
    assert shelf.registry.get_by_version("x", "1.0.0") is None
    assert shelf.registry.get_versions("x") == []
    assert "x" not in shelf.registry
    assert len(shelf.registry) == 0
    assert list(shelf.registry) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda registry: registry.set_default("nobody"),
        lambda registry: registry.update("nobody", enabled=False),
        lambda registry: registry.mark_used("nobody"),
        lambda registry: registry.update_health_status("nobody", "healthy"),
        lambda registry: registry.remove("nobody"),
        lambda registry: registry.pin("nobody", "1.0.0"),
        lambda registry: registry.check(["nobody"]),
    ],
)
def test_changing_an_unknown_id_raises_and_names_it(shelf: Shelf, change: object) -> None:
    with pytest.raises(UnknownModelError, match="'nobody'"):
        change(shelf.registry)  # type: ignore[operator]


def test_the_same_id_and_version_twice_is_refused(shelf: Shelf) -> None:
    shelf.registry.register(model())
    with pytest.raises(DuplicateModelError, match=r"'a' version 1\.0\.0"):
        shelf.registry.register(model())


@pytest.mark.parametrize(
    "fields",
    [
        {"max_workers": 0},
        {"max_tokens": -1},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"enabled": "yes"},
        {"colour": "red"},
        {"context_length": "long"},
        {"aliases": [""]},
        {"id": "other"},
    ],
)
def test_an_impossible_value_is_refused_and_named_with_the_id(
    shelf: Shelf, fields: dict[str, object]
) -> None:
    before = shelf.registry.register(model())
    with pytest.raises(InvalidModelError, match="'a'"):
        shelf.registry.update("a", **fields)
    assert shelf.registry.get("a") == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context_length": "long"}, "context_length must be an integer, not str 'long'"),
        ({"context_length": -1}, "context_length must be an integer of 0 or more, not -1"),
        ({"architecture": 5}, "architecture must be text, not int 5"),
        ({"chat_template": "yes"}, "chat_template must be true or false, not str 'yes'"),
        ({"tags": 5}, "tags must be text that is not empty, or several, not int 5"),
        ({"tags": ["a", ""]}, "tags must be text that is not empty, or several, not str ''"),
        ({"tensor_types": {"F32": "x"}}, "tensor_types must be integers by name, not str 'x'"),
        (
            {"contextlength": 5},
            "contextlength is not a field that can be set; did you mean 'context_length'?",
        ),
        ({"enable": True}, "enable is not a field that can be set; did you mean 'enabled'?"),
        ({"zzz": True}, "zzz is not a field that can be set; there are display_name, enabled,"),
    ],
)
def test_what_cannot_be_set_is_refused_with_field_type_and_value(
    shelf: Shelf, fields: dict[str, object], message: str
) -> None:
    shelf.registry.register(model())
    with pytest.raises(InvalidModelError, match=f"^model 'a': {re.escape(message)}"):
        shelf.registry.update("a", **fields)


@pytest.mark.parametrize("bad", ["", "   ", "a\0b", "x" * 5_000])
def test_an_impossible_id_is_refused(bad: str) -> None:
    with pytest.raises(InvalidModelError):
        model(bad)


def test_versions_are_listed_newest_first_and_each_is_found(shelf: Shelf) -> None:
    for version in ("1.0.0", "1.0.1-rc.1", "1.0.1", "0.9.0"):
        shelf.registry.register(model(version=version))
    assert [str(one) for one in shelf.registry.get_versions("a")] == ["1.0.1", "1.0.1-rc.1", "1.0.0", "0.9.0"]
    newest, old = shelf.registry.get("a"), shelf.registry.get_by_version("a", "0.9.0")
    assert newest is not None
    assert old is not None
    assert (str(newest.version), str(old.version)) == ("1.0.1", "0.9.0")
    assert shelf.registry.list_models() == ["a"]


def test_a_pinned_version_stands_before_the_newest_until_it_is_let_go(shelf: Shelf) -> None:
    for version in ("1.0.0", "2.0.0"):
        shelf.registry.register(model(version=version))
    shelf.registry.pin("a", "1.0.0")
    assert str(shelf.registry.get("a").version) == "1.0.0"  # type: ignore[union-attr]
    assert [str(one.version) for one in shelf.registry] == ["1.0.0"]
    shelf.registry.pin("a", None)
    assert str(shelf.registry.get("a").version) == "2.0.0"  # type: ignore[union-attr]


def test_removing_the_default_makes_another_one_the_default(shelf: Shelf) -> None:
    for name in "abc":
        shelf.registry.register(model(name))
    shelf.registry.remove("a")
    assert shelf.registry.default().id == "b"  # type: ignore[union-attr]
    assert "a" not in shelf.registry
    shelf.registry.remove("b")
    shelf.registry.remove("c")
    assert shelf.registry.default() is None


def test_an_alias_is_answered_and_belongs_to_one_model(shelf: Shelf) -> None:
    shelf.registry.register(model("a"))
    shelf.registry.register(model("b"))
    shelf.registry.update("a", aliases=["fast"])
    assert shelf.registry.get("fast").id == "a"  # type: ignore[union-attr]
    for alias in ("fast", "a"):
        with pytest.raises(InvalidModelError, match=alias):
            shelf.registry.update("b", aliases=[alias])
    shelf.registry.update("a", aliases=[])
    assert shelf.registry.get("fast") is None


def test_another_registrys_commit_is_seen_by_the_next_call(shelf: Shelf) -> None:
    assert shelf.registry.list_models() == []
    with shelf.open() as other:
        other.register(model("late"))
    assert shelf.registry.list_models() == ["late"]
    assert shelf.registry.get("late") is not None


def test_records_outlive_the_registry(shelf: Shelf) -> None:
    kept = shelf.registry.register(
        model(metadata=ModelMetadata(parameters=2**70, tags=["x"]), path="/m\udcff")
    )
    shelf.registry.close()
    with shelf.open() as again:
        assert again.get("a") == kept


def test_a_closed_registry_says_so(shelf: Shelf) -> None:
    shelf.registry.close()
    shelf.registry.close()
    with pytest.raises(RegistryClosedError):
        shelf.registry.get("a")


def sized(name: str, parameters: int | None, **fields: object) -> ModelConfig:
    return model(
        name, metadata=ModelMetadata(parameters=parameters), health_status=HealthStatus.HEALTHY, **fields
    )


def test_selection_goes_by_parameters_among_the_healthy_and_enabled(shelf: Shelf) -> None:
    registry = shelf.registry
    for one in (
        sized("none", None),
        sized("small", 5 * 10**8),
        sized("large", 7 * 10**10),
        sized("larger-but-off", 10**12, enabled=False),
        attrs.evolve(sized("largest-but-sick", 10**13), health_status=HealthStatus.UNHEALTHY),
    ):
        registry.register(one)
    assert registry.select_best("simple").id == "small"  # type: ignore[union-attr]
    assert registry.select_best("complex").id == "large"  # type: ignore[union-attr]
    with pytest.raises(InvalidValueError, match="middling"):
        registry.select_best("middling")


def test_selection_falls_back_to_the_default(shelf: Shelf) -> None:
    assert shelf.registry.select_best() is None
    shelf.registry.register(model("only"))
    assert shelf.registry.select_best("complex").id == "only"  # type: ignore[union-attr]


def test_the_registrys_health_is_that_of_its_models(shelf: Shelf) -> None:
    registry = shelf.registry
    registry.register(model("a", health_status=HealthStatus.HEALTHY))
    assert registry.check_health() is HealthStatus.HEALTHY
    registry.register(model("b"))
    assert registry.check_health() is HealthStatus.DEGRADED
    registry.update_health_status("a", "unhealthy")
    assert registry.check_health() is HealthStatus.UNHEALTHY
    assert registry.get_healthy_models() == []


def test_stale_models_are_those_used_long_ago(shelf: Shelf) -> None:
    now = int(time.time())
    for name, last in (("never", None), ("now", now), ("old", now - 100_000), ("older", now - 200_000)):
        shelf.registry.register(model(name, last_used=last))
    assert [one.id for one in shelf.registry.stale()] == ["older", "old"]
    assert [one.id for one in shelf.registry.stale(hours=40)] == ["older"]


def test_uses_are_counted(shelf: Shelf) -> None:
    shelf.registry.register(model())
    for _ in range(3):
        shelf.registry.mark_used("a")
    used = shelf.registry.get("a")
    assert used is not None
    assert used.use_count == 3
    assert used.last_used is not None
    assert used.last_used >= int(time.time()) - 60


def test_a_query_meets_all_its_conditions_in_its_order(shelf: Shelf) -> None:
    for name, fmt, parameters, tags in (
        ("x", "gguf", 7, ["chat"]),
        ("y", "GGUF", 9, ["Chat", "b"]),
        ("z", "pytorch", 8, None),
    ):
        shelf.registry.register(
            model(name, metadata=ModelMetadata(format=fmt, parameters=parameters, tags=tags))
        )
    found = shelf.registry.find(Query(format="gguf", tag="chat", sort="parameters", descending=True))
    assert [one.id for one in found] == ["y", "x"]
    assert [one.id for one in shelf.registry.find(Query(min_parameters=8, limit=1))] == ["y"]
    with pytest.raises(InvalidValueError, match="sideways"):
        Query(sort="sideways")
    with pytest.raises(InvalidValueError, match="fine"):
        Query(health="fine")


def test_json_is_the_openai_list_with_the_registrys_own_fields(shelf: Shelf) -> None:
    shelf.registry.register(
        model("org/a", path="/m", max_tokens=5, metadata=ModelMetadata(created_at=7, parameters=3 * 10**9))
    )
    listing = json.loads(shelf.registry.to_json())
    assert listing["object"] == "list"
    (entry,) = listing["data"]
    assert (entry["id"], entry["object"], entry["created"], entry["owned_by"]) == ("org/a", "model", 7, "org")
    assert (entry["parameter_count"], entry["max_tokens"], entry["version"], entry["use_count"]) == (
        "3B",
        5,
        "1.0.0",
        0,
    )
    assert "temperature" not in entry
    (strict,) = json.loads(shelf.registry.to_json(strict=True))["data"]
    assert set(strict) == {"id", "object", "created", "owned_by"}


def test_json_is_made_once_for_a_state_and_anew_after_any_commit(shelf: Shelf) -> None:
    shelf.registry.register(model("a"))
    first = shelf.registry.to_json()
    assert shelf.registry.to_json() is first
    assert shelf.registry.to_json(strict=True) != first
    with ModelRegistry(shelf.models, shelf.registry.store.location) as other:
        other.register(model("b"))
    second = shelf.registry.to_json()
    assert [one["id"] for one in json.loads(second)["data"]] == ["a", "b"]
    shelf.registry.update("a", display_name="House model")
    (changed, _) = json.loads(shelf.registry.to_json())["data"]
    assert changed["display_name"] == "House model"


def test_a_scan_adds_and_a_second_one_neither_opens_nor_writes(shelf: Shelf) -> None:
    write_toy(shelf.models / "Llama-3/m.toy", architecture="llama", parameters=10)
    (shelf.models / "Llama-3/notes.toy").write_bytes(b"not a toy")
    (shelf.models / "half.toy.part").write_bytes(b"TOY")
    first = shelf.registry.discover_models()
    assert (first.models_found, first.models_added, first.unfinished_downloads, first.total_scanned) == (
        1,
        1,
        1,
        2,
    )
    assert [one.code for one in first.problems] == ["no-format"]
    assert first.bytes_read > 0
    looked, revision = list(shelf.format.looked_at), shelf.registry.store.revision()
    second = shelf.registry.discover_models()
    assert (second.models_found, second.models_unchanged, second.models_added, second.bytes_read) == (
        1,
        1,
        0,
        0,
    )
    assert [one.code for one in second.problems] == ["no-format"]
    assert shelf.format.looked_at == looked
    assert shelf.registry.store.revision() == revision


def test_an_edit_outlives_a_rescan_and_a_new_version(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy", license="MIT", context_length=1)
    shelf.registry.discover_models()
    shelf.registry.update("m", display_name="Mine", tags=["a"], license="GPL", enabled=False, max_tokens=9)
    write_toy(path, license="BSD", context_length=2)
    stats = shelf.registry.discover_models()
    assert stats.models_added == 1
    new = shelf.registry.get("m")
    assert new is not None
    assert str(new.version) == "1.0.1"
    assert (new.display_name, new.metadata.tags, new.metadata.license, new.enabled, new.max_tokens) == (
        "Mine",
        ("a",),
        "GPL",
        False,
        9,
    )
    assert new.metadata.context_length == 2
    old = shelf.registry.get_by_version("m", "1.0.0")
    assert old is not None
    assert old.missing
    assert old.metadata.context_length == 1


def test_changing_an_old_version_leaves_the_path_to_the_new_one(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy", context_length=1)
    shelf.registry.discover_models()
    write_toy(path, context_length=2)
    shelf.registry.discover_models()
    shelf.registry.update("m", version="1.0.0", tags=["old"])
    looked = len(shelf.format.looked_at)
    assert shelf.registry.discover_models().models_unchanged == 1
    assert len(shelf.format.looked_at) == looked


def test_bytes_that_come_back_are_the_old_version_again(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy", context_length=1)
    shelf.registry.discover_models()
    write_toy(path, context_length=2)
    shelf.registry.discover_models()
    write_toy(path, context_length=1)
    shelf.registry.discover_models()
    current = shelf.registry.get("m")
    assert current is not None
    assert (str(current.version), current.missing) == ("1.0.0", False)
    assert shelf.registry.get_by_version("m", "1.0.1").missing  # type: ignore[union-attr]
    assert len(shelf.registry.get_versions("m")) == 2
    assert shelf.registry.discover_models().models_unchanged == 1


def test_the_first_version_is_the_headers(shelf: Shelf) -> None:
    write_toy(shelf.models / "m/m.toy", model_version="v3.2")
    shelf.registry.discover_models()
    assert [str(one) for one in shelf.registry.get_versions("m")] == ["3.2.0"]


def test_a_touched_file_with_the_same_content_is_no_new_version(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy")
    shelf.registry.discover_models()
    os.utime(path, (1, 1))
    stats = shelf.registry.discover_models()
    assert (stats.models_added, stats.models_updated) == (0, 1)
    assert len(shelf.registry.get_versions("m")) == 1
    assert shelf.registry.discover_models().models_unchanged == 1


def test_a_moved_file_keeps_its_record(shelf: Shelf) -> None:
    write_toy(shelf.models / "m/m.toy", architecture="x")
    shelf.registry.discover_models()
    shelf.registry.mark_used("m")
    shelf.registry.update("m", display_name="Mine")
    shutil.move(shelf.models / "m", shelf.models / "elsewhere")
    stats = shelf.registry.discover_models()
    assert (stats.models_added, stats.models_missing, len(shelf.registry)) == (0, 0, 1)
    moved = shelf.registry.get("m")
    assert moved is not None
    assert (moved.path, moved.use_count, moved.display_name, moved.missing) == (
        str(shelf.models / "elsewhere/m.toy"),
        1,
        "Mine",
        False,
    )
    assert [one.path for one in moved.locations] == [moved.path]
    assert shelf.registry.discover_models().models_unchanged == 1


def test_a_copy_is_a_second_location_of_one_record(shelf: Shelf) -> None:
    write_toy(shelf.models / "a/m.toy")
    write_toy(shelf.models / "b/m.toy")
    shelf.registry.discover_models()
    assert shelf.registry.list_models() == ["a"]
    assert len(shelf.registry.get("a").locations) == 2  # type: ignore[union-attr]
    shutil.rmtree(shelf.models / "a")
    assert shelf.registry.discover_models().models_missing == 0
    left = shelf.registry.get("a")
    assert left is not None
    assert left.path == str(shelf.models / "b/m.toy")
    assert not left.missing


def test_a_deleted_file_marks_its_record_missing_and_a_returned_one_present(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy")
    shelf.registry.discover_models()
    content = path.read_bytes()
    path.unlink()
    assert shelf.registry.discover_models().models_missing == 1
    assert shelf.registry.get("m").missing  # type: ignore[union-attr]
    assert shelf.registry.discover_models().models_missing == 0
    path.write_bytes(content)
    shelf.registry.discover_models()
    assert not shelf.registry.get("m").missing  # type: ignore[union-attr]


def test_a_place_that_is_unplugged_loses_nothing(shelf: Shelf) -> None:
    write_toy(shelf.models / "m/m.toy")
    shelf.registry.discover_models()
    shelf.models.rename(shelf.models.with_name("away"))
    stats = shelf.registry.discover_models()
    assert [one.code for one in stats.problems] == ["absent"]
    assert not shelf.registry.get("m").missing  # type: ignore[union-attr]


def test_models_that_would_have_one_id_are_told_apart_by_their_folders(shelf: Shelf) -> None:
    write_toy(shelf.models / "x/m/m.toy", architecture="a")
    write_toy(shelf.models / "y/m/m.toy", architecture="b")
    shelf.registry.discover_models()
    assert shelf.registry.list_models() == ["x/m", "y/m"]


def test_a_model_registered_by_hand_is_filled_in_by_the_scan(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy", architecture="llama")
    shelf.registry.register(model("m", "3.2.0", path=str(path.parent), max_tokens=7))
    shelf.registry.discover_models()
    assert shelf.registry.list_models() == ["m"]
    registered = shelf.registry.get("m")
    assert registered is not None
    assert (registered.metadata.architecture, registered.max_tokens, str(registered.version)) == (
        "llama",
        7,
        "3.2.0",
    )


def test_a_broken_file_is_an_unhealthy_model_not_the_scans_end(shelf: Shelf) -> None:
    (shelf.models / "bad").mkdir()
    (shelf.models / "bad/m.toy").write_bytes(b"TOY{")
    write_toy(shelf.models / "good/m.toy")
    write_toy(shelf.models / "odd/m.toy", note="odd")
    shelf.registry.discover_models()
    status = {one.id: one.health_status.value for one in shelf.registry}
    assert status == {"bad": "unhealthy", "good": "healthy", "odd": "degraded"}
    (finding,) = shelf.registry.get("bad").findings  # type: ignore[union-attr]
    assert (finding.code, finding.file, finding.offset) == ("malformed", "m.toy", 3)


def test_an_index_of_shards_is_read_once(shelf: Shelf) -> None:
    for number in (1, 2):
        write_toy(shelf.models / f"m/part_{number}.toy")
    index = shelf.models / "m/model.toy.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "part_1.toy", "b": "part_2.toy", "c": "../../secret"}}))
    shelf.registry.discover_models()
    registered = shelf.registry.get("m")
    assert registered is not None
    assert registered.path == str(index)
    assert [one.name for one in registered.locations[0].files] == [
        "part_1.toy",
        "part_2.toy",
        "model.toy.index.json",
    ]
    revision = shelf.registry.store.revision()
    assert shelf.registry.discover_models().models_unchanged == 1
    assert shelf.registry.store.revision() == revision


def test_a_file_that_is_named_brings_its_shards_and_its_folders_id_but_no_neighbour(shelf: Shelf) -> None:
    first, _ = (
        write_toy(shelf.models / f"m/a-0000{number}-of-00002.toy", context_length=1) for number in (1, 2)
    )
    stats = shelf.registry.discover_models(first)
    assert (stats.models_added, stats.errors) == (1, 0)
    assert shelf.registry.get("m").health_status is HealthStatus.HEALTHY  # type: ignore[union-attr]
    assert shelf.registry.discover_models(first).models_unchanged == 1
    other = write_toy(shelf.models / "m/b.toy", context_length=2)
    assert shelf.registry.discover_models(other).models_added == 1
    assert shelf.registry.list_models() == ["m", "m:b"]
    other.unlink()
    assert shelf.registry.discover_models(first).models_missing == 0
    assert shelf.registry.discover_models().models_missing == 1


def test_a_file_that_is_named_is_looked_into_whatever_its_ending(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/readme.txt")
    assert shelf.registry.discover_models().models_found == 0
    assert shelf.registry.discover_models(path).models_found == 1


def test_check_probes_again_and_keeps_what_it_found(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy")
    shelf.registry.discover_models()
    path.write_bytes(b"TOY{")
    report = shelf.registry.check()["m"]
    assert report.status is HealthStatus.UNHEALTHY
    assert shelf.registry.get("m").health_status is HealthStatus.UNHEALTHY  # type: ignore[union-attr]
    path.unlink()
    assert [one.code for one in shelf.registry.check(["m"])["m"].findings] == ["missing-file"]
    with pytest.raises(InvalidModelError, match="deepest"):
        shelf.registry.check(depth="deepest")


def test_observers_are_reported_after_the_commit_and_one_that_fails_stops_nothing(shelf: Shelf) -> None:
    observed: list[tuple[str, bool]] = []

    class Observer:
        def modelshelf_model_changed(self, event: ModelEvent) -> None:
            with shelf.open() as other:
                observed.append((event.kind.value, other.get(event.model_id) is not None))
            raise RuntimeError("observer broke")

    with shelf.open(Observer()) as registry:
        registry.register(model("a"))
        registry.update_health_status("a", "loading")
        registry.set_default("a")
        assert any("observer broke" in failure.reason for failure in registry.plugins.failures)
    assert observed == [("registered", True), ("default changed", True), ("health changed", True)]


def test_a_slow_hook_is_reported_by_its_own_name(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def modelshelf_probe_health(self) -> None:
            time.sleep(0.3)

    monkeypatch.setattr("modelshelf.plugin.call.HOOK_SECONDS", 0.2)
    write_toy(shelf.models / "m/m.toy")
    with shelf.open(Slow()) as registry:
        stats = registry.discover_models()
    assert stats.models_added == 1
    (problem,) = stats.problems
    assert (problem.code, problem.plugin) == ("plugin-failed", "given[Slow-1]")


def test_every_change_is_one_structured_log_record(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "modelshelf")
    path = write_toy(shelf.models / "m/m.toy")
    shelf.registry.discover_models()
    shelf.registry.update("m", preload=True)
    shelf.registry.mark_used("m")
    shelf.registry.update_health_status("m", HealthStatus.LOADING)
    path.unlink()
    shelf.registry.discover_models()
    events = [
        (record.event, record.model_id) for record in caplog.records if record.name == "modelshelf.events"
    ]  # type: ignore[attr-defined]
    assert events == [
        (kind, "m")
        for kind in ("registered", "default changed", "updated", "used", "health changed", "missing")
    ]


def test_nothing_is_printed_by_the_library(shelf: Shelf, capfd: pytest.CaptureFixture[str]) -> None:
    write_toy(shelf.models / "m/m.toy")
    (shelf.models / "bad.toy").write_bytes(b"x")
    shelf.registry.discover_models()
    assert capfd.readouterr() == ("", "")


def test_progress_is_reported_and_the_scan_ends_where_it_raises_with_what_was_committed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelshelf.scan.batches._COMMIT", 32)
    for number in range(70):
        write_toy(shelf.models / f"m{number:02}/m.toy", context_length=number)

    class StopError(Exception):
        pass

    def stop(_: object) -> None:
        raise StopError

    with pytest.raises(StopError):
        shelf.registry.discover_models(progress=stop)
    assert len(shelf.registry) == 32
    reports: list[object] = []
    assert shelf.registry.discover_models(progress=reports.append).models_added == 38
    assert reports[-1].finished_listing  # type: ignore[attr-defined]


def test_why_names_each_rule(shelf: Shelf) -> None:
    path = write_toy(shelf.models / "m/m.toy")
    (shelf.models / "m/readme.txt").write_text("x")
    (shelf.models / "m/x.toy.part").write_text("x")
    shelf.registry.discover_models()
    verdicts = {one.rule: one.verdict for one in shelf.registry.why(path)}
    assert verdicts["health"] == "admitted"
    assert verdicts["registry"] == "admitted"
    assert any(one.verdict == "skipped" for one in shelf.registry.why(path.with_name("readme.txt")))
    assert any(one.rule == "unfinished download" for one in shelf.registry.why(path.with_name("x.toy.part")))
    assert any(one.verdict == "rejected" for one in shelf.registry.why(path.with_name("nothing.toy")))
    assert any("m.toy" in one.message for one in shelf.registry.why(path.parent))


def test_an_unknown_serializer_is_an_error_that_names_the_known_ones(shelf: Shelf) -> None:
    with pytest.raises(ModelshelfError, match="no serializer is named 'morse'"):
        shelf.registry.serializer("morse")
