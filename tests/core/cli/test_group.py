"""The command as a whole: help, global options, failures, other people's commands."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version

import pytest

from modelshelf.cli.group import SUMMARIES

HEAVY = {
    "attrs",
    "cattrs",
    "pluggy",
    "rich",
    "lmdb",
    "msgpack",
    "yaml",
    "platformdirs",
    "modelshelf.registry.registry",
}


def python(project, code, **environ):
    """Run some Python beside the project; its output."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def imported(project, *arguments):
    output = python(
        project,
        f"import sys, json; from modelshelf.cli import main; main({[*map(str, arguments)]!r});"
        "print('\\n' + json.dumps(sorted(sys.modules)))",
    )
    return set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [(), ("--help",), ("ls", "--help"), ("scan", "--help")])
def test_help_imports_no_more_than_click(project, arguments):
    assert not imported(project, *arguments) & HEAVY


def test_a_table_imports_no_rich_and_no_format(project):
    project.gguf()
    project.scanned()
    modules = imported(project, "ls")
    assert not modules & {
        "rich",
        "yaml",
        "numpy",
        "modelshelf_gguf",
        "modelshelf_safetensors",
        "modelshelf_pytorch",
    }


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help_and_a_summary_of_its_own(project, name):
    outcome = project.run(name, "--help").done()
    assert "--json" in outcome.out
    assert f"  {name} " in project.run("--help").out


def test_no_arguments_show_the_help(project):
    assert project.run().done() == project.run("--help")


def test_the_version_is_the_distributions(project):
    assert project.run("--version").done().out == f"modelshelf {version('modelshelf')}\n"


def test_an_unknown_command_is_wrong_use(project):
    outcome = project.run("frobnicate")
    assert (outcome.code, outcome.out) == (2, "")
    assert "frobnicate" in outcome.err


def test_the_store_option_stands_before_the_command(project, tmp_path):
    project.gguf()
    project.run("--store", tmp_path / "other", "scan", project.models).done()
    assert len(project.run("--store", tmp_path / "other", "ls", "--json").json) == 1
    assert project.run("ls", "--json").json == []


def test_a_setting_that_cannot_be_used_is_exit_code_2(project):
    (project.root / "bad.toml").write_text("workers = 0")
    outcome = project.run("--config", "bad.toml", "ls")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "modelshelf: error: bad.toml: workers: must be an integer of 1 or more, not 0\n"


def test_a_store_that_cannot_be_opened_is_one_line(project):
    (project.root / "file").write_text("no folder")
    outcome = project.run("--store", "file", "scan", project.models)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("modelshelf: error: ")
    assert outcome.err.count("\n") == 1


def test_changes_are_logged_as_json_when_asked(project):
    project.gguf()
    outcome = project.run("-v", "--log-format", "json", "scan", project.models)
    events = [json.loads(line) for line in outcome.err.splitlines()]
    assert "registered" in {event.get("event") for event in events}
    assert {event["model_id"] for event in events if event.get("event") == "registered"} != {None}


def test_without_asking_no_change_is_logged(project):
    project.gguf()
    project.run("scan", project.models).done()


def test_plugins_are_listed_with_what_they_offer(project):
    outcome = project.run("plugins").done()
    assert any(line.startswith("gguf ") and "detect_format" in line for line in outcome.lines)
    assert {one["state"] for one in project.run("plugins", "--json").json} == {"loaded"}


def test_a_disabled_plugin_says_so(project, monkeypatch):
    monkeypatch.setenv("MODELSHELF_DISABLE_PLUGINS", "gguf")
    states = {one["name"]: one["state"] for one in project.run("plugins", "--json").done().json}
    assert states["gguf"] == "disabled"
    assert states["safetensors"] == "loaded"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(project, shell):
    assert "_MODELSHELF_COMPLETE" in project.run("completion", shell).done().out


def test_completion_completes_commands_and_ids(project, monkeypatch):
    project.gguf("tiny", folder="tiny")
    project.run("scan", project.models)
    monkeypatch.setenv("_MODELSHELF_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "modelshelf sc")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert project.run().out == "plain,scan\n"
    monkeypatch.setenv("COMP_WORDS", "modelshelf show t")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert project.run().out == "plain,tiny\n"


@pytest.fixture
def lab(project, tmp_path, monkeypatch):
    """An installed distribution of somebody else's, with commands of several kinds."""
    site = tmp_path / "site"
    info = site / "mylab-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelshelf]\nlab = mylab\nbroken = mylab_broken\n")
    (site / "mylab_broken.py").write_text("raise RuntimeError('broken\\x1b on import')\n")
    (site / "mylab.py").write_text(
        "import sys, time\n"
        "import click\n"
        "from modelshelf import CommandType\n"
        "@click.command()\n"
        "@click.pass_obj\n"
        "def hello(app):\n"
        "    app.screen.line('hello\\x1b[2J')\n"
        "@click.command()\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "@click.command()\n"
        "def fail():\n"
        "    raise RuntimeError('my fault\\x1b[2J')\n"
        "def no():\n"
        "    raise ImportError('no such thing')\n"
        "def modelshelf_commands():\n"
        "    yield CommandType(name='hello', summary='Say hello\\x1b.', load=lambda: hello)\n"
        "    yield CommandType(name='wait', load=lambda: wait)\n"
        "    yield CommandType(name='fail', load=lambda: fail)\n"
        "    yield CommandType(name='unloadable', load=no)\n"
        "    yield CommandType(name='nothing', load=lambda: 3)\n"
        "    yield CommandType(name='ls', load=no)\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return project


def test_another_distributions_command_is_shown_and_run(lab):
    assert r"Say hello\x1b." in lab.run("--help").out
    assert lab.run("hello").out == "hello\\x1b[2J\n"


def test_a_plugin_that_fails_spoils_neither_help_nor_completion(lab):
    helped = lab.start("--help")
    out, err = helped.communicate(timeout=30)
    assert helped.returncode == 0
    assert "hello" in out
    failure = r"plugin failed: mylab[broken] 1.0: load: RuntimeError: broken\x1b on import"
    place = lab.root.parent / "site" / "mylab_broken.py"
    assert err == f"modelshelf: warning: {failure} ({place}:1)\n"
    completion = {"_MODELSHELF_COMPLETE": "bash_complete", "COMP_WORDS": "modelshelf hel", "COMP_CWORD": "1"}
    completed = lab.start(env={**os.environ, **completion})
    assert completed.communicate(timeout=30) == ("plain,hello\n", "")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("command", [("ls",), ("show", "one")])
def test_a_look_tells_in_the_wanted_form_of_a_plugin_that_it_had_to_ask(lab, monkeypatch, form, command):
    monkeypatch.setenv("MODELSHELF_DISABLE_PLUGINS", "lmdb")  # so that every plugin is asked for a store
    looked = lab.start("--log-format", form, *command)
    _, err = looked.communicate(timeout=30)
    first, *_, last = err.splitlines()
    assert (json.loads(first)["plugin"] if form == "json" else first).startswith(
        "mylab[broken]" if form == "json" else "modelshelf: warning: plugin failed: mylab[broken] 1.0: load"
    )
    assert last.startswith("modelshelf: error: no plugin offers a store of kind lmdb")


def test_a_completion_that_had_to_ask_a_failing_plugin_says_nothing_of_it(lab, monkeypatch):
    monkeypatch.setenv("MODELSHELF_DISABLE_PLUGINS", "lmdb")
    completion = {
        "_MODELSHELF_COMPLETE": "bash_complete",
        "COMP_WORDS": "modelshelf show t",
        "COMP_CWORD": "2",
    }
    completed = lab.start(env={**os.environ, **completion})
    assert completed.communicate(timeout=30) == ("\n", "")


def test_a_built_in_command_cannot_be_replaced(lab):
    assert lab.run("ls", "--json").json == []


def test_a_command_that_fails_is_reported_in_one_line(lab):
    outcome = lab.run("fail")
    assert outcome.code == 70
    assert r"RuntimeError: my fault\x1b[2J" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in lab.run("-vv", "fail").err


@pytest.mark.parametrize("name", ["unloadable", "nothing"])
def test_a_command_that_cannot_be_loaded_names_its_plugin(lab, name):
    outcome = lab.run(name)
    assert outcome.code == 1
    assert "mylab[lab]" in outcome.err


def test_a_plugin_that_fails_is_listed_with_its_reason_and_exit_code_1(lab):
    outcome = lab.run("plugins")
    assert outcome.code == 1
    assert "mylab[broken] 1.0: load: RuntimeError: broken\\x1b on import" in outcome.out


def test_an_interrupt_is_one_line_and_exit_code_130(lab):
    running = lab.start("wait", env={**os.environ, "MODELSHELF_DISABLE_PLUGINS": "broken"})
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    assert err == "modelshelf: interrupted; what was recorded before is kept\n"


@pytest.mark.parametrize("arguments", [("ls",), ("ls", "--json"), ("--help",)])
def test_a_reader_that_goes_away_is_no_news(project, arguments):
    project.gguf()
    project.scanned()
    running = project.start(*arguments)
    running.stdout.close()
    assert running.wait(timeout=30) == 141
    assert running.stderr.read() == ""
    running.stderr.close()


def on_terminal(project, *arguments, columns=100, **environ):
    """What the command line writes to a terminal of that width."""
    terminal, its_end = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "modelshelf", *arguments],
        cwd=project.root,
        stdout=its_end,
        stderr=its_end,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm", **environ},
    )
    os.close(its_end)
    written = b""
    with suppress(OSError):  # a terminal whose other end was closed cannot be read
        while data := os.read(terminal, 65536):
            written += data
    assert running.wait(timeout=30) == 0
    os.close(terminal)
    return written.decode()


def test_a_terminal_gets_colours_unless_no_color_is_set(project):
    project.gguf()
    project.scanned()
    assert "\x1b[32mhealthy\x1b[0m" in on_terminal(project, "ls")
    assert "\x1b" not in on_terminal(project, "ls", NO_COLOR="1")
    assert "\x1b" not in on_terminal(project, "ls", TERM="dumb")


def test_a_table_fits_its_terminal(project):
    project.gguf("x", folder="n" * 150)
    project.scanned()
    lines = on_terminal(project, "ls", columns=80, NO_COLOR="1").splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" in lines[1]


def test_a_scan_on_a_terminal_leaves_no_bar_behind_its_table(project):
    project.gguf("tiny", folder="tiny")
    written = on_terminal(project, "scan", project.models, NO_COLOR="1")
    assert "tiny" in written
    assert "1 model in" in written
