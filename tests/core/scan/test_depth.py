"""What was looked at less deeply than is asked for is looked at again, and depth full goes by no name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelshelf import Depth, DiscoveryStats, Finding, HealthStatus, ModelRegistry, Severity
from modelshelf.scan import changed, folder_cache
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy


class DeepFormat(ToyFormat):
    """A toy that is flawed to those who look deeper than quick; notes how deep it was asked to look."""

    fails = False

    def __init__(self) -> None:
        super().__init__()
        self.depths: list[Depth] = []

    def modelshelf_probe_health(self, depth: Depth) -> Iterator[Finding]:
        self.depths.append(depth)
        if self.fails:
            raise RuntimeError
        if depth is not Depth.QUICK:
            yield Finding(code="flaw", severity=Severity.ERROR, message="is flawed")


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "models"
        self.folder.mkdir()
        self.toy = DeepFormat()
        self.registry = ModelRegistry(
            self.folder, folder / "store", plugins=[self.toy], blocked=BUILTIN_FORMATS
        )

    def scan(self, path: Path | None = None, **options: object) -> DiscoveryStats:
        self.toy.depths.clear()
        self.toy.looked_at.clear()
        return self.registry.discover_models(path or self.folder, **options)


@pytest.fixture(params=["few files", "with a folder cache"])
def shelf(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    if request.param == "with a folder cache":
        monkeypatch.setattr(changed, "WORTH_WRITING", 1)
        monkeypatch.setattr(folder_cache, "_FINE_STEP", 0)
    made = Shelf(tmp_path)
    yield made
    made.registry.close()


def age(path: Path) -> None:
    """Let a folder and what lies in it be old enough that the cache trusts their times."""
    for one in (*path.rglob("*"), path):
        os.utime(one, (10**9, 10**9))


@pytest.mark.parametrize(
    ("first", "then", "asked"),
    [
        ("quick", "header", [Depth.HEADER]),
        ("quick", "full", [Depth.FULL]),
        ("header", "full", [Depth.FULL]),
        ("quick", "quick", []),
        ("header", "quick", []),
        ("full", "header", []),
        ("full", "full", []),
    ],
)
def test_a_scan_looks_again_at_what_was_looked_at_less_deeply(
    shelf: Shelf, first: str, then: str, asked: list[Depth]
) -> None:
    write_toy(shelf.folder / "a.toy")
    age(shelf.folder)
    shelf.scan(depth=first)
    stats = shelf.scan(depth=then)
    assert shelf.toy.depths == asked
    assert (stats.models_found, stats.models_unchanged) == (1, not asked)
    (model,) = shelf.registry
    assert model.locations[0].depth is max(map(Depth, (first, then)), key=list(Depth).index)
    opened = {first, then} != {"quick"}
    assert [one.code for one in model.findings] == (["flaw"] if opened else ["not-opened"])
    assert model.health_status is (HealthStatus.UNHEALTHY if opened else HealthStatus.UNKNOWN)


def test_a_deeper_scan_looks_at_each_model_once(shelf: Shelf) -> None:
    for name in ("a.toy", "sub/b.toy"):
        write_toy(shelf.folder / name, title=name)
    age(shelf.folder)
    shelf.scan()
    assert [len(shelf.scan(depth="full") and shelf.toy.depths) for _ in range(2)] == [2, 0]
    write_toy(shelf.folder / "sub" / "b.toy", title="another")
    shelf.scan(depth="full")
    assert shelf.toy.looked_at == [str(shelf.folder / "sub" / "b.toy")]


def test_a_check_spares_a_scan_of_its_depth(shelf: Shelf) -> None:
    write_toy(shelf.folder / "a.toy")
    shelf.scan(depth="quick")
    shelf.registry.check()
    shelf.scan()
    assert shelf.toy.depths == []
    shelf.registry.check(depth="full")
    shelf.scan(depth="full")
    assert shelf.toy.depths == []


def test_a_check_that_a_plugin_failed_in_spares_no_scan(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy(shelf.folder / "a.toy")
    shelf.scan()
    with monkeypatch.context() as patch:
        patch.setattr(DeepFormat, "fails", True)
        shelf.registry.check(depth="full")
    shelf.scan(depth="full")
    assert shelf.toy.depths == [Depth.FULL]


def test_a_forced_shallow_scan_is_remembered_for_what_it_was(shelf: Shelf) -> None:
    write_toy(shelf.folder / "a.toy")
    shelf.scan(depth="full")
    shelf.scan(depth="quick", force=True)
    shelf.scan()
    assert shelf.toy.depths == [Depth.HEADER]


def test_depth_full_looks_into_every_file_whatever_its_name(shelf: Shelf) -> None:
    write_toy(shelf.folder / "notes.txt")
    (shelf.folder / "readme.rst").write_text("no toy")
    age(shelf.folder)
    assert shelf.scan().models_found == 0
    assert shelf.toy.looked_at == []
    stats = shelf.scan(depth="full")
    assert (stats.models_added, stats.errors) == (1, 0)
    assert sorted(shelf.toy.looked_at) == [str(shelf.folder / name) for name in ("notes.txt", "readme.rst")]
    stats = shelf.scan()
    assert (stats.models_found, stats.models_unchanged, stats.models_missing) == (1, 1, 0)
    assert shelf.toy.looked_at == []


@pytest.mark.parametrize("how", ["by name", "in full"])
def test_a_model_under_a_name_that_nobody_asks_for_stays_while_it_lies_there(shelf: Shelf, how: str) -> None:
    odd = write_toy(shelf.folder / "sub" / "notes.txt")
    age(shelf.folder)
    if how == "by name":
        shelf.scan(odd)
    else:
        shelf.scan(depth="full")
    for _ in range(3):
        stats = shelf.scan()
        assert (stats.models_found, stats.models_unchanged, stats.models_missing) == (1, 1, 0)
    write_toy(odd, title="another")
    assert shelf.scan().models_found == 1
    assert shelf.toy.looked_at == [str(odd)]
    write_toy(shelf.folder / "sub" / "b.toy")  # the folder is listed anew
    assert shelf.scan().models_found == 2
    odd.unlink()
    assert shelf.scan().models_missing == 1
    assert [one.path for one in shelf.registry if not one.missing] == [str(shelf.folder / "sub" / "b.toy")]
