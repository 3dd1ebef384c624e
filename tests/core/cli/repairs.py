"""Repairs many damaged copies of a registry's store by the real command, and looks at what came of each.

Run as ``python -m tests.core.cli.repairs FOLDER [--count 100] [--seed 1]``; prints a line of JSON: for each
kind of damage how often the repair left a sound store with every model, and what else came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
from collections import Counter
from pathlib import Path

from modelshelf import ModelRegistry
from modelshelf.cli import main as command
from tests.plugins.modelshelf_lmdb.damage import damaged
from tests.vendor_models import VENDORED

KINDS = (
    "flip",
    "flip-in-a-header",
    "flip-in-meta",
    "zeroed-page",
    "random-page",
    "torn-page",
    "swapped-page",
    "truncated",
)
MODELS = 60


def make(folder: Path) -> None:
    """Distinct small models, and a store in which each has a name by hand."""
    data = bytearray(next(VENDORED.rglob("*.gguf")).read_bytes())
    for number in range(MODELS):
        data[-1] = number
        place = folder / "models" / f"model-{number:02}"
        place.mkdir(parents=True)
        (place / "weights.gguf").write_bytes(data)
    with ModelRegistry(folder / "models", folder / "sound") as registry:
        registry.discover_models(workers=1)
        for number in range(MODELS):
            registry.update(f"model-{number:02}", display_name=f"Name {number}")


def run(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process: exit code, and standard output and error together."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = command([*arguments])
    output.flush()
    return code, output.buffer.getvalue().decode()  # type: ignore[attr-defined]


def repaired(store: Path) -> tuple[str, int]:
    """What came of a repair, and how many of the names set by hand are there after it."""
    before, _ = run("--store", str(store), "doctor")
    code, output = run("--store", str(store), "doctor", "--repair")
    if code not in {0, 1}:
        return f"ended with {code}: {output}", 0
    if run("--store", str(store), "doctor")[0] != 0:
        return f"is not sound after: {output}", 0
    with ModelRegistry(metadata_path=store) as registry:
        names = [one.display_name for one in registry]
    kept = sum(name.startswith("Name ") for name in names)
    if len(names) != MODELS:
        return f"{len(names)} models", kept
    return "sound before" if before == 0 else "mended", kept


def main() -> int:
    parser = argparse.ArgumentParser(description="Repair many damaged stores.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    make(options.folder)
    os.environ["MODELSHELF_PATHS"] = str(options.folder / "models")
    sound = (options.folder / "sound" / "data.mdb").read_bytes()
    chance = random.Random(options.seed)  # noqa: S311 - damage, no secrets
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    names = 0
    for number in range(options.count):
        kind = KINDS[number % len(KINDS)]
        store = options.folder / "store"
        store.mkdir(mode=0o700)
        (store / "data.mdb").write_bytes(damaged(sound, kind, chance))
        (store / "data.mdb").chmod(0o600)
        outcome, kept = repaired(store)
        outcomes[kind][outcome] += 1
        names += kept
        shutil.rmtree(store)
    report = {"outcomes": outcomes, "names kept": names, "of": MODELS * options.count}
    sys.stdout.write(json.dumps(report) + "\n")
    return int(any(set(one) - {"mended", "sound before"} for one in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
