from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelshelf import hookimpl
from modelshelf.plugin import spec
from modelshelf.plugin.find import BLOCK_VARIABLE, blocked_names
from modelshelf.plugin.load import (
    LoadedPlugins,
    find,
    find_builtin,
    given,
    hook_arguments,
    load,
)
from modelshelf.plugin.report import PluginReport, PluginState
from tests.distributions import write_distribution


class Quiet:
    """A plugin of one good hook."""

    def modelshelf_formats(self) -> list[object]:
        return []


def loaded(*plugins: object, blocked: frozenset[str] = frozenset()) -> LoadedPlugins:
    return load(given(plugins), blocked)


def report_of(plugin: object) -> PluginReport:
    return loaded(plugin).reports[0]


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


def test_a_plugin_may_take_fewer_arguments_than_the_hook_gives() -> None:
    class Brief:
        def modelshelf_probe_health(self, depth: object) -> None: ...

    (implementation,) = loaded(Brief()).hooks["modelshelf_probe_health"]
    assert implementation.arguments == ("depth",)


def test_arguments_of_its_own_may_have_defaults() -> None:
    class Tuned:
        def modelshelf_formats(self, limit: int = 3) -> None: ...

    assert report_of(Tuned()).hooks == ("modelshelf_formats",)


def test_a_marked_function_may_name_its_hook() -> None:
    @hookimpl(specname="modelshelf_formats")
    def ours() -> list[object]:
        return []

    assert report_of(module_with("marked", ours=ours)).hooks == ("modelshelf_formats",)


def test_a_module_and_its_constants_are_no_hooks() -> None:
    plugin = module_with(
        "plain", modelshelf_name="x", modelshelf_gguf=ModuleType("m"), modelshelf_class=Quiet
    )
    assert (report_of(plugin).hooks, report_of(plugin).failures) == ((), [])


def misspelt(candidate: object) -> None: ...


def unknown_argument(file: object) -> None: ...


def gathers(**everything: object) -> None: ...


def positional(candidate: object, /) -> None: ...


async def coroutine(candidate: object) -> None: ...


@pytest.mark.parametrize(
    ("name", "function", "reason"),
    [
        ("modelshelf_detect_fromat", misspelt, "there is no such hook"),
        ("modelshelf_detect_format", unknown_argument, "takes 'file', which the hook does not give"),
        ("modelshelf_detect_format", gathers, "without * and **"),
        ("modelshelf_detect_format", positional, "takes 'candidate', which the hook does not give"),
        ("modelshelf_detect_format", coroutine, "not coroutines"),
    ],
)
def test_a_hook_that_does_not_fit_is_named_with_the_reason(name: str, function: object, reason: str) -> None:
    report = report_of(module_with("unfit", **{name: function}))
    assert (report.state, report.failures[0].hook) == (PluginState.FAILED, name)
    assert reason in report.failures[0].reason


def test_the_good_hooks_of_a_plugin_with_a_bad_one_are_kept() -> None:
    good = Quiet().modelshelf_formats
    report = report_of(module_with("half", modelshelf_formats=good, modelshelf_fromats=good))
    assert (report.state, report.hooks) == (PluginState.LOADED, ("modelshelf_formats",))
    assert len(report.failures) == 1


class Thorny:
    @property
    def modelshelf_formats(self) -> object:
        raise SystemExit(4)


class Panic(BaseException):
    """As native extensions raise it: no Exception."""


def test_a_namespace_that_exits_on_access_fails_alone() -> None:
    first, second = loaded(Thorny(), Quiet()).reports
    assert (first.state, first.failures[0].reason) == (PluginState.FAILED, "SystemExit: 4")
    assert second.state is PluginState.LOADED


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
    assert report.failures[0].reason.startswith(reason)


def test_ctrl_c_during_an_import_is_the_users(site: Path) -> None:
    write_distribution(site, "slow-shelf", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load(find())


def test_two_distributions_with_one_entry_name_both_load_and_the_clash_is_told(site: Path) -> None:
    hook = "def modelshelf_formats(): return []"
    write_distribution(site, "first-lab", hook, entry="lab")
    write_distribution(site, "second-lab", hook, entry="lab")
    held = {one.distribution: one for one in load(find()).reports}
    assert held["first-lab"].hooks == held["second-lab"].hooks == ("modelshelf_formats",)
    assert held["first-lab"].failures == []
    assert "first-lab[lab] is named 'lab' too" in held["second-lab"].failures[0].reason


@pytest.mark.parametrize("name", ["clouds", "weather-shelf", "weather-shelf[clouds]"])
def test_a_blocked_plugin_is_named_and_not_imported(site: Path, name: str) -> None:
    module = write_distribution(site, "weather-shelf", "raise SystemExit", entry="clouds")
    report = next(one for one in load(find(), frozenset({name})).reports if one.name == "clouds")
    assert (report.state, report.failures) == (PluginState.DISABLED, [])
    assert module not in sys.modules


def test_blocked_names_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BLOCK_VARIABLE, " gguf,, pytorch ")
    assert blocked_names() == {"gguf", "pytorch"}


def test_given_objects_of_one_class_have_names_of_their_own() -> None:
    assert [one.plugin for one in loaded(Quiet(), Quiet()).reports] == ["given[Quiet-0]", "given[Quiet-1]"]
