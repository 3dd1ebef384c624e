from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf import ModelRegistry
from modelshelf.model import Problem
from modelshelf.scan.passing import PassingRules, passed_over
from modelshelf.scan.walk import walk
from modelshelf.source import Folder
from tests.core.toy import ToyFormat, write_toy


def made(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def walked(root: Path, *, everything: bool = False) -> tuple[set[str], set[str]]:
    """Files that were listed, and folders that were passed over, relative to the root."""
    files, passed = set(), set()
    rules = PassingRules(str(root), everything=everything)
    for one in walk(str(root), lambda _: True, passing=rules):
        if isinstance(one, Folder):
            files |= {os.path.relpath(f"{one.path}/{file.name}", root) for file in one.files}
        elif isinstance(one, Problem):
            assert one.code == "passed-over"
            passed.add(os.path.relpath(str(one.path), root))
    return files, passed


PASSED = {
    "env/lib": ("env/pyvenv.cfg", "env/lib/python3.12/site-packages/x.pth"),
    "env/bin": ("env/pyvenv.cfg", "env/bin/python"),
    "conda/include": ("conda/conda-meta/history", "conda/include/x.bin"),
    "usr/lib/python3/dist-packages": ("usr/lib/python3/dist-packages/x.bin",),
    "usr/lib/python3.12": (
        "usr/lib/python3.12/os.py",
        "usr/lib/python3.12/site.py",
        "usr/lib/python3.12/a/b",
    ),
    "app/node_modules": ("app/node_modules/x/y.bin",),
    "app/.git": ("app/.git/objects/aa/bb",),
    "app/__pycache__": ("app/__pycache__/x.pyc",),
    "app/.mypy_cache": ("app/.mypy_cache/x",),
    "app/.ruff_cache": ("app/.ruff_cache/x",),
    ".cache/pip": (".cache/pip/http/x",),
    ".cache/uv": (".cache/uv/archive/x",),
    ".npm": (".npm/_cacache/x",),
    "pack/tests": ("pack/__init__.py", "pack/tests/data/x.pkl"),
    "source/test": ("source/setup.py", "source/test/x.npy"),
    "pack/bin": ("pack/__init__.py", "pack/bin/x.ptl"),
}


@pytest.mark.parametrize("folder", PASSED)
def test_a_walk_of_a_larger_tree_passes_over_programs_and_caches_and_says_so(
    tmp_path: Path, folder: str
) -> None:
    made(tmp_path, *PASSED[folder])
    files, passed = walked(tmp_path)
    assert folder in passed
    assert not any(one.startswith(f"{folder}/") for one in files)


@pytest.mark.parametrize("folder", PASSED)
def test_it_looks_in_where_the_folder_is_named_or_everything_is_asked_for(
    tmp_path: Path, folder: str
) -> None:
    made(tmp_path, *PASSED[folder])
    inside = {os.path.relpath(one, folder) for one in PASSED[folder] if one.startswith(f"{folder}/")}
    files, passed = walked(tmp_path / folder)
    assert files == inside
    assert not passed
    assert walked(tmp_path, everything=True) == (set(PASSED[folder]), set())


def test_tests_of_packages_are_passed_over_where_packages_are_named(tmp_path: Path) -> None:
    made(tmp_path, "site-packages/a/__init__.py", "site-packages/a/tests/x.npy", "site-packages/a/x.npy")
    files, passed = walked(tmp_path / "site-packages")
    assert files == {"a/__init__.py", "a/x.npy"}
    assert passed == {"a/tests"}
    assert walked(tmp_path / "site-packages/a/tests") == ({"x.npy"}, set())


def test_a_link_to_nothing_or_to_a_device_is_no_problem_under_no_models_name(tmp_path: Path) -> None:
    made(tmp_path, "tree/readme.txt")
    for name in ("x.service", "src.zip", "x.toy"):
        (tmp_path / "tree" / name).symlink_to("/dev/null" if name == "x.service" else "nowhere")
    with ModelRegistry(tmp_path / "tree", tmp_path / "data", plugins=[ToyFormat()]) as registry:
        stats = registry.discover_models()
    assert [str(one.path).rpartition("/")[2] for one in stats.problems] == ["x.toy"]
    assert {str(one.path).rpartition("/")[2] for one in stats.passed_over} == {"x.service", "src.zip"}


@pytest.mark.parametrize(
    "name",
    [
        ".cache/huggingface/hub/x.gguf",
        ".cache/torch/hub/checkpoints/x.pth",
        ".cache/whisper/tiny.pt",
        "lib/x.gguf",
        "pip/x.gguf",
        "uv/x.gguf",
        "models/bin/x.gguf",
        "models/tests/x.gguf",
    ],
)
def test_a_place_of_models_is_never_passed_over(tmp_path: Path, name: str) -> None:
    made(tmp_path, name)
    assert walked(tmp_path) == ({name}, set())


def test_a_link_to_a_part_of_an_environment_is_passed_over_too(tmp_path: Path) -> None:
    made(tmp_path, "env/pyvenv.cfg", "env/lib/x.bin")
    (tmp_path / "env/lib64").symlink_to("lib")
    problems = list(walk(str(tmp_path), lambda _: True, passing=PassingRules(str(tmp_path))))
    assert {one.code for one in problems if isinstance(one, Problem)} == {"passed-over", "linked-folder"}


def test_a_scan_counts_what_it_passed_over_each_time_and_it_is_no_problem(tmp_path: Path) -> None:
    made(tmp_path, "tree/app/node_modules/x/y.bin", "tree/env/pyvenv.cfg", "tree/env/lib/a.pth")
    (tmp_path / "tree/out").symlink_to(tmp_path)
    with ModelRegistry(tmp_path / "tree", tmp_path / "data") as registry:
        for _ in range(2):
            stats = registry.discover_models()
            codes = sorted(one.code for one in stats.passed_over)
            assert codes == ["link-leaves-root", "passed-over", "passed-over"]
            assert stats.problems == ()
            assert stats.errors == 0
        assert registry.discover_models(everything=True).total_scanned == 6


def test_a_model_that_was_found_where_it_was_named_stays(tmp_path: Path) -> None:
    packages = tmp_path / "tree/lib/site-packages"
    write_toy(packages / "mine.toy")
    with ModelRegistry(tmp_path / "tree", tmp_path / "data", plugins=[ToyFormat()]) as registry:
        assert registry.discover_models(packages).models_found == 1
        assert registry.discover_models().models_missing == 0
        assert registry.discover_models().models_missing == 0
        assert [one.missing for one in registry] == [False]


def test_why_says_that_a_larger_scan_passes_a_file_over(tmp_path: Path) -> None:
    model = write_toy(tmp_path / "node_modules/x/mine.toy")
    with ModelRegistry(tmp_path, tmp_path / "data", plugins=[ToyFormat()]) as registry:
        first = registry.why(model)[0]
    assert first.rule == "passed over"
    assert f"{tmp_path}/node_modules is packages of npm" in first.message


def test_the_outermost_folder_that_is_passed_over_is_named(tmp_path: Path) -> None:
    made(tmp_path, "env/pyvenv.cfg", "env/lib/site-packages/x.bin")
    found = passed_over(str(tmp_path / "env/lib/site-packages/x.bin"))
    assert found == (str(tmp_path / "env/lib"), "part of a Python environment")
    assert passed_over(str(tmp_path / "env/share/x.bin")) is None
