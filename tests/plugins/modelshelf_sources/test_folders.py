from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf.scan.walk import walk
from modelshelf.source import Folder, Place
from modelshelf_sources.folders import FolderSource
from modelshelf_sources.hub_metadata import read_download_metadata
from modelshelf_sources.listing import model_id, relative, stem_of
from tests.plugins.modelshelf_sources.stores import (
    COMMIT,
    FORMATS,
    gguf_bytes,
    listed,
    machine,
    put,
    safetensors_bytes,
    sha256,
    snapshot_of,
    tree_entry,
)

WEIGHTS = safetensors_bytes()
NOTES = ".cache/huggingface/download"


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    return FolderSource(machine=machine(tmp_path))


def downloaded(folder: Path, path: str, content: bytes, etag: str | None = None) -> Path:
    """A file as `local_dir` brings it, with its note."""
    file = put(folder / path, content)
    noted = file.stat().st_mtime + 0.5
    put(folder / NOTES / f"{path}.metadata", f"{COMMIT}\n{etag or sha256(content)}\n{noted}\n")
    return file


def test_any_depth_is_listed_and_a_folder_gives_its_model_its_name(
    tmp_path: Path, source: FolderSource
) -> None:
    put(tmp_path / "m/a/b/c/d/e/deep/model.safetensors", WEIGHTS)
    put(tmp_path / "m/pair/one.gguf", gguf_bytes("1"))
    put(tmp_path / "m/pair/two.gguf", gguf_bytes("2"))
    assert listed(source, tmp_path / "m").ids == ["deep", "pair:one", "pair:two"]


def test_a_download_into_a_folder_tells_commit_etag_and_digest(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "model.safetensors", WEIGHTS)
    downloaded(tmp_path / "m", "config.json", b"{}", etag="a" * 40)
    (model,) = listed(source, tmp_path / "m").artifacts
    assert model.weights[0].sha256 == sha256(WEIGHTS)
    assert model.companions[0].sha256 is None
    assert model.facts == {
        "commit": COMMIT,
        "etags": [f"config.json {'a' * 40}", f"model.safetensors {sha256(WEIGHTS)}"],
    }


def test_folders_below_a_download_have_their_notes_too(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "unet/model.safetensors", WEIGHTS)
    put(tmp_path / "other/model.safetensors", WEIGHTS)
    found = listed(source, tmp_path)
    assert found["m/unet"].weights[0].sha256 == sha256(WEIGHTS)
    assert (found["other"].weights[0].sha256, found["other"].facts) == (None, {})


def test_folders_that_a_walk_leaves_out_are_asked_for_their_notes(
    tmp_path: Path, source: FolderSource
) -> None:
    downloaded(tmp_path / "m", "unet/model.safetensors", WEIGHTS)
    listed = source.list(Place(source="local", root=str(tmp_path)), lambda _: iter(()))
    (folder,) = walk(str(tmp_path / "m" / "unet"), FORMATS.wants)
    assert isinstance(folder, Folder)
    assert listed.describe(folder).files[0].sha256 == sha256(WEIGHTS)


def test_a_download_of_a_whole_repository_tells_what_it_lacks(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "model.safetensors", WEIGHTS)
    entries = {name: tree_entry(name, WEIGHTS) for name in ("model.safetensors", "other.safetensors")}
    tree = tmp_path / f"m/.cache/huggingface/trees/{COMMIT}.json"
    put(tree, {"format_version": 1, "files": entries})
    (model,) = listed(source, tmp_path / "m").artifacts
    assert (model.facts["repository_files"], model.facts["absent"]) == (2, ["other.safetensors"])
    put(tree, "{")
    assert "absent" not in listed(source, tmp_path / "m").artifacts[0].facts


def test_a_file_that_was_changed_after_its_download_has_no_digest(
    tmp_path: Path, source: FolderSource
) -> None:
    file = downloaded(tmp_path / "m", "model.safetensors", WEIGHTS)
    later = file.stat().st_mtime + 60
    os.utime(file, (later, later))
    (model,) = listed(source, tmp_path / "m").artifacts
    assert (model.weights[0].sha256, model.facts) == (None, {})


@pytest.mark.parametrize("note", [b"", b"a\n", b"a\nb\nnever\n", b"\xff\xff\n\n", b"\n\n1\n", b"x" * 9999])
def test_a_broken_note_tells_nothing(tmp_path: Path, source: FolderSource, note: bytes) -> None:
    put(tmp_path / "m/model.safetensors", WEIGHTS)
    put(tmp_path / f"m/{NOTES}/model.safetensors.metadata", note)
    found = listed(source, tmp_path / "m")
    assert (found.artifacts[0].facts, found.problems) == ({}, ())


def test_an_unfinished_download_into_a_folder_is_listed(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "model.safetensors", WEIGHTS)
    put(tmp_path / f"m/{NOTES}/Zm9vYmFy.{'9' * 64}.incomplete", b"x" * 30)
    found = listed(source, tmp_path / "m")
    assert found.ids == ["m"]
    assert [one.size for one in found.unfinished] == [30]


def test_several_commits_in_one_folder_are_all_reported(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "a.gguf", gguf_bytes("a"))
    downloaded(tmp_path / "m", "b.gguf", gguf_bytes("b"))
    note = tmp_path / f"m/{NOTES}/b.gguf.metadata"
    note.write_text(note.read_text().replace(COMMIT, "e" * 40))
    assert listed(source, tmp_path / "m").artifacts[0].facts["commits"] == [COMMIT, "e" * 40]


def test_a_note_of_no_file_is_none(tmp_path: Path) -> None:
    put(tmp_path / "x.safetensors", WEIGHTS)
    (model,) = listed(FolderSource(machine=machine(tmp_path)), tmp_path).artifacts
    assert read_download_metadata(str(tmp_path / "none.metadata"), model.weights[0]) is None


def test_nothing_is_written(tmp_path: Path, source: FolderSource) -> None:
    downloaded(tmp_path / "m", "model.safetensors", WEIGHTS)
    put(tmp_path / f"m/{NOTES}/bad.metadata", b"broken")
    before = snapshot_of(tmp_path)
    listed(source, tmp_path)
    assert snapshot_of(tmp_path) == before


def test_ids_fit_a_record_whatever_the_path() -> None:
    assert model_id("org/name") == "org/name"
    long = model_id("x" * 5000)
    assert len(long) <= 1000 - 255
    assert long != model_id("x" * 5001)
    assert model_id("a\0b") == "ab"
    assert model_id("\udcff" * 2000) == model_id("\udcff" * 2000)
    assert [stem_of(name) for name in ("a.b.gguf", "a", ".hidden", "a.")] == ["a.b", "a", ".hidden", "a"]
    assert [relative(path, "/r") for path in ("/r", "/r/a/b", "/rest")] == ["", "a/b", "/rest"]
