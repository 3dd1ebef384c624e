"""What a scan may cost, in counts: a slower machine changes none of them, a careless change does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.gates.conftest import DATA_BYTES, Scan, called, make_models, require_folder_cache
from tests.gates.counted import BEGIN, END
from tests.vendor_models import VENDORED

MODELS = 12
HEADER_BYTES = 44 * 1024
"""Bytes that are read of a model's MiB: the first 16 KiB and five samples of 4 KiB that tell copies apart,
and the last 4 KiB for a tail of zeros."""
CALLS_FOR_A_MODEL = 3
"""A stat of its folder and a stat of its file; the third is room for pages of the store."""
CALLS_FOR_A_NEW_MODEL = 1200
"""Calls of Python functions from the look into its folder to its record; GGUF and safetensors by turns."""
MODULES = {"modelshelf.scan": 18, "modelshelf": 62, "": 110}
"""Modules with a called function when one GGUF file is scanned first: of the scan, of the core, and
with all plugins. A file that passes many modules is hard to follow; the goal is 60 in all."""
CALLS = 5800
"""Calls of those functions, loading the plugins included."""


def test_a_first_scan_opens_each_model_once_leaves_its_data_alone_and_commits_once(
    tmp_path: Path, scan: Scan
) -> None:
    counted = scan(make_models(tmp_path / "models", MODELS))
    assert (counted["found"], counted["opened"]) == (MODELS, MODELS)
    assert counted["bytes_read"] <= MODELS * HEADER_BYTES < MODELS * DATA_BYTES
    assert counted["commits"] == 1  # a scan commits in batches, and these are few


def test_a_rescan_of_what_is_unchanged_opens_reads_and_writes_nothing(tmp_path: Path, scan: Scan) -> None:
    models = make_models(tmp_path / "models", MODELS)
    scan(models)
    counted = scan(models)
    assert (counted["found"], counted["unchanged"]) == (MODELS, MODELS)
    assert (counted["opened"], counted["bytes_read"], counted["commits"]) == (0, 0, 0)


def test_a_new_model_costs_few_calls(tmp_path: Path, scan: Scan) -> None:
    few, many = (scan(make_models(tmp_path / str(count), count, width=8))["calls"] for count in (100, 200))
    assert (many - few) / 100 <= CALLS_FOR_A_NEW_MODEL


def test_one_new_model_costs_one_open_file(tmp_path: Path, scan: Scan) -> None:
    models = make_models(tmp_path / "models", MODELS)
    scan(models)
    shutil.copytree(models / "model-000", models / "model-new")
    counted = scan(models)
    # It is a copy: before the two are joined a fine digest of both is read.
    assert (counted["found"], counted["opened"], counted["commits"]) == (MODELS + 1, 3, 1)


def test_one_file_passes_few_modules(tmp_path: Path) -> None:
    shutil.copytree(VENDORED / "tiny-llama-1.0", tmp_path / "models")
    calls = called(tmp_path / "models", tmp_path / "store")["calls"]
    core = {name for name in calls if name.partition(".")[0] == "modelshelf"}
    modules = {
        "modelshelf.scan": {name for name in core if name.startswith("modelshelf.scan.")},
        "modelshelf": core,
        "": set(calls),
    }
    for package, most in MODULES.items():
        assert len(modules[package]) <= most, sorted(modules[package])
    assert sum(calls.values()) <= CALLS


def test_an_unchanged_model_costs_few_system_calls(tmp_path: Path, scan: Scan) -> None:
    _require_strace(tmp_path)
    few, many = (_system_calls(tmp_path, scan, count) for count in (100, 200))
    assert (many - few) / 100 <= CALLS_FOR_A_MODEL


def _system_calls(tmp_path: Path, scan: Scan, count: int) -> int:
    """System calls of a rescan of so many unchanged models, from its begin to its end."""
    models = make_models(tmp_path / f"models-{count}", count, width=8)
    scan(models)
    trace = tmp_path / f"calls-{count}"
    assert scan(models, ("strace", "-f", "-o", str(trace)))["unchanged"] == count
    lines = trace.read_text(errors="replace").splitlines()
    begin, end = (next(at for at, line in enumerate(lines) if name in line) for name in (BEGIN, END))
    return sum("(" in line for line in lines[begin:end])


def _require_strace(tmp_path: Path) -> None:
    try:
        done = subprocess.run(
            ["strace", "-o", tmp_path / "trial", "true"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if done.returncode:
        pytest.skip(f"strace cannot trace here: {done.stderr.strip()}")
    require_folder_cache(tmp_path)
