"""Whichever write of a scan the disk refuses, what was committed stands, and a plain message says why."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.vendor_models import VENDORED

ROOT = Path(__file__).resolve().parents[2]
SHIM = ROOT / "tests" / "plugins" / "modelshelf_lmdb" / "failing_writes.c"
MODELS = 5


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distinct small models, in folders of their own."""
    data = bytearray(next(VENDORED.rglob("*.gguf")).read_bytes())
    folder = tmp_path_factory.mktemp("models")
    for number in range(MODELS):
        data[-1] = number
        (folder / f"model-{number:02}").mkdir()
        (folder / f"model-{number:02}" / "weights.gguf").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
    return library


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, "StoreFullError"), (errno.EIO, "StoreUnavailableError")]
)
def test_every_write_of_a_scan_may_fail(
    models: Path, shim: Path, tmp_path: Path, code: int, kind: str
) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.integration.scans_that_cannot_write",
            str(models),
            str(tmp_path),
            str(code),
        ],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    assert outcomes[-1]["failure"] is None
    assert len(outcomes) > 2 * MODELS, "the writes of the scan were not reached"
    for number, outcome in enumerate(outcomes[:-1], start=1):
        name, message = outcome["failure"]
        assert name == kind, (number, message)
        assert "what was saved before stands" in message
        assert outcome["listed"] == outcome["stored"], number
        assert outcome["problems"] == []
        assert outcome["later"] == MODELS
    assert {len(outcome["stored"]) for outcome in outcomes} == set(range(MODELS + 1))
