from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelshelf.cli.group import SUMMARIES
from modelshelf.config import load
from tests.vendor_models import VENDORED

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCAN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/modelshelf scan vendor/layerModels"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def command_lines() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith("modelshelf ")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has after cloning: the sample models and an empty store."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(VENDORED, folder / "vendor" / "layerModels")
    (folder / "vendor" / "layerData").mkdir()
    return folder


def environment_in(folder: Path) -> dict[str, str]:
    own = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELSHELF_")}
    return kept | {"PATH": f"{own}{os.pathsep}{kept['PATH']}", "HOME": str(folder / "home")}


def run(line: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        cwd=folder,
        env=environment_in(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def interrupted(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a command that never ends gave until Ctrl-C came, which is the end that it ought to have."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=folder,
        env=environment_in(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, "interrupted" in err) == (130, True)
    return subprocess.CompletedProcess(line, 0, first + out, "")


@pytest.mark.parametrize("command", [SCAN, TEST])
def test_each_of_the_two_commands_is_a_block_of_its_own(command: str) -> None:
    assert blocks("sh").count(f"{command}\n") == 1


def test_ci_runs_the_two_commands_as_they_stand_in_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.count(f'readme_command "{TEST}"') == 1
    assert script.count(f'readme_command "{SCAN}"') == 1


def test_the_screen_of_a_scan_is_shown() -> None:
    (screen,) = blocks("text")
    assert re.match(r"\$ modelshelf scan \S+\n", screen)
    assert re.search(r"^ID +VERSION +KIND +FORMAT", screen, re.MULTILINE)
    assert re.search(r"\d+ models in \d+ folders?: .* read in ", screen)


def test_the_python_examples_run_as_they_stand(checkout: Path) -> None:
    discovery, selection, monitoring = blocks("python")
    for example, expected in (
        (discovery, "Discovered 3 models, 3 of them new"),
        (selection, "tiny-llama-1.0 1.0.0: "),
        (monitoring, "tiny-qwen-2.5: 1 uses, healthy"),
    ):
        done = run([sys.executable, "-c", example], checkout)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout


def test_every_command_line_runs_as_it_stands(checkout: Path) -> None:
    lines = command_lines()
    assert len(lines) > 10
    for line in lines:
        done = interrupted(line, checkout) if " watch " in line else run(["bash", "-c", line], checkout)
        assert (line, done.returncode, done.stderr) == (line, 0, "")
        assert done.stdout or "--output" in line


def test_every_command_is_at_a_glance() -> None:
    assert {line.split()[1] for line in command_lines()} == SUMMARIES.keys()


def test_every_source_is_named() -> None:
    from modelshelf_sources import modelshelf_sources

    named = re.findall(r"^\| `(\w+)` \|", README.partition("## Plugins")[0], re.MULTILINE)
    assert sorted(named) == sorted(one.name for one in modelshelf_sources())


def test_every_built_in_plugin_is_named() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = re.findall(r"^\| `(\w+)` \|", README.partition("## Plugins")[2], re.MULTILINE)
    assert sorted(named) == sorted(table["project"]["entry-points"]["modelshelf"])


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    file = tmp_path / "modelshelf.toml"
    file.write_text(text, encoding="utf-8")
    settings = load(config=str(file), environ={})
    assert (settings.workers, settings.disable_plugins) == (4, {"mylab"})


def test_links_to_files_lead_to_files() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
