from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from modelshelf.plugin import spec
from modelshelf.plugin.register import hook_arguments
from tests.gates.conftest import called
from tests.test_house import graph_of
from tests.thirdparty.walkthrough import steps, walked
from tests.vendor_models import VENDORED

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ONNX = ROOT / "tests" / "thirdparty" / "modelshelf-onnx"
HOOKS = [name for name in vars(spec) if name in hook_arguments()]


@pytest.fixture(scope="session", name="walk")
def _walk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return walked(tmp_path_factory)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def signature(hook: str) -> str:
    """The hook as the specification declares it, annotations included."""
    return f"{hook}{inspect.signature(getattr(spec, hook))}".replace("'", "")


def hook_tests(folder: Path) -> set[str]:
    """Names of all test functions below a folder that say that they test a hook."""
    return {
        node.name
        for file in folder.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_hook_")
    }


def untested(hooks: list[str], tests: set[str]) -> list[str]:
    names = [hook.removeprefix(spec.PREFIX) for hook in hooks]
    return [name for name in names if not any(test.startswith(f"test_hook_{name}_") for test in tests)]


def test_the_setup_command_is_the_readmes() -> None:
    assert blocks("sh")[0] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_hook_has_a_heading_with_its_exact_signature() -> None:
    section = re.search(r"^## Hooks$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    assert section is not None
    assert re.findall(r"^### `(.*)`$", section[1], re.MULTILINE) == [signature(hook) for hook in HOOKS]


def test_every_hooks_heading_says_when_it_is_called() -> None:
    for hook in HOOKS:
        _, _, below = TEXT.partition(f"### `{signature(hook)}`\n\n")
        assert below.startswith("Called "), hook


def test_every_hook_has_a_test_of_its_name() -> None:
    assert len(HOOKS) >= 9
    assert untested(HOOKS, hook_tests(ROOT / "tests")) == []


def test_a_hook_without_a_test_would_be_named(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text("def test_hook_formats_are_asked(): ...\n")
    assert untested(["modelshelf_formats", "modelshelf_stores"], hook_tests(tmp_path)) == ["stores"]


def test_the_picture_of_the_house_names_every_room_and_no_other() -> None:
    section = re.search(r"^## The house$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    assert section is not None
    core, plugins = section[1].split("plugins/  ")
    named = set(re.findall(r"^[├└]── (\w+)", core, re.MULTILINE)) | {"config_edit"}
    rooms = {path.stem for path in (ROOT / "core" / "modelshelf").iterdir()}
    assert named == {name for name in rooms if not name.startswith(("__", "py."))} - {"py"}
    assert set(re.findall(r"\bmodelshelf_\w+", plugins)) == {
        path.name for path in (ROOT / "plugins").iterdir()
    }
    for plugin in (ROOT / "plugins").iterdir():
        assert (plugin / "__init__.py").exists(), plugin


def test_the_picture_has_the_rooms_in_the_order_of_their_imports() -> None:
    section = re.search(r"^## The house$(.*?)plugins/ ", TEXT, re.DOTALL | re.MULTILINE)
    assert section is not None
    rooms = re.findall(r"^[├└]── (\w+)", section[1], re.MULTILINE)
    graph = graph_of(ROOT / "core")
    del graph["modelshelf.model"]  # it names Candidate for plugins, which lies beside the reader
    for name, imported in graph.items():
        for other in imported:
            above, below = (one.split(".")[1:2] for one in (name, other))
            if above and below and above != below and {*above, *below} <= set(rooms):
                assert rooms.index(above[0]) < rooms.index(below[0]), f"{name} imports {other}"


def test_a_file_goes_where_the_list_says(tmp_path: Path) -> None:
    section = re.search(r"^## Where a file goes$(.*?)^## ", TEXT, re.DOTALL | re.MULTILINE)
    assert section is not None
    listed = re.findall(r"^\d+\. `(.*?)`: ", section[1], re.MULTILINE)
    entered = [
        name.removeprefix("modelshelf.")
        for name in called(VENDORED / "tiny-llama-1.0", tmp_path)["entered"]
        if name.startswith("modelshelf.")
    ]
    assert [name for name in entered if name in listed] == listed
    modules = {name.split(".")[1] for name in entered if name.startswith("scan.")}
    assert modules == {name.split(".")[1] for name in listed if name.startswith("scan.")}


def test_the_walk_ends_in_the_plugin_of_the_tests(walk: dict[str, Any]) -> None:
    files = {one.file: one.text for one in steps() if one.file}
    kept = {
        str(path.relative_to(ONNX)): path.read_text(encoding="utf-8")
        for path in ONNX.rglob("*")
        if path.suffix in {".py", ".toml"}
    }
    assert files == kept
    made = {
        str(path.relative_to(walk["folder"]))
        for path in Path(walk["folder"]).rglob("*")
        if path.suffix in {".py", ".toml"}
    }
    assert made == kept.keys()


def test_the_walk_begins_and_ends_with_tests_that_pass(walk: dict[str, Any]) -> None:
    begun, proven, _ = walk["shown"]
    assert re.search(r"^=+ \d+ passed", begun, re.MULTILINE)
    assert re.search(r"^onnx +0\.1\.0 +modelshelf-onnx +loaded", begun, re.MULTILINE)
    assert re.search(r"^=+ \d+ passed", proven, re.MULTILINE)
    assert "failed" not in begun + proven


def test_the_walk_lists_models_of_the_new_format(walk: dict[str, Any]) -> None:
    listed = walk["shown"][-1]
    for name in ("inside", "beside"):
        assert re.search(rf"^{name} .*\bonnx\b", listed, re.MULTILINE)


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
