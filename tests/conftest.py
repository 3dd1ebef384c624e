from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import CORPUS


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real model files and hostile samples; tests that need it skip where it is absent."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real and hostile files is not beside this checkout")
    return CORPUS
