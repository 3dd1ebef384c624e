"""What a start may cost, in counts: modules that are imported, metadata of distributions that is read.

Importing takes nearly all the time of a short command, so that one careless import at the top of a module
shows here, whatever the machine. The bounds leave room for a module or two; raise one with a reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from modelshelf import ModelConfig, ModelRegistry, ModelVersion
from tests.benchmarks.registry import fill
from tests.gates.conftest import make_models, require_folder_cache

# Runs the command line with the given arguments, and writes what was imported and opened as the last line.
_PROGRAM = """
import json, sys
opened = []
sys.addaudithook(lambda event, given: event == "open" and opened.append(str(given[0])))
from modelshelf.cli import main
main(sys.argv[1:])
sys.stdout.flush()
with open("/proc/self/io") as stream:
    reads = int(dict(line.split(": ") for line in stream)["syscr"])
print("\\n" + json.dumps({"modules": sorted(sys.modules), "opened": opened, "reads": reads}))
"""

FORMATS = {
    "modelshelf_companions",
    "modelshelf_gguf",
    "modelshelf_pytorch",
    "modelshelf_safetensors",
}
NEVER = FORMATS | {
    "modelshelf_serializers",
    "modelshelf_sources",
    "modelshelf.scan",
    "modelshelf.reader",
    "modelshelf.registry.edits",
    "modelshelf.registry.registry",
    "numpy",
    "torch",
    "gguf",
    "safetensors",
    "rich",
    "yaml",
    "cattrs",
    "pluggy",
    "asyncio",
    "concurrent.futures",
    "multiprocessing",
    "importlib.metadata",
    "email",
    "json",
    "tomllib",
    "tomlkit",
}
"""What no quick command needs: plugins, what only a scan or a change needs, and what is slow to import."""

LISTING = {"lmdb", "modelshelf.registry.listing", "modelshelf.model", "modelshelf_lmdb", "msgpack"}
"""What only a command that opens the registry needs."""

WHOLE = {
    "attr",
    "attrs",
    "logging",
    "modelshelf.logs",
    "modelshelf.model.health",
    "modelshelf.model.query",
    "modelshelf.model.version",
    "modelshelf.plugin.call",
    "modelshelf.plugin.load",
    "modelshelf.records.write",
    "modelshelf.registry.lookup",
    "modelshelf.store",
    "pathlib",
    "platformdirs",
    "tempfile",
}
"""What reads a record whole, asks a plugin, or logs: a plain listing and completion need none of it."""

SCANNING = {
    "modelshelf.registry.edits",
    "modelshelf.scan.commit",
    "modelshelf.scan.examine",
    "modelshelf.scan.batches",
    "modelshelf.scan.worker_pool",
    "modelshelf.registry.events",
    "modelshelf.logs",
    "modelshelf.model.config",
    "modelshelf.model.failure",
    "modelshelf.model.health",
    "modelshelf.model.metadata",
    "modelshelf.reader",
    "modelshelf.records.codec",
    "modelshelf.serializer",
    "modelshelf_sources.hub_repository",
    "modelshelf_sources.llamacpp_flat",
    "modelshelf_sources.ollama_store",
    "concurrent.futures",
    "email",
    "importlib.metadata",
    "json",
    "logging",
    "numpy",
    "pathlib",
    "signal",
    "tempfile",
    "torch",
    "yaml",
}
"""What a scan needs for what is new or changed, or for another tool's store that it lists."""

LISTING_FOLDERS = {
    "modelshelf.scan.group",
    "modelshelf.scan.walk",
    "modelshelf.model.artifact",
    "modelshelf.model.version",
}
"""What it needs for a folder that it lists, be it unchanged: small trees leave no cache."""


@attrs.frozen
class Start:
    """What one run imported and opened.

    Attributes:
        modules: Names of modules, those of an empty Python left out.
        opened: Paths of files.
        reads: How often it asked the system for bytes of any file.
    """

    modules: frozenset[str]
    opened: tuple[str, ...]
    reads: int

    @property
    def own(self) -> frozenset[str]:
        """Modules of this project."""
        return frozenset(one for one in self.modules if one.startswith("modelshelf"))

    @property
    def packages(self) -> frozenset[str]:
        """Packages of others; Cython's modules belong to the one that was compiled with it."""
        roots = {one.partition(".")[0] for one in self.modules - self.own}
        return frozenset(one for one in roots - sys.stdlib_module_names if "cython" not in one)


def _run(code: str, *arguments: str, **environ: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A registry of a few models, and a home without settings."""
    folder: Path = tmp_path_factory.mktemp("gate")
    with ModelRegistry(folder, folder / "store") as registry:
        for name in ("one", "two", "three"):
            registry.register(ModelConfig(id=name))
    home = {name: str(folder / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return {**home, "MODELSHELF_STORE": str(folder / "store"), "MODELSHELF_DISABLE_PLUGINS": ""}


@pytest.fixture(scope="module")
def empty() -> frozenset[str]:
    """What an empty Python imports."""
    return frozenset(_run("import json, sys; print(json.dumps(sorted(sys.modules)))"))


@pytest.fixture
def start(environment: dict[str, str], empty: frozenset[str]) -> Any:
    """Run a command, or the completion of a line, in a process of its own."""

    def run(*arguments: str, completing: str | None = None, store: Path | None = None) -> Start:
        asked = {} if completing is None else _completing(completing)
        if store is not None:
            asked["MODELSHELF_STORE"] = str(store)
        answer = _run(_PROGRAM, *arguments, **{**environment, **asked})
        return Start(frozenset(answer["modules"]) - empty - {"gc"}, tuple(answer["opened"]), answer["reads"])

    return run


def _completing(words: str) -> dict[str, str]:
    place = str(words.count(" "))
    return {"_MODELSHELF_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": place}


def entry_points_read(run: Start) -> list[str]:
    return [one for one in run.opened if one.endswith("entry_points.txt")]


@pytest.mark.parametrize("completing", [None, "modelshelf sc", "modelshelf ls --arch"])
def test_help_and_completion_import_click_and_little_of_this_project(
    start: Any, completing: str | None
) -> None:
    run = start(*([] if completing else ["--help"]), completing=completing)
    assert not run.modules & (NEVER | LISTING | WHOLE)
    assert run.packages == {"click"}
    assert len(run.own) <= 14, sorted(run.own)  # ten of the command line, and those of a command's options


def test_a_listing_imports_what_opens_and_shows_the_records(start: Any) -> None:
    run = start("ls")
    assert not run.modules & (NEVER | WHOLE)
    assert run.packages <= {"click", "lmdb", "msgpack"}
    assert len(run.own) <= 38, sorted(run.own)  # two of them for the cache and for what is healthy
    assert "modelshelf.records.codec" not in run.modules  # a listing decodes summaries alone


def test_a_condition_costs_a_listing_the_class_that_checks_it_and_no_more(start: Any) -> None:
    more = start("ls", "--arch", "llama").modules - start("ls").modules
    assert {one for one in more if one.startswith("modelshelf")} <= {
        "modelshelf.model.query",
        "modelshelf.model.status",
    }


def test_a_listing_of_several_versions_imports_no_more(start: Any, environment: dict[str, str]) -> None:
    before = start("ls").modules
    with ModelRegistry(metadata_path=environment["MODELSHELF_STORE"]) as registry:
        registry.register(ModelConfig(id="one", version=ModelVersion(major=2)))
    assert start("ls").modules == before


def test_showing_one_model_imports_no_plugin_but_the_stores(start: Any) -> None:
    run = start("show", "one")
    assert not run.modules & NEVER
    assert run.packages <= {"attr", "attrs", "click", "lmdb", "msgpack", "platformdirs"}


def test_completing_an_id_imports_no_more_than_a_listing(start: Any) -> None:
    listing = start("ls").modules
    completion = start(completing="modelshelf show o").modules
    assert {one for one in completion - listing if one.startswith("modelshelf")} <= {"modelshelf.cli.show"}
    assert not completion & (NEVER | WHOLE)


def test_completing_an_id_reads_no_pages_of_the_other_models(start: Any, tmp_path: Path) -> None:
    few, many = (fill(tmp_path / str(count), count) for count in (10, 2000))
    line = "modelshelf show org-11/"
    assert start(completing=line, store=many).reads - start(completing=line, store=few).reads <= 30


def test_a_listing_reads_each_page_once(start: Any, tmp_path: Path) -> None:
    few, many = (fill(tmp_path / str(count), count) for count in (10, 2000))
    page_size = os.sysconf("SC_PAGESIZE")
    pages = ((many / "data.mdb").stat().st_size - (few / "data.mdb").stat().st_size) // page_size
    assert start("ls", store=many).reads - start("ls", store=few).reads <= pages


@pytest.mark.parametrize("arguments", [["ls"], ["show", "one"], ["ls", "--help"]])
def test_a_built_in_command_reads_no_other_distributions_metadata(start: Any, arguments: list[str]) -> None:
    run = start(*arguments)
    assert len(entry_points_read(run)) <= 1
    assert all("modelshelf-" in one for one in entry_points_read(run))


def test_help_reads_each_distributions_entry_points_once(start: Any) -> None:
    read = entry_points_read(start("--help"))
    assert len(read) == len(set(read))


# As `modelshelf scan` does it. A `ModelRegistry` imports what a server needs for its requests beforehand.
_SCAN = """
import sys
from modelshelf.registry.discovery import ModelDiscovery
with ModelDiscovery(sys.argv[1], sys.argv[2]) as discovery:
    stats = discovery.discover_models(workers=1)
assert (stats.models_found, stats.models_unchanged) == (int(sys.argv[3]),) * 2, stats
print("[" + ", ".join(f'"{one}"' for one in sys.modules) + "]")
"""


@pytest.mark.parametrize(
    ("count", "unneeded", "most"), [(4, SCANNING, 80), (100, SCANNING | LISTING_FOLDERS, 75)]
)
def test_a_scan_of_what_is_unchanged_imports_nothing_that_examines_or_commits(
    environment: dict[str, str],
    empty: frozenset[str],
    tmp_path: Path,
    count: int,
    unneeded: set[str],
    most: int,
) -> None:
    models, store = make_models(tmp_path / "models", count, width=8), tmp_path / "store"
    if unneeded & LISTING_FOLDERS:
        require_folder_cache(tmp_path)
    time.sleep(0.2)  # what changed just now would be looked at twice
    with ModelRegistry(models, store) as registry:
        registry.discover_models(workers=1)
    modules = _run(_SCAN, str(models), str(store), str(count), **environment)
    run = Start(frozenset(modules) - (empty - {"json"}), (), 0)
    assert not run.modules & unneeded
    assert run.packages == {"attr", "attrs", "lmdb", "msgpack", "pluggy"}
    assert len(run.own) <= most, sorted(run.own)


_OPEN = """
import json, sys
from modelshelf import ModelRegistry
with ModelRegistry(sys.argv[1], sys.argv[1]):
    print(json.dumps(sorted(sys.modules)))
"""


def test_opening_a_registry_imports_no_plugin_but_the_stores_and_nothing_that_scans(
    environment: dict[str, str], empty: frozenset[str], tmp_path: Path
) -> None:
    modules = _run(_OPEN, str(tmp_path), **environment)
    run = Start(frozenset(modules) - empty, (), 0)
    needed = {"json", "modelshelf.registry.edits", "modelshelf.registry.registry"}
    assert not run.modules & (NEVER - needed)
    assert run.packages == {"attr", "attrs", "lmdb", "msgpack"}
    assert len(run.own) <= 50, sorted(run.own)


def test_importing_the_library_imports_nothing_else_of_it(empty: frozenset[str]) -> None:
    modules = _run("import json, sys, modelshelf; print(json.dumps(sorted(sys.modules)))")
    assert {one for one in modules if one.startswith("modelshelf")} == {"modelshelf"}
    assert len(set(modules) - empty) <= 20
