"""Measuring two ways of doing one thing side by side: medians of alternating rounds."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import field, frozen

_KILOBYTE = 1024  # what ru_maxrss counts in, on Linux


@frozen(kw_only=True)
class Comparison:
    """One line of the table.

    Attributes:
        case: What was done, and to what.
        ours: Our figure, in `unit`; less is better.
        peer: The other's figure.
        peer_name: Whose it is.
        goal: The highest `ratio` that was promised; None where it is shown for information.
        unit: ``s``, ``MB`` or ``count``.
        note: What a reader must know to trust the line: sizes, hit rates, versions.
    """

    case: str
    ours: float
    peer: float
    peer_name: str
    goal: float | None = None
    unit: str = "s"
    note: str = ""

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.peer if self.peer else float("inf")

    @property
    def met(self) -> bool | None:
        """Whether the goal was met, or None where there is none."""
        return None if self.goal is None else self.ratio <= self.goal


@frozen(kw_only=True)
class Skipped:
    """A comparison that this machine does not allow.

    Attributes:
        case: What would have been compared.
        reason: What is missing.
    """

    case: str
    reason: str


@frozen(kw_only=True)
class Workshop:
    """Where and how thoroughly a run measures.

    Attributes:
        folder: An empty folder for the files that comparisons make; removed after the run.
        rounds: Rounds for each median.
        scale: 1.0 makes the sizes that the goals name; less makes a quick trial whose figures prove nothing.
    """

    folder: Path
    rounds: int = 5
    scale: float = field(default=1.0)

    def room(self, name: str) -> Path:
        """A folder for one comparison's files."""
        made = self.folder / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def scaled(self, count: int) -> int:
        """A count of files, models or variants at this run's scale, at least one."""
        return max(1, round(count * self.scale))


@frozen(kw_only=True)
class Spent:
    """What one process took.

    Attributes:
        seconds: Wall-clock time.
        processor_seconds: User and system time together, of it and of the children that it waited for.
        peak_megabytes: Its largest resident set, in 10**6 bytes.
    """

    seconds: float
    processor_seconds: float
    peak_megabytes: float


def side_by_side(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int = 5, *, repeat: int = 1
) -> tuple[float, float]:
    """Median processor seconds of one call of each, measured in alternating rounds in this process.

    Processor time and not wall-clock: what other processes take from a shared machine falls out.

    Args:
        ours: Our way.
        peer: The other way.
        rounds: Rounds, after one that is not counted.
        repeat: Calls in a round; raise it for what takes less than a millisecond.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, of_one in zip((ours, peer), taken, strict=True):
            gc.collect()
            started = time.process_time()
            for _ in range(repeat):
                work()
            if number:
                of_one.append((time.process_time() - started) / repeat)
    return statistics.median(taken[0]), statistics.median(taken[1])


# A process starts with the resident set of the one that forked it as its peak, so a small one stands between.
_LAUNCHER = """
import json, os, subprocess, sys, time
started = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
seconds = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def run_process(
    line: Sequence[str | os.PathLike[str]], *, environment: dict[str, str] | None = None
) -> Spent:
    """Run a program to its end, its output thrown away.

    Raises:
        RuntimeError: It failed; the message ends in what it said.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(os.fspath, line)],
        capture_output=True,
        env=None if environment is None else {**os.environ, **environment},
        check=False,
    )
    said = done.stderr.decode(errors="backslashreplace")[-2000:]
    if done.returncode:
        raise RuntimeError(f"{line[0]} could not be started: {said}")
    code, seconds, processor_seconds, peak = json.loads(done.stdout)
    if code:
        raise RuntimeError(f"{line[0]} ended with {code}: {said}")
    return Spent(seconds=seconds, processor_seconds=processor_seconds, peak_megabytes=peak * _KILOBYTE / 1e6)


def processes_side_by_side(
    ours: Sequence[str | os.PathLike[str]],
    peer: Sequence[str | os.PathLike[str]],
    rounds: int = 5,
    *,
    environment: dict[str, str] | None = None,
) -> tuple[Spent, Spent]:
    """Medians, figure by figure, of two programs run in alternating rounds, after one not counted."""
    taken: tuple[list[Spent], list[Spent]] = ([], [])
    for number in range(rounds + 1):
        for line, of_one in zip((ours, peer), taken, strict=True):
            spent = run_process(line, environment=environment)
            if number:
                of_one.append(spent)
    return _median(taken[0]), _median(taken[1])


def _median(spent: list[Spent]) -> Spent:
    return Spent(
        seconds=statistics.median(one.seconds for one in spent),
        processor_seconds=statistics.median(one.processor_seconds for one in spent),
        peak_megabytes=statistics.median(one.peak_megabytes for one in spent),
    )
