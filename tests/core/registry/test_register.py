"""A model that a program registers is judged before anybody is given it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelConfig, ModelRegistry


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("ran",)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(tmp_path, tmp_path / "store") as made:
        yield made


def test_a_path_that_exists_is_judged_before_the_first_answer(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Runs()))
    (tmp_path / "fine.pt").write_bytes(pickle.dumps({"a": 1}))
    registry.register(ModelConfig(id="evil", path=str(tmp_path / "evil.pt")))
    registry.register(ModelConfig(id="fine", path=str(tmp_path / "fine.pt")))
    assert registry.get("evil").verdict == "unsafe"
    assert registry.get_healthy_models() == ["fine"]


def test_in_a_folder_the_worst_model_decides(registry: ModelRegistry, tmp_path: Path):
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "evil.pt").write_bytes(pickle.dumps(Runs()))
    (folder / "fine.pt").write_bytes(pickle.dumps({"a": 1}))
    assert registry.register(ModelConfig(id="both", path=str(folder))).verdict == "unsafe"


def test_where_nothing_can_be_judged_the_health_is_unknown(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent.gguf", "notes.txt"):
        made = registry.register(ModelConfig(id=name, path=str(tmp_path / name)))
        assert (made.health_status, made.verdict) == (HealthStatus.UNKNOWN, "not judged"), name


def test_a_health_that_the_program_gives_stays(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Runs()))
    given = ModelConfig(id="evil", path=str(tmp_path / "evil.pt"), health_status=HealthStatus.LOADING)
    assert registry.register(given).health_status is HealthStatus.LOADING


def test_an_unhealthy_default_is_not_what_a_choice_falls_back_to(registry: ModelRegistry, tmp_path: Path):
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Runs()))
    registry.register(ModelConfig(id="evil", path=str(tmp_path / "evil.pt")))
    assert registry.default().id == "evil"
    assert registry.select_best("simple") is None
    registry.update_health_status("evil", HealthStatus.DEGRADED)
    assert registry.select_best("simple").id == "evil"
