from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelshelf.cli.scaffold import KINDS
from tests.thirdparty.walkthrough import installed

SUITES = {"format": 17, "source": 16, "store": 19, "serializer": 12}


@pytest.fixture(scope="session", name="made")
def _made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return installed(tmp_path_factory)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_installs_and_passes_its_tests_as_it_is(kind: str, made: dict[str, Any]) -> None:
    results = re.findall(r"^(\w+) modelshelf-my-(\w+)/tests/\S+", made["tests"]["out"], re.MULTILINE)
    own = [result for result, of in results if of == kind]
    assert set(own) == {"PASSED"}, made["tests"]["out"]
    assert len(own) >= SUITES[kind]


def test_a_third_partys_source_passes_the_kit_beside_the_wheel(made: dict[str, Any]) -> None:
    results = re.findall(r"^(\w+) modelshelf-inventory/tests/\S+", made["tests"]["out"], re.MULTILINE)
    assert set(results) == {"PASSED"}
    assert len(results) > SUITES["source"]
    assert made["tests"]["code"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_is_listed_as_loaded(kind: str, made: dict[str, Any]) -> None:
    (plugin,) = [one for one in made["plugins"] if one["name"] == f"my-{kind}"]
    assert (plugin["state"], plugin["version"]) == ("loaded", "0.1.0")
    assert plugin["distribution"] == f"modelshelf-my-{kind}"
    (line,) = [line for line in made["table"].splitlines() if line.startswith(f"my-{kind} ")]
    assert re.fullmatch(rf"my-{kind} +0\.1\.0 +modelshelf-my-{kind} +loaded +\d+ ms +[\w, ]+", line)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_a_new_plugin_are_named_as_they_are_written(kind: str, made: dict[str, Any]) -> None:
    module = f"modelshelf_my_{kind}"
    assert made["written"][kind].splitlines() == [
        f"modelshelf-my-{kind}/{path}"
        for path in (
            f"src/{module}/__init__.py",
            f"src/{module}/py.typed",
            f"tests/test_{module}.py",
            "pyproject.toml",
            "README.md",
        )
    ]


def test_new_plugins_of_every_kind_are_clean(project, tmp_path: Path) -> None:
    for kind in KINDS:
        project.run("plugins", "new", f"my-{kind}", "--kind", kind, "--into", tmp_path).done()
        folder = tmp_path / f"modelshelf-my-{kind}"
        run = [Path(sys.executable).with_name("ruff")]
        for check in (["check", "--select=E,F,W,I,B,UP,ANN"], ["format", "--check", "--diff"]):
            line = [*run, *check, "--isolated", "--line-length=110", "."]
            done = subprocess.run(line, capture_output=True, text=True, cwd=folder, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["Upper", "1st", "a_b", "a--b", "-", "a/b", "../up", "", "modelshelf-", "é", "a" * 41, "a.b"]
)
def test_a_name_that_cannot_be_a_plugins_is_wrong_use(name: str, project) -> None:
    before = sorted(project.root.rglob("*"))
    outcome = project.run("plugins", "new", "--kind", "format", "--", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert "is no name for a plugin" in outcome.err
    assert sorted(project.root.rglob("*")) == before


def test_the_name_of_another_plugin_is_wrong_use(project) -> None:
    outcome = project.run("plugins", "new", "gguf", "--kind", "format")
    assert outcome.code == 2
    assert "is taken by modelshelf[gguf]" in outcome.err


def test_a_folder_that_is_there_is_left_alone(project) -> None:
    folder = project.root / "modelshelf-mine"
    folder.mkdir()
    outcome = project.run("plugins", "new", "mine", "--kind", "store")
    assert outcome.code == 2
    assert "is there already" in outcome.err
    assert list(folder.iterdir()) == []


def test_the_prefix_of_a_name_may_be_written(project) -> None:
    project.run("plugins", "new", "modelshelf-mine", "--kind", "source").done()
    assert (project.root / "modelshelf-mine" / "src" / "modelshelf_mine" / "__init__.py").is_file()


@pytest.mark.parametrize(
    "arguments", [("mine",), ("mine", "--kind", "loader"), ("mine", "--kind", "format", "--into", "nowhere")]
)
def test_a_wrong_call_is_wrong_use(arguments: tuple[str, ...], project) -> None:
    assert project.run("plugins", "new", *arguments).code == 2
