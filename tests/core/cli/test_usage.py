"""`du` and `dupes` show where the space goes, and change nothing."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def copied(project):
    """A model that lies twice, and one that is linked."""
    whole = project.gguf("whole", folder="one", general_name="x" * 70_000)
    (project.models / "two").mkdir()
    shutil.copy(whole, project.models / "two" / "whole.gguf")
    linked = project.safetensors("linked")
    (project.models / "alias").mkdir()
    (project.models / "alias" / "model.safetensors").hardlink_to(linked)
    project.scanned()
    return project


def test_dupes_names_every_copy_and_what_one_less_would_free(copied) -> None:
    outcome = copied.run("dupes").done()
    assert "/one/whole.gguf (local)" in outcome.out
    assert "/two/whole.gguf (local)" in outcome.out
    assert "linked" not in outcome.out
    assert outcome.lines[-2].endswith("could be freed.")


def test_dupes_as_json_counts_in_bytes(copied) -> None:
    report = copied.run("dupes", "--json").done().json
    (one,) = report["models"]
    size = (copied.models / "one" / "whole.gguf").stat().st_size
    assert (report["freeable"], one["freeable"], len(one["copies"])) == (size, size, 2)


def test_dupes_deletes_nothing(copied) -> None:
    before = sorted(one.name for one in copied.models.rglob("*"))
    copied.run("dupes").done()
    assert sorted(one.name for one in copied.models.rglob("*")) == before


def test_nothing_twice_is_reported_in_words(project) -> None:
    project.gguf()
    project.scanned()
    assert project.run("dupes").done().out == "No recorded model takes up space twice.\n"


def test_du_shows_all_three_groupings_with_a_bar(copied) -> None:
    output = copied.run("du").done().out
    for heading in ("By store", "By family", "By quantization"):
        assert heading in output
    assert "local" in output
    assert "100.0 %  ████" in output


def test_du_by_one_grouping_alone(copied) -> None:
    report = copied.run("du", "--by", "family", "--json").done().json
    assert {one["name"] for one in report["family"]} == {"llama", "unknown"}
    assert list(report) == ["family"]


def test_the_sum_is_the_same_whatever_it_is_grouped_by(copied) -> None:
    report = copied.run("du", "--json").done().json
    assert len({sum(one["bytes"] for one in shares) for shares in report.values()}) == 1


def test_du_of_an_empty_registry_says_what_to_do(project) -> None:
    assert "modelshelf scan" in project.run("du").done().out
