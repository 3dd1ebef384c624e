"""Folders that the user may not list: reported, and nothing below them is taken for removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelshelf_sources.huggingface import HuggingFaceSource
from modelshelf_sources.local_store import LocalStore
from modelshelf_sources.ollama import OllamaSource
from modelshelf_sources.ramalama import RamaLamaSource
from tests.plugins.modelshelf_sources.homes import build_home
from tests.plugins.modelshelf_sources.stores import Listed, gguf_bytes, listed, machine, safetensors_bytes


@pytest.fixture
def home() -> Iterator[Path]:
    """A full home, listed as nobody: root may list every folder."""
    gguf_bytes("shared")  # made before the user changes
    safetensors_bytes()
    with TemporaryDirectory() as made:  # everybody may enter it, which pytest's own folders do not allow
        folder = build_home(Path(made))
        for above, folders, _ in os.walk(folder):
            for name in folders:
                Path(above, name).chmod(0o755)
        folder.chmod(0o755)
        mine = os.geteuid()
        yield folder
        os.seteuid(mine)


def closed(source: type[LocalStore], home: Path, path: str) -> Listed:
    (home / path).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    return listed(source(machine=machine(home)))


HUB = ".cache/huggingface/hub/models--bartowski--Tiny-GGUF"
RAMALAMA = ".local/share/ramalama/store/ollama/library/smollm"


@pytest.mark.parametrize(
    ("source", "path", "reported"),
    [
        (OllamaSource, ".ollama/models/blobs", ".ollama/models"),
        (OllamaSource, ".ollama/models/manifests/hf.co", ".ollama/models"),
        (HuggingFaceSource, f"{HUB}/blobs", HUB),
        (HuggingFaceSource, f"{HUB}/snapshots", f"{HUB}/snapshots"),
        (RamaLamaSource, f"{RAMALAMA}/refs", RAMALAMA),
        (RamaLamaSource, f"{RAMALAMA}/blobs", RAMALAMA),
    ],
)
def test_a_closed_folder_is_reported_with_all_that_it_hides(
    home: Path, source: type[LocalStore], path: str, reported: str
) -> None:
    found = closed(source, home, path)
    closures = [one for one in found.problems if one.code != "no-weights-here"]
    # A scan marks nothing as missing at or below the path of a problem of this code.
    assert [(one.code, one.path) for one in closures] == [("unreadable-folder", str(home / reported))]
    assert path in closures[0].message
    store = HUB if source is HuggingFaceSource else reported
    assert not [one for one in found.orphans if one.path.startswith(str(home / store))]
