"""Every real and hostile file of the corpus gets a record or a named reason, and the verdict it deserves."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from modelshelf import DiscoveryStats, HealthStatus, ModelConfig, ModelRegistry
from tests.support import CORPUS

GOOD, WORSE = {HealthStatus.HEALTHY}, {HealthStatus.DEGRADED, HealthStatus.UNHEALTHY}
ALLOWED = {
    "safe": GOOD,
    "malicious": {HealthStatus.UNHEALTHY},
    "unreadable-not-malicious": {HealthStatus.UNHEALTHY},
    "unhealthy": {HealthStatus.UNHEALTHY},
    "embedded-pickle-or-code-string": WORSE,
    "hostile-metadata": GOOD | WORSE,
}


@frozen
class Sample:
    """One line of the corpus's list."""

    file: str
    expected: str

    @property
    def verdict(self) -> str:
        return self.expected.split("(")[0].strip()


def samples() -> list[Sample]:
    listing = CORPUS / "manifest.tsv"
    if not listing.is_file():
        return []
    with listing.open(encoding="utf-8", newline="") as lines:
        return [Sample(row["file"], row["expected"]) for row in csv.DictReader(lines, delimiter="\t")]


SAMPLES = samples()


@pytest.fixture(scope="module")
def scanned(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ModelRegistry, DiscoveryStats]]:
    with ModelRegistry(corpus, tmp_path_factory.mktemp("store")) as registry:
        yield registry, registry.discover_models()


@pytest.fixture(scope="module")
def by_path(scanned: tuple[ModelRegistry, DiscoveryStats]) -> dict[str, ModelConfig]:
    registry, _ = scanned
    return {place.path: model for model in registry for place in model.locations}


def test_every_file_has_a_record_or_a_named_reason(
    corpus: Path, scanned: tuple[ModelRegistry, DiscoveryStats], by_path: dict[str, ModelConfig]
) -> None:
    named = {one.path for one in scanned[1].problems if one.message}
    assert [one.file for one in SAMPLES if str(corpus / one.file) not in by_path.keys() | named] == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.file)
def test_a_sample_gets_the_verdict_it_deserves(
    corpus: Path, by_path: dict[str, ModelConfig], sample: Sample
) -> None:
    model = by_path[str(corpus / sample.file)]
    messages = [f"{one.code}: {one.message}" for one in model.findings]
    assert model.health_status in ALLOWED[sample.verdict], messages


@pytest.mark.parametrize(
    "sample", [one for one in SAMPLES if one.verdict == "malicious"], ids=lambda one: one.file
)
def test_what_makes_a_sample_malicious_is_named_with_its_place(
    corpus: Path, by_path: dict[str, ModelConfig], sample: Sample
) -> None:
    worst = by_path[str(corpus / sample.file)].findings[0]
    assert worst.message
    assert worst.code not in {"no-format", "examination-failed"}


def test_a_torchscript_archive_is_said_to_carry_code(corpus: Path, by_path: dict[str, ModelConfig]) -> None:
    model = by_path[str(corpus / "torch" / "silero_vad.jit")]
    assert any("code" in one.message.lower() for one in model.findings)


def test_a_whole_scan_fails_no_plugin(scanned: tuple[ModelRegistry, DiscoveryStats]) -> None:
    registry, stats = scanned
    assert [str(one) for one in registry.plugins.failures] == []
    assert [one for one in stats.problems if one.code in {"plugin-failed", "examination-failed"}] == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.file)
def test_a_sample_in_a_folder_of_its_own_gets_the_same_verdict(
    corpus: Path, by_path: dict[str, ModelConfig], sample: Sample, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(corpus / sample.file, alone)
    with ModelRegistry(alone, tmp_path / "store") as registry:
        registry.discover_models()
        (model,) = registry
    beside = by_path[str(corpus / sample.file)]
    assert (model.health_status, {one.code for one in model.findings}) == (
        beside.health_status,
        {one.code for one in beside.findings},
    )
