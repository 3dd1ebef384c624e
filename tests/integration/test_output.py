"""Nothing that steers a terminal, hides or is no UTF-8 reaches standard output, standard error or a log.

Every command that there is, in every output format, on a terminal and into a pipe, over a registry, files and
plugins that hold such characters in every place. A command that is not in `ARGUMENTS` fails a test.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import tty
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from modelshelf.cli import main
from modelshelf.cli.group import cli
from tests.integration import hostile_text
from tests.integration.hostile_text import EVIL, FILE_NAMES, FORMULAS, MARK

ID = f"{EVIL}-0"
FORMATS = ("json", "jsonl", "csv", "yaml", "openai", EVIL)

# The words after each command; a row for every way in which it shows something else.
ARGUMENTS: dict[tuple[str, ...], list[list[str]]] = {
    ("scan",): [["models"], ["--force", "models"], [], [FILE_NAMES[0]]],
    ("ls",): [
        [],
        ["--all-versions"],
        ["--missing"],
        [EVIL],
        ["--sort", EVIL],
        ["--health", EVIL],
        ["--tag", EVIL],
    ],
    ("show",): [[ID], [f"{EVIL}-1"], [EVIL], [ID, EVIL]],
    ("check",): [[], [ID], [EVIL]],
    ("why",): [
        ["models"],
        *([f"models/{name}"] for name in FILE_NAMES),
        [f"models/{FILE_NAMES[0]}/evil.evil"],
    ],
    ("default",): [[], [ID], [EVIL]],
    ("set",): [
        [ID, f"display_name={EVIL}", f"tags={EVIL}", f"license={EVIL}"],
        [EVIL, "enabled=no"],
        [ID, f"{EVIL}=1"],
        [ID, EVIL],
        [ID, f"preload={EVIL}"],
        [ID, f"aliases={EVIL}-1"],
        [ID, "--at", EVIL, "enabled=no"],
    ],
    ("rm",): [[ID], [EVIL], [ID, EVIL]],
    ("pin",): [[ID, "1.0.0"], [ID, "--none"], [EVIL, "1.0.0"], [ID, EVIL]],
    ("export",): [[], ["-o", f"{FILE_NAMES[0]}/no-folder"], ["--format", "settings"]],
    ("import",): [["settings.json"], ["--dry-run", "settings.json"], ["evil.json"], [FILE_NAMES[0]]],
    ("doctor",): [[], ["--repair"]],
    ("fit",): [[], ["--memory", "24G"]],
    ("du",): [[], ["--by", "family"], ["--by", EVIL]],
    ("dupes",): [[]],
    ("sources",): [[], [EVIL]],
    ("sources", "ls"): [[]],
    ("sources", "add"): [
        *([f"models/{name}"] for name in FILE_NAMES),
        ["x", "--source", EVIL],
        ["x", "--set", EVIL],
    ],
    ("sources", "rm"): [[f"models/{FILE_NAMES[0]}"], ["x", "--source", EVIL]],
    ("watch",): [],  # never ends by itself: see the test of its own
    ("plugins",): [[], [EVIL]],
    ("plugins", "new"): [[EVIL, "--kind", "format"], ["fine", "--kind", "format", "--into", FILE_NAMES[0]]],
    ("completion",): [["bash"], [EVIL]],
}
OTHERS = [
    [],
    ["--help"],
    [EVIL],
    ["--store", FILE_NAMES[0] + "\0", "ls"],
    ["--config", FILE_NAMES[0], "ls"],
    ["--log-format", EVIL, "ls"],
]

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_BAR = re.compile(r"\x1b\[(?:\?25[lh]|[12]K|1A)|\r")  # what rich moves its bar with


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words, groups of commands included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands())


def lines() -> Iterator[list[str]]:
    """Every command line that is tried: each row of each command, in every output format that it has."""
    yield from OTHERS
    for words, command in COMMANDS.items():
        options = {option for one in command.params for option in one.opts}
        for number, row in enumerate(ARGUMENTS.get(words, [])):
            yield [*words, *row]
            if "--json" in options:
                yield [*words, "--json", *row]
            if "--format" in options and number == 0:
                yield from ([*words, "--format", name, *row] for name in FORMATS)
        yield [*words, "--help"]
        yield [*words, f"--{EVIL}"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    hostile_text.write_models(root / "models")
    hostile_text.fill(root / "store")
    hostile_text.install_plugins(_made(root / "site"))
    (root / "evil.json").write_text(json.dumps({EVIL: [EVIL]}))
    (root / "settings.json").write_text(json.dumps({"models": [{"id": EVIL}]}))
    return root


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture
def shelf(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Path) -> Path:
    """A working directory with hostile models, records and plugins, to be changed at will."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "MODELSHELF_"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "work"
    root.mkdir()
    shutil.copytree(prepared / "store", root / "store")
    for one in ("evil.json", "settings.json"):
        shutil.copy(prepared / one, root)
    (root / "models").symlink_to(prepared / "models")
    shutil.copytree(prepared / "site", site, dirs_exist_ok=True)
    monkeypatch.setenv("HOME", str(_made(tmp_path / "home")))
    monkeypatch.setenv("MODELSHELF_STORE", str(root / "store"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(root)
    return root


class Piped:
    """Standard output and standard error into pipes."""

    terminal = False
    log = ("-vv", "--log-format", "json")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._streams = {
            name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")
        }
        for name, stream in self._streams.items():
            monkeypatch.setattr(sys, name, stream)

    def written(self) -> tuple[bytes, bytes]:
        for stream in self._streams.values():
            stream.flush()
        out, err = (stream.buffer.getvalue() for stream in self._streams.values())
        return out, err


class OnTerminal:
    """Both on one terminal, read by a thread so that it never fills up."""

    terminal = True
    log = ("-vv",)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self._output = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self._stream = os.fdopen(theirs, "w", encoding="utf-8")
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, self._stream)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._ours, 1 << 16)
            except OSError:  # nobody holds the other side any more
                return
            if not piece:
                return
            self._output += piece

    def written(self) -> tuple[bytes, bytes]:
        self._stream.close()
        self._reader.join()
        os.close(self._ours)
        return b"", bytes(self._output)


def faults_of(raw: bytes, *, terminal: bool) -> list[str]:
    """What was written raw that must not be: a byte that is no UTF-8, a character that steers or hides."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return [
            f"byte {raw[error.start]:#x} is no UTF-8: {raw[max(error.start - 60, 0) : error.start + 20]!r}"
        ]
    text = text.replace("\r\n", "\n").replace("\n", "")
    if terminal:
        text = _BAR.sub("", _STYLE.sub("", text))
    unseen = {one for one in set(text) if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}}
    return [
        f"U+{ord(one):04X}: {text[max(text.index(one) - 60, 0) : text.index(one) + 20]!r}" for one in unseen
    ]


def shown(line: list[str]) -> str:
    return " ".join(line).replace(EVIL, "EVIL").encode("ascii", "backslashreplace").decode()[:80]


@pytest.mark.parametrize("device", [Piped, OnTerminal])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("shelf")
def test_no_command_writes_a_hostile_character_raw(monkeypatch, device, words):
    problems = {}
    for line in lines():
        if tuple(line[: len(words)]) != words or (len(words) == 1 and tuple(line[:2]) in COMMANDS):
            continue
        if faults := faults_of_run(monkeypatch, device, [*device.log, *line]):
            problems[shown(line)] = faults
    assert problems == {}


def faults_of_run(
    monkeypatch: pytest.MonkeyPatch, device: type[Piped | OnTerminal], line: list[str]
) -> list[str]:
    """What is wrong with what a command line writes, or with its exit code."""
    code, *streams = run(monkeypatch, device, line)
    faults = [fault for raw in streams for fault in faults_of(raw, terminal=device.terminal)][:3]
    if code not in {0, 1, 2}:
        faults.append(f"exit code {code}: {streams[-1][-400:]!r}")
    return faults


def run(
    monkeypatch: pytest.MonkeyPatch, device: type[Piped | OnTerminal], line: list[str]
) -> tuple[int, bytes, bytes]:
    """The exit code of a command line, and what it writes to each stream; on a terminal both are one."""
    with monkeypatch.context() as patch:
        for log in (logging.root, logging.getLogger("modelshelf")):
            patch.setattr(log, "handlers", [])  # pytest's own would keep what its report cannot hold
        streams = device(patch)
        try:
            code = main(line)
        finally:
            out, err = streams.written()
    return code, out, err


@pytest.mark.parametrize("device", [Piped, OnTerminal])
@pytest.mark.usefixtures("shelf")
def test_wrong_use_and_help_write_no_hostile_character_raw(monkeypatch, device):
    by_line = {shown(line): faults_of_run(monkeypatch, device, line) for line in OTHERS}
    assert {line: faults for line, faults in by_line.items() if faults} == {}


def test_there_is_a_row_of_arguments_for_every_command():
    assert set(COMMANDS) == set(ARGUMENTS)


@pytest.mark.parametrize("words", ["ls", "show ID", "scan models", "plugins", "sources ls"])
@pytest.mark.parametrize("json_too", [False, True])
@pytest.mark.usefixtures("shelf")
def test_hostile_text_is_shown_written_out(monkeypatch, words, json_too):
    line = [ID if word == "ID" else word for word in words.split()]
    _, out, _ = run(monkeypatch, Piped, [*line, *(["--json"] if json_too else [])])
    decoded = out.decode()
    assert MARK in decoded
    assert ("\\u001b" if json_too else "\\x1b") in decoded
    if json_too:
        json.loads(decoded)


@pytest.mark.parametrize("name", ["export", "ls"])
@pytest.mark.usefixtures("shelf")
def test_no_cell_of_a_csv_is_a_formula(monkeypatch, name):
    _, out, _ = run(monkeypatch, Piped, [name, "--format", "csv"])
    decoded = out.decode()
    rows = [*csv.reader(io.StringIO(decoded, newline=""))]
    assert len(rows) > len(FORMULAS)
    begin = {cell.lstrip(" \u00a0\n\v\f")[:1] for row in rows for cell in row}
    assert begin & {"=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"} == set()


@pytest.mark.usefixtures("shelf")
def test_completion_gives_no_hostile_character(monkeypatch):
    monkeypatch.setenv("_MODELSHELF_COMPLETE", "bash_complete")
    for words in ("show ", "ls --format ", "check m", ""):
        monkeypatch.setenv("COMP_WORDS", f"modelshelf {words}")
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ") + (not words.endswith(" "))))
        _, out, err = run(monkeypatch, Piped, [])
        assert faults_of(out + err, terminal=False) == []


@pytest.mark.parametrize("words", [["watch"], ["watch", "--json"]])
@pytest.mark.usefixtures("shelf")
def test_watching_writes_no_hostile_character_raw(prepared, words):
    environment = {**os.environ, "PYTHONPATH": str(prepared / "site"), "PYTHONUNBUFFERED": "1"}
    ours, theirs = pty.openpty()
    line = [sys.executable, "-m", "modelshelf", "-vv", *words, "--settle", "0", "models"]
    with subprocess.Popen(line, stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        output = b""
        while b"registered" not in output and b"error" not in output:
            output += os.read(ours, 1 << 16)
        running.send_signal(signal.SIGINT)
        output += _rest(ours)
    os.close(ours)
    assert MARK.encode() in output
    assert faults_of(output.replace(b"\r\n", b"\n"), terminal=True) == []


def _rest(descriptor: int) -> bytes:
    output = b""
    while True:
        try:
            piece = os.read(descriptor, 1 << 16)
        except OSError:
            return output
        if not piece:
            return output
        output += piece


@pytest.mark.usefixtures("shelf")
def test_a_scan_in_worker_processes_writes_no_hostile_character_raw(prepared):
    environment = {**os.environ, "PYTHONPATH": str(prepared / "site")}
    line = [sys.executable, "-m", "modelshelf", "-vv", "scan", "--force", "--workers", "2", "models"]
    done = subprocess.run(line, capture_output=True, env=environment, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode in {0, 1}
    assert MARK.encode() in done.stdout
    assert [faults_of(one, terminal=False) for one in (done.stdout, done.stderr)] == [[], []]


def test_the_check_itself_sees_every_hostile_character():
    for one in sorted(set(EVIL) - {"\n", "\r"} - set(map(chr, range(0x20, 0x7F)))):
        assert faults_of(one.encode("utf-8", "surrogatepass"), terminal=True)
    assert faults_of(b"\xff", terminal=True)
    assert faults_of(b"\x1b[31mred\x1b[0m\r\n", terminal=True) == []
    assert faults_of(b"\x1b[31mred\x1b[0m\n", terminal=False)
