"""Sources are made, guarded and asked in the right order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from modelshelf import ModelRegistry
from modelshelf.model import Artifact, ArtifactFile, Origin
from modelshelf.reader import open_local
from modelshelf.scan import changed, folder_cache
from modelshelf.source import Folder, Place, PlainFolders, SourceType
from tests.core.toy import ToyFormat, write_toy


class Shed:
    """A source that lists each toy below its root under a name of its own."""

    name = "shed"

    def __init__(self, root: Path) -> None:
        self.root = str(root)

    def places(self) -> list[Place]:
        return [Place(source=self.name, root=self.root, reason="a shed", present=Path(self.root).is_dir())]

    def claims(self, root: str) -> bool:
        return root == self.root

    def list(self, place: Place, walk: Any) -> Iterator[Artifact]:  # noqa: ARG002 - the protocol's
        for path in sorted(Path(self.root).rglob("*.toy")):
            status = path.stat()
            one = ArtifactFile(
                name=path.name, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino
            )
            yield Artifact(
                folder=str(path.parent),
                primary=path.name,
                files=(one,),
                source=self.name,
                model_id=f"shed/{path.stem}",
                facts={"shelf": 3, "license": "mit"},
            )

    open = staticmethod(open_local)


class ShedPlugin(ToyFormat):
    """The toy format, and one source."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self.source = source

    def modelshelf_sources(self) -> Iterator[SourceType]:
        yield SourceType(name="shed", make=self.make)

    def make(self, settings: dict[str, Any]) -> Any:  # noqa: ARG002 - the contract's
        return self.source


def registry(tmp_path: Path, source: Any) -> ModelRegistry:
    return ModelRegistry(tmp_path / "home", tmp_path / "store", plugins=[ShedPlugin(source)])


def test_a_tools_store_below_a_scanned_folder_is_read_by_its_own_source(tmp_path: Path) -> None:
    write_toy(tmp_path / "home" / "plain" / "one.toy", title="one")
    write_toy(tmp_path / "home" / "tools" / "shed" / "deep" / "two.toy", title="two")
    with registry(tmp_path, Shed(tmp_path / "home" / "tools" / "shed")) as opened:
        for _ in range(2):
            stats = opened.discover_models()
            assert (opened.list_models(), stats.errors) == (["plain", "shed/two"], 0)
            assert {one.locations[0].source for one in opened} == {"local", "shed"}
        assert (stats.models_unchanged, stats.models_missing, stats.bytes_read) == (2, 0, 0)


def test_what_a_source_knows_reaches_the_record_with_its_origin(tmp_path: Path) -> None:
    write_toy(tmp_path / "home" / "two.toy", title="two", license="apache-2.0")
    with registry(tmp_path, Shed(tmp_path / "home")) as opened:
        opened.discover_models()
        metadata = opened.get("shed/two").metadata
    assert (metadata.license, metadata.provenance["license"].origin) == ("apache-2.0", Origin.HEADER)
    assert (metadata.details["shelf"], str(metadata.provenance["details.shelf"])) == (3, "source: shed")


def test_what_is_deleted_in_a_nested_store_is_missing(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "home" / "shed" / "two.toy", title="two")
    with registry(tmp_path, Shed(tmp_path / "home" / "shed")) as opened:
        opened.discover_models()
        path.unlink()
        assert opened.discover_models().models_missing == 1


def test_places_within_a_folder_are_reported(tmp_path: Path) -> None:
    (tmp_path / "home" / "shed").mkdir(parents=True)
    with registry(tmp_path, Shed(tmp_path / "home" / "shed")) as opened:
        places = opened.with_nested([opened.place(tmp_path / "home")])
    assert [(one.source, Path(one.root).name) for one in places] == [("shed", "shed"), ("local", "home")]


@pytest.mark.parametrize("method", ["places", "claims", "list", "open"])
def test_a_source_that_raises_costs_its_own_place_only(tmp_path: Path, method: str) -> None:
    write_toy(tmp_path / "home" / "plain" / "one.toy", title="one")
    write_toy(tmp_path / "home" / "shed" / "two.toy", title="two")
    source = Shed(tmp_path / "home" / "shed")

    def fail(*_: object) -> Any:
        raise KeyError("oops")

    setattr(source, method, fail)
    with registry(tmp_path, source) as opened:
        stats = opened.discover_models()
        assert "plain" in opened.list_models()
        assert any("oops" in one.message for one in stats.problems)
        failures = [one for report in opened.plugins.reports for one in report.failures]
        assert any(one.reason.startswith(f"{method}: KeyError") for one in failures)
        assert {(one.file, one.line) for one in failures} == {(__file__, fail.__code__.co_firstlineno + 1)}


def test_a_source_that_cannot_be_made_costs_itself_only(tmp_path: Path) -> None:
    class Unmakable(ShedPlugin):
        def make(self, settings: dict[str, Any]) -> Any:  # noqa: ARG002 - the contract's
            raise RuntimeError("no shed today")

    write_toy(tmp_path / "home" / "plain" / "one.toy", title="one")
    with ModelRegistry(tmp_path / "home", tmp_path / "store", plugins=[Unmakable(None)]) as opened:
        stats = opened.discover_models()
        assert opened.list_models() == ["plain"]
        assert any("no shed today" in one.message for one in stats.problems)


class Shelves(Shed):
    """A source whose place is plain folders, each known by a name of its own."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked_for: list[str] = []

    def list(self, place: Place, walk: Any) -> PlainFolders:  # noqa: ARG002 - the protocol's
        return PlainFolders(describe=self.describe)

    def describe(self, folder: Folder) -> Folder:
        name = Path(folder.path).name
        self.asked_for.append(name)
        return attrs.evolve(folder, model_id=f"shelf/{name}", facts={"shelf": 3})


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder cache for the smallest tree."""
    monkeypatch.setattr(changed, "WORTH_WRITING", 1)
    monkeypatch.setattr(folder_cache, "_FINE_STEP", 0)


@pytest.mark.usefixtures("_eager")
def test_plain_folders_of_any_source_are_walked_and_listed_again_where_they_changed(
    tmp_path: Path,
) -> None:
    root = tmp_path / "home" / "shelves"
    for name in ("a", "b"):
        write_toy(root / name / "m.toy", title=name)
    write_toy(tmp_path / "home" / "plain" / "one.toy", title="one")
    for path in (root / "a", root / "b", root):
        os.utime(path, (10**9, 10**9))
    source = Shelves(root)
    with registry(tmp_path, source) as opened:
        assert opened.discover_models().models_added == 3
        assert opened.list_models() == ["plain", "shelf/a", "shelf/b"]
        shelf = opened.get("shelf/a")
        assert (shelf.locations[0].source, shelf.metadata.details["shelf"]) == ("shed", 3)
        source.asked_for.clear()
        stats = opened.discover_models()
        assert (stats.models_unchanged, stats.models_missing, source.asked_for) == (3, 0, [])
        write_toy(root / "b" / "m.toy", title="b again")
        (root / "a" / "m.toy").rename(root / "b" / "n.toy")
        opened.discover_models()
        assert set(source.asked_for) == {"shelves", "a", "b"}
        (root / "b" / "n.toy").unlink()
        assert opened.discover_models().models_missing == 1


def test_a_source_that_fails_to_describe_a_folder_costs_its_own_place_only(tmp_path: Path) -> None:
    write_toy(tmp_path / "home" / "plain" / "one.toy", title="one")
    write_toy(tmp_path / "home" / "shed" / "two.toy", title="two")
    source = Shelves(tmp_path / "home" / "shed")
    with registry(tmp_path, source) as opened:
        opened.discover_models()
        assert opened.list_models() == ["plain", "shelf/shed"]

        def fail(_: Folder) -> Folder:
            raise OSError("oops")

        source.describe = fail
        stats = opened.discover_models(force=True)
        assert [one.code for one in stats.problems] == ["unlisted-place"]
        assert (opened.get("shelf/shed").missing, stats.models_found) == (False, 1)
        reasons = [one.reason for report in opened.plugins.reports for one in report.failures]
        assert reasons == ["describe: OSError: oops"]
