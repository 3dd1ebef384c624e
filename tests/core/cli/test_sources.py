"""Places where models lie are listed, added and removed by command."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelshelf.cli import main


@pytest.fixture(autouse=True)
def settings(project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - it clears the environment first
    file = tmp_path / "modelshelf.toml"
    file.write_text("# settings of a test\n")
    monkeypatch.setenv("MODELSHELF_CONFIG", str(file))
    return file


def local(project) -> list[dict[str, object]]:
    return [one for one in project.run("sources", "ls", "--json").done().json if one["source"] == "local"]


def test_a_folder_that_is_added_is_listed_scanned_and_removed_again(project, settings) -> None:
    project.gguf()
    project.run("sources", "add", project.models).done()
    assert [(one["root"], one["present"]) for one in local(project)] == [(str(project.models), True)]
    assert "1 model in 1 folder: 1 new" in project.run("scan").done().out
    project.run("sources", "rm", project.models).done()
    assert (local(project), settings.read_text()) == ([], "# settings of a test\n")


def test_a_folder_that_is_not_there_yet_is_reported(project) -> None:
    assert "not there yet" in project.run("sources", "add", project.root / "later").done().out
    assert [one["present"] for one in local(project)] == [False]


def test_the_bare_command_lists_too(project) -> None:
    project.run("sources", "add", project.models).done()
    assert str(project.models) in project.run("sources").done().out
    assert project.run("sources", "--json").json == project.run("sources", "ls", "--json").json


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", "models", "--source", "nix"], "no source named 'nix'"),
        (["add", "models", "--set", "nonsense"], "KEY=VALUE"),
        (["add", "models", "--set", "paths=3"], "paths"),
        (["rm", "nowhere"], "no source there has the root"),
    ],
)
def test_what_cannot_be_is_wrong_use_and_changes_nothing(project, settings, arguments, message) -> None:
    outcome = project.run("sources", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert settings.read_text() == "# settings of a test\n"


def test_adding_twice_is_wrong_use(project) -> None:
    project.run("sources", "add", project.models).done()
    assert project.run("sources", "add", project.models).code == 2


def test_a_relative_root_in_the_file_is_relative_to_the_file(project, settings, tmp_path) -> None:
    (tmp_path / "beside").mkdir()
    settings.write_text('[[sources]]\nname = "local"\npaths = ["beside"]\n')
    assert [one["root"] for one in local(project)] == [str(tmp_path / "beside")]
    assert main(["sources", "rm", str(tmp_path / "beside")]) == 0
