"""Small sound files as the real libraries write them, the same bytes every time.

The libraries stay out of the processes that read the cases, whose memory is measured: `kept` makes the files
in a process of its own. ``python -m tests.fuzz.seeds FORMAT FOLDER`` writes them out.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import NamedTuple


class Seed(NamedTuple):
    """A file's name and its bytes."""

    name: str
    content: bytes


def made(format: str) -> tuple[Seed, ...]:
    """Make the seeds of a format here and now, with the libraries."""
    maker = import_module(f"tests.fuzz.seeding.{format}")
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder:
        return tuple(Seed(name, content) for name, content in maker.files(Path(folder)))


def kept(format: str) -> tuple[Seed, ...]:
    """Make the seeds of a format in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="seeds-") as folder:
        subprocess.run([sys.executable, "-m", "tests.fuzz.seeds", format, folder], check=True)
        return tuple(
            Seed(path.name.partition("-")[2], path.read_bytes()) for path in sorted(Path(folder).iterdir())
        )


def digest(seeds: tuple[Seed, ...]) -> str:
    """What tells these seeds from others: a case's number means something with them alone."""
    hashed = hashlib.blake2b(digest_size=8)
    for one in seeds:
        hashed.update(f"{one.name} {len(one.content)} ".encode() + one.content)
    return hashed.hexdigest()


def write(format: str, folder: Path) -> None:
    """Write the seeds of a format into a folder, numbered in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(made(format)):
        (folder / f"{number:03}-{one.name}").write_bytes(one.content)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
