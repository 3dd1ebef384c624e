from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelshelf_foreign.tfjs import shards


def written(folder: Path, name: str, content: object, *files: str) -> str:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    for one in files:
        (folder / one).write_bytes(b"\x9a" * 10)
    return str(folder)


def test_the_manifest_of_a_model_names_its_weights_in_their_order(tmp_path: Path) -> None:
    manifest = [{"paths": ["b.bin", "a.bin"], "weights": []}, {"paths": ["c.bin"]}]
    folder = written(tmp_path, "model.json", {"modelTopology": {}, "weightsManifest": manifest}, "b.bin")
    assert shards(folder, "a.bin") == ("b.bin", "a.bin", "c.bin")
    assert shards(folder, "other.bin") == ()


def test_a_manifest_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    manifest = [{"paths": ["face-shard1"], "weights": []}]
    folder = written(tmp_path, "face-weights_manifest.json", manifest, "face-shard1")
    assert shards(folder, "face-shard1") == ("face-shard1",)


@pytest.mark.parametrize("content", ['{"weightsManifest": []}', '{"weightsManifest": [{"paths": ["a'])
def test_where_a_manifest_names_nothing_the_usual_names_do(tmp_path: Path, content: str) -> None:
    names = ("group1-shard1of2.bin", "group1-shard2of2.bin")
    folder = written(tmp_path, "model.json", content, *names)
    assert shards(folder, names[1]) == names


@pytest.mark.parametrize("content", ["[" * 100_000, "null", '{"weightsManifest": 3}', '{"a": 1}', ""])
def test_another_json_names_nothing(tmp_path: Path, content: str) -> None:
    folder = written(tmp_path, "model.json", content, "a.bin")
    assert shards(folder, "a.bin") == ()


def test_of_a_place_that_is_no_folder_nothing_is_said() -> None:
    assert shards("https://example.org/models", "group1-shard1of1.bin") == ()
