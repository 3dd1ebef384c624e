"""Several processes work with one store at the same time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from tests.vendor_models import VENDORED

COPIES = 60

SCAN = """
import sys
from modelshelf import ModelRegistry

models, store = sys.argv[1:]
with ModelRegistry(models, store) as registry:
    for _ in range(5):
        stats = registry.discover_models(workers=1, force=True)
        assert stats.errors == 0, stats.problems
    print(len(registry))
"""

READ = """
import sys
from modelshelf import ModelRegistry

store, wanted = sys.argv[1], int(sys.argv[2])
seen = 0
with ModelRegistry("nowhere", store) as registry:
    while seen < wanted:
        models = list(registry)
        assert len(models) >= seen, "a record that was there is gone"
        assert all(one.metadata.format == "gguf" and one.locations for one in models)
        seen = len(models)
print(seen)
"""

COUNT = """
import sys
from modelshelf import ModelRegistry

with ModelRegistry("nowhere", sys.argv[1]) as registry:
    for _ in range(int(sys.argv[2])):
        registry.mark_used("tiny-llama-1.0")
"""


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Distinct small models, in folders of their own."""
    source = next(VENDORED.rglob("*.gguf"))
    data = bytearray(source.read_bytes())
    folder = tmp_path / "many"
    for number in range(COPIES):
        data[-2:] = number.to_bytes(2, "little")
        place = folder / f"model-{number:03}"
        place.mkdir(parents=True)
        (place / "weights.gguf").write_bytes(data)
    return folder


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_two_processes_scan_one_folder_into_one_store_while_a_third_reads(many: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ModelRegistry(many, store).close()
    scanning = [start(SCAN, many, store) for _ in range(2)]
    reading = start(READ, store, COPIES)
    assert [outcome(one) for one in scanning] == [(0, f"{COPIES}\n", "")] * 2
    assert outcome(reading) == (0, f"{COPIES}\n", "")
    with ModelRegistry(many, store) as registry:
        assert [len(registry.get_versions(one)) for one in registry.list_models()] == [1] * COPIES
        assert registry.discover_models().models_unchanged == COPIES


def test_two_processes_scan_two_folders_into_one_store(many: Path, tmp_path: Path) -> None:
    store, other = tmp_path / "store", Path(shutil.copytree(VENDORED, tmp_path / "other"))
    processes = [start(SCAN, folder, store) for folder in (many, other)]
    assert {outcome(one)[0] for one in processes} == {0}
    with ModelRegistry(many, store) as registry:
        assert len(registry) == COPIES + 3


def test_no_change_of_two_writers_is_lost(
    open_registry: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = open_registry()
    registry.discover_models()
    writers = [start(COUNT, tmp_path / "store", 40) for _ in range(2)]
    assert [outcome(one) for one in writers] == [(0, "", "")] * 2
    assert registry.get("tiny-llama-1.0").use_count == 80


def test_what_another_process_commits_is_seen_by_the_next_call(
    open_registry: Callable[..., ModelRegistry], tmp_path: Path
) -> None:
    registry = open_registry()
    registry.discover_models()
    assert registry.get("tiny-llama-1.0").use_count == 0
    assert outcome(start(COUNT, tmp_path / "store", 1))[0] == 0
    assert registry.get("tiny-llama-1.0").use_count == 1
