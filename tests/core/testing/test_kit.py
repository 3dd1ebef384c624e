"""The kit can fail: it passes what is sound, and names each of the plugins that are wrong on purpose."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelshelf.testing import FormatSuite, SerializerSuite, SourceSuite, StoreSuite
from tests.thirdparty.environment import ROOT, once_a_run

BROKEN = Path(__file__).parent / "broken"
SUITES = {
    "formats": FormatSuite,
    "serializers": SerializerSuite,
    "sources": SourceSuite,
    "stores": StoreSuite,
}
RESULT = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED) \S*?(\w+)\.py::(\w+)::(\w+)", re.MULTILINE)


def module_of(kind: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"broken_{kind}", BROKEN / f"{kind}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def cases(kind: str) -> dict[str, tuple[str, ...]]:
    """The tests that have to catch it, by the name of each class."""
    found: dict[str, tuple[str, ...]] = {}
    for name, one in vars(module_of(kind)).items():
        if name.startswith("Test"):
            caught_by = one.caught_by
            found[name] = (caught_by,) if isinstance(caught_by, str) else tuple(caught_by or ())
    return found


def run_kit(folder: Path) -> None:
    """Run each wrong plugin's own tests, and all of them on the sound ones."""
    chosen = [
        "::".join([str(BROKEN / f"{kind}.py"), name, *([test] if test else [])])
        for kind in SUITES
        for name, tests in cases(kind).items()
        for test in tests or ("",)
    ]
    line = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "--show-capture=no", "--noconftest"]
    line += ["-c", os.devnull, "--rootdir", str(BROKEN), "-p", "no:cacheprovider", "-p", "no:logging"]
    done = subprocess.run(
        [*line, *chosen],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,  # against one that hangs
        check=False,
    )
    (folder / "out").write_text(done.stdout + done.stderr, encoding="utf-8")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str, str, str]]:
    """Result, kind, class and test of every run of the kit on the broken plugins."""
    folder = once_a_run(tmp_path_factory, "broken", run_kit)
    found: list[Any] = RESULT.findall((folder / "out").read_text(encoding="utf-8"))
    assert found, (folder / "out").read_text(encoding="utf-8")
    return set(found)


def names_of(suite: type) -> set[str]:
    return {name for name in vars(suite) if name.startswith("test_")}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in SUITES for name in cases(kind)])
def test_a_wrong_plugin_is_caught_and_a_sound_one_passes(
    kind: str, name: str, results: set[tuple[str, str, str, str]]
) -> None:
    wanted = set(cases(kind)[name])
    wrong = {test for result, of, one, test in results if (of, one) == (kind, name) and result != "PASSED"}
    ran = {test for _, of, one, test in results if (of, one) == (kind, name)}
    assert ran == (wanted or names_of(SUITES[kind]))
    assert wrong == wanted


@pytest.mark.parametrize("kind", SUITES)
def test_every_test_of_the_kit_catches_some_wrong_plugin(kind: str) -> None:
    assert {test for tests in cases(kind).values() for test in tests} == names_of(SUITES[kind])
