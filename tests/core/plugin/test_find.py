from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.plugin.find import (
    Offer,
    all_offered,
    entry_points_of,
    find,
    is_released,
    offered_by,
    others_offer,
)
from modelshelf.plugin.load import load
from modelshelf.plugin.report import PluginState
from tests.distributions import write_distribution

UNPARSABLE = "[modelshelf]\nthis line has no equals sign\n"
BUILT_IN = {"companions", "gguf", "lmdb", "pytorch", "safetensors", "serializers", "sources"}


def test_the_built_in_plugins_stand_in_the_group_that_anyone_uses() -> None:
    assert {one.name for one in entry_points_of("modelshelf")} >= BUILT_IN


def test_a_group_that_nobody_uses_is_empty() -> None:
    assert entry_points_of("modelshelf.nobody") == []


def test_entry_points_that_do_not_parse_hide_no_other(site: Path) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points=UNPARSABLE)
    assert {one.name for one in entry_points_of("modelshelf")} >= BUILT_IN


def test_entry_points_that_do_not_parse_are_reported_with_their_distribution(site: Path) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points=UNPARSABLE)
    distributions: list[str] = []
    entry_points_of("modelshelf", lambda name, _error: distributions.append(name))
    assert distributions == ["mangled-shelf"]


def test_broken_metadata_of_a_distribution_that_offers_no_plugin_is_no_news(site: Path) -> None:
    write_distribution(site, "stranger", "", entry_points="[console_scripts]\nno equals sign\n")
    distributions: list[str] = []
    found = entry_points_of("modelshelf", lambda name, _error: distributions.append(name))
    assert (distributions, {one.name for one in found} >= BUILT_IN) == ([], True)


def test_a_distribution_whose_entry_points_cannot_be_read_is_a_failed_plugin(site: Path) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points=UNPARSABLE)
    report = next(one for one in load(find()).reports if one.distribution == "mangled-shelf")
    assert report.state is PluginState.FAILED
    assert "entry_points.txt cannot be read" in report.failures[0].reason


LAYOUTS = {
    "nothing beside it": {},
    "another plugin": {"weather-shelf": "[modelshelf]\nclouds = weather_shelf\n"},
    "a distribution of something else": {"stranger": "[console_scripts]\nstranger = stranger:main\n"},
    "a section that is a comment": {"stranger": "[console_scripts]\na = b:c\n; [modelshelfs]\n"},
}


@pytest.mark.parametrize("texts", LAYOUTS.values(), ids=LAYOUTS)
def test_a_plain_look_tells_what_importlib_metadata_tells(site: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        write_distribution(site, name, "", entry_points=text)
    slow = entry_points_of("modelshelf")
    assert others_offer("modelshelf", "modelshelf") == any(one.dist.name != "modelshelf" for one in slow)
    offer = offered_by("modelshelf", "modelshelf")
    mine = [one for one in slow if one.dist.name == "modelshelf"]
    assert offer is not None
    assert offer.modules == {one.name: one.value for one in mine}
    assert {offer.version} == {one.dist.version for one in mine}
    everyone = {one.dist.name for one in slow}
    assert all_offered("modelshelf") == {
        who: Offer(
            next(one.dist.version for one in slow if one.dist.name == who),
            {one.name: one.value for one in slow if one.dist.name == who},
        )
        for who in everyone
    }


def test_a_wheel_is_a_release_and_an_editable_install_is_none(site: Path) -> None:
    write_distribution(site, "weather-shelf", "")
    assert is_released("Weather.Shelf")
    (site / "weather_shelf-0.3.0.dist-info" / "direct_url.json").write_text("{}")
    assert not is_released("weather-shelf")
    assert not is_released("nobody")


@pytest.mark.parametrize("name", ["Weather.Shelf", "weather-shelf", "weather_shelf"])
def test_a_distribution_is_found_however_its_name_is_written(site: Path, name: str) -> None:
    write_distribution(site, "weather-shelf", "", entry="clouds", version="2.1.0")
    assert offered_by(name, "modelshelf") == Offer("2.1.0", {"clouds": "weather_shelf"})
    assert not others_offer(name, "modelshelf.nobody")


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_distribution(site, "weather-shelf", "", entry="clouds", version="1.0")
    first = tmp_path / "first"
    first.mkdir()
    write_distribution(first, "weather-shelf", "", entry="rain", version="2.0")
    monkeypatch.syspath_prepend(str(first))
    assert offered_by("weather-shelf", "modelshelf") == Offer("2.0", {"rain": "weather_shelf"})
    assert [one.name for one in entry_points_of("modelshelf") if one.value == "weather_shelf"] == ["rain"]


@pytest.mark.parametrize(
    "text",
    [
        "[modelshelf]\nclouds = weather_shelf:plugin\n",
        "[modelshelf]\nclouds = weather_shelf [extra]\n",
        UNPARSABLE,
    ],
    ids=["an attribute", "an extra", "no equals sign"],
)
def test_what_is_more_than_a_modules_name_is_left_to_importlib_metadata(site: Path, text: str) -> None:
    write_distribution(site, "weather-shelf", "", entry_points=text)
    assert offered_by("weather-shelf", "modelshelf") is None
    assert all_offered("modelshelf") is None


def test_a_distribution_keeps_the_name_that_its_metadata_has(site: Path) -> None:
    write_distribution(site, "Weather-Shelf", "", entry="clouds", version="2.1.0")
    assert all_offered("modelshelf")["Weather-Shelf"] == Offer("2.1.0", {"clouds": "Weather_Shelf"})
    assert next(one.display for one in find() if one.name == "clouds") == "Weather-Shelf[clouds]"


@pytest.mark.parametrize("metadata", ["", "Metadata-Version: 2.1\n\nName: in the text\n"])
def test_a_distribution_that_does_not_tell_its_name_is_left_to_importlib_metadata(
    site: Path, metadata: str
) -> None:
    write_distribution(site, "weather-shelf", "", entry="clouds")
    (metadata_file,) = site.glob("weather_shelf-*.dist-info/METADATA")
    metadata_file.write_text(metadata)
    assert all_offered("modelshelf") is None
    assert {one.name for one in find()} >= BUILT_IN


def _archive(site: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    archive = site / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("zipped_shelf-1.0.dist-info/METADATA", "Name: zipped-shelf\nVersion: 1.0\n")
        made.writestr("zipped_shelf-1.0.dist-info/entry_points.txt", "[modelshelf]\nzipped = zipped_shelf\n")
    sys.path.insert(0, str(archive))


def _egg(site: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    folder = site / "old_shelf-1.0.egg" / "EGG-INFO"
    folder.mkdir(parents=True)
    (folder / "PKG-INFO").write_text("Name: old-shelf\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[modelshelf]\nold = old_shelf\n")
    sys.path.insert(0, str(folder.parent))


def _finder(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = site / "elsewhere"
    elsewhere.mkdir()
    write_distribution(elsewhere, "far-shelf", "")

    class Finder(DistributionFinder):
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, *_: object) -> Iterator[Distribution]:
            yield Distribution.at(elsewhere / "far_shelf-0.3.0.dist-info")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])


@pytest.mark.parametrize("put", [_archive, _egg, _finder], ids=["archive", "egg", "finder"])
def test_a_plugin_that_no_plain_folder_holds_is_not_overlooked(
    site: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, pytest.MonkeyPatch], None]
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    put(site, monkeypatch)
    assert {one.dist.name for one in entry_points_of("modelshelf")} > {"modelshelf"}
    assert others_offer("modelshelf", "modelshelf")
    assert offered_by("modelshelf", "modelshelf") is None
    assert all_offered("modelshelf") is None


@given(names=st.lists(st.sampled_from(["a", "b-c", "B_c", "modelshelf"]), max_size=4), data=st.data())
@settings(deadline=None, max_examples=30)
def test_any_folders_are_reported_alike_by_both_ways(names: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for number, name in enumerate(names):
            site = Path(folder, str(number))
            site.mkdir()
            group = data.draw(st.sampled_from(["modelshelf", "console_scripts"]))
            write_distribution(site, name, "", entry_points=f"[{group}]\none = a_module\n")
            patch.syspath_prepend(str(site))
        slow = {_normal(one.dist.name) for one in entry_points_of("modelshelf")}
        assert others_offer("modelshelf", "modelshelf") == bool(slow - {"modelshelf"})
        assert {_normal(who) for who in all_offered("modelshelf")} == slow
        offer = offered_by("modelshelf", "modelshelf")
        assert bool(offer and offer.modules) == ("modelshelf" in slow)


def _normal(name: str) -> str:
    return name.lower().replace("-", "_")
