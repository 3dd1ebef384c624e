"""A scan that is killed at any point loses nothing that it acknowledged, and leaves a store that opens."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attrs import frozen

from modelshelf import HealthStatus, ModelRegistry
from tests.vendor_models import VENDORED

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")

COPIES = 400
KILLS = 20

# A progress call follows the commit of its batch: what is printed was acknowledged.
SCAN = """
import sys
from modelshelf import ModelRegistry

models, store, workers = sys.argv[1:]
with ModelRegistry(models, store) as registry:
    held = {}
    def report(progress):
        for model in registry:
            if model.id not in held:
                held[model.id] = model.content_digest.hex()
                print(model.id, held[model.id], flush=False)
        sys.stdout.flush()
    registry.discover_models(progress=report, workers=int(workers))
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


@frozen
class Killed:
    """A scan that was ended by kill -9.

    Attributes:
        acknowledged: Ids and content of the records that it was said are committed.
        finished: Whether it had ended before.
        session: The process group of the scan and its workers.
    """

    acknowledged: dict[str, str]
    finished: bool
    session: int


def scan_and_kill(models: Path, store: Path, lines: int, workers: int) -> Killed:
    """Scan, and kill -9 once that many records were acknowledged."""
    line = [sys.executable, "-c", SCAN, str(models), str(store), str(workers)]
    acknowledged: dict[str, str] = {}
    finished = False
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        for number, output_line in enumerate(process.stdout, start=1):
            finished |= output_line == "finished\n"
            if output_line.count(" ") == 1 and output_line.endswith("\n"):
                model_id, digest = output_line.split()
                acknowledged[model_id] = digest
            if number == lines:
                process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    return Killed(acknowledged, finished, process.pid)


def still_running(session: int) -> list[str]:
    """Processes of a group that are no zombies."""
    running = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(group) == session and state not in "ZX":
            running.append(status.parent.name)
    return running


def survives(models: Path, store: Path, acknowledged: dict[str, str]) -> None:
    with ModelRegistry(models, store) as registry:
        kept = {one.id: one for one in registry}
        assert acknowledged.items() <= {name: one.content_digest.hex() for name, one in kept.items()}.items()
        assert all(one.health_status is HealthStatus.HEALTHY for one in kept.values())
        assert list(registry.store.check()) == []


def test_killed_twenty_times_in_mid_scan_every_acknowledged_record_is_there(
    many: Path, tmp_path: Path
) -> None:
    chance = random.Random(9)  # noqa: S311 - where to kill
    store = tmp_path / "store"
    acknowledged: dict[str, str] = {}
    killed = 0
    for attempt in range(3 * KILLS):  # on a busy machine a scan may end before it is killed
        if killed == KILLS:
            break
        if (
            attempt % 4 == 0
        ):  # a store of its own now and then, so that there is always something left to scan
            store = tmp_path / f"store-{attempt}"
            acknowledged = {}
        run = scan_and_kill(many, store, len(acknowledged) + chance.randrange(1, COPIES // 5), workers=1)
        killed += not run.finished
        acknowledged |= run.acknowledged
        survives(many, store, acknowledged)
    assert killed == KILLS


def test_a_scan_with_workers_that_is_killed_leaves_no_damage(many: Path, tmp_path: Path) -> None:
    run = scan_and_kill(many, tmp_path / "store", 40, workers=2)
    assert len(run.acknowledged) >= 40
    survives(many, tmp_path / "store", run.acknowledged)
    with ModelRegistry(many, tmp_path / "store") as registry:
        stats = registry.discover_models(workers=1)
        assert (stats.models_found, len(registry)) == (COPIES, COPIES)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not list its processes")
def test_the_workers_of_a_killed_scan_end_by_themselves(many: Path, tmp_path: Path) -> None:
    run = scan_and_kill(many, tmp_path / "store", 40, workers=2)
    for _ in range(100):
        if not still_running(run.session):
            break
        time.sleep(0.1)
    assert still_running(run.session) == []
