"""Run the comparisons, print one table and write it as JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import attrs

import tests.benchmarks
from tests.benchmarks.measure import Comparison, Skipped, Workshop

_COMPARES = "\ndef comparisons("
_HEADINGS = ("case", "ours", "peer", "ratio", "goal", "met")


def topics() -> list[str]:
    """Names of the modules that compare something.

    None is imported for that: in an environment that holds the wheel alone, most lack their peers.
    """
    (folder,) = map(Path, tests.benchmarks.__path__)
    found = (one.name for one in pkgutil.iter_modules([str(folder)]) if not one.ispkg)
    return sorted(name for name in found if _COMPARES in (folder / f"{name}.py").read_text("utf-8"))


def run(names: list[str], workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Every comparison of these topics, one after another; a topic that fails is one line of the table."""
    for name in names:
        try:
            yield from _module(name).comparisons(workshop)
        except Exception as error:  # noqa: BLE001 - the other topics' figures are not lost with it
            yield Skipped(case=name, reason=f"failed: {type(error).__name__}: {error}")


def main() -> int:
    """The command; 0 when every goal that was measured is met."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"all, or some of: {', '.join(topics())}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each median (5)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="below 1 for a quick trial that proves nothing"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where the figures go")
    parser.add_argument("--folder", type=Path, help="where files are made (a temporary folder)")
    given = parser.parse_args()
    unknown = sorted(set(given.topics) - set(topics()))
    if unknown:
        parser.error(f"there is no topic {', '.join(unknown)}; there are {', '.join(topics())}")
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=given.folder) as folder:
        workshop = Workshop(folder=Path(folder), rounds=given.rounds, scale=given.scale)
        results = []
        print(_line(_HEADINGS))
        for one in run(given.topics or topics(), workshop):
            results.append(one)
            print(_row(one), flush=True)
    given.json.write_text(json.dumps([_record(one) for one in results], indent=1) + "\n")
    missed = [one for one in results if isinstance(one, Comparison) and one.met is False]
    print(f"{len(results)} lines, {len(missed)} goals missed; written to {given.json}")
    return 1 if missed else 0


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tests.benchmarks.{name}")


def _row(one: Comparison | Skipped) -> str:
    if isinstance(one, Skipped):
        return f"{one.case:58} not measured: {one.reason}"
    goal = "" if one.goal is None else f"{one.goal:.4g}"
    met = {True: "yes", False: "NO", None: ""}[one.met]
    line = _line(
        (one.case, _figure(one.ours, one.unit), _figure(one.peer, one.unit), f"{one.ratio:.4g}", goal, met)
    )
    return f"{line}  {one.peer_name}{'; ' + one.note if one.note else ''}"


def _line(cells: tuple[str, ...]) -> str:
    widths = (58, 10, 10, 9, 8, 4)
    return " ".join(
        f"{cell:{'<' if not place else '>'}{width}}"
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _figure(value: float, unit: str) -> str:
    if unit == "s":
        for factor, name in ((1, "s"), (1e3, "ms")):
            if value * factor >= 1:
                return f"{value * factor:.3g} {name}"
        return f"{value * 1e6:.3g} µs"
    return f"{value:.4g} {unit}" if unit != "count" else f"{value:g}"


def _record(one: Comparison | Skipped) -> dict[str, object]:
    if isinstance(one, Skipped):
        return attrs.asdict(one)
    return {**attrs.asdict(one), "ratio": one.ratio, "met": one.met}


if __name__ == "__main__":
    sys.exit(main())
