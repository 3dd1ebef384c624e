from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelshelf import HealthStatus, ModelRegistry, ReadError
from modelshelf.discovery.walk import Walker
from modelshelf.plugin import spec
from modelshelf.plugin.load import hook_arguments
from modelshelf.source import Folder
from tests.distributions import write_distribution
from tests.support import reader_of

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOUND = b"2 3\nking 0.1 0.2 0.3\nqueen 0.4 0.5 0.6\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def module_of(text: str, name: str, folder: Path) -> ModuleType:
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    told = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(told)
    told.loader.exec_module(module)
    return module


@pytest.fixture
def word2vec(tmp_path: Path) -> ModuleType:
    return module_of(blocks("python")[0], "word2vec_example", tmp_path)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    file = tmp_path / "models" / "small-vectors" / "words.vec"
    file.parent.mkdir(parents=True)
    file.write_bytes(SOUND)
    return file


def test_the_setup_command_is_the_readmes() -> None:
    assert blocks("sh")[0] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_plugin_installed_by_pip_is_scanned_with(tmp_path: Path, vectors: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(blocks("toml")[0], encoding="utf-8")
    (source / "modelshelf_word2vec.py").write_text(blocks("python")[0], encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*install, "--no-index", "--target", site, source], check=True, capture_output=True, timeout=120
    )
    scan = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from modelshelf import ModelRegistry\n"
        "with ModelRegistry(sys.argv[2], sys.argv[3]) as registry:\n"
        "    stats = registry.discover_models()\n"
        "    assert stats.errors == 0, stats.problems\n"
        "    for one in registry:\n"
        "        print(one.id, one.metadata.format, one.metadata.parameters, one.health_status)\n"
    )
    line = [sys.executable, "-c", scan, site, vectors.parents[1], tmp_path / "store"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "small-vectors word2vec 6 healthy\n"


def test_the_example_plugin_names_what_is_wrong(site: Path, tmp_path: Path, vectors: Path) -> None:
    write_distribution(site, "modelshelf-word2vec", blocks("python")[0], entry="word2vec")
    for folder, content in (("cut-short", SOUND[:9]), ("no-counts", b"king 0.1\n")):
        file = vectors.parents[1] / folder / "words.vec"
        file.parent.mkdir()
        file.write_bytes(content)
    with ModelRegistry(vectors.parents[1], tmp_path / "store") as registry:
        registry.discover_models()
        assert registry.plugins.failures == []
        told = {one.id: (one.health_status, [finding.code for finding in one.findings]) for one in registry}
    assert told == {
        "small-vectors": (HealthStatus.HEALTHY, []),
        "cut-short": (HealthStatus.UNHEALTHY, ["truncated"]),
        "no-counts": (HealthStatus.UNHEALTHY, ["malformed"]),
    }


@given(content=st.binary(max_size=80) | st.from_regex(rb"\A[0-9]{1,12} [0-9]{1,12}\n", fullmatch=False))
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_example_parser_keeps_the_rule_of_the_house(
    word2vec: ModuleType, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "words.vec"
    file.write_bytes(content)
    with reader_of(file) as reader:
        try:
            words, width = word2vec.parse_shape(reader.file())
        except ReadError:
            return
        assert min(words, width) > 0
        assert content.startswith(f"{words} {width}".encode())


def test_the_example_source_lists_the_places_that_its_file_names(tmp_path: Path, vectors: Path) -> None:
    module = module_of(blocks("python")[1], "inventory_example", tmp_path)
    listing = tmp_path / "models.txt"
    listing.write_text(f"{vectors.parents[1]}\n{tmp_path / 'absent'}\n", encoding="utf-8")
    (kind,) = module.modelshelf_sources()
    source = kind.make({"file": str(listing)})
    present, absent = source.places()
    assert (present.present, absent.present) == (True, False)
    files = [
        file.name
        for one in source.list(present, Walker(lambda _name: True))
        if isinstance(one, Folder)
        for file in one.files
    ]
    assert files == ["words.vec"]


def test_the_example_source_is_a_plugin(tmp_path: Path) -> None:
    module = module_of(blocks("python")[1], "inventory_example", tmp_path)
    with ModelRegistry(tmp_path, tmp_path / "store", plugins=[module]) as registry:
        assert registry.places() is not None
        assert registry.plugins.failures == []


def test_every_hook_is_listed_with_its_exact_arguments() -> None:
    listed = re.findall(r"^\| `(modelshelf_\w+\(.*?\))` \|", TEXT, re.MULTILINE)
    assert listed == [
        f"{name}({', '.join(inspect.signature(getattr(spec, name)).parameters)})"
        for name in vars(spec)
        if name in hook_arguments()
    ]


def test_the_changelog_begins_with_what_is_unreleased_then_this_version() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:2] == ["Unreleased", table["project"]["version"]]


def test_the_constraints_pin_what_the_project_asks_for() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*table["dependencies"], *table["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=]", one)[0].lower() for one in asked} - {"modelshelf"}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9A-Za-z.]+", pin) for pin in pins)
    assert names <= {pin.partition("==")[0].lower() for pin in pins}
