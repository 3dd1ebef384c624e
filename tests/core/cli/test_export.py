from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest


@pytest.fixture
def stocked(project):
    project.gguf("tiny", folder="tiny")
    project.run("scan", project.models)
    project.gguf("tiny", folder="tiny", general_description="changed")
    project.run("scan", project.models)
    return project


def test_export_writes_every_version(stocked):
    assert [one["id"] for one in stocked.run("export").done().json] == ["tiny", "tiny"]


@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "yaml", "openai"])
def test_export_to_a_file_writes_what_goes_to_standard_output(stocked, name):
    out = stocked.run("export", "--format", name).done().out
    assert stocked.run("export", "--format", name, "-o", "records").done().out == ""
    with (stocked.root / "records").open(newline="") as stream:
        assert stream.read() == out


def test_an_older_file_keeps_its_permissions_and_nothing_is_left_beside_it(stocked):
    target = stocked.root / "records.json"
    target.write_text("old")
    target.chmod(0o640)
    stocked.run("export", "-o", target).done()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert len(json.loads(target.read_text())) == 2
    assert sorted(path.name for path in stocked.root.iterdir()) == ["models", "records.json"]


def test_a_folder_that_is_not_there_is_named_in_one_line(stocked):
    outcome = stocked.run("export", "-o", "nowhere/records.json")
    assert outcome.code == 1
    assert outcome.err.startswith("modelshelf: error: ")
    assert "nowhere" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_device_is_written_to_as_it_is(stocked):
    stocked.run("export", "-o", os.devnull).done()
    assert Path(os.devnull).is_char_device()
