"""A check that did not finish is no verdict, and a shallower look improves nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelshelf import Depth, Finding, HealthStatus, ModelConfig, ModelRegistry
from modelshelf.errors import BudgetExceededError, UnreadableFileError
from modelshelf.model import Candidate, Detection
from modelshelf.model.health import not_judged, status_of
from tests.core.scan.test_depth import BUILTIN_FORMATS
from tests.core.toy import ToyFormat, write_toy


class Probe(ToyFormat):
    """A toy whose probe does what the test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: dict[Depth, list[Finding]] = {}
        self.error: BaseException | None = None
        self.loops = False

    def modelshelf_probe_health(self, depth: Depth) -> Iterator[Finding]:
        while self.loops:
            pass
        yield from self.findings.get(depth, [])
        if self.error is not None:
            raise self.error


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.probe = Probe()
        self.folder = folder / "models"
        write_toy(self.folder / "a.toy")
        self.registry = ModelRegistry(
            self.folder, folder / "store", plugins=[self.probe], blocked=BUILTIN_FORMATS
        )

    def scan(self, **options: object) -> ModelConfig:
        self.registry.discover_models(**options)
        (model,) = self.registry
        return model


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.registry.close()


ERRORS = [
    RuntimeError("broke"),
    MemoryError(),
    OSError(24, "Too many open files"),
    BudgetExceededError("a.toy: more than its budget", file="a.toy"),
    UnreadableFileError("a.toy: cannot be read: Too many open files", file="a.toy"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_probe_that_did_not_finish_leaves_a_model_not_judged(shelf: Shelf, error: Exception) -> None:
    shelf.probe.error = error
    model = shelf.scan()
    assert [one.code for one in model.findings] == ["not-judged"]
    assert model.health_status is HealthStatus.UNKNOWN
    assert shelf.registry.get_healthy_models() == []
    assert shelf.registry.select_best() is None or not shelf.registry.select_best().healthy
    assert shelf.registry.check_health() is HealthStatus.UNHEALTHY


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", ["check", "scan"])
def test_what_was_found_before_stays_where_a_later_look_does_not_finish(
    shelf: Shelf, error: Exception, again: str
) -> None:
    shelf.probe.findings[Depth.HEADER] = [Finding(code="flaw", severity="error", message="is flawed")]
    assert shelf.scan().health_status is HealthStatus.UNHEALTHY
    shelf.probe.findings.clear()
    shelf.probe.error = error
    if again == "check":
        shelf.registry.check()
    else:
        shelf.scan(force=True)
    (model,) = shelf.registry
    assert [one.code for one in model.findings] == ["flaw", "not-judged"]
    assert model.health_status is HealthStatus.UNHEALTHY


def test_a_healthy_model_is_unknown_after_a_check_that_did_not_finish(shelf: Shelf) -> None:
    assert shelf.scan().health_status is HealthStatus.HEALTHY
    shelf.probe.error = RuntimeError("broke")
    shelf.registry.check()
    (model,) = shelf.registry
    assert model.health_status is HealthStatus.UNKNOWN


def test_a_plugins_failure_is_tried_again_by_the_next_scan(shelf: Shelf) -> None:
    shelf.probe.error = RuntimeError("broke")
    assert shelf.scan().health_status is HealthStatus.UNKNOWN
    shelf.probe.error = None
    assert shelf.scan().health_status is HealthStatus.HEALTHY


@pytest.mark.parametrize("depth", ["header", "full"])
@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize("again", ["check", "scan"])
def test_a_hook_that_loops_in_this_process_is_ended_and_tried_again_by_the_next_scan(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, depth: str, threaded: bool, again: str
) -> None:
    def look() -> None:
        shelf.scan(depth=depth, force=True) if again == "scan" else shelf.registry.check(depth=depth)

    monkeypatch.setattr("modelshelf.plugin.call.HOOK_SECONDS", 0.2)
    shelf.scan(depth=depth)
    shelf.probe.loops = True
    if threaded:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(look).result(60)
    else:
        look()
    (model,) = shelf.registry
    assert model.findings[0].code == "not-judged"
    assert model.health_status is HealthStatus.UNKNOWN
    shelf.probe.loops = False
    assert shelf.scan(depth=depth).health_status is HealthStatus.HEALTHY


@pytest.mark.parametrize(("deep", "shallow"), [("header", "quick"), ("full", "header"), ("full", "quick")])
@pytest.mark.parametrize("again", ["check", "scan"])
def test_a_shallower_look_at_the_same_bytes_improves_nothing(
    shelf: Shelf, deep: str, shallow: str, again: str
) -> None:
    shelf.probe.findings[Depth(deep)] = [Finding(code="flaw", severity="error", message="is flawed")]
    shelf.scan(depth=deep)
    if again == "check":
        shelf.registry.check(depth=shallow)
    else:
        shelf.scan(depth=shallow, force=True)
    (model,) = shelf.registry
    assert [one.code for one in model.findings] == ["flaw"]
    assert model.health_status is HealthStatus.UNHEALTHY


def test_a_shallower_look_at_other_bytes_says_what_it_saw(shelf: Shelf) -> None:
    shelf.probe.findings[Depth.FULL] = [Finding(code="flaw", severity="error", message="is flawed")]
    shelf.scan(depth="full")
    path = shelf.folder / "a.toy"
    os.utime(path, ns=(0, 10**18))
    assert [one.code for one in shelf.scan().findings] == []


def test_a_look_that_opens_nothing_is_no_verdict(shelf: Shelf) -> None:
    model = shelf.scan(depth="quick")
    assert [one.code for one in model.findings] == ["not-opened"]
    assert model.health_status is HealthStatus.UNKNOWN
    assert shelf.scan().health_status is HealthStatus.HEALTHY


def test_a_model_of_which_the_detecting_hook_failed_is_tried_again_by_the_next_scan(tmp_path: Path) -> None:
    class Voter(ToyFormat):
        fails = True

        def modelshelf_detect_format(self, candidate: Candidate) -> Detection | None:
            if self.fails:
                raise OSError(24, "Too many open files")
            return super().modelshelf_detect_format(candidate)

    voter = Voter()
    write_toy(tmp_path / "models" / "a.toy")
    with ModelRegistry(
        tmp_path / "models", tmp_path / "store", plugins=[voter], blocked=BUILTIN_FORMATS
    ) as registry:
        assert registry.discover_models().errors == 1
        assert list(registry) == []
        voter.fails = False
        registry.discover_models()
        assert [one.health_status for one in registry] == [HealthStatus.HEALTHY]


@pytest.mark.parametrize("raised", [False, True])
def test_a_fixed_limit_is_not_tried_again_by_the_next_scan(shelf: Shelf, raised: bool) -> None:
    if raised:
        shelf.probe.error = BudgetExceededError("a.toy: more than its budget", file="a.toy")
    else:
        shelf.probe.findings[Depth.HEADER] = [not_judged("longer than is judged")]
    assert shelf.scan().health_status is HealthStatus.UNKNOWN
    shelf.probe.error = None
    shelf.probe.findings.clear()
    assert shelf.scan().health_status is HealthStatus.UNKNOWN


def test_a_fixed_limit_is_tried_again_once_the_plugins_are_others(shelf: Shelf, tmp_path: Path) -> None:
    shelf.probe.findings[Depth.HEADER] = [not_judged("longer than is judged")]
    assert shelf.scan().health_status is HealthStatus.UNKNOWN
    shelf.registry.close()
    shelf.probe.findings.clear()

    class Other:
        def modelshelf_probe_health(self) -> Iterator[Finding]:
            return iter(())

    for plugins, status in (
        ([shelf.probe], HealthStatus.UNKNOWN),
        ([shelf.probe, Other()], HealthStatus.HEALTHY),
    ):
        with ModelRegistry(
            shelf.folder, tmp_path / "store", plugins=plugins, blocked=BUILTIN_FORMATS
        ) as registry:
            registry.discover_models()
            assert [one.health_status for one in registry] == [status]


@pytest.mark.parametrize(("severity", "status"), [("warning", "unknown"), ("error", "unhealthy")])
def test_a_check_that_did_not_finish_is_unknown_at_best_whatever_else_was_found(
    severity: str, status: str
) -> None:
    found = [
        Finding(code="flaw", severity=severity, message="is flawed"),
        not_judged("longer than is judged"),
    ]
    assert str(status_of(found)) == status
