from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelshelf.plugin import spec
from modelshelf.plugin.find import BLOCK_VARIABLE, blocked_names, find, find_builtin
from modelshelf.plugin.given import given
from modelshelf.plugin.load import LoadedPlugins, load
from modelshelf.plugin.register import hook_arguments
from modelshelf.plugin.report import PluginState
from tests.distributions import write_distribution


class Quiet:
    """A plugin of one good hook."""

    def modelshelf_formats(self) -> list[object]:
        return []


def loaded(*plugins: object, blocked: frozenset[str] = frozenset()) -> LoadedPlugins:
    return load(given(plugins), blocked)


def module_with(name: str, **functions: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(functions)
    return module


def test_every_hook_of_the_specification_is_known_with_its_arguments() -> None:
    named = {name for name in vars(spec) if name.startswith(spec.PREFIX)}
    assert set(hook_arguments()) == named
    assert hook_arguments()["modelshelf_probe_health"] == ("artifact", "format", "reader", "depth")


def test_built_in_plugins_come_first_then_distributions_by_name(site: Path) -> None:
    write_distribution(site, "zebra-shelf", "")
    write_distribution(site, "aardvark-shelf", "")
    distributions = [one.distribution for one in find()]
    outside = [one for one in distributions if one != "modelshelf"]
    assert outside == ["aardvark-shelf", "zebra-shelf"]
    assert distributions[-2:] == outside


def test_a_found_plugin_is_named_by_distribution_and_entry_and_not_yet_imported(site: Path) -> None:
    module = write_distribution(site, "weather-shelf", "", entry="clouds", version="2.1.0")
    one = next(one for one in find() if one.distribution == "weather-shelf")
    assert (one.display, one.version) == ("weather-shelf[clouds]", "2.1.0")
    assert module not in sys.modules


@pytest.mark.parametrize("name", ["lmdb", "serializers", "gguf"])
def test_a_built_in_plugin_that_is_found_alone_is_the_one_that_is_found_among_all(name: str) -> None:
    alone, among = find_builtin(name), next(one for one in find() if one.name == name)
    assert alone is not None
    assert (alone.name, alone.display, alone.distribution, alone.version) == (
        among.name,
        among.display,
        among.distribution,
        among.version,
    )
    assert alone.load() is among.load()


def test_no_built_in_plugin_is_found_under_a_name_of_somebody_elses(site: Path) -> None:
    write_distribution(site, "weather-shelf", "", entry="clouds")
    assert find_builtin("clouds") is None


def test_a_built_in_plugin_is_found_where_the_import_path_is_no_plain_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive.zip").write_bytes(b"")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "archive.zip")])
    found = find_builtin("lmdb")
    assert found is not None
    assert (found.name, found.distribution) == ("lmdb", "modelshelf")


def test_the_built_in_plugins_load_without_a_failure() -> None:
    mine = [one for one in load(find()).reports if one.distribution == "modelshelf"]
    assert [str(failure) for one in mine for failure in one.failures] == []


class Thorny:
    def __dir__(self) -> list[str]:
        raise SystemExit(4)


class Panic(BaseException):
    """As native extensions raise it: no Exception."""


def test_a_namespace_that_exits_on_access_fails_alone() -> None:
    first, second = loaded(Thorny(), Quiet()).reports
    assert (first.state, first.failures[0].reason) == (PluginState.FAILED, "SystemExit: 4")
    assert second.state is PluginState.LOADED


def test_what_pluggy_refuses_as_a_whole_fails_alone() -> None:
    class Odd:
        def __init__(self) -> None:
            self.modelshelf_formats = staticmethod(list)  # pluggy binds none of an instance's own

    first, second = loaded(Odd(), Quiet()).reports
    assert (first.state, first.failures[0].hook) == (PluginState.FAILED, "load")
    assert second.state is PluginState.LOADED


def test_a_plugin_that_is_found_twice_is_called_once() -> None:
    quiet = Quiet()
    loaded_plugins = loaded(quiet, quiet)
    first, second = loaded_plugins.reports
    assert [one.report.plugin for one in loaded_plugins.hooks["modelshelf_formats"]] == [first.plugin]
    assert (second.state, second.failures) == (PluginState.LOADED, [])
    assert second.warnings == [f"load: is the same plugin as {first.plugin}; its hooks are called once"]


def test_plugins_that_would_be_displayed_alike_are_numbered() -> None:
    loaded_plugins = loaded(
        *(module_with("alike", modelshelf_formats=Quiet().modelshelf_formats) for _ in "ab")
    )
    assert [one.plugin for one in loaded_plugins.reports] == ["given[alike]", "given[alike]#2"]
    assert [one.report.plugin for one in loaded_plugins.hooks["modelshelf_formats"]] == [
        "given[alike]",
        "given[alike]#2",
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import a_module_that_nobody_has",
            "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
        ),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Panic(BaseException): pass\nraise Panic('native code')", "Panic: native code"),
    ],
)
def test_a_plugin_that_fails_on_import_is_reported_with_version_and_reason(
    site: Path, source: str, reason: str
) -> None:
    write_distribution(site, "stormy-shelf", source, version="9.1")
    report = next(one for one in load(find()).reports if one.distribution == "stormy-shelf")
    assert (report.state, report.version, report.failures[0].hook) == (PluginState.FAILED, "9.1", "load")
    (failure,) = report.failures
    assert failure.reason.startswith(reason)
    assert (failure.file, failure.line) == (str(site / "stormy_shelf.py"), source.count("\n") + 1)
    assert f'stormy_shelf.py", line {failure.line}' in failure.traceback


def test_ctrl_c_during_an_import_is_the_users(site: Path) -> None:
    write_distribution(site, "slow-shelf", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(find())


def test_two_distributions_with_one_entry_name_both_load_and_the_clash_is_reported(site: Path) -> None:
    hook = "def modelshelf_formats(): return []"
    write_distribution(site, "first-lab", hook, entry="lab")
    write_distribution(site, "second-lab", hook, entry="lab")
    reports = {one.distribution: one for one in load(find()).reports}
    assert reports["first-lab"].hooks == reports["second-lab"].hooks == ("modelshelf_formats",)
    assert reports["first-lab"].failures == []
    assert "first-lab[lab] is named 'lab' too" in reports["second-lab"].failures[0].reason


@pytest.mark.parametrize("name", ["clouds", "weather-shelf", "weather-shelf[clouds]"])
def test_a_blocked_plugin_is_named_and_not_imported(site: Path, name: str) -> None:
    module = write_distribution(site, "weather-shelf", "raise SystemExit", entry="clouds")
    report = next(one for one in load(find(), frozenset({name})).reports if one.name == "clouds")
    assert (report.state, report.failures) == (PluginState.DISABLED, [])
    assert module not in sys.modules


def test_blocked_names_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BLOCK_VARIABLE, " gguf,, pytorch ")
    assert blocked_names() == {"gguf", "pytorch"}
