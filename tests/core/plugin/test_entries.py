from __future__ import annotations

from pathlib import Path

from modelshelf.plugin.entries import entry_points_of
from modelshelf.plugin.load import find, load
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


def test_entry_points_that_do_not_parse_are_told_of_with_their_distribution(site: Path) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points=UNPARSABLE)
    told: list[str] = []
    entry_points_of("modelshelf", lambda name, _error: told.append(name))
    assert told == ["mangled-shelf"]


def test_broken_metadata_of_a_distribution_that_offers_no_plugin_is_no_news(site: Path) -> None:
    write_distribution(site, "stranger", "", entry_points="[console_scripts]\nno equals sign\n")
    told: list[str] = []
    found = entry_points_of("modelshelf", lambda name, _error: told.append(name))
    assert (told, {one.name for one in found} >= BUILT_IN) == ([], True)


def test_a_distribution_whose_entry_points_cannot_be_read_is_a_failed_plugin(site: Path) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points=UNPARSABLE)
    report = next(one for one in load(find()).reports if one.distribution == "mangled-shelf")
    assert report.state is PluginState.FAILED
    assert "entry_points.txt cannot be read" in report.failures[0].reason
