"""What a source lists is checked before anything is opened: a name stays in its folder, or costs itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from modelshelf import Artifact, ArtifactFile, Folder, ModelRegistry, Place, PlainFolders, SourceType
from modelshelf.reader import open_local
from modelshelf.scan.listed_names import REFUSED_NAME
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class HostileSource:
    """A third party's source that lists what it is given to list."""

    name = "hostile"

    def __init__(self, root: Path, list_it: Callable[[str], Any]) -> None:
        self.root, self.list_it = str(root), list_it

    def modelshelf_sources(self) -> Iterator[SourceType]:
        yield SourceType(name=self.name, make=lambda _settings: self)  # type: ignore[arg-type, return-value]

    def places(self) -> list[Place]:
        return [Place(source=self.name, root=self.root)]

    def claims(self, root: str) -> bool:
        return root == self.root

    def list(self, place: Place, _walk: object) -> Any:
        return self.list_it(place.root)

    def open(self, artifact: Artifact, one: ArtifactFile, budget: Any) -> Any:
        return open_local(artifact, one, budget)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A place with a good model, and beside it a file that is nobody's business."""
    write_toy(tmp_path / "place" / "good.toy")
    write_toy(tmp_path / "place" / "b" / "below.toy", note="below")
    write_toy(tmp_path / "secret.toy")
    return tmp_path / "place"


def scanned(root: Path, list_it: Callable[[str], Any]) -> tuple[list[str], list[Any], set[str]]:
    """Paths of the models that a scan found, its problems, and the paths that it looked into."""
    source, toy = HostileSource(root, list_it), ToyFormat()
    plugins = [toy, source]
    with ModelRegistry(root, root.parent / "store", plugins=plugins, blocked=BUILTIN_FORMATS) as registry:
        stats = registry.discover_models(Place(source=source.name, root=str(root)))
        return sorted(one.path for one in registry), list(stats.problems), set(toy.looked_at)


def file(path: Path, name: str) -> ArtifactFile:
    status = (path / name).stat() if "\0" not in name and (path / name).exists() else path.stat()
    return ArtifactFile(name=name, size=status.st_size, mtime_ns=status.st_mtime_ns)


LEADING_OUT = (
    "../secret.toy",
    "b/../../secret.toy",
    "..",
    "b/..",
    "/etc/passwd",
    "//etc/passwd",
    "",
    ".",
    "secret\0.toy",
    "\0",
)


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_costs_its_artifact_alone(root: Path, name: str) -> None:
    def list_it(place: str) -> Iterator[Any]:
        yield Artifact(folder=place, primary=name, files=(file(root, name),), model_id="bad")
        yield Artifact(folder=place, primary="good.toy", files=(file(root, "good.toy"),), model_id="good")

    found, problems, looked_at = scanned(root, list_it)
    assert found == [str(root / "good.toy")]
    assert [one.code for one in problems] == [REFUSED_NAME]
    assert repr(name) in problems[0].message
    assert looked_at == {str(root / "good.toy")}


@pytest.mark.parametrize("name", LEADING_OUT)
@pytest.mark.parametrize("place_of_it", ["primary", "companion", "missing"])
def test_whatever_an_artifact_names_has_to_stay_in_its_folder(
    root: Path, name: str, place_of_it: str
) -> None:
    good = file(root, "good.toy")

    def list_it(place: str) -> Iterator[Any]:
        bad = Artifact(folder=place, primary="good.toy", files=(good,), model_id="bad")
        if place_of_it == "primary":
            bad = attrs.evolve(bad, primary=name)
        elif place_of_it == "companion":
            bad = attrs.evolve(bad, files=(good, file(root, name)))
        else:
            bad = attrs.evolve(bad, missing=(name,))
        yield bad
        below = file(root / "b", "below.toy")
        yield Artifact(folder=f"{place}/b", primary="below.toy", files=(below,), model_id="good")

    found, problems, _ = scanned(root, list_it)
    assert found == [str(root / "b" / "below.toy")]
    assert [one.code for one in problems] == [REFUSED_NAME]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_folder_is_listed_without_the_file_whose_name_leads_out(root: Path, name: str) -> None:
    def list_it(place: str) -> Iterator[Any]:
        yield Folder(path=place, files=(file(root, "good.toy"), file(root, name)))

    found, problems, looked_at = scanned(root, list_it)
    assert found == [str(root / "good.toy")]
    assert [one.code for one in problems] == [REFUSED_NAME]
    assert looked_at == {str(root / "good.toy")}


@pytest.mark.parametrize("name", LEADING_OUT)
def test_what_a_source_adds_to_a_plain_folder_is_checked_too(root: Path, name: str) -> None:
    def describe(folder: Folder) -> Folder:
        return attrs.evolve(folder, files=(*folder.files, file(root, name)), facts={"tag": "x"})

    found, problems, _ = scanned(root, lambda _place: PlainFolders(describe=describe))
    assert found == [str(root / "b" / "below.toy"), str(root / "good.toy")]
    assert {one.code for one in problems} == {REFUSED_NAME}


@pytest.mark.parametrize("path", ["{}/b/../..", "{}/../place", "/..", "b", "./b", "", "{}\0/b", 7])
def test_a_folder_that_is_nowhere_or_leads_out_is_refused(root: Path, path: Any) -> None:
    def list_it(place: str) -> Iterator[Any]:
        where = path.format(place) if isinstance(path, str) else path
        good = (file(root, "good.toy"),)
        yield Folder(path=where, files=good)
        yield Artifact(folder=where, primary="good.toy", files=good, model_id="bad")
        yield Folder(path=place, files=good)

    found, problems, _ = scanned(root, list_it)
    assert found == [str(root / "good.toy")]
    assert [one.code for one in problems] == [REFUSED_NAME] * 2


@pytest.mark.parametrize("listed", [None, 7, "good.toy", object(), ("good.toy",)])
def test_what_is_no_listing_costs_itself_alone(root: Path, listed: object) -> None:
    def list_it(place: str) -> Iterator[Any]:
        yield listed
        yield Folder(path=place, files=(file(root, "good.toy"),))

    found, problems, _ = scanned(root, list_it)
    assert found == [str(root / "good.toy")]
    assert [one.code for one in problems] == [REFUSED_NAME]


@pytest.mark.skipif(os.name != "posix", reason="these are plain names on POSIX alone")
@pytest.mark.parametrize(
    "name", ["C:\\model.toy", "C:model.toy", "..\\model.toy", "a\\..\\b.toy", "..toy", "a...toy"]
)
def test_a_name_that_only_another_system_reads_otherwise_is_plain(root: Path, name: str) -> None:
    write_toy(root / name)

    def list_it(place: str) -> Iterator[Any]:
        yield Artifact(folder=place, primary=name, files=(file(root, name),), model_id="odd")

    found, problems, _ = scanned(root, list_it)
    assert (found, problems) == ([str(root / name)], [])


def test_a_root_with_a_parent_in_it_is_a_persons_own(root: Path) -> None:
    def list_it(place: str) -> Iterator[Any]:
        yield Folder(path=f"{place}/b", files=(file(root / "b", "below.toy"),))

    found, problems, _ = scanned(root / ".." / "place", list_it)
    assert (len(found), problems) == (1, [])
