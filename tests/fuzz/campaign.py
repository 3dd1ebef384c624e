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
from tests.fuzz.counts import MOST_MEGABYTES, MOST_SECONDS, Counts, megabytes
from tests.fuzz.formats import Case, Cases
from tests.fuzz.judge import Judge, Verdict
from tests.fuzz.seeds import Seed, digest

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

    def run(self, begin: int, end: int) -> Counts:
        """The counted of the cases with these numbers, the last not included."""
        counted = Counts(base=self._base)
        started = time.process_time()
        for number in range(begin, end):
            self._one(number, counted)
        counted.seconds = time.process_time() - started
        counted.peak = megabytes()
        return counted

    def _one(self, number: int, counted: Counts) -> None:
        case = self._cases[number]
        verdict = self._judge.verdict(case)
        counted.counts["total"] += 1
        counted.counts[verdict.status] += 1
        counted.codes[verdict.codes[0] if verdict.codes else "-"] += 1
        counted.longest = max(counted.longest, (verdict.seconds, number))
        failed = len(counted.failures)
        if verdict.exceptions:
            counted.fail(number, "exception", "; ".join(verdict.exceptions))
        if verdict.seconds > MOST_SECONDS:
            counted.fail(number, "slow", f"{verdict.seconds:.2f} s")
        if number % _BETWEEN == 0 and (peak := megabytes()) > self._allowed:
            self._allowed = peak + 10
            counted.fail(number, "memory", f"{peak:.0f} MB, at this case or one of the {_BETWEEN} before it")
        if self._plan.judged and verdict.status == "healthy":
            self._compare(number, case, verdict, counted)
        if len(counted.failures) > failed and self._plan.folder is not None and self._written < _MOST_WRITTEN:
            self._written += 1
            write_case(self._plan.folder, self._plan.format, number, case)

    def _compare(self, number: int, case: Case, verdict: Verdict, counted: Counts) -> None:
        counted.counts["judged"] += 1
        fault = reference.fault_of(case, str(verdict.format))
        if fault is not None:
            counted.fail(number, "refused", fault)


def write_case(folder: Path, format: str, number: int, case: Case) -> Path:
    """Write a case's files into a folder of its own; give that folder."""
    place = folder / f"{format}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    (place / case.name).write_bytes(case.content)
    for name, content, _ in case.beside:
        (place / name).write_bytes(content)
    return place


def run(plan: Plan, jobs: int, result: Path, report: Callable[[str], None]) -> Counts:
    """Run a plan, go on where the result file stops, and keep that file up to date."""
    counted, begin = _resumed(plan, result)
    last = plan.start + plan.count
    for end, one in _blocks(plan, jobs, begin):
        counted.add(one)
        if (end - plan.start) % 100_000 < BLOCK or end == last:
            _keep(plan, result, counted, end)
            report(f"{end - plan.start} of {plan.count}: {line(counted)}")
    return counted


def line(counted: Counts) -> str:
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
    counts = ", ".join(f"{counted.counts[name]} {name}" for name in names)
    seconds, number = counted.longest
    return (
        f"{counts}; {counted.rate:.0f} a processor second, "
        f"the longest {seconds * 1000:.0f} ms (case {number}); "
        f"peak {counted.peak:.0f} MB, {counted.base:.0f} MB before the first"
    )


def _blocks(plan: Plan, jobs: int, begin: int) -> Iterator[tuple[int, Counts]]:
    """The end and the counted of each block, in order; the processes are a few blocks ahead."""
    last = plan.start + plan.count
    starts = iter(range(begin, last, BLOCK))
    # A fresh interpreter for each process: what the parent imported would count as its memory.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (plan,)) as pool:
        waiting: deque[tuple[int, Future[Counts]]] = deque()
        for at in starts:
            end = min(at + BLOCK, last)
            waiting.append((end, pool.submit(_run_block, at, end)))
            if len(waiting) > 2 * jobs:
                yield _taken(waiting)
        while waiting:
            yield _taken(waiting)


def _taken(waiting: deque[tuple[int, Future[Counts]]]) -> tuple[int, Counts]:
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


def _run_block(begin: int, end: int) -> Counts:
    return _runners[0].run(begin, end)


def _resumed(plan: Plan, result: Path) -> tuple[Counts, int]:
    try:
        document = json.loads(result.read_text())
    except FileNotFoundError:
        return Counts(), plan.start
    if document["plan"] != plan.key:
        raise SystemExit(
            f"{result} is of another run ({document['plan']}): remove it, or name another with --json"
        )
    return Counts.of(document), int(document["next"])


def _keep(plan: Plan, result: Path, counted: Counts, end: int) -> None:
    document = {
        "plan": plan.key,
        "next": end,
        "per_processor_second": round(counted.rate),
        **counted.as_json(),
    }
    result.parent.mkdir(parents=True, exist_ok=True)
    unfinished = result.with_suffix(".tmp")
    unfinished.write_text(json.dumps(document, indent=1) + "\n")
    os.replace(unfinished, result)
