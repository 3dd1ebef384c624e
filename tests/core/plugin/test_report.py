from __future__ import annotations

from modelshelf.plugin.report import PluginReport, PluginState, describe, failed


def test_a_failure_reads_as_plugin_version_hook_and_reason() -> None:
    report = PluginReport(name="clouds", plugin="weather-shelf[clouds]", version="2.1.0")
    failure = report.record("modelshelf_formats", "ValueError: no")
    assert str(failure) == "weather-shelf[clouds] 2.1.0: modelshelf_formats: ValueError: no"


def test_an_exception_without_a_message_is_described_by_its_type() -> None:
    assert describe(ValueError()) == "ValueError"


def test_failed_plugins_are_those_with_a_failure() -> None:
    good, bad = PluginReport(name="a", plugin="a"), PluginReport(name="b", plugin="b")
    bad.record("load", "ImportError")
    assert failed([good, bad]) == [bad]


def raised(message: str) -> ValueError | None:
    try:
        fail(message)
    except ValueError as error:
        return error
    return None


def fail(message: str) -> None:
    raise ValueError(message)


def test_the_place_of_a_failure_stands_behind_its_reason() -> None:
    report = PluginReport(name="clouds", plugin="weather-shelf[clouds]")
    failure = report.record("modelshelf_formats", "gave int", function=describe)
    assert str(failure).endswith(f": gave int ({describe.__code__.co_filename}:{failure.line})")


def test_a_long_traceback_is_cut_to_its_end() -> None:
    report = PluginReport(name="a", plugin="a")
    failure = report.record("load", "long", error=raised("x" * 100_000 + "the end"))
    assert len(failure.traceback) <= 8192
    assert failure.traceback.endswith("the end\n")


def test_a_plugin_with_a_reason_for_each_file_has_a_bounded_number_of_tracebacks() -> None:
    report = PluginReport(name="a", plugin="a")
    for number in range(100):
        report.record("modelshelf_detect_format", f"ValueError: {number}", error=raised(str(number)))
    assert len(report.failures) == 100
    assert sum(bool(one.traceback) for one in report.failures) == 20


def test_a_disabled_or_failed_plugin_is_never_failing() -> None:
    for state in (PluginState.DISABLED, PluginState.FAILED):
        report = PluginReport(name="a", plugin="a", state=state)
        report.mark_failing("modelshelf_formats", failing=True)
        assert report.state is state


def test_a_warning_is_noted_once() -> None:
    report = PluginReport(name="a", plugin="a")
    assert [report.warn("load", "odd"), report.warn("load", "odd")] == [True, False]
    assert report.warnings == ["load: odd"]
