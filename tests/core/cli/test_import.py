"""modelshelf export --format settings, import, and pin."""

from __future__ import annotations

import json
import os
import shutil

import pytest


@pytest.fixture
def stocked(project):
    project.gguf("tiny", folder="tiny")
    project.safetensors("small")
    project.run("scan", project.models)
    project.run("set", "tiny", "display_name=Mine", "aliases=t", "enabled=no", "tags=a,b").done()
    project.run("default", "small").done()
    return project


def forget(project) -> None:
    """A new registry, rebuilt from the files on another path."""
    shutil.rmtree(project.root.parent / "store")
    (project.models / "tiny").rename(project.models / "other")
    project.run("scan", project.models)


def test_settings_come_back_after_the_store_was_lost(stocked):
    stocked.run("export", "--format", "settings", "-o", "settings.json").done()
    forget(stocked)
    assert (
        stocked.run("import", "settings.json").done().lines[-1]
        == "2 models changed, 0 as the file says already."
    )
    record = stocked.run("show", "--json", "t").done().json
    assert (record["id"], record["display_name"], record["enabled"]) == ("other", "Mine", False)
    assert record["metadata"]["tags"] == ["a", "b"]
    assert stocked.run("default").done().out == "small\n"


def test_a_dry_run_says_what_would_be_done(stocked):
    stocked.run("export", "--format", "settings", "-o", "settings.json").done()
    forget(stocked)
    outcome = stocked.run("import", "--dry-run", "settings.json").done()
    assert "2 models would be changed" in outcome.out
    assert stocked.run("show", "--json", "other").json["display_name"] == "other"


def test_what_was_not_taken_over_is_reported_with_exit_code_1(stocked):
    stocked.run("export", "--format", "settings", "-o", "settings.json").done()
    stocked.run("rm", "small").done()
    stocked.run("set", "tiny", "display_name=Other").done()
    outcome = stocked.run("import", "settings.json")
    assert (outcome.code, outcome.err) == (1, "")
    assert "  small 1.0.0" in outcome.lines
    assert "  tiny 1.0.0: display_name was set by hand here" in outcome.lines
    report = stocked.run("import", "--json", "settings.json").json
    assert report["unknown"] == ["small 1.0.0"]
    assert stocked.run("show", "--json", "tiny").json["display_name"] == "Other"
    stocked.run("import", "--replace", "settings.json")
    assert stocked.run("show", "--json", "tiny").json["display_name"] == "Mine"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"modelshelf": "settings", "edition": 1, "models": [{"id": "\\u001b[31m"}]}']
)
def test_a_file_without_settings_is_wrong_use_in_one_line(stocked, text):
    (stocked.root / "broken.json").write_text(text)
    outcome = stocked.run("import", "broken.json")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "\x1b" not in outcome.err


def test_a_file_that_is_not_there_or_no_file_is_reported(stocked):
    assert stocked.run("import", "nowhere.json").code == 1
    os.mkfifo(stocked.root / "pipe")
    assert stocked.run("import", "pipe").code == 2
    assert stocked.run("import", ".").code == 2


def test_a_person_pins_a_version_and_lets_it_go(stocked):
    stocked.gguf("tiny", folder="tiny", general_description="changed")
    stocked.run("scan", stocked.models)
    assert stocked.run("show", "--json", "tiny").json["version"] == "1.0.1"
    assert stocked.run("pin", "tiny", "1.0.0").done().out == "tiny: pinned to 1.0.0\n"
    assert stocked.run("show", "--json", "tiny").json["version"] == "1.0.0"
    [message] = [
        one
        for one in json.loads(stocked.run("export", "--format", "settings").out)["models"]
        if "pinned" in one
    ]
    assert (message["id"], message["version"]) == ("tiny", "1.0.0")
    assert stocked.run("pin", "--json", "tiny", "--none").done().json == {
        "id": "tiny",
        "version": "1.0.1",
        "pinned": False,
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tiny"], 2),
        (["tiny", "1.0.0", "--none"], 2),
        (["nobody", "1.0.0"], 1),
        (["tiny", "9.0.0"], 1),
        (["tiny", "x"], 2),
    ],
)
def test_what_cannot_be_pinned_is_reported(stocked, arguments, code):
    outcome = stocked.run("pin", *arguments)
    assert outcome.code == code
    assert outcome.err
