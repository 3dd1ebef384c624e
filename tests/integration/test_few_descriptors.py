"""A process that may open few files: what it cannot read it does not call healthy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

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


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.npz"])
def test_a_model_whose_companion_cannot_be_opened_is_not_healthy_and_is_looked_at_again(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    array = np.zeros(4, "float32")
    if name.endswith(".pt"):
        torch.save({"w": torch.zeros(4)}, folder / name)
    elif name.endswith(".npz"):
        np.savez(folder / name, w=array)
    else:
        save_file({"w": array}, folder / name)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    beside = [folder / f"rng_state_{number}.pth" for number in range(9)]
    for path in beside:
        path.write_bytes(EVIL)
    seen = set()
    for limit in (9, 11, 12, 14, 17):
        found = scan_with(limit, folder, tmp_path / "store")
        models = json.loads(found.stdout)["models"] if found.stdout else []
        seen |= {one["health_status"] for one in models}
        assert "healthy" not in seen
        assert found.returncode == 1
    found = scan_with(256, folder, tmp_path / "store")
    (model,) = (one for one in json.loads(found.stdout)["models"] if one["path"].endswith(name))
    assert model["health_status"] == "unhealthy"
