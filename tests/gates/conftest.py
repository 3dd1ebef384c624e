"""Models of two formats whose data is far larger than their headers, and a scan of them that is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.numpy

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 512  # a MiB of data
DATA_BYTES = WIDTH * WIDTH * 4
WATCHED = frozenset({"ext2/ext3", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlayfs"})
"""File systems, as `stat -f` calls them, whose folders need no listing while their times are as they were."""
LONG_AGO = 1_600_000_000  # seconds; what changed just now would be looked at twice


def make_models(folder: Path, count: int, width: int = WIDTH) -> Path:
    """Distinct models of `width` x `width` floats, each in its own folder: GGUF and safetensors by turns."""
    for number in range(count):
        home = folder / f"model-{number:03d}"
        home.mkdir(parents=True)
        data = np.full((width, width), number + 1, dtype=np.float32)
        if number % 2:
            safetensors.numpy.save_file({"weight": data}, home / "model.safetensors")
        else:
            _write_gguf(home / "model.gguf", data)
        os.utime(home, (LONG_AGO, LONG_AGO))
    os.utime(folder, (LONG_AGO, LONG_AGO))
    return folder


def _write_gguf(path: Path, data: np.ndarray) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_tensor("token_embd.weight", data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def require_folder_cache(folder: Path) -> None:
    """Skip the test where a scan lists every folder each time."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True)
    if kind.stdout.strip() not in WATCHED:
        pytest.skip(f"folders on {kind.stdout.strip()} are listed each time")


def called(folder: Path, store: Path) -> dict[str, Any]:
    """The functions that a first scan of a folder with one model calls, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.gates.called", folder, store],
        cwd=ROOT,
        env={**os.environ, "HOME": str(store)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


Scan = Callable[..., dict[str, int]]


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Scan a folder in a process of its own, into a store of its own; what it counted."""

    def run(models: Path, before: Sequence[str] = ()) -> dict[str, int]:
        done = subprocess.run(
            [*before, sys.executable, "-m", "tests.gates.counted", models, tmp_path / f"{models.name}-store"],
            cwd=ROOT,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return run
