"""Many cases in several processes: blocks of numbers in order, so that a stopped run can go on."""

from __future__ import annotations

import faulthandler
import json
import logging
import multiprocessing
import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from tests.fuzz import reference
from tests.fuzz.formats import Case, Cases
from tests.fuzz.judge import Judge, Verdict
from tests.fuzz.seeds import Seed, digest
from tests.fuzz.tally import MOST_MEGABYTES, MOST_SECONDS, Tally, megabytes

BLOCK = 5_000  # cases that a process takes at a time
_BETWEEN = 50  # cases between two looks at the memory, which cost a system call
_MOST_WRITTEN = 200  # failing cases of one process


@attrs.frozen(kw_only=True)
class Plan:
    """What is to be run.

    Attributes:
        format: The cases' format, of `tests.fuzz.formats.NAMES`.
        seeds: What the cases are made of.
        start: The first number.
        count: How many numbers.
        judged: Whether the real loader is asked about what is healthy.
        folder: Where failing cases are written, or None.
    """

    format: str
    seeds: tuple[Seed, ...] = attrs.field(repr=False)
    start: int = 0
    count: int = 100_000
    judged: bool = False
    folder: Path | None = None

    @property
    def key(self) -> dict[str, Any]:
        """What two runs have in common that can be joined."""
        return {
            "format": self.format,
            "seeds": digest(self.seeds),
            "start": self.start,
            "reference": self.judged,
        }


class Runner:
    """Reads cases and counts, in one process."""

    def __init__(self, plan: Plan, plugins: Iterable[object] = ()) -> None:
        self._plan = plan
        self._cases = Cases(plan.format, plan.seeds)
        self._judge = Judge(companions=plan.format == "companions", plugins=plugins)
        self._judge.verdict(Case("warm.gguf", b""))
        if plan.judged:
            reference.prepare(plan.format)
        self._written = 0
        self._base = megabytes()
        # A process that holds much before its first case, a test run or torch, is judged by its growth.
        self._allowed = MOST_MEGABYTES + (self._base if self._base > MOST_MEGABYTES / 2 else 0)

    def run(self, begin: int, end: int) -> Tally:
        """The tally of the cases with these numbers, the last not included."""
        tally = Tally(base=self._base)
        started = time.process_time()
        for number in range(begin, end):
            self._one(number, tally)
        tally.seconds = time.process_time() - started
        tally.peak = megabytes()
        return tally

    def _one(self, number: int, tally: Tally) -> None:
        case = self._cases[number]
        verdict = self._judge.verdict(case)
        tally.counts["total"] += 1
        tally.counts[verdict.status] += 1
        tally.codes[verdict.codes[0] if verdict.codes else "-"] += 1
        tally.longest = max(tally.longest, (verdict.seconds, number))
        failed = len(tally.failures)
        if verdict.exceptions:
            tally.fail(number, "exception", "; ".join(verdict.exceptions))
        if verdict.seconds > MOST_SECONDS:
            tally.fail(number, "slow", f"{verdict.seconds:.2f} s")
        if number % _BETWEEN == 0 and (peak := megabytes()) > self._allowed:
            self._allowed = peak + 10
            tally.fail(number, "memory", f"{peak:.0f} MB, at this case or one of the {_BETWEEN} before it")
        if self._plan.judged and verdict.status == "healthy":
            self._compare(number, case, verdict, tally)
        if len(tally.failures) > failed and self._plan.folder is not None and self._written < _MOST_WRITTEN:
            self._written += 1
            write_case(self._plan.folder, self._plan.format, number, case)

    def _compare(self, number: int, case: Case, verdict: Verdict, tally: Tally) -> None:
        tally.counts["judged"] += 1
        fault = reference.fault_of(case, str(verdict.format))
        if fault is not None:
            tally.fail(number, "refused", fault)


def write_case(folder: Path, format: str, number: int, case: Case) -> Path:
    """Write a case's files into a folder of its own; give that folder."""
    place = folder / f"{format}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    (place / case.name).write_bytes(case.content)
    for name, content, _ in case.beside:
        (place / name).write_bytes(content)
    return place


def run(plan: Plan, jobs: int, result: Path, told: Callable[[str], None]) -> Tally:
    """Run a plan, go on where the result file stops, and keep that file up to date."""
    tally, begin = _resumed(plan, result)
    last = plan.start + plan.count
    for end, one in _blocks(plan, jobs, begin):
        tally.add(one)
        if (end - plan.start) % 100_000 < BLOCK or end == last:
            _keep(plan, result, tally, end)
            told(f"{end - plan.start} of {plan.count}: {line(tally)}")
    return tally


def line(tally: Tally) -> str:
    """The counts on one line."""
    names = (
        "healthy",
        "degraded",
        "unhealthy",
        "unclaimed",
        "exception",
        "slow",
        "memory",
        "judged",
        "refused",
    )
    counts = ", ".join(f"{tally.counts[name]} {name}" for name in names)
    seconds, number = tally.longest
    return (
        f"{counts}; {tally.rate:.0f} a processor second, "
        f"the longest {seconds * 1000:.0f} ms (case {number}); "
        f"peak {tally.peak:.0f} MB, {tally.base:.0f} MB before the first"
    )


def _blocks(plan: Plan, jobs: int, begin: int) -> Iterator[tuple[int, Tally]]:
    """The end and the tally of each block, in order; the processes are a few blocks ahead."""
    last = plan.start + plan.count
    starts = iter(range(begin, last, BLOCK))
    # A fresh interpreter for each process: what the parent imported would count as its memory.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (plan,)) as pool:
        waiting: deque[tuple[int, Future[Tally]]] = deque()
        for at in starts:
            end = min(at + BLOCK, last)
            waiting.append((end, pool.submit(_run_block, at, end)))
            if len(waiting) > 2 * jobs:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)


def _taken(waiting: deque[tuple[int, Future[Tally]]]) -> tuple[int, Tally]:
    end, future = waiting.popleft()
    try:
        return end, future.result()
    except Exception as error:
        error.add_note(f"in or near the {BLOCK} cases before number {end}")
        raise


_runners: list[Runner] = []


def _begin(plan: Plan) -> None:
    faulthandler.enable()
    warnings.simplefilter("error")  # a warning would be a line that no plugin means to write
    logging.getLogger("modelshelf").setLevel(logging.CRITICAL)
    _runners.append(Runner(plan))


def _run_block(begin: int, end: int) -> Tally:
    return _runners[0].run(begin, end)


def _resumed(plan: Plan, result: Path) -> tuple[Tally, int]:
    try:
        told = json.loads(result.read_text())
    except FileNotFoundError:
        return Tally(), plan.start
    if told["plan"] != plan.key:
        raise SystemExit(
            f"{result} is of another run ({told['plan']}): remove it, or name another with --json"
        )
    return Tally.of(told), int(told["next"])


def _keep(plan: Plan, result: Path, tally: Tally, end: int) -> None:
    told = {"plan": plan.key, "next": end, "per_processor_second": round(tally.rate), **tally.plain()}
    result.parent.mkdir(parents=True, exist_ok=True)
    unfinished = result.with_suffix(".tmp")
    unfinished.write_text(json.dumps(told, indent=1) + "\n")
    os.replace(unfinished, result)
