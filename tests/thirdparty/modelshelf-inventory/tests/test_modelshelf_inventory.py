from pathlib import Path

import modelshelf_inventory
import pytest

from modelshelf.source import Place
from modelshelf.testing import ModelFiles, SourceCase, SourceSuite

LISTED = """
models:
  - path: models/llama
    id: team/llama
    license: apache-2.0
    tags: [chat, approved]
  - path: models/small/model.safetensors
  - url: https://models.example/large.gguf
  - path: models/not-here
  - 7
"""


@pytest.fixture
def source_case(tmp_path: Path) -> SourceCase:
    root = tmp_path / "place"
    files = ModelFiles(root / "models")
    files.sound("gguf", name="llama")
    files.sound("safetensors", name="small")
    file = root / "inventory.yaml"
    file.write_text(LISTED, encoding="utf-8")
    return SourceCase(
        plugin=modelshelf_inventory,
        name="inventory",
        root=root,
        settings={"file": str(file)},
        models=2,
        indexes=("inventory.yaml",),
    )


class TestInventory(SourceSuite):
    pass


def test_a_url_is_a_place_that_is_not_here_and_says_what_to_do(source_case: SourceCase) -> None:
    source = source_case.make()
    (place,) = [one for one in source.places() if "://" in one.root]
    assert place == Place(
        source="inventory", root="https://models.example/large.gguf", reason=place.reason, present=False
    )
    (problem,) = source.list(place, lambda _root: iter(()))
    assert (problem.code, problem.path) == ("remote", place.root)
    assert "download it" in problem.message
