from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from modelshelf.errors import FormatError
from modelshelf.model import Detection, Finding, FormatType, Severity
from modelshelf.plugin import spec
from modelshelf.plugin.call import Outcome, PluginSet, named, result_of
from modelshelf.plugin.load import given, hook_arguments, load

FINDING = Finding(code="odd-size", severity=Severity.INFO, message="the size is odd")
VOTE = Detection(format="npy", confidence=0.9)


class Plugin:
    """A plugin that does with both hooks what it is told."""

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
    told = (record.event, record.plugin, record.hook, record.reason, record.path)
    assert told == (
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
    def __init__(self, *names: str) -> None:
        self._names = names

    def modelshelf_formats(self) -> Iterator[FormatType]:
        for name in self._names:
            yield FormatType(name=name, suffixes=(f".{id(self)}",))


def test_of_two_plugins_that_offer_one_name_the_first_keeps_it() -> None:
    plugins = plugin_set(Offers("npy", "onnx"), Offers("npy"))
    first = plugins.collect("modelshelf_formats")[0]
    assert list(named(plugins, "modelshelf_formats", "name", lambda name: name == "npy")) == [first]


@pytest.mark.parametrize("hook", sorted(hook_arguments()))
def test_the_type_that_a_hook_gives_is_the_one_that_its_specification_names(hook: str) -> None:
    told = inspect.signature(getattr(spec, hook)).return_annotation
    kind, several = result_of(hook)
    named = "None" if kind is type(None) else kind.__name__
    assert named in re.findall(r"\w+", told)
    assert several == ("Iterable" in told)
