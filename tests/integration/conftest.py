from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from tests.integration.program import Program
from tests.vendor_models import VENDORED


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with the three sample models, to be changed at will."""
    return Path(shutil.copytree(VENDORED, tmp_path / "models"))


@pytest.fixture
def open_registry(tmp_path: Path, models: Path) -> Iterator[Callable[..., ModelRegistry]]:
    """Open a registry of the sample models; each call opens the same store."""
    opened = []

    def open_it(**options: object) -> ModelRegistry:
        opened.append(ModelRegistry(models, tmp_path / "store", **options))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    """Run ``modelshelf`` as a process of its own, with a store of this test's."""

    def run(
        *arguments: str | Path, site: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Program:
        environment = {**os.environ, "MODELSHELF_STORE": str(tmp_path / "store"), **(env or {})}
        if site is not None:
            environment["PYTHONPATH"] = str(site)
        return Program.run(arguments, cwd=tmp_path, env=environment)

    return run
