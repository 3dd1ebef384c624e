"""Where the space goes is counted in inodes, and nothing twice."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from modelshelf import Depth, ModelConfig
from modelshelf.model import ArtifactFile, Location, ModelMetadata
from modelshelf.records.space import duplicates, shares

KB = 4096


def place(
    folder: Path,
    name: str = "model.gguf",
    *,
    source: str = "local",
    sha256: str | None = None,
    depth: Depth = Depth.FULL,
) -> Location:
    """A location as a scan would record it, of a file that is there."""
    one = ArtifactFile(name=name, size=(folder / name).stat().st_size, mtime_ns=0, sha256=sha256)
    return Location(path=str(folder / name), folder=str(folder), source=source, files=(one,), depth=depth)


def model(name: str, *places: Location, **metadata: str) -> ModelConfig:
    return ModelConfig(id=name, path=places[0].path, locations=places, metadata=ModelMetadata(**metadata))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Three folders; the first and second hold a file of 8 KiB, the third a link to the first's."""
    made = tuple(tmp_path / name for name in ("one", "two", "three"))
    for folder in made:
        folder.mkdir()
    for folder in made[:2]:
        (folder / "model.gguf").write_bytes(os.urandom(2 * KB))
    os.link(made[0] / "model.gguf", made[2] / "model.gguf")
    return made


def test_copies_that_are_links_free_nothing(folders: tuple[Path, Path, Path]) -> None:
    one, _, three = folders
    assert duplicates([model("a", place(one), place(three))]) == []


def test_a_copy_frees_its_own_bytes_once(folders: tuple[Path, Path, Path]) -> None:
    one, two, three = folders
    (found,) = duplicates([model("a", place(one), place(two), place(three))])
    assert (found.freeable, [copy.own for copy in found.copies]) == (2 * KB, [0, 2 * KB, 0])
    assert not found.confirmed


def test_equal_sha256_confirm_a_copy_and_another_one_refutes_it(folders: tuple[Path, Path, Path]) -> None:
    one, two, _ = folders
    same = model("a", place(one, sha256="a" * 64), place(two, sha256="a" * 64))
    other = model("b", place(one, sha256="a" * 64), place(two, sha256="b" * 64))
    (found,) = duplicates([same, other])
    assert (found.id, found.confirmed) == ("a", True)


def test_a_name_that_a_store_gives_confirms_nothing_before_all_bytes_were_hashed(
    folders: tuple[Path, Path, Path],
) -> None:
    one, two, _ = folders
    named = place(two, sha256="a" * 64, depth=Depth.HEADER)
    (found,) = duplicates([model("a", place(one, sha256="a" * 64), named)])
    assert not found.confirmed


def test_a_sparse_file_takes_up_what_its_disk_holds(tmp_path: Path) -> None:
    with (tmp_path / "model.gguf").open("wb") as file:
        file.write(b"x" * KB)
        file.truncate(1 << 30)
    (found,) = shares([model("a", place(tmp_path))], "source")
    assert KB <= found.bytes < 1 << 20


def test_every_inode_counts_for_one_group(folders: tuple[Path, Path, Path]) -> None:
    one, _, three = folders
    rows = shares([model("a", place(one), place(three, source="ollama"))], "source")
    assert [(share.name, share.models, share.bytes) for share in rows] == [
        ("local", 1, 2 * KB),
        ("ollama", 1, 0),
    ]


def test_the_largest_group_comes_first_and_what_is_unknown_is_named(folders: tuple[Path, Path, Path]) -> None:
    one, two, _ = folders
    (two / "model.gguf").write_bytes(b"y" * 5 * KB)
    rows = shares([model("a", place(one), architecture="llama"), model("b", place(two))], "family")
    assert [(share.name, share.bytes) for share in rows] == [("unknown", 5 * KB), ("llama", 2 * KB)]


def test_a_place_that_is_missing_takes_up_nothing(folders: tuple[Path, Path, Path]) -> None:
    one, two, _ = folders
    gone = attrs.evolve(place(two), missing=True)
    assert duplicates([model("a", place(one), gone)]) == []
    (two / "model.gguf").unlink()
    assert duplicates([model("a", place(one), attrs.evolve(gone, missing=False))]) == []
