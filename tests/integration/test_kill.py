"""A scan that is killed at any point loses nothing that it acknowledged, and leaves a store that opens."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelRegistry
from tests.vendor_models import VENDORED

COPIES = 400
KILLS = 20

# A progress call follows the commit of its batch: what is printed was acknowledged.
SCAN = """
import sys
from modelshelf import ModelRegistry

models, store, workers = sys.argv[1:]
with ModelRegistry(models, store) as registry:
    held = {}
    def told(progress):
        for model in registry:
            if model.id not in held:
                held[model.id] = model.content_digest.hex()
                print(model.id, held[model.id], flush=False)
        sys.stdout.flush()
    registry.discover_models(progress=told, workers=int(workers))
    print("finished", flush=True)
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distinct small models, in folders of their own."""
    data = bytearray(next(VENDORED.rglob("*.gguf")).read_bytes())
    folder = tmp_path_factory.mktemp("many")
    for number in range(COPIES):
        data[-2:] = number.to_bytes(2, "little")
        place = folder / f"model-{number:03}"
        place.mkdir()
        (place / "weights.gguf").write_bytes(data)
    return folder


def scan_and_kill(models: Path, store: Path, lines: int, workers: int) -> tuple[dict[str, str], bool]:
    """Scan, kill -9 once that many records were acknowledged; those records, and whether the scan ended."""
    line = [sys.executable, "-c", SCAN, str(models), str(store), str(workers)]
    acknowledged: dict[str, str] = {}
    finished = False
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
        for number, told in enumerate(process.stdout, start=1):
            finished |= told == "finished\n"
            if told.count(" ") == 1 and told.endswith("\n"):
                model_id, digest = told.split()
                acknowledged[model_id] = digest
            if number == lines:
                process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    return acknowledged, finished


def survives(models: Path, store: Path, acknowledged: dict[str, str]) -> None:
    with ModelRegistry(models, store) as registry:
        held = {one.id: one for one in registry}
        assert acknowledged.items() <= {name: one.content_digest.hex() for name, one in held.items()}.items()
        assert all(one.health_status is HealthStatus.HEALTHY for one in held.values())
        assert list(registry.store.check()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_twenty_times_in_mid_scan_every_acknowledged_record_is_there(
    many: Path, tmp_path: Path
) -> None:
    chance = random.Random(9)  # noqa: S311 - where to kill
    store = tmp_path / "store"
    acknowledged: dict[str, str] = {}
    killed = 0
    for attempt in range(KILLS):
        if (
            attempt % 4 == 0
        ):  # a store of its own now and then, so that there is always something left to scan
            store = tmp_path / f"store-{attempt}"
            acknowledged = {}
        point = len(acknowledged) + chance.randrange(1, COPIES // 5)
        told, finished = scan_and_kill(many, store, point, workers=1)
        killed += not finished
        acknowledged |= told
        survives(many, store, acknowledged)
    assert killed == KILLS


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_scan_with_workers_that_is_killed_leaves_no_process_and_no_damage(
    many: Path, tmp_path: Path
) -> None:
    acknowledged, finished = scan_and_kill(many, tmp_path / "store", 40, workers=2)
    assert (len(acknowledged) >= 40, finished) == (True, False)
    survives(many, tmp_path / "store", acknowledged)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(workers=1)
        assert (stats.models_found, len(registry)) == (COPIES, COPIES)
