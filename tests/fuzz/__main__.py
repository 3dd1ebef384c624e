"""Read mutated files of one format in great numbers, and count what came of them."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.fuzz import campaign, differential, reference, seeds
from tests.fuzz.campaign import Plan
from tests.fuzz.formats import NAMES, Cases
from tests.fuzz.judge import Judge


def main() -> int:
    """The command; 0 when no case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("format", choices=(*NAMES, *differential.KINDS))
    parser.add_argument("--count", type=int, default=100_000, help="how many cases (100000)")
    parser.add_argument("--start", type=int, default=0, help="the first case's number (0)")
    parser.add_argument("--jobs", type=int, default=1, help="how many processes (1)")
    parser.add_argument(
        "--reference", action="store_true", help="what is healthy must load in the format's own library"
    )
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where everything is written")
    parser.add_argument("--json", type=Path, help="the result; a run that stopped goes on from it")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="one case alone, its files written")
    given = parser.parse_args()
    if given.format in differential.KINDS:
        return _differential(given)
    made = seeds.kept(given.format)
    plan = Plan(
        format=given.format,
        seeds=made,
        start=given.start,
        count=given.count,
        judged=given.reference,
        folder=given.folder,
    )
    if given.replay is not None:
        return _replay(plan, given.replay)
    result = given.json or given.folder / f"{given.format}{'-reference' if given.reference else ''}.json"
    counted = campaign.run(plan, given.jobs, result, lambda text: print(text, flush=True))
    for one in counted.failures[:20]:
        print(f"{one.kind}: case {one.number}: {one.message}")
    print(f"{len(counted.failures)} failures are listed in {result}, their files lie below {given.folder}")
    return 1 if counted.failures else 0


def _differential(given: argparse.Namespace) -> int:
    if given.replay is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        path = given.folder / f"{given.format}-{given.replay}"
        path.write_bytes(differential.KINDS[given.format]().case(given.replay))
        print(f"written to {path}")
        return 0
    failures, counts = 0, Counter[str]()
    numbers = range(given.start, given.start + given.count)
    for one in differential.run_blocks(given.format, numbers, given.jobs):
        counts += one.counts
        failures += len(one.failures)
        print(
            f"{counts['total']} of {given.count}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
        )
        for number, how in one.failures[:20]:
            print(f"case {number}: {how}", flush=True)
    return 1 if failures else 0


def _replay(plan: Plan, number: int) -> int:
    case = Cases(plan.format, plan.seeds)[number]
    print(f"written to {campaign.write_case(plan.folder or Path(), plan.format, number, case)}")
    verdict = Judge(companions=plan.format == "companions").verdict(case)
    print(f"{verdict.format}: {verdict.status} {', '.join(verdict.codes)} in {verdict.seconds * 1000:.1f} ms")
    for exception in verdict.exceptions:
        print(f"exception: {exception}")
    if verdict.status == "healthy":
        fault = reference.fault_of(case, str(verdict.format))
        print(f"the real loader: {fault or 'takes it, or there is none'}")
    return 1 if verdict.exceptions else 0


if __name__ == "__main__":
    sys.exit(main())
