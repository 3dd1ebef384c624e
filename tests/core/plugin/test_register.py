from __future__ import annotations

import functools
import warnings
from types import ModuleType

import pluggy
import pytest

from modelshelf import hookimpl
from modelshelf.plugin import API_VERSION, PROJECT, spec
from modelshelf.plugin.given import given
from modelshelf.plugin.load import LoadedPlugins, load
from modelshelf.plugin.report import PluginReport, PluginState

hookspec = pluggy.HookspecMarker(PROJECT)


def loaded(*plugins: object, specification: ModuleType = spec) -> LoadedPlugins:
    return load(given(plugins), specification=specification)


def report_of(plugin: object, specification: ModuleType = spec) -> PluginReport:
    return loaded(plugin, specification=specification).reports[0]


def module_with(name: str, **functions: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(functions)
    return module


def formats() -> list[object]:
    return []


def order_of(hook: str, *plugins: object) -> list[str]:
    return [one.report.name for one in loaded(*plugins).hooks[hook]]


def test_plugins_are_called_in_the_order_in_which_they_are_found() -> None:
    plugins = [module_with(name, modelshelf_formats=formats) for name in ("one", "two", "three")]
    assert order_of("modelshelf_formats", *plugins) == ["one", "two", "three"]


def test_tryfirst_and_trylast_move_a_plugin_to_the_front_and_to_the_end() -> None:
    def marked(**options: bool) -> object:
        @hookimpl(**options)
        def modelshelf_formats() -> list[object]:
            return []

        return modelshelf_formats

    plugins = [
        module_with("last", modelshelf_formats=marked(trylast=True)),
        module_with("one", modelshelf_formats=marked()),
        module_with("two", modelshelf_formats=formats),
        module_with("first", modelshelf_formats=marked(tryfirst=True)),
    ]
    assert order_of("modelshelf_formats", *plugins) == ["first", "one", "two", "last"]


def test_a_marked_function_may_name_its_hook() -> None:
    @hookimpl(specname="modelshelf_formats")
    def ours() -> list[object]:
        return []

    assert report_of(module_with("marked", ours=ours)).hooks == ("modelshelf_formats",)


def test_a_function_needs_no_marker_where_its_name_is_a_hooks() -> None:
    assert report_of(module_with("named", modelshelf_formats=formats)).hooks == ("modelshelf_formats",)


def test_a_module_and_its_constants_are_no_hooks() -> None:
    plugin = module_with(
        "constants", modelshelf_name="x", modelshelf_gguf=ModuleType("m"), modelshelf_class=PluginReport
    )
    assert (report_of(plugin).hooks, report_of(plugin).failures) == ((), [])


def test_a_plugin_may_take_fewer_arguments_than_the_hook_gives() -> None:
    class Brief:
        def modelshelf_probe_health(self, depth: object) -> None: ...

    (implementation,) = loaded(Brief()).hooks["modelshelf_probe_health"]
    assert implementation.arguments == ("depth",)


def test_arguments_of_its_own_may_have_defaults() -> None:
    class Tuned:
        def modelshelf_formats(self, limit: int = 3) -> None: ...

    assert report_of(Tuned()).hooks == ("modelshelf_formats",)


def test_an_argument_with_a_default_is_passed_where_the_release_gives_it() -> None:
    class Newer:
        def modelshelf_probe_health(
            self, artifact: object, *, depth: object = None, who: str = ""
        ) -> None: ...

    (implementation,) = loaded(Newer()).hooks["modelshelf_probe_health"]
    assert implementation.arguments == ("artifact", "depth")


def misspelt(candidate: object) -> None: ...


def unknown_argument(file: object) -> None: ...


def two_unknown_arguments(file: object, candidate: object, *, request: object) -> None: ...


def gathers(**everything: object) -> None: ...


def positional(candidate: object, /) -> None: ...


async def coroutine(candidate: object) -> None: ...


@hookimpl(wrapper=True)
def new_wrapper() -> object:
    return (yield)


@hookimpl(hookwrapper=True)
def old_wrapper() -> object:
    yield


@pytest.mark.parametrize(
    ("name", "function", "reason"),
    [
        (
            "modelshelf_detect_fromat",
            misspelt,
            "there is no such hook; did you mean modelshelf_detect_format?",
        ),
        (
            "modelshelf_wash_the_car",
            misspelt,
            "there is no such hook; the hooks are modelshelf_commands, modelshelf_detect_format, ",
        ),
        (
            "modelshelf_detect_format",
            unknown_argument,
            "takes 'file', which the hook does not give; it gives candidate",
        ),
        (
            "modelshelf_detect_format",
            two_unknown_arguments,
            "takes 'file', 'request', which the hook does not give; it gives candidate",
        ),
        ("modelshelf_detect_format", gathers, "names its arguments, without * and **"),
        ("modelshelf_detect_format", positional, "takes 'candidate', which the hook does not give"),
        ("modelshelf_detect_format", coroutine, "hooks are plain functions, not coroutines"),
        ("modelshelf_detect_format", new_wrapper, "is a wrapper, and there is nothing to wrap"),
        ("modelshelf_detect_format", old_wrapper, "is a wrapper, and there is nothing to wrap"),
    ],
)
def test_a_hook_that_does_not_fit_is_one_failure_with_the_reason_and_the_place(
    name: str, function: object, reason: str
) -> None:
    report = report_of(module_with("unfit", **{name: function}))
    (failure,) = report.failures
    assert (report.state, failure.hook) == (PluginState.FAILED, name)
    assert failure.reason.startswith(reason)
    assert "\n" not in failure.reason
    assert (failure.file, failure.line) == (__file__, function.__code__.co_firstlineno)


def test_the_good_hooks_of_a_plugin_with_a_bad_one_are_kept() -> None:
    report = report_of(module_with("half", modelshelf_formats=formats, modelshelf_fromats=formats))
    assert (report.state, report.hooks) == (PluginState.LOADED, ("modelshelf_formats",))
    assert len(report.failures) == 1


class Exits:
    @property
    def modelshelf_formats(self) -> object:
        raise SystemExit(4)


class Cached:
    modelshelf_formats = functools.cache(formats)


@pytest.mark.parametrize(
    ("plugin", "kind"),
    [
        (Exits(), "property"),
        (Cached(), "_lru_cache_wrapper"),
        (module_with("partial", modelshelf_formats=functools.partial(formats)), "partial"),
        (module_with("builtin", modelshelf_formats=sorted), "builtin_function_or_method"),
    ],
)
def test_what_is_named_like_a_hook_and_is_no_plain_function_is_not_run_but_named(
    plugin: object, kind: str
) -> None:
    report = report_of(plugin)
    assert report.state is PluginState.FAILED
    assert [one.reason for one in report.failures] == [f"is a {kind}; hooks are plain functions and methods"]


@hookimpl(optionalhook=True)
def optional(model: object, request: object) -> None: ...


def test_an_optional_hook_of_another_release_is_no_failure_and_is_noted() -> None:
    report = report_of(module_with("newer", modelshelf_formats=formats, modelshelf_foretell_speed=optional))
    assert (report.state, report.failures) == (PluginState.LOADED, [])
    assert report.hooks == ("modelshelf_formats",)
    note = f"this release (API version {API_VERSION}) has no such hook; it is marked optional"
    assert report.warnings == [f"modelshelf_foretell_speed: {note}"]


def test_a_plugin_whose_only_hook_is_optional_and_unknown_is_loaded() -> None:
    report = report_of(module_with("newest", modelshelf_foretell_speed=optional))
    assert (report.state, report.hooks, report.failures) == (PluginState.LOADED, (), [])


def test_an_optional_hook_that_this_release_knows_is_called() -> None:
    @hookimpl(optionalhook=True)
    def modelshelf_formats() -> list[object]:
        return []

    report = report_of(module_with("same", modelshelf_formats=modelshelf_formats))
    assert (report.hooks, report.warnings) == (("modelshelf_formats",), [])


def next_release() -> ModuleType:
    """The specification of a release that is about to drop a hook and an argument."""

    @hookspec(warn_on_impl=DeprecationWarning("modelshelf_formats goes with API version 3"))
    def modelshelf_formats() -> None: ...

    @hookspec(warn_on_impl_args={"format": DeprecationWarning("format goes: read artifact.format")})
    def modelshelf_probe_health(artifact: object, format: str) -> None: ...

    return module_with(
        "next_release",
        modelshelf_formats=modelshelf_formats,
        modelshelf_probe_health=modelshelf_probe_health,
    )


def probe_by_format(artifact: object, format: str) -> None: ...


def probe(artifact: object) -> None: ...


def test_a_deprecated_hook_still_works_warns_its_author_and_is_noted_for_its_user() -> None:
    with pytest.warns(DeprecationWarning, match="modelshelf_formats goes with API version 3") as caught:
        report = report_of(module_with("older", modelshelf_formats=formats), next_release())
    assert caught[0].filename == __file__
    assert (report.hooks, report.failures) == (("modelshelf_formats",), [])
    assert report.warnings == ["modelshelf_formats: modelshelf_formats goes with API version 3"]


def test_a_deprecated_argument_warns_those_alone_that_take_it() -> None:
    with pytest.warns(DeprecationWarning, match="read artifact.format"):
        report = report_of(module_with("older", modelshelf_probe_health=probe_by_format), next_release())
    assert report.warnings == ["modelshelf_probe_health: format goes: read artifact.format"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = report_of(module_with("newer", modelshelf_probe_health=probe), next_release())
    assert (report.hooks, report.warnings) == (("modelshelf_probe_health",), [])


def test_the_version_of_the_api_is_a_number_that_can_be_compared() -> None:
    assert type(API_VERSION) is int
    assert API_VERSION >= 1
