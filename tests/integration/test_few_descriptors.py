"""A process that may open few files: what it cannot read it does not call healthy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

EVIL = b"cos\nsystem\n(S'true'\ntR."


def scan_with(limit: int, folder: Path, store: Path) -> subprocess.CompletedProcess[str]:
    def keep_few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "modelshelf", "--store", store, "scan", folder, "--workers", "1", "--json"],
        capture_output=True,
        text=True,
        preexec_fn=keep_few,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("limit", range(7, 18))
def test_an_attack_is_never_healthy_however_few_files_may_be_open(tmp_path: Path, limit: int) -> None:
    for name in ("evil.pkl", "evil.bin", "evil.pt"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / name).write_bytes(EVIL)
    found = scan_with(limit, tmp_path / "models", tmp_path / "store")
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    models = json.loads(found.stdout)["models"] if found.stdout else []
    assert [one["health_status"] for one in models if one["health_status"] == "healthy"] == []
    assert models or found.stderr
