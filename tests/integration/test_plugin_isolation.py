"""A plugin that misbehaves costs its own contribution only, is named, and the rest of the scan stands."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import frozen

from modelshelf import DiscoveryStats, HealthStatus, ModelRegistry
from modelshelf.plugin.report import PluginState
from tests.distributions import write_distribution
from tests.integration.program import Program
from tests.vendor_models import VENDORED

SAMPLES = ["tiny-classifier-0.3", "tiny-llama-1.0", "tiny-qwen-2.5"]

FINDING = """
from modelshelf.model import Finding, Severity

ODD = Finding(code="odd", severity=Severity.INFO, message="odd")
"""


SERIALIZER = """
from modelshelf.serializer import SerializerType

def modelshelf_serializers():
    yield SerializerType(name="{name}", media_type="text/plain", dump=lambda models: iter([b"{name}\\n"]))
"""

NONSENSE = {
    "finding": "probe_health(): return Finding(code=7, severity=Severity.INFO, message=['odd'])",
    "metadata": "extract_metadata(): return ModelMetadata.partial(Origin.HEADER, '', context_length='many')",
    "details": "extract_metadata(): return ModelMetadata(details={'it': object()})",
    "odd-details": "extract_metadata(): return ModelMetadata(details={'it': 1 << 70, 'that': '\\ud800'})",
}


@frozen
class Misbehaviour:
    """A plugin's text, where it fails, and how that reads."""

    source: str
    hook: str
    reason: str


CHECKS = {"modelshelf_detect_format", "modelshelf_probe_health"}

ON_LOADING = {
    "import-error": Misbehaviour("import a_module_that_nobody_has", "load", "No module named"),
    "syntax-error": Misbehaviour("def broken(:", "load", "SyntaxError"),
    "exit-on-import": Misbehaviour("raise SystemExit(3)", "load", "SystemExit: 3"),
    "panic-on-import": Misbehaviour(
        "class Panic(BaseException): pass\nraise Panic('native')", "load", "Panic: native"
    ),
    "misspelt-hook": Misbehaviour(
        "def modelshelf_detect_fromat(candidate): pass", "modelshelf_detect_fromat", "there is no such hook"
    ),
    "bad-signature": Misbehaviour(
        "def modelshelf_detect_format(file): pass", "modelshelf_detect_format", "takes 'file'"
    ),
    "coroutine": Misbehaviour(
        "async def modelshelf_formats(): pass", "modelshelf_formats", "plain functions, not coroutines"
    ),
}

WHEN_CALLED = {
    "raising": Misbehaviour(
        "def modelshelf_detect_format(candidate): raise ValueError('no idea')",
        "modelshelf_detect_format",
        "ValueError: no idea",
    ),
    "exit-in-a-hook": Misbehaviour(
        "import sys\ndef modelshelf_extract_metadata(artifact): sys.exit('enough')",
        "modelshelf_extract_metadata",
        "SystemExit: enough",
    ),
    "late-raising-generator": Misbehaviour(
        FINDING + "def modelshelf_probe_health():\n    yield ODD\n    raise LookupError('too late')",
        "modelshelf_probe_health",
        "LookupError: too late",
    ),
    "never-ending-generator": Misbehaviour(
        FINDING + "def modelshelf_probe_health():\n    while True:\n        yield ODD",
        "modelshelf_probe_health",
        "gave more than 10000 results",
    ),
    "never-ending-generator-of-nonsense": Misbehaviour(
        "def modelshelf_probe_health():\n    while True:\n        yield 'odd'",
        "modelshelf_probe_health",
        "gave more than 10000 results",
    ),
    "wrong-type": Misbehaviour(
        "def modelshelf_extract_metadata(): return 'llama'",
        "modelshelf_extract_metadata",
        "gave str where ModelMetadata is wanted",
    ),
}

WHEN_OFFERING = {
    f"{how}-{hook}": Misbehaviour(f"def modelshelf_{hook}(): {body}", f"modelshelf_{hook}", reason)
    for hook in ("formats", "sources", "serializers", "stores", "commands")
    for how, body, reason in (
        ("raising", "raise ValueError('no idea')", "ValueError: no idea"),
        ("exiting", "raise SystemExit", "SystemExit"),
        ("wrong-type", "return [7]", "gave int where"),
    )
}


def cases(table: dict[str, Misbehaviour]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bad", table.values(), ids=table.keys())


def write_bad(site: Path, bad: Misbehaviour) -> None:
    write_distribution(site, "bad-shelf", bad.source, entry="bad", version="6.6.6")


def all_is_well(registry: ModelRegistry, stats: DiscoveryStats, failed_check: str = "") -> None:
    """What a check that failed would have found is not judged; nothing becomes healthy by that."""
    assert (stats.models_found, stats.models_added) == (3, 3)
    assert registry.list_models() == SAMPLES
    expected = HealthStatus.UNKNOWN if failed_check in CHECKS else HealthStatus.HEALTHY
    assert [one.health_status for one in registry] == [expected] * 3
    assert [one.metadata.format for one in registry] == ["pytorch", "gguf", "safetensors"]


@cases(ON_LOADING | WHEN_CALLED)
def test_the_built_in_formats_still_scan_and_the_failure_is_counted(
    site: Path, open_registry: Callable[..., ModelRegistry], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    registry = open_registry()
    stats = registry.discover_models()
    all_is_well(registry, stats, bad.hook if bad in WHEN_CALLED.values() else "")
    problems = [one for one in stats.problems if one.code == "plugin-failed"]
    assert stats.errors == len(problems) > 0
    assert {one.plugin for one in problems} == {"bad-shelf[bad]"}
    assert any(bad.reason in one.message and "6.6.6" in one.message for one in problems)


@cases(WHEN_CALLED)
def test_worker_processes_name_the_failure_too(
    site: Path, open_registry: Callable[..., ModelRegistry], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    registry = open_registry()
    stats = registry.discover_models(workers=2)
    all_is_well(registry, stats, bad.hook)
    assert any(bad.reason in one.message and one.plugin == "bad-shelf[bad]" for one in stats.problems)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_failure_has_its_file_and_line_and_at_vv_its_traceback(
    site: Path, models: Path, program: Callable[..., Program], workers: str
) -> None:
    source = "import json\ndef modelshelf_detect_format(candidate):\n    return json.loads('{')\n"
    write_distribution(site, "bad-shelf", source, entry="bad")
    place = f"({site / 'bad_shelf.py'}:3)"
    scan = ["scan", "--force", models, "--workers", workers]
    quiet, loud = program(*scan, site=site), program("-vv", *scan, site=site)
    assert place in quiet.out
    assert "Traceback" not in quiet.err
    assert loud.err.count("Traceback (most recent call last)") == 1  # of three files with one reason
    assert "in modelshelf_detect_format" in loud.err
    assert "json/decoder.py" in loud.err
    assert place in program("plugins", site=site).out  # as the store has it


FAILS_ON = """
def modelshelf_detect_format(candidate):
    if candidate.artifact.path.endswith({ends!r}):
        raise ValueError('no idea')
"""


def state_of_bad(program: Callable[..., Program], site: Path) -> str:
    (report,) = [one for one in program("plugins", "--json", site=site).json() if one["name"] == "bad"]
    return report["state"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_plugin_that_fails_on_every_file_is_failing_until_a_scan_in_which_it_works(
    site: Path, models: Path, program: Callable[..., Program], workers: str
) -> None:
    module = site / f"{write_distribution(site, 'bad-shelf', FAILS_ON.format(ends=''), entry='bad')}.py"
    program("scan", models, "--workers", workers, site=site)
    assert state_of_bad(program, site) == "failing"
    assert re.search(r"^bad +0\.3\.0 +bad-shelf +failing", program("plugins", site=site).out, re.MULTILINE)
    program("scan", models, "--workers", workers, site=site)  # examines nothing, so nothing is new
    assert state_of_bad(program, site) == "failing"
    module.write_text(FAILS_ON.format(ends=".gguf"))
    program("scan", "--force", models, "--workers", workers, site=site)
    assert state_of_bad(program, site) == "loaded"
    assert "ValueError: no idea" in program("plugins", site=site).out
    module.write_text("")
    program("scan", "--force", models, "--workers", workers, site=site)
    assert program("plugins", site=site).code == 0


def test_an_optional_hook_of_another_release_is_no_error(
    site: Path, models: Path, program: Callable[..., Program]
) -> None:
    source = """
        from modelshelf import hookimpl

        @hookimpl(optionalhook=True)
        def modelshelf_foretell_speed(model, request): ...
        """
    write_distribution(site, "newer-shelf", source)
    scanned = program("scan", models, site=site)
    assert (scanned.code, scanned.err) == (0, "")
    listed = program("plugins", site=site)
    assert listed.code == 0
    assert "newer-shelf[newer-shelf]: modelshelf_foretell_speed: this release (API version" in listed.out


def test_two_plugins_of_one_format_are_told_apart_with_a_warning(
    site: Path, models: Path, program: Callable[..., Program]
) -> None:
    source = """
        from modelshelf.model import FormatType

        def modelshelf_formats():
            yield FormatType(name="gguf", suffixes=(".gguf2",))
        """
    write_distribution(site, "second-shelf", source)
    warning = (
        "second-shelf[second-shelf]: modelshelf_formats: offers the format 'gguf', as modelshelf[gguf] does"
    )
    listed = program("plugins", site=site)
    assert (listed.code, warning in listed.out) == (0, True)
    scanned = program("scan", models, site=site)
    assert (scanned.code, warning in scanned.err) == (0, True)


def test_what_a_generator_gave_before_it_raised_is_in_the_record(
    site: Path, open_registry: Callable[..., ModelRegistry]
) -> None:
    write_bad(site, WHEN_CALLED["late-raising-generator"])
    registry = open_registry()
    registry.discover_models()
    assert all("odd" in [finding.code for finding in one.findings] for one in registry)


@pytest.mark.parametrize("source", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_value_of_the_right_type_that_holds_nonsense_costs_no_other_plugin_its_results(
    site: Path, open_registry: Callable[..., ModelRegistry], source: str
) -> None:
    imports = "from modelshelf.model import Finding, ModelMetadata, Origin, Severity"
    write_distribution(site, "bad-shelf", f"{imports}\ndef modelshelf_{source}\n", entry="bad")
    registry = open_registry()
    all_is_well(registry, registry.discover_models(), f"modelshelf_{source.partition('(')[0]}")
    assert registry.get("tiny-llama-1.0").metadata.architecture == "llama"


@cases(WHEN_OFFERING)
def test_a_plugin_that_fails_to_offer_what_it_has_leaves_the_others_offers(
    site: Path, open_registry: Callable[..., ModelRegistry], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    registry = open_registry()
    all_is_well(registry, registry.discover_models())
    assert registry.serializer("json").name == "json"
    assert registry.places() is not None


@cases(ON_LOADING | WHEN_OFFERING)
def test_the_command_line_names_the_plugin_its_version_and_the_reason(
    site: Path, program: Callable[..., Program], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    done = program("plugins", site=site)
    assert done.code == 1
    assert f"bad-shelf[bad] 6.6.6: {bad.hook}: " in done.out
    assert bad.reason in done.out
    assert "Traceback" not in done.out + done.err


@cases(ON_LOADING)
def test_help_is_shown_whatever_a_plugin_does(
    site: Path, program: Callable[..., Program], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    done = program("--help", site=site)
    assert (done.code, "Commands" in done.out) == (0, True)


@cases(WHEN_CALLED)
def test_the_scan_screen_names_the_plugin(
    site: Path, models: Path, program: Callable[..., Program], bad: Misbehaviour
) -> None:
    write_bad(site, bad)
    done = program("scan", models, site=site)
    assert done.code == 1
    assert "3 models" in done.out
    assert "bad-shelf[bad] 6.6.6" in done.out


def test_every_built_in_plugin_can_fail_and_the_program_still_starts(program: Callable[..., Program]) -> None:
    blocked = {"MODELSHELF_DISABLE_PLUGINS": "modelshelf"}
    assert program("--help", env=blocked).code == 0
    assert program("plugins", env=blocked).out.count("disabled") == 9
    refused = program("ls", env=blocked)
    assert refused.code == 1
    assert "no plugin offers a store" in refused.err


def test_a_format_whose_plugin_is_blocked_is_left_out_and_the_others_scan(
    models: Path, program: Callable[..., Program]
) -> None:
    done = program("scan", "--json", models, env={"MODELSHELF_DISABLE_PLUGINS": "gguf,companions"})
    assert [one["id"] for one in done.json()["models"]] == ["tiny-classifier-0.3", "tiny-qwen-2.5"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plugin_that_the_program_blocks_is_not_run(
    site: Path, open_registry: Callable[..., ModelRegistry], workers: int
) -> None:
    write_bad(site, WHEN_CALLED["raising"])
    registry = open_registry(blocked=["bad"])
    stats = registry.discover_models(workers=workers)
    all_is_well(registry, stats)
    assert stats.problems == ()
    report = next(one for one in registry.plugins.reports if one.name == "bad")
    assert report.state is PluginState.DISABLED


def test_two_distributions_with_one_entry_name_are_both_shown_and_both_work(
    site: Path, program: Callable[..., Program]
) -> None:
    for name in ("first-lab", "second-lab"):
        source = SERIALIZER.format(name=name)
        write_distribution(site, name, source, entry="lab")
    done = program("plugins", site=site)
    assert done.code == 1
    assert "second-lab[lab] 0.3.0: load: first-lab[lab] is named 'lab' too; both are loaded" in done.out
    assert program("ls", "--format", "first-lab", site=site).out == "first-lab\n"
    assert program("ls", "--format", "second-lab", site=site).out == "second-lab\n"


def test_a_distribution_whose_metadata_is_mangled_does_not_stop_the_program(
    site: Path, models: Path, program: Callable[..., Program]
) -> None:
    write_distribution(site, "mangled-shelf", "", entry_points="[modelshelf]\nno equals sign\n")
    assert program("--help", site=site).code == 0
    assert "entry_points.txt cannot be read" in program("plugins", site=site).out
    assert "3 models" in program("scan", models, site=site).out


def test_a_plugin_installed_by_pip_is_found_and_fails_alone(
    tmp_path: Path, models: Path, program: Callable[..., Program]
) -> None:
    source, site = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "pip_shelf.py").write_text(
        "def modelshelf_detect_format(candidate): raise ValueError('no idea')\n"
    )
    (source / "pyproject.toml").write_text(
        """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "pip-shelf"
version = "1.2.3"

[project.entry-points.modelshelf]
pip = "pip_shelf"
"""
    )
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*install, "--target", site, source], check=True, capture_output=True, timeout=120)
    listed = program("plugins", "--json", site=site).json()
    assert [(one["plugin"], one["version"]) for one in listed if one["name"] == "pip"] == [
        ("pip-shelf[pip]", "1.2.3")
    ]
    scanned = program("scan", models, site=site)
    assert "3 models" in scanned.out
    assert "pip-shelf[pip] 1.2.3: modelshelf_detect_format: ValueError: no idea" in scanned.out


def test_the_samples_that_these_tests_scan_are_the_vendored_ones() -> None:
    assert sorted(one.name for one in VENDORED.iterdir()) == SAMPLES
