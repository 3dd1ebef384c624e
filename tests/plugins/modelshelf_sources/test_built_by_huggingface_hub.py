"""Caches that huggingface_hub itself builds, from a Hub on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf_sources.folders import FolderSource
from modelshelf_sources.huggingface import HuggingFaceSource
from tests.plugins.modelshelf_sources.hub_server import STALLED, serve
from tests.plugins.modelshelf_sources.stores import (
    COMMIT,
    gguf_bytes,
    listed,
    machine,
    safetensors_bytes,
    sha256,
)

pytest.importorskip("huggingface_hub")

REPOSITORY = "tiny/Llama-GGUF"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "README.md": b"---\nlicense: mit\n---\n",
    "tiny-Q4_K_M.gguf": gguf_bytes("q4"),
    "tiny-Q8_0.gguf": gguf_bytes("q8"),
    "vae/model.safetensors": safetensors_bytes(),
    # huggingface_hub writes 10 MiB at a time: half of this is one write and some more.
    STALLED: bytes(24 << 20),
}


def start(home: Path, code: str, address: str, **environment: str) -> subprocess.Popen[str]:
    """Run code that has huggingface_hub's functions at hand, against a Hub of our own."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE_", "XDG_"))
    }
    settings = {"HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    switched_off = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", f"from huggingface_hub import hf_hub_download, snapshot_download\n{code}"],
        env={**kept, **settings, **switched_off, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def download(home: Path, code: str, **environment: str) -> None:
    with serve(REPOSITORY, COMMIT, FILES) as address, start(home, code, address, **environment) as running:
        _, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors


@pytest.fixture
def source(tmp_path: Path) -> HuggingFaceSource:
    return HuggingFaceSource(machine=machine(tmp_path))


def test_single_files_are_models_by_their_quantization(tmp_path: Path, source: HuggingFaceSource) -> None:
    code = f"for name in {list(FILES)[:4]}: hf_hub_download({REPOSITORY!r}, name)"
    download(tmp_path, code)
    found = listed(source)
    assert found.ids == [f"{REPOSITORY}:Q4_K_M", f"{REPOSITORY}:Q8_0"]
    model = found[f"{REPOSITORY}:Q8_0"]
    assert model.weights[0].sha256 == sha256(gguf_bytes("q8"))
    assert model.facts == {"repository": REPOSITORY, "commit": COMMIT, "ref": "main"}
    assert {one.name for one in model.companions} == {"config.json", "README.md"}
    assert (found.problems, found.orphans, found.unfinished) == ((), (), ())


def test_a_snapshot_of_some_files_tells_what_it_lacks(tmp_path: Path, source: HuggingFaceSource) -> None:
    download(tmp_path, f"snapshot_download({REPOSITORY!r}, allow_patterns=['*Q4_K_M*', 'vae/*', '*.json'])")
    found = listed(source)
    assert found.ids == [REPOSITORY, f"{REPOSITORY}:vae"]
    assert not found.problems
    facts = found[REPOSITORY].facts
    assert (facts["repository_files"], facts["absent"]) == (6, ["README.md", STALLED, "tiny-Q8_0.gguf"])


def test_a_download_that_was_ended_is_unfinished(tmp_path: Path, source: HuggingFaceSource) -> None:
    code = f"hf_hub_download({REPOSITORY!r}, {STALLED!r})"
    with serve(REPOSITORY, COMMIT, FILES) as address, start(tmp_path, code, address) as running:
        while not any(path.stat().st_size for path in tmp_path.rglob("*.incomplete")):
            assert running.poll() is None, running.communicate()
            os.sched_yield()
        running.kill()
        running.communicate()
    found = listed(source)
    assert not found.artifacts
    ((unfinished,), (path,)) = found.unfinished, tmp_path.rglob("*.incomplete")
    assert unfinished.path == str(path)
    assert unfinished.size > 0


def test_without_links_the_files_themselves_are_models(tmp_path: Path, source: HuggingFaceSource) -> None:
    code = f"snapshot_download({REPOSITORY!r}, allow_patterns=['tiny*'])"
    download(tmp_path, code, HF_HUB_DISABLE_SYMLINKS="1")
    assert not [path for path in tmp_path.rglob("*.gguf") if path.is_symlink()]
    found = listed(source)
    assert found.ids == [f"{REPOSITORY}:Q4_K_M", f"{REPOSITORY}:Q8_0"]
    assert found[f"{REPOSITORY}:Q4_K_M"].weights[0].sha256 == sha256(gguf_bytes("q4"))
    assert (found.problems, found.orphans) == ((), ())


def test_a_revision_by_its_commit_has_no_ref(tmp_path: Path, source: HuggingFaceSource) -> None:
    download(tmp_path, f"hf_hub_download({REPOSITORY!r}, 'tiny-Q8_0.gguf', revision={COMMIT!r})")
    assert listed(source).ids == [f"{REPOSITORY}@{COMMIT[:8]}"]


def test_a_download_into_a_folder_tells_commit_and_digest(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    code = f"for name in {list(FILES)[:5]}: hf_hub_download({REPOSITORY!r}, name, local_dir={str(folder)!r})"
    download(tmp_path, code)
    found = listed(FolderSource(machine=machine(tmp_path)), folder)
    assert sorted(found.ids) == ["mine/vae", "mine:Q4_K_M", "mine:Q8_0"]
    assert found["mine/vae"].weights[0].sha256 == sha256(safetensors_bytes())
    assert all(model.facts["commit"] == COMMIT for model in found.artifacts)
