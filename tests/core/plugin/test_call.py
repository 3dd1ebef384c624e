from __future__ import annotations

import inspect
import json
import logging
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, get_ident

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from modelshelf.errors import FormatError
from modelshelf.model import Detection, Finding, FormatType, Severity
from modelshelf.model.failure import PluginFailure
from modelshelf.plugin import spec
from modelshelf.plugin.call import Outcome, PluginSet
from modelshelf.plugin.given import given
from modelshelf.plugin.load import load
from modelshelf.plugin.register import hook_arguments
from modelshelf.plugin.report import PluginState
from modelshelf.plugin.results import result_type
from modelshelf.store import StoreType

FINDING = Finding(code="odd-size", severity=Severity.INFO, message="the size is odd")
VOTE = Detection(format="npy", confidence=0.9)


class Plugin:
    """A plugin that does with both hooks what it is asked to."""

    def __init__(self, behave: object) -> None:
        self._behave = behave

    def modelshelf_probe_health(self) -> object:
        return self._behave()

    def modelshelf_detect_format(self) -> object:
        return self._behave()


def plugin_set(*plugins: object) -> PluginSet:
    return PluginSet(load(given(plugins)))


def called(behave: object, hook: str = "modelshelf_probe_health") -> tuple[Outcome, list[str]]:
    plugins = plugin_set(Plugin(behave))
    (outcome,) = plugins.call(hook, path="/models/a.npy", artifact=None, candidate=None)
    return outcome, [failure.reason for failure in plugins.failures]


def raising(error: BaseException) -> object:
    def behave() -> None:
        raise error

    return behave


def late_raising() -> Iterator[Finding]:
    yield FINDING
    raise LookupError("too late")


def endless(one: object) -> object:
    def behave() -> Iterator[object]:
        while True:
            yield one

    return behave


class Mute(Exception):  # noqa: N818 - what a plugin calls it
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Quitter(Exception):  # noqa: N818 - as above
    def __str__(self) -> str:
        raise SystemExit(3)


class Panic(BaseException):
    """As native extensions raise it: no Exception."""


@pytest.mark.parametrize("given_back", [FINDING, [FINDING], (FINDING,), iter([FINDING])])
def test_one_result_may_come_alone_or_in_any_iterable(given_back: object) -> None:
    outcome, failures = called(lambda: given_back)
    assert (outcome.results, failures) == ((FINDING,), [])


def test_nothing_is_a_good_result() -> None:
    assert called(lambda: None) == (Outcome(plugin="given[Plugin-0]"), [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("bad  luck\nindeed"), "ValueError: bad luck indeed"),
        (SystemExit(2), "SystemExit: 2"),
        (Panic("native code"), "Panic: native code"),
        (GeneratorExit(), "GeneratorExit"),
        (Mute(), "Mute"),
        (Quitter(), "Quitter"),
        (RecursionError(), "RecursionError"),
    ],
)
def test_whatever_a_hook_raises_is_recorded_in_one_line(error: BaseException, reason: str) -> None:
    outcome, failures = called(raising(error))
    assert (outcome.results, failures) == ((), [reason])


def test_sys_exit_in_a_hook_ends_nothing() -> None:
    assert called(sys.exit)[1] == ["SystemExit"]


def test_ctrl_c_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        called(raising(KeyboardInterrupt()))


def test_a_read_error_is_the_files_fault_not_the_plugins() -> None:
    outcome, failures = called(raising(FormatError("no magic", file="a.npy")))
    assert (str(outcome.read_error), failures) == ("no magic", [])


def test_what_a_generator_gave_before_it_raised_is_kept() -> None:
    outcome, failures = called(late_raising)
    assert (outcome.results, failures) == ((FINDING,), ["LookupError: too late"])


def test_a_generator_that_never_ends_is_ended() -> None:
    outcome, failures = called(endless(FINDING))
    assert set(outcome.results) == {FINDING}
    assert failures == ["gave more than 10000 results"]


def test_a_generator_that_never_ends_and_gives_nothing_good_is_ended_too() -> None:
    outcome, failures = called(endless("nonsense"))
    assert outcome.results == ()
    assert failures == ["gave str where Finding is wanted", "gave more than 10000 results"]


@pytest.mark.parametrize("wrong", ["text", b"bytes", 7, VOTE, object()])
def test_a_result_of_the_wrong_type_is_named(wrong: object) -> None:
    outcome, failures = called(lambda: wrong)
    assert outcome.results == ()
    assert failures == [f"gave {type(wrong).__name__} where Finding is wanted"]


def test_the_good_results_beside_a_wrong_one_are_kept() -> None:
    outcome, failures = called(lambda: [FINDING, "text", FINDING])
    assert (outcome.results, failures) == ((FINDING, FINDING), ["gave str where Finding is wanted"])


def test_a_hook_that_gives_one_result_may_not_give_several() -> None:
    outcome, failures = called(lambda: [VOTE], "modelshelf_detect_format")
    assert (outcome.results, failures) == ((), ["gave list where Detection is wanted"])


@examples(st.lists(st.sampled_from(["good", "raises", "exits", "wrong", "late", "nothing"]), max_size=8))
@settings(deadline=None, max_examples=60)
def test_no_plugin_costs_another_its_results(kinds: list[str]) -> None:
    behaviours = {
        "good": lambda: [FINDING],
        "raises": raising(ValueError("no")),
        "exits": sys.exit,
        "wrong": lambda: 7,
        "late": late_raising,
        "nothing": lambda: None,
    }
    plugins = plugin_set(*(Plugin(behaviours[kind]) for kind in kinds))
    outcomes = list(plugins.call("modelshelf_probe_health"))
    assert [len(one.results) for one in outcomes] == [int(kind in {"good", "late"}) for kind in kinds]
    assert len(plugins.failures) == sum(kind not in {"good", "nothing"} for kind in kinds)


def test_a_failure_is_one_structured_log_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="modelshelf"):
        called(raising(ValueError("no")))
    (record,) = caplog.records
    fields = (record.event, record.plugin, record.hook, record.reason, record.path)
    assert fields == (
        "plugin failed",
        "given[Plugin-0]",
        "modelshelf_probe_health",
        "ValueError: no",
        "/models/a.npy",
    )


def test_repeats_of_one_failure_are_reported_once_and_counted_each_time() -> None:
    plugins = plugin_set(Plugin(raising(ValueError("no"))))
    for path in ("/a", "/b"):
        list(plugins.call("modelshelf_probe_health", path=path))
    (report,) = plugins.reports
    assert (len(report.failures), [one.path for one in plugins.failures]) == (1, ["/a", "/b"])


class Offers:
    """A plugin of formats and stores of these names."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def modelshelf_formats(self) -> Iterator[FormatType]:
        for name in self._names:
            yield FormatType(name=name, suffixes=(f".{id(self)}",))

    def modelshelf_stores(self) -> Iterator[StoreType]:
        for name in self._names:
            yield StoreType(scheme=name, open=lambda _location, _readonly: None)


@pytest.mark.parametrize(
    ("hook", "second", "warning"),
    [
        (
            "formats",
            "npy",
            "offers the format 'npy', as given[Offers-0] does; both are asked about each file",
        ),
        ("stores", "NPY", "offers the store 'npy', as given[Offers-0] does; the first is used"),
    ],
)
def test_two_plugins_that_offer_one_name_are_told_apart_with_a_warning(
    hook: str, second: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = plugin_set(Offers("npy", "onnx"), Offers("gguf", second))
    for _ in range(2):
        assert len(plugins.collect(f"modelshelf_{hook}")) == 4
    first, other = plugins.reports
    assert (first.warnings, other.warnings) == ([], [f"modelshelf_{hook}: {warning}"])
    assert plugins.failures == []
    assert [one.getMessage() for one in caplog.records] == [f"given[Offers-1]: modelshelf_{hook}: {warning}"]


def test_one_plugin_may_offer_a_name_several_times() -> None:
    plugins = plugin_set(Offers("npy", "npy"))
    plugins.collect("modelshelf_formats")
    assert plugins.reports[0].warnings == []


class Parser:
    """A plugin that fails in a library, three calls below its hook."""

    def modelshelf_probe_health(self) -> object:
        return self._parse("{")

    def _parse(self, text: str) -> object:
        return json.loads(text)


def line_of(function: object, offset: int) -> int:
    return function.__code__.co_firstlineno + offset


def test_a_failure_has_the_place_in_the_plugin_where_what_it_called_failed() -> None:
    plugins = plugin_set(Parser())
    list(plugins.call("modelshelf_probe_health"))
    (failure,) = plugins.failures
    assert (failure.file, failure.line) == (__file__, line_of(Parser._parse, 1))
    assert str(failure).endswith(f" ({__file__}:{failure.line})")


def test_a_failure_has_the_traceback_from_the_hook_on() -> None:
    plugins = plugin_set(Parser())
    list(plugins.call("modelshelf_probe_health"))
    lines = plugins.failures[0].traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in modelshelf_probe_health" in lines[1]
    assert lines[-1].startswith("json.decoder.JSONDecodeError: ")


def test_a_wrong_result_has_the_place_of_the_function() -> None:
    plugins = plugin_set(Plugin(lambda: 7))
    list(plugins.call("modelshelf_probe_health"))
    (failure,) = plugins.failures
    assert (failure.file, failure.line) == (__file__, line_of(Plugin.modelshelf_probe_health, 0))
    assert failure.traceback == ""


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_the_traceback_is_in_the_log_where_everything_is_logged(
    level: int, shown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = plugin_set(Parser())
    with caplog.at_level(level, logger="modelshelf"):
        for path in ("/a", "/b"):
            list(plugins.call("modelshelf_probe_health", path=path))
    first, again = caplog.records
    text = logging.Formatter().format(first)
    assert ("in modelshelf_probe_health" in text) == shown
    assert again.exc_info is None  # it is the same one again


def fails_on(*paths: str) -> object:
    class Fails:
        def modelshelf_detect_format(self, candidate: str) -> Detection:
            if candidate in paths:
                raise ValueError(f"{candidate} is odd")
            return VOTE

    return Fails()


def state_after(plugins: PluginSet, *paths: str) -> tuple[PluginState, tuple[str, ...]]:
    for path in paths:
        list(plugins.call("modelshelf_detect_format", candidate=path))
    return plugins.reports[0].state, plugins.reports[0].failing


def test_a_plugin_that_fails_on_every_file_is_failing() -> None:
    plugins = plugin_set(fails_on("/a", "/b"))
    assert plugins.reports[0].state is PluginState.LOADED
    assert state_after(plugins, "/a", "/b") == (PluginState.FAILING, ("modelshelf_detect_format",))


@pytest.mark.parametrize("paths", [("/a", "/good"), ("/good", "/a")])
def test_a_plugin_that_fails_on_some_files_is_loaded(paths: tuple[str, ...]) -> None:
    plugins = plugin_set(fails_on("/a"))
    assert state_after(plugins, *paths) == (PluginState.LOADED, ())
    assert len(plugins.reports[0].failures) == 1


def test_a_plugin_is_failing_where_one_of_two_hooks_fails_each_time() -> None:
    class Half(Plugin):
        def modelshelf_formats(self) -> list[object]:
            return []

    plugins = plugin_set(Half(raising(ValueError("no"))))
    plugins.collect("modelshelf_formats")
    list(plugins.call("modelshelf_probe_health"))
    assert plugins.reports[0].failing == ("modelshelf_probe_health",)


def test_a_file_that_cannot_be_read_makes_no_plugin_failing() -> None:
    plugins = plugin_set(Plugin(raising(FormatError("no magic"))))
    list(plugins.call("modelshelf_probe_health"))
    assert plugins.reports[0].state is PluginState.LOADED


def failures_elsewhere(*paths: str) -> list[PluginFailure]:
    """What a worker process that examined these paths sends home."""
    plugins = plugin_set(fails_on("/a", "/b"))
    for path in paths:
        list(plugins.call("modelshelf_detect_format", path=path, candidate=path))
    return plugins.failures


def test_what_failed_in_another_process_is_in_the_reports_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = failures_elsewhere("/a", "/a", "/b")
    caplog.clear()
    plugins = plugin_set(fails_on())
    with caplog.at_level(logging.DEBUG, logger="modelshelf"):
        for failure in sent:
            plugins.merge(["modelshelf_detect_format"], [failure])
    (report,) = plugins.reports
    assert report.state is PluginState.FAILING
    assert [one.path for one in report.failures] == ["/a", "/b"]
    assert plugins.failures == sent
    assert [one.file for one in caplog.records] == [__file__, __file__]
    assert all("in modelshelf_detect_format" in logging.Formatter().format(one) for one in caplog.records)


def test_a_plugin_that_worked_once_in_another_process_is_not_failing() -> None:
    plugins = plugin_set(fails_on())
    plugins.merge(["modelshelf_detect_format"], failures_elsewhere("/a"))
    plugins.merge(["modelshelf_detect_format"], [])
    assert plugins.reports[0].state is PluginState.LOADED


def test_a_failure_says_whether_its_hook_failed_each_time() -> None:
    (failure,) = failures_elsewhere("/a")
    plugins = plugin_set(fails_on())
    assert plugins.with_verdict(failure) is failure  # the hook was not called yet
    plugins.merge(["modelshelf_detect_format"], [failure])
    assert plugins.with_verdict(failure).always
    plugins.merge(["modelshelf_detect_format"], [])
    assert not plugins.with_verdict(failure).always


@pytest.mark.parametrize("hook", sorted(hook_arguments()))
def test_the_type_that_a_hook_gives_is_the_one_that_its_specification_names(hook: str) -> None:
    annotation = inspect.signature(getattr(spec, hook)).return_annotation
    kind, several = result_type(hook)
    named = "None" if kind is type(None) else kind.__name__
    assert named in re.findall(r"\w+", annotation)
    assert several == ("Iterable" in annotation)


def test_threads_call_a_hook_at_the_same_time_each_in_its_own() -> None:
    inside = Barrier(2, timeout=60)

    def behave() -> tuple[Finding, ...]:
        inside.wait()  # which one call alone never passes
        return (Finding(code="at", severity=Severity.INFO, message=str(get_ident())),)

    plugins = plugin_set(Plugin(behave))

    def call(_: int) -> tuple[int, list[str]]:
        outcomes = list(plugins.call("modelshelf_probe_health"))
        return get_ident(), [one.message for outcome in outcomes for one in outcome.results]

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(call, range(2)))
    assert all(found == [str(thread)] for thread, found in answers)
    assert not plugins.failures
