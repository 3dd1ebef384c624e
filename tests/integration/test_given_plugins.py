"""One-file plugins, and plugins that a program passes in, here and in worker processes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.plugin.report import PluginState
from tests.distributions import write_distribution
from tests.integration.program import Program

LAB = """
import os

from modelshelf.model import Detection, FormatType, ModelMetadata, Origin

def modelshelf_formats():
    yield FormatType(name="lab", suffixes=(".lab",))

def modelshelf_detect_format(candidate):
    if candidate.suffix == ".lab":
        return Detection(format="lab", confidence=0.9)

def modelshelf_extract_metadata(format):
    if format == "lab":
        return ModelMetadata.partial(Origin.HEADER, "lab", details={"process": os.getpid()})
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "mylab.py"
    path.write_text(LAB)
    return path


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Some models of the plugin's own format."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for number in range(40):
        (folder / f"m{number:02}.lab").write_bytes(b"lab" * (number + 1))
    return folder


@pytest.fixture
def opened(shelf: Path, tmp_path: Path) -> Iterator[Callable[..., ModelRegistry]]:
    registries = []

    def open_it(*plugins: object) -> ModelRegistry:
        registries.append(ModelRegistry(shelf, tmp_path / "store", plugins=plugins))
        return registries[-1]

    yield open_it
    for one in registries:
        one.close()


def processes(registry: ModelRegistry, **options: object) -> set[int]:
    """The processes that examined the models of a scan that found them all."""
    stats = registry.discover_models(**options)
    assert (stats.models_added, stats.problems) == (40, ())
    return {one.metadata.details["process"] for one in registry}


def test_worker_processes_load_a_one_file_plugin(lab: Path, opened: Callable[..., ModelRegistry]) -> None:
    assert os.getpid() not in processes(opened(lab), workers=2)


def test_worker_processes_load_a_module_by_its_name(site: Path, opened: Callable[..., ModelRegistry]) -> None:
    name = write_distribution(site, "lab-module", LAB, entry_points="")
    assert os.getpid() not in processes(opened(importlib.import_module(name)), workers=2)


def test_worker_processes_load_a_module_by_its_file(lab: Path, opened: Callable[..., ModelRegistry]) -> None:
    spec = importlib.util.spec_from_file_location("known_to_nobody", lab)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert os.getpid() not in processes(opened(module), workers=2)


def test_a_plugin_that_is_an_object_is_asked_in_this_process(
    lab: Path, opened: Callable[..., ModelRegistry]
) -> None:
    names: dict[str, object] = {}
    exec(compile(LAB, lab, "exec"), names)  # noqa: S102 - the text of this file
    hooks = {name: staticmethod(one) for name, one in names.items() if name.startswith("modelshelf_")}
    assert processes(opened(type("Lab", (), hooks)()), workers=2) == {os.getpid()}


def test_a_worker_that_cannot_load_the_plugin_admits_no_model_without_it(
    lab: Path, opened: Callable[..., ModelRegistry]
) -> None:
    registry = opened(lab)
    assert registry.plugins.reports[-1].state is PluginState.LOADED
    lab.unlink()
    stats = registry.discover_models(workers=2)
    assert stats.models_added == 0
    named = [one for one in stats.problems if one.code == "examination-failed"]
    assert len(named) == 40
    assert all("given[mylab]: FileNotFoundError" in one.message for one in named)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_line_loads_a_file_as_a_plugin(
    lab: Path, shelf: Path, program: Callable[..., Program], workers: str
) -> None:
    done = program("--plugin", lab, "scan", shelf, "--workers", workers)
    assert (done.code, "40 models in 1 folder: 40 new" in done.out) == (0, True), done


def test_the_environment_names_files_to_load(
    lab: Path, shelf: Path, tmp_path: Path, program: Callable[..., Program]
) -> None:
    other = tmp_path / "other.py"
    other.write_text("")
    files = {"MODELSHELF_PLUGINS": f"{other}{os.pathsep}{lab.name}"}  # relative to the working directory
    assert "40 new" in program("scan", shelf, "--workers", "2", env=files).out
    listed = program("plugins", "--json", env=files).json()
    assert [one["plugin"] for one in listed if one["distribution"] is None] == [
        "given[other]",
        "given[mylab]",
    ]


def test_a_library_program_loads_the_files_of_the_environment_too(
    lab: Path, opened: Callable[..., ModelRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSHELF_PLUGINS", str(lab))
    assert os.getpid() not in processes(opened(), workers=2)


def test_a_file_that_is_not_there_is_wrong_use(program: Callable[..., Program], tmp_path: Path) -> None:
    done = program("--plugin", tmp_path / "absent.py", "ls")
    assert (done.code, "does not exist" in done.err) == (2, True)


def test_a_file_that_fails_fails_alone(tmp_path: Path, models: Path, program: Callable[..., Program]) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import a_module_that_nobody_has\n")
    listed = program("--plugin", broken, "plugins")
    assert listed.code == 1
    assert f"No module named 'a_module_that_nobody_has' ({broken}:1)" in listed.out
    assert "3 models" in program("--plugin", broken, "scan", models).out


COMMAND = """
import click
from modelshelf.command import CommandType

@click.command()
def hello():
    click.echo("hello from a file")

def modelshelf_commands():
    yield CommandType(name="hello", load=lambda: hello, summary="Say hello.")
"""


def test_a_one_file_plugin_adds_commands_that_help_shows(
    tmp_path: Path, program: Callable[..., Program]
) -> None:
    path = tmp_path / "greets.py"
    path.write_text(COMMAND)
    assert program("--plugin", path, "hello").out == "hello from a file\n"
    assert "Say hello." in program("--plugin", path, "--help").out
    assert "Say hello." in program("--help", env={"MODELSHELF_PLUGINS": str(path)}).out
    assert program("hello").code == 2


STORE = """
from modelshelf.store import StoreType
from modelshelf_lmdb import open_store

def modelshelf_stores():
    yield StoreType(scheme="lab", open=lambda url, readonly: open_store(url.removeprefix("lab://"), readonly))
"""


def test_a_one_file_plugin_offers_a_store_for_every_command(
    tmp_path: Path, models: Path, program: Callable[..., Program]
) -> None:
    path = tmp_path / "keeps.py"
    path.write_text(STORE)
    place = ["--plugin", path, "--store", f"lab://{tmp_path / 'other'}"]
    assert "3 models" in program(*place, "scan", models).out
    assert "tiny-llama-1.0" in program(*place, "ls").out
    assert program(*place, "doctor").code == 0
