"""Empty environments beside the built wheel, without a network: dependencies are linked from this one."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def once_a_run(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that is made once for all workers of a test run.

    Args:
        factory: The session's.
        name: The folder's name.
        make: Fills it; it is empty then.
    """
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        failed = shared.with_suffix(".failed")
        if not shared.exists():
            shared.mkdir()
            try:
                make(shared)
            except BaseException as error:
                failed.write_text(str(error), encoding="utf-8")
                raise
        assert not failed.exists(), failed.read_text(encoding="utf-8")  # once is enough for a failure too
    return shared


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree with this environment's build backend."""
    before = set(folder.glob("*.whl"))
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source)
    (wheel,) = set(folder.glob("*.whl")) - before
    return wheel


def pip(*arguments: str | Path) -> None:
    """Run pip and show what it says where it fails."""
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


@frozen
class Environment:
    """A virtual environment that holds what is put into it and nothing else."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, requirements: Iterable[str]) -> Environment:
        """An environment with these distributions and all that they require, linked from this one."""
        venv.EnvBuilder(symlinks=True).create(folder)
        made = cls(folder)
        for name in sorted(_required(requirements)):
            made.link(name)
        return made

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        (site,) = (self.folder / "lib").glob("python*/site-packages")
        return site

    def link(self, name: str) -> None:
        """Make one distribution of this environment importable there."""
        for entry in sorted(_entries(name)):
            link = self.site / entry.name
            if not link.exists():
                link.symlink_to(entry)

    def install(self, *wheels: Path) -> None:
        pip("--python", self.python, "install", "--no-deps", "--no-index", "--no-compile", *wheels)

    def uninstall(self, name: str) -> None:
        pip("--python", self.python, "uninstall", "--yes", name)

    def run(
        self, *line: str | Path, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, with its ``bin`` first on the path and a home of its own."""
        program = self.folder / "bin" / str(line[0])
        if not program.exists():
            program = Path(str(shutil.which(str(line[0]))))
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MODELSHELF_", "PYTEST_", "PYTHON", "XDG_", "COV_"))
        }
        clean |= {
            "HOME": str(home),
            "VIRTUAL_ENV": str(self.folder),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "MODELSHELF_STORE": str(self.folder / "records"),
            **(env or {}),
        }
        return subprocess.run(
            [program, *line[1:]], cwd=cwd, env=clean, capture_output=True, text=True, timeout=120, check=False
        )

    def json(self, *line: str | Path, cwd: Path) -> Any:
        """What a program writes, read as JSON; the program must succeed."""
        done = self.run(*line, cwd=cwd)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)


def _entries(name: str) -> set[Path]:
    """The files and folders of a distribution that lie directly in site-packages."""
    one = distribution(name)
    parts = {path.parts[0] for path in one.files or () if path.parts[0] not in {"..", "__pycache__"}}
    return {Path(str(one.locate_file(part))) for part in parts}


def _required(names: Iterable[str]) -> set[str]:
    """Distributions by name, with all that they require, of those that are installed here."""
    from packaging.requirements import Requirement

    waiting, found = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for text in distribution(name).requires or ():
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                waiting.append(one.name)
    return found


def modelshelf_requirements() -> Iterator[str]:
    """What Modelshelf itself requires."""
    for text in distribution("modelshelf").requires or ():
        if "extra ==" not in text:
            name = _NAME.match(text)
            assert name is not None
            yield name[0]
