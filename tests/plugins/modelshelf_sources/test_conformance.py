"""Every source passes the suite that authors of sources inherit."""

from __future__ import annotations

from pathlib import Path

import pytest

import modelshelf_sources
from modelshelf.testing import SourceCase, SourceSuite
from tests.plugins.modelshelf_sources.homes import build_home

ROOTS = {
    "comfyui": ("ComfyUI", 3),
    "huggingface": (".cache/huggingface/hub", 5),
    "invokeai": ("invokeai", 1),
    "llamacpp": (".cache/llama.cpp", 1),
    "lmstudio": (".lmstudio/models", 2),
    "local": (".lmstudio/models", 2),
    "ollama": (".ollama/models", 2),
    "ramalama": (".local/share/ramalama/store", 1),
}
"""Where each store lies in a full home, and how many models it holds."""


class TestSources(SourceSuite):
    @pytest.fixture(params=ROOTS)
    def source_case(self, request: pytest.FixtureRequest, tmp_path: Path) -> SourceCase:
        path, models = ROOTS[request.param]
        home = build_home(tmp_path / "home")
        # A model that runs elsewhere is listed as a problem, which a sound place has none of.
        (home / ".ollama/models/manifests/registry.ollama.ai/library/gpt-oss/120b-cloud").unlink()
        return SourceCase(
            plugin=modelshelf_sources,
            name=request.param,
            root=home / path,
            settings={"root": str(home / path)},
            models=models,
        )
