from __future__ import annotations

from modelshelf.plugin.report import PluginReport, describe, failed


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
