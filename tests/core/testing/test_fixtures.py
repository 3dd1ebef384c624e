from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelshelf.testing import CommandLine, ModelFiles
from tests.thirdparty.walkthrough import installed

IMPORTED = """
import sys, pytest
before = set(sys.modules)
import modelshelf.testing.fixtures
print(sorted(name for name in sys.modules.keys() - before if not name.startswith("_")))
"""


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "cli")


def test_the_fixtures_are_there_wherever_the_wheel_is_installed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    tested = installed(tmp_path_factory)["tests"]["out"]
    assert "::test_a_scan_tells_the_parameters" in tested  # by modelshelf_cli
    assert "::test_the_command_line_writes_it" in tested  # by modelshelf_files too


def test_the_pytest_plugin_imports_nothing_but_itself() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['modelshelf', 'modelshelf.testing', 'modelshelf.testing.fixtures']"


def test_the_pytest_plugin_adds_nothing_but_fixtures_of_its_name() -> None:
    from modelshelf.testing import fixtures

    offered = {name for name in vars(fixtures) if name.isidentifier() and not name.startswith("_")}
    assert offered - {"annotations", "pytest", "TYPE_CHECKING"} == {
        "modelshelf_files",
        "modelshelf_registry",
        "modelshelf_cli",
    }


def test_the_command_line_gives_exit_code_output_and_complaints(
    command_line: CommandLine, tmp_path: Path
) -> None:
    path = ModelFiles(tmp_path / "models").truncated("gguf", name="broken")
    scanned = command_line.run("scan", path)
    assert (scanned.code, scanned.err) == (1, "")
    assert any(line.startswith("broken ") for line in scanned.lines)
    assert [one["id"] for one in command_line.run("ls", "--json").json] == ["broken"]
    refused = command_line.run("ls", "--no-such-option")
    assert (refused.code, refused.out) == (2, "")
    assert "--no-such-option" in refused.err


def test_a_run_leaves_the_process_as_it_was(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSHELF_STORE", "/nonexistent/store")
    log = logging.getLogger("modelshelf")

    def state() -> tuple[Any, ...]:
        return (
            dict(os.environ),
            os.getcwd(),
            log.handlers[:],
            log.level,
            log.propagate,
            sys.stdout,
            sys.stderr,
        )

    before = state()
    assert command_line.run("-vv", "ls", MODELSHELF_LOG_FORMAT="json").code == 0
    assert command_line.run("default", "unknown").code == 1
    assert state() == before
    assert not command_line.store.exists()  # nothing was scanned


def test_a_home_is_empty_and_each_command_line_has_its_own(tmp_path: Path) -> None:
    one, other = CommandLine(tmp_path / "one"), CommandLine(tmp_path / "other")
    one.run("scan", ModelFiles(tmp_path / "models").sound("safetensors", name="tiny"))
    assert [len(line.run("ls", "--json").json) for line in (one, other)] == [1, 0]
