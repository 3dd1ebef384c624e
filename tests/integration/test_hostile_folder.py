"""A folder that means harm: no hang, no crash, one reason for each thing in it, the sound models found."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from modelshelf import Candidate, ModelRegistry
from modelshelf.model import DiscoveryStats
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy
from tests.distributions import write_distribution
from tests.integration.program import Program
from tests.vendor_models import VENDORED

Run = Callable[..., Program]

TERABYTE = 1 << 40
ENTRIES = 100_000
SOUND = next((VENDORED / "tiny-llama-1.0").glob("*.gguf"))

ODD_NAMES = (b"two\nlines", b"\xff\xfe not utf-8", b"esc\x1b[31m", b"-rf", "rtl \u202e".encode(), b" ")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that a folder can hold and that is no plain file, and names that are no plain text."""
    root = tmp_path_factory.mktemp("hostile")
    tree = root / "tree"
    tree.mkdir()
    os.mkfifo(tree / "pipe.gguf")
    if os.geteuid() == 0:
        os.mknod(tree / "null.pt", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (tree / "loop").mkdir()
    (tree / "loop" / "again").symlink_to(tree / "loop")
    (tree / "self.gguf").symlink_to(tree / "self.gguf")
    (root / "outside").mkdir()
    shutil.copy(SOUND, root / "outside" / "secret.gguf")
    (tree / "escape").symlink_to(root / "outside")
    (tree / "dead.safetensors").symlink_to(root / "nowhere")
    with (tree / "sparse.gguf").open("wb") as file:
        file.truncate(TERABYTE)
    (tree / "sound").mkdir()
    shutil.copy(SOUND, tree / "sound" / "model.gguf")
    (tree / "twin").mkdir()
    os.link(tree / "sound" / "model.gguf", tree / "twin" / "model.gguf")
    for number, name in enumerate(ODD_NAMES):
        folder = os.fsencode(tree / "odd") + b"/" + name
        os.makedirs(folder)
        content = SOUND.read_bytes()[:-1] + bytes([number + 1])
        Path(os.fsdecode(folder + b"/" + name + b".gguf")).write_bytes(content)
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(tree)  # a socket's path has room for 107 bytes
        try:
            made.bind("socket.bin")
        finally:
            os.chdir(root)
        yield tree


def reasons(stats_problems: list[tuple[str, str]], tree: Path) -> dict[str, list[str]]:
    """The codes that were reported of each path, relative to the tree."""
    messages: dict[str, list[str]] = {}
    for path, code in stats_problems:
        messages.setdefault(os.path.relpath(path, tree), []).append(code)
    return messages


def expected(tree: Path) -> dict[str, list[str]]:
    reasons_of = {
        "pipe.gguf": ["not-a-regular-file"],
        "socket.bin": ["not-a-regular-file"],
        "loop/again": ["linked-folder"],
        "self.gguf": ["unreadable"],
        "escape": ["link-leaves-root"],
        "dead.safetensors": ["unreadable"],
    }
    if (tree / "null.pt").exists():
        reasons_of["null.pt"] = ["not-a-regular-file"]
    return reasons_of


def test_the_library_tells_one_reason_for_each_and_finds_the_sound_models(
    hostile: Path, tmp_path: Path
) -> None:
    with ModelRegistry(hostile, tmp_path / "store") as registry:
        for scan in ("first", "second"):
            stats = registry.discover_models()
            found = [(str(one.path), one.code) for one in (*stats.problems, *stats.passed_over)]
            assert reasons(found, hostile) == expected(hostile), scan
        models = list(registry)
        assert Counter(str(model.health_status) for model in models) == {
            "healthy": 1 + len(ODD_NAMES),
            "unhealthy": 1,
        }
        (sparse,) = [model for model in models if str(model.health_status) == "unhealthy"]
        assert Path(sparse.path).name == "sparse.gguf"
        (twin,) = [model for model in models if len(model.locations) > 1]
        assert {Path(place.folder).name for place in twin.locations} == {"sound", "twin"}
        assert not any("outside" in place.path for model in models for place in model.locations)


def test_the_program_tells_one_reason_for_each_and_no_raw_byte(hostile: Path, program: Run) -> None:
    done = program("scan", "--json", hostile)
    report = done.json()
    found = [(one["path"], one["code"]) for one in report["problems"] + report["passed_over"]]
    assert done.code == 1
    assert reasons(found, hostile) == expected(hostile)
    assert len(report["models"]) == 2 + len(ODD_NAMES)
    shown = program("scan", hostile)
    assert "Traceback" not in done.err + shown.err
    assert not set(shown.out + shown.err) & {"\x1b", "\u202e"}
    assert os.fsdecode(b"\xff\xfe not utf-8") not in shown.out


def test_why_has_a_word_on_each(hostile: Path, tmp_path: Path, program: Run) -> None:
    with ModelRegistry(hostile, tmp_path / "store") as registry:
        for name in sorted(expected(hostile)):
            assert any(one.verdict in {"rejected", "skipped"} for one in registry.why(hostile / name)), name
    done = program("why", hostile / "pipe.gguf")
    assert "pipe" in done.out


class Meddler(ToyFormat):
    """Changes a file of the folder at the very moment when another one is shown."""

    def __init__(self, when: str, change: Callable[[], object]) -> None:
        super().__init__()
        self._when, self._change = when, change

    def modelshelf_detect_format(self, candidate: Candidate) -> object:
        if candidate.reader.name == self._when:
            self._change()
        return super().modelshelf_detect_format(candidate)


def shrink(path: Path) -> None:
    os.truncate(path, 4)


def swap_for_another(path: Path) -> None:
    write_toy(path.with_name("new"), parameters=99)
    path.with_name("new").rename(path)


def swap_for_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swap_for_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def swap_for_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def delete(path: Path) -> None:
    path.unlink()


def meddled(folder: Path, when: str, change: Callable[[], object]) -> DiscoveryStats:
    toy = Meddler(when, change)
    with ModelRegistry(folder, folder.parent / "store", plugins=[toy], blocked=BUILTIN_FORMATS) as registry:
        stats = registry.discover_models()
        assert stats.models_found == 2
        assert len(registry) == 2
        return stats


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three models in one folder; the second is the one that is meddled with."""
    for number, name in enumerate("abc"):
        write_toy(tmp_path / "tree" / f"{name}.toy", parameters=number)
    return tmp_path / "tree"


CHANGES = [shrink, swap_for_another, swap_for_a_pipe, swap_for_a_link, swap_for_a_folder, delete]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_after_it_was_listed_is_named_once(
    three: Path, change: Callable[[Path], object]
) -> None:
    victim = three / "b.toy"
    stats = meddled(three, "a.toy", lambda: change(victim))
    assert [one.path for one in stats.problems] == [str(victim)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_named_once(
    three: Path, change: Callable[[Path], object]
) -> None:
    victim = three / "b.toy"
    stats = meddled(three, "b.toy", lambda: change(victim))
    assert [(one.path, one.code) for one in stats.problems] == [(str(victim), "changed-while-read")]


def test_a_file_that_changes_during_the_programs_scan_is_named_once(
    tmp_path: Path, program: Run, site: Path
) -> None:
    source = """
        import os

        def modelshelf_detect_format(candidate):
            if candidate.artifact.folder.endswith("victim") and candidate.size > 100:
                os.truncate(candidate.artifact.path, 100)
        """
    write_distribution(site, "meddler", source)
    for name in ("sound", "victim"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        shutil.copy(SOUND, tmp_path / "tree" / name / "model.gguf")
    done = program("scan", "--json", tmp_path / "tree", site=site)
    report = done.json()
    assert [Path(one["path"]).parent.name for one in report["problems"]] == ["victim"]
    assert [Path(one["path"]).parent.name for one in report["models"]] == ["sound"]


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder with files and a folder that may not be opened, beside a sound model."""
    tree = tmp_path / "tree"
    (tree / "open").mkdir(parents=True)
    shutil.copy(SOUND, tree / "open" / "model.gguf")
    for name in ("closed.gguf", "closed.pt"):
        shutil.copy(SOUND, tree / name)
        (tree / name).chmod(0)
    (tree / "shut").mkdir()
    shutil.copy(SOUND, tree / "shut" / "model.gguf")
    (tree / "shut").chmod(0)
    yield tree
    (tree / "shut").chmod(0o700)


CLOSED = {"closed.gguf": ["unreadable"], "closed.pt": ["unreadable"], "shut": ["unreadable-folder"]}

SCAN = """
import json, sys
from modelshelf import ModelRegistry
with ModelRegistry(sys.argv[1], sys.argv[2]) as registry:
    stats = registry.discover_models()
    problems = [{"path": one.path, "code": one.code} for one in stats.problems]
    print(json.dumps({"problems": problems, "models": [{"path": one.path} for one in registry]}))
"""


@pytest.mark.parametrize(
    "line", [["-c", SCAN], ["-m", "modelshelf", "scan", "--json"]], ids=["library", "program"]
)
def test_what_may_not_be_opened_is_named_once_and_the_rest_is_found(
    locked: Path, tmp_path: Path, line: list[str]
) -> None:
    rights = "-dac_override,-dac_read_search"  # by which root may open everything
    without = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    if without and shutil.which("setpriv") is None:
        pytest.skip("root may open everything, and setpriv is not there to take that away")
    store = tmp_path / "store"
    done = subprocess.run(
        [*without, sys.executable, *line, locked, *([store] if line[0] == "-c" else [])],
        env={**os.environ, "MODELSHELF_STORE": str(store)},
        capture_output=True,
        check=False,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    found = [(one["path"], one["code"]) for one in report["problems"]]
    assert reasons(found, locked) == CLOSED
    assert [Path(one["path"]).parent.name for one in report["models"]] == ["open"]


@pytest.fixture
def crowd() -> Iterator[Path]:
    """One folder of very many entries, a few of them models; in memory where the system has such a place."""
    memory = "/dev/shm"  # noqa: S108 - a folder of its own is made there
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        for number in range(ENTRIES):
            os.mknod(f"{made}/{number:06}.txt")
        for number in range(5):
            write_toy(Path(made) / f"{number * 20_000:06}.toy", parameters=number)
        yield Path(made)


def test_a_folder_of_very_many_entries_is_scanned_whole(crowd: Path, tmp_path: Path) -> None:
    with ModelRegistry(crowd, tmp_path / "store", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS) as registry:
        stats = registry.discover_models()
        assert (stats.models_found, stats.errors, stats.total_scanned) == (5, 0, 1)
