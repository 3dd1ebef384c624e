from __future__ import annotations

import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelshelf import ModelRegistry
from modelshelf.records.json import json_record
from tests.distributions import write_distribution

COUNT = 150


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough different models that a scan spreads them over processes."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        place = folder / f"m{number:03}"
        place.mkdir()
        save_file({"w": np.full((2, 2), number, np.float32)}, place / "model.safetensors")
    (folder / "m000" / "model.safetensors").write_bytes(b"broken")
    return folder


def records(models: Path, store: Path, **options: Any) -> list[dict[str, Any]]:
    """What a scan with these options records, without the times of the scan itself."""
    with ModelRegistry(models, store) as registry:
        stats = registry.discover_models(**options)
        assert (stats.models_added, stats.errors) == (COUNT, 0)
        documents = [json_record(model) for model in registry]
    for one in documents:
        for name in ("added_at", "updated_at", "checked_at"):
            del one[name]
    return documents


def test_processes_threads_and_this_process_record_the_same(many: Path, tmp_path: Path) -> None:
    here = records(many, tmp_path / "here", workers=1)
    assert here[0]["health_status"] == "unhealthy"
    assert records(many, tmp_path / "workers", workers=2) == here
    executors: dict[str, Executor] = {
        "threads": ThreadPoolExecutor(2),
        "spawned": ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    }
    for name, executor in executors.items():
        with executor:
            assert records(many, tmp_path / name, executor=executor) == here


def test_a_hook_that_never_returns_is_ended_and_costs_its_own_contribution_only(
    many: Path, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import time

        def modelshelf_extract_metadata(artifact):
            if artifact.folder.endswith("m007"):
                try:
                    time.sleep(3600)
                except Exception:
                    time.sleep(3600)
        """
    write_distribution(site, "slow-shelf", source)
    monkeypatch.setattr("modelshelf.scan.batches.HOOK_SECONDS", 2.0)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(workers=2)
        assert stats.models_added == COUNT
        (problem,) = [one for one in stats.problems if one.code == "plugin-failed"]
        assert problem.plugin == "slow-shelf[slow-shelf]"
        assert "ran past its 2 s" in problem.message
        model = registry.get("m007")
        assert model is not None
        assert model.metadata.parameters == 4
        assert [one.plugin for one in registry.scan_failures()] == ["slow-shelf[slow-shelf]"]


def test_a_worker_that_is_stuck_beyond_the_interpreter_is_ended_and_its_model_named(
    many: Path, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import signal
        import time

        def modelshelf_extract_metadata(artifact):
            if artifact.folder.endswith("m007"):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
                time.sleep(3600)
        """
    write_distribution(site, "stuck-shelf", source)
    monkeypatch.setattr("modelshelf.scan.batches.HOOK_SECONDS", 1.5)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(workers=2)
        assert stats.models_added == COUNT - 1
        (problem,) = [one for one in stats.problems if one.code == "examination-failed"]
        assert problem.path == str(many / "m007" / "model.safetensors")
        assert "ran past" in problem.message


def test_what_was_known_of_a_model_stands_when_its_worker_is_stuck(
    many: Path, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelRegistry(many, tmp_path / "store") as registry:
        registry.discover_models(workers=1)
        before = registry.get("m007")
    source = """
        import signal
        import time

        def modelshelf_detect_format(candidate):
            if candidate.artifact.folder.endswith("m007"):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
                time.sleep(3600)
        """
    write_distribution(site, "stuck-again-shelf", source)
    monkeypatch.setattr("modelshelf.scan.batches.HOOK_SECONDS", 1.5)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(many / "m007", workers=2, force=True)
        assert [one.code for one in stats.problems if one.path] == ["plugin-failed", "examination-failed"]
        assert (stats.models_found, stats.models_missing) == (0, 0)
        assert registry.get("m007") == before
        assert registry.discover_models(many / "m007", workers=2).models_unchanged == 1


def test_reading_every_byte_may_take_longer_than_a_hook_otherwise_may(
    many: Path, tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        import time

        def modelshelf_probe_health(artifact, depth, reader):
            if artifact.folder.endswith("m007"):
                for _ in range(8):
                    time.sleep(0.5)
                    reader.budget.spend(1, "m", 0)
        """
    write_distribution(site, "thorough-shelf", source)
    monkeypatch.setattr("modelshelf.scan.batches.HOOK_SECONDS", 1.5)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(workers=2, depth="full")
        assert (stats.models_added, stats.errors) == (COUNT, 0)
    with ModelRegistry(many, tmp_path / "other") as registry:
        stats = registry.discover_models(workers=2)
        assert [one.plugin for one in stats.problems] == ["thorough-shelf[thorough-shelf]"]
