"""What a person set comes back on a registry that was rebuilt from its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelshelf import InvalidValueError, ModelConfig, ModelMetadata, ModelRegistry
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class House:
    """A folder of toy models and a registry on it."""

    def __init__(self, root: Path) -> None:
        self.models = root / "models"
        self.registry = ModelRegistry(
            self.models, root / "data", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS
        )

    def settings(self) -> bytes:
        return b"".join(self.registry.export_settings())


@pytest.fixture
def houses(tmp_path):
    made = [House(tmp_path / name) for name in ("old", "elsewhere/new")]
    yield made
    for one in made:
        one.registry.close()


@pytest.fixture
def moved(houses) -> tuple[ModelRegistry, bytes, ModelRegistry]:
    """A registry with everything that can be set, its settings, and one rebuilt on another path."""
    old, new = houses
    for name in ("llama", "qwen", "plain"):
        write_toy(old.models / name / "weights.toy", architecture=name)
    registry = old.registry
    registry.discover_models()
    write_toy(old.models / "qwen" / "weights.toy", architecture="qwen", context_length=9)
    registry.discover_models()
    registry.update(
        "llama",
        display_name="My llama",
        enabled=False,
        preload=True,
        max_workers=3,
        max_tokens=100,
        temperature=0.5,
        aliases=("ll", "l"),
        tags=("mine", "ours"),
        license="mit",
        context_length=77,
        parameters=1000,
    )
    registry.update("qwen", temperature=None, quantization=None)
    registry.mark_used("llama")
    registry.mark_used("llama")
    registry.pin("qwen", "1.0.1")
    registry.set_default("qwen")
    registry.register(
        ModelConfig(
            id="by-hand", path="/srv/x", aliases=("b",), preload=True, metadata=ModelMetadata(license="gpl")
        )
    )
    settings = old.settings()
    shutil.copytree(old.models, new.models)
    (new.models / "llama").rename(new.models / "renamed")
    new.registry.discover_models()
    return registry, settings, new.registry


SET = (
    "display_name",
    "enabled",
    "preload",
    "max_workers",
    "max_tokens",
    "temperature",
    "aliases",
    "use_count",
)


def test_everything_that_was_set_is_restored_on_another_path_and_under_another_id(moved):
    old, settings, new = moved
    restored = new.import_settings(settings)
    assert restored.complete, restored
    assert set(restored.changed) == {"renamed", "qwen", "by-hand"}
    before, after = old.get("llama"), new.get("renamed")
    assert {name: getattr(after, name) for name in SET} == {name: getattr(before, name) for name in SET}
    assert after.last_used == before.last_used
    assert after.set_by_user >= before.set_by_user
    for name in ("tags", "license", "context_length", "parameters", "parameter_count"):
        assert getattr(after.metadata, name) == getattr(before.metadata, name)
        assert after.metadata.provenance[name] == before.metadata.provenance[name]
    assert new.get("l").id == "renamed"
    assert new.default().id == "qwen"
    assert new.get("b").path == "/srv/x"
    assert new.get("b").metadata.license == "gpl"
    assert new.get("b").preload


def test_what_was_restored_outlives_a_scan_and_a_pin_holds_a_newer_version_off(moved):
    _, settings, new = moved
    new.import_settings(settings)
    pinned = new.get("qwen").version
    write_toy(Path(new.model_base_path) / "qwen" / "weights.toy", architecture="qwen", context_length=10)
    new.discover_models()
    assert new.get("qwen").version == pinned
    assert len(new.get_versions("qwen")) == 2
    assert new.get("renamed").display_name == "My llama"


def test_a_second_import_changes_nothing(moved):
    _, settings, new = moved
    new.import_settings(settings)
    records = list(new.every_version())
    again = new.import_settings(settings)
    assert (again.changed, again.unchanged) == ((), 3)
    assert list(new.every_version()) == records


def test_a_dry_run_tells_the_same_and_changes_nothing(moved):
    _, settings, new = moved
    records, revision = list(new.every_version()), new.store.revision()
    planned = new.import_settings(settings, dry_run=True)
    assert (list(new.every_version()), new.store.revision()) == (records, revision)
    assert new.import_settings(settings) == planned


def test_what_a_person_set_here_stays_unless_it_is_to_be_replaced(moved):
    _, settings, new = moved
    new.update("renamed", display_name="Mine", temperature=0.5)
    write_toy(Path(new.model_base_path) / "qwen" / "weights.toy", architecture="qwen", context_length=11)
    new.discover_models()
    new.pin("qwen", "1.0.1")
    restored = new.import_settings(settings)
    assert not restored.complete
    assert restored.conflicts == (
        "renamed 1.0.0: display_name was set by hand here",
        "qwen: is pinned to 1.0.1 here",
    )
    assert new.get("renamed").display_name == "Mine"
    assert new.get("renamed").enabled is False
    assert new.import_settings(settings, replace=True).complete
    assert new.get("renamed").display_name == "My llama"
    assert new.get("qwen").version == new.get_by_version("qwen", "1.0.0").version


def test_a_model_that_is_not_here_is_reported_and_found_by_a_later_import(houses):
    old, new = houses
    write_toy(old.models / "late" / "weights.toy", architecture="late")
    old.registry.discover_models()
    old.registry.update("late", display_name="Late")
    settings = old.settings()
    restored = new.registry.import_settings(settings)
    assert (restored.unknown, restored.complete) == (("late 1.0.0",), False)
    assert list(new.registry) == []
    shutil.copytree(old.models, new.models)
    new.registry.discover_models()
    assert new.registry.import_settings(settings).complete
    assert new.registry.get("late").display_name == "Late"


def test_other_content_under_the_same_id_gets_the_settings_and_that_is_reported(houses):
    old, new = houses
    for house, length in ((old, 1), (new, 2)):
        write_toy(house.models / "same" / "weights.toy", architecture="x", context_length=length)
        house.registry.discover_models()
    old.registry.update("same", enabled=False)
    restored = new.registry.import_settings(old.settings())
    assert restored.complete
    assert restored.by_id == ("same 1.0.0: has other content than 1.0.0 had there",)
    assert new.registry.get("same").enabled is False


def test_one_value_that_cannot_be_does_not_keep_the_others_away(houses):
    old, new = houses
    write_toy(old.models / "a" / "weights.toy", architecture="a")
    write_toy(new.models / "b" / "weights.toy", architecture="b")
    shutil.copytree(old.models / "a", new.models / "a")
    for house in houses:
        house.registry.discover_models()
    old.registry.update("a", aliases=("b",), license="mit")
    restored = new.registry.import_settings(old.settings())
    assert len(restored.refused) == 1
    assert "'b'" in restored.refused[0]
    assert new.registry.get("a").metadata.license == "mit"
    assert new.registry.get("b").id == "b"


def test_what_is_no_document_of_settings_changes_nothing(houses):
    revision = houses[0].registry.store.revision()
    with pytest.raises(InvalidValueError):
        houses[0].registry.import_settings(b"[]")
    assert houses[0].registry.store.revision() == revision
