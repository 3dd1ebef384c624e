from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from modelshelf.errors import PluginLoadError
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.find import FILES_VARIABLE
from modelshelf.plugin.given import PluginSelection, given, import_file
from modelshelf.plugin.load import load
from modelshelf.plugin.report import PluginReport, PluginState
from tests.distributions import write_distribution

FORMATS = "def modelshelf_formats():\n    return []\n"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.py"
    path.write_text(FORMATS)
    return path


def passed_in(*plugins: object) -> PluginReport:
    return load(given(plugins)).reports[0]


def module_of(path: Path, name: str) -> ModuleType:
    """A module that a program imported by its path, under a name of its own choice."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_given_objects_of_one_class_have_names_of_their_own() -> None:
    class Quiet:
        def modelshelf_formats(self) -> list[object]:
            return []

    reports = load(given([Quiet(), Quiet()])).reports
    assert [one.plugin for one in reports] == ["given[Quiet-0]", "given[Quiet-1]"]


def test_a_one_file_plugin_is_named_after_its_file(lab: Path) -> None:
    report = passed_in(lab)
    assert (report.plugin, report.state) == ("given[lab]", PluginState.LOADED)
    assert report.hooks == ("modelshelf_formats",)


def test_a_one_file_plugin_has_another_version_when_its_text_changes(lab: Path) -> None:
    before = passed_in(lab).version
    assert passed_in(lab).version == before
    lab.write_text(FORMATS + "\n")
    assert passed_in(lab).version != before


def test_a_file_is_one_module_however_often_it_is_imported(lab: Path) -> None:
    module = import_file(str(lab))
    assert import_file(str(lab)) is module
    assert sys.modules[module.__name__] is module


def test_a_thread_waits_for_a_file_that_another_is_importing(lab: Path) -> None:
    lab.write_text("import time\ntime.sleep(0.3)\n" + FORMATS)
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(passed_in, [lab] * 4))
    assert [one.hooks for one in reports] == [("modelshelf_formats",)] * 4


def test_two_files_of_one_name_are_two_plugins(lab: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "lab.py"
    other.parent.mkdir()
    other.write_text("def modelshelf_stores():\n    return []\n")
    first, second = load(given([lab, other])).reports
    assert (first.hooks, second.hooks) == (("modelshelf_formats",), ("modelshelf_stores",))
    assert first.plugin != second.plugin


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("raises.py", "raise RuntimeError('no')", "RuntimeError: no"),
        ("data.txt", "", "ImportError"),
        ("absent.py", None, "FileNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_failed_plugin_and_leaves_no_module(
    tmp_path: Path, name: str, text: str | None, reason: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    before = set(sys.modules)
    report = passed_in(path)
    assert (report.state, report.failures[0].hook) == (PluginState.FAILED, "load")
    assert report.failures[0].reason.startswith(reason)
    assert not [one for one in set(sys.modules) - before if one.startswith("modelshelf_file_")]


def test_a_one_file_plugin_can_be_blocked_by_its_name(lab: Path) -> None:
    plugins = PluginSet.discover([lab], blocked=["lab"])
    assert plugins.reports[-1].state is PluginState.DISABLED
    assert plugins.selection == PluginSelection(blocked=frozenset({"lab"}))


def test_files_in_the_environment_are_loaded_too_and_each_once(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path / "second.py"
    second.write_text(FORMATS)
    monkeypatch.setenv(FILES_VARIABLE, f" {lab} {os.pathsep}{os.pathsep}{second}")
    monkeypatch.chdir(tmp_path)
    plugins = PluginSet.discover(["lab.py"])
    assert [one.plugin for one in plugins.reports if one.distribution is None] == [
        "given[lab]",
        "given[second]",
    ]
    assert plugins.selection.files == (str(lab), str(second))


def test_an_importable_module_is_selected_by_its_name(site: Path) -> None:
    name = write_distribution(site, "weather-shelf", FORMATS, entry_points="")
    assert PluginSelection.of([importlib.import_module(name)]) == PluginSelection(modules=(name,))


def test_a_module_within_a_package_is_selected_by_its_name() -> None:
    from modelshelf_gguf import parse

    assert PluginSelection.of([parse]) == PluginSelection(modules=("modelshelf_gguf.parse",))


def test_a_module_that_no_name_leads_to_is_selected_by_its_file(lab: Path) -> None:
    selection = PluginSelection(files=(str(lab),))
    assert PluginSelection.of([module_of(lab, "somehow")]) == selection
    assert PluginSelection.of([lab]) == selection


def test_a_module_that_hides_behind_anothers_name_is_selected_by_its_file(lab: Path) -> None:
    assert PluginSelection.of([module_of(lab, "json")]) == PluginSelection(files=(str(lab),))


class Quiet:
    def modelshelf_formats(self) -> list[object]:
        return []


@pytest.mark.parametrize(
    "plugin",
    [Quiet(), Quiet, ModuleType("made"), sys.modules["__main__"]],
    ids=["object", "class", "made", "main"],
)
def test_what_lives_in_this_process_alone_cannot_be_selected(plugin: object) -> None:
    assert PluginSelection.of([plugin]) is None


def test_a_selection_can_be_sent_to_another_process(lab: Path) -> None:
    selection = PluginSelection.of([lab], frozenset({"gguf"}))
    assert pickle.loads(pickle.dumps(selection)) == selection  # noqa: S301 - bytes of this test


def test_another_process_loads_what_was_selected_under_the_same_names(lab: Path) -> None:
    here = PluginSet.discover([lab], blocked=["gguf"])
    code = """
import json, pickle, sys
from modelshelf.plugin.call import PluginSet
plugins = PluginSet.of(pickle.loads(bytes.fromhex(sys.argv[1])))
print(json.dumps([(one.plugin, one.version, str(one.state)) for one in plugins.reports]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, pickle.dumps(here.selection).hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[one.plugin, one.version, str(one.state)] for one in here.reports]


def test_a_plugin_that_failed_here_is_not_selected(lab: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no')")
    assert PluginSet.discover([broken, lab]).selection.files == (str(lab),)


def test_a_process_that_cannot_load_what_was_selected_does_not_go_on_without_it(lab: Path) -> None:
    selection = PluginSet.discover([lab]).selection
    lab.unlink()
    sys.modules.pop(import_file_name(lab))
    with pytest.raises(PluginLoadError, match=r"given\[lab\]: FileNotFoundError"):
        PluginSet.of(selection)


def import_file_name(path: Path) -> str:
    return next(name for name, one in sys.modules.items() if getattr(one, "__file__", None) == str(path))


def test_an_object_keeps_the_set_in_this_process() -> None:
    assert PluginSet.discover([Quiet()]).selection is None
