"""Short commands as whole processes: against an empty Python, and against `hf cache ls`."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib.metadata import distribution
from pathlib import Path

from attrs import field, frozen

from modelshelf import ModelRegistry
from tests.benchmarks.measure import Comparison, Skipped, Workshop, run_process, side_by_side
from tests.benchmarks.registry import fill, model

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_EMPTY = "python -c pass"
_REPOSITORY = (  # what a repository of a language model usually holds
    ".gitattributes",
    "README.md",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
_OPENED_ALIKE = 1.2  # as much as two medians of the same differ on a busy machine


@frozen
class _Run:
    """A program with its arguments, and the environment that it needs beside the usual."""

    line: Sequence[str]
    environment: dict[str, str] = field(factory=dict)


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Goals: `ls`, `--help` and completion against an empty Python; opening, whatever the registry holds."""
    program = Path(sys.executable).with_name("modelshelf")
    if not program.exists():
        yield Skipped(case="start-up", reason=f"{program} is not there: modelshelf is not installed")
        return
    thousand = workshop.scaled(1000)
    store = fill(workshop.room("startup") / f"of-{thousand}", thousand)
    home = {"HOME": str(workshop.room("startup-home")), "MODELSHELF_STORE": str(store)}
    listing = _Run((str(program), "ls"), home)
    yield from _against_nothing(workshop, program, listing, home, thousand)
    yield from _against_hugging_face(workshop, listing, thousand)
    yield from _opening(workshop)


def _against_nothing(
    workshop: Workshop, program: Path, listing: _Run, home: dict[str, str], thousand: int
) -> Iterator[Comparison]:
    runs = {
        "nothing": _Run((sys.executable, "-c", "pass"), home),
        "ls": listing,
        "help": _Run((str(program), "--help"), home),
        "command": _Run((str(program),), {**home, **_completing("modelshelf sc", 1)}),
        "id": _Run((str(program),), {**home, **_completing("modelshelf show org-1/", 2)}),
    }
    taken = _medians(runs, max(workshop.rounds, 11))
    output = {
        "ls": (f"modelshelf ls of {thousand} models", 10),
        "help": ("modelshelf --help", 7),
        "command": ("completion of a command", 7),
        "id": (f"completion of an id among {thousand}", 7),
    }
    for name, (case, goal) in output.items():
        yield Comparison(
            case=case,
            ours=taken[name],
            peer=taken["nothing"],
            peer_name=_EMPTY,
            goal=goal,
            note=f"processor time of the process; {_installed()}",
        )


def _completing(words: str, place: int) -> dict[str, str]:
    return {"_MODELSHELF_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(place)}


def _installed() -> str:
    """How modelshelf is installed here: an editable install adds to every start, Python's own too."""
    origin = distribution("modelshelf").read_text("direct_url.json") or ""
    return "editable install" if '"editable": true' in origin else "installed wheel"


def _against_hugging_face(workshop: Workshop, listing: _Run, thousand: int) -> Iterator[Comparison | Skipped]:
    case = f"modelshelf ls of {thousand} models"
    room = workshop.room("startup-hf")
    venv.create(room / "venv", with_pip=True)
    python = room / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "huggingface_hub"], capture_output=True, text=True, check=False
    )
    program = python.with_name("hf")
    if done.returncode or not program.exists():
        yield Skipped(case=case, reason=f"huggingface_hub cannot be installed: {done.stderr[-200:].strip()}")
        return
    cache = _hub_cache(room / "hub", thousand)
    theirs = _Run((str(program), "cache", "ls"), {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"})
    shown = subprocess.run(
        theirs.line, env={**os.environ, **theirs.environment}, capture_output=True, text=True, check=True
    )
    if shown.stdout.count("org-") < thousand:
        yield Skipped(case=case, reason=f"hf cache ls shows fewer than {thousand} repositories")
        return
    taken = _medians({"ours": listing, "theirs": theirs}, max(workshop.rounds, 5))
    yield Comparison(
        case=case,
        ours=taken["ours"],
        peer=taken["theirs"],
        peer_name=f"hf cache ls of {thousand} repositories",
        goal=1 / 8,
        note=f"huggingface_hub {_version_in(python)}, {len(_REPOSITORY)} files a repository; theirs looks at "
        "the files, ours at the registry",
    )


def _version_in(python: Path) -> str:
    asked = "from importlib.metadata import version; print(version('huggingface_hub'))"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def _hub_cache(folder: Path, count: int) -> Path:
    """A cache of `count` repositories of eight files each, laid out as huggingface_hub lays them out."""
    for number in range(count):
        repository = folder / f"models--{model(number).id.replace('/', '--')}"
        snapshot = repository / "snapshots" / _COMMIT
        for part in (snapshot, repository / "blobs", repository / "refs"):
            part.mkdir(parents=True)
        (repository / "refs" / "main").write_text(_COMMIT)
        for name in _REPOSITORY:
            text = f"{name} of {number}".encode()
            blob = hashlib.sha256(text).hexdigest()
            (repository / "blobs" / blob).write_bytes(text)
            (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
    return folder


def _opening(workshop: Workshop) -> Iterator[Comparison]:
    many = workshop.scaled(100_000)
    large = fill(workshop.room("startup") / f"of-{many}", many)
    small = fill(workshop.room("startup") / "of-10", 10)

    def opened(folder: Path) -> None:
        ModelRegistry(folder, folder, readonly=True).close()

    def asked(folder: Path) -> None:
        with ModelRegistry(folder, folder, readonly=True) as registry:
            assert registry.get(model(7).id) is not None

    for what, run, goal in (("open", opened, _OPENED_ALIKE), ("open and get one model of", asked, None)):
        ours, peer = side_by_side(
            lambda run=run: run(large), lambda run=run: run(small), max(workshop.rounds, 7), repeat=50
        )
        yield Comparison(
            case=f"{what} a registry of {many} models",
            ours=ours,
            peer=peer,
            peer_name="the same of 10 models",
            goal=goal,
            note="in process",
        )


def _medians(runs: dict[str, _Run], rounds: int) -> dict[str, float]:
    """Median processor seconds of each program, run in alternating rounds after one that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            spent = run_process(run.line, environment=run.environment)
            if number:
                taken[name].append(spent.processor_seconds)
    return {name: statistics.median(all_) for name, all_ in taken.items()}
