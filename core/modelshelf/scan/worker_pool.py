"""Batches of changed artifacts are examined here or in other processes; results come back in their order."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

from modelshelf.model import Artifact, Depth, Problem
from modelshelf.model.failure import PluginFailure
from modelshelf.plugin.limit import HookTimer
from modelshelf.plugin.report import describe
from modelshelf.plugin.spec import HOOK_SECONDS
from modelshelf.scan.examine import Examination, Examiner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Executor, Future

BATCH = 32
"""The most artifacts in one call."""

_COMMIT = 512  # artifacts in one commit: each costs a flush of the disk, and looking over pages once more
_COMMIT_SECONDS = 0.5  # that examined ones wait for others at the most; so much work a killed scan may lose

_HEAVY_BATCH = 64 << 20  # bytes of weights, of each file no more than a large header's
_LARGE_HEADER = 8 << 20

_WORTH_A_POOL = 128  # changed artifacts; fewer are read before a second interpreter has started

_CALLS_IN_A_LIMIT = 4
"""Hooks that may run to their own time limit before the whole worker is taken for stuck and ended."""

Examined = list[tuple[Artifact, Examination]]


def batched(artifacts: Iterable[Artifact]) -> Iterator[list[Artifact]]:
    """Artifacts for one call each: many small ones, or a few whose headers may be large."""
    batch: list[Artifact] = []
    weight = 0
    for artifact in artifacts:
        batch.append(artifact)
        weight += sum(min(one.size, _LARGE_HEADER) for one in artifact.files)
        if len(batch) >= BATCH or weight >= _HEAVY_BATCH:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def gathered(parts: Iterable[Examined]) -> Iterator[Examined]:
    """What is examined, for one commit each: as much as comes together in a short while."""
    held: Examined = []
    due = time.monotonic() + _COMMIT_SECONDS
    for part in parts:
        held += part
        if len(held) >= _COMMIT or time.monotonic() >= due:
            yield held
            held = []
            due = time.monotonic() + _COMMIT_SECONDS
    if held:
        yield held


def examined_here(examiner: Examiner, batches: Iterator[list[Artifact]], depth: Depth) -> Iterator[Examined]:
    """Examine each batch in this process."""
    for batch in batches:
        yield [(artifact, examiner.examine(artifact, depth)) for artifact in batch]


def examined_by(
    executor: Executor,
    batches: Iterator[list[Artifact]],
    depth: Depth,
    ahead: int,
    blocked: frozenset[str] = frozenset(),
) -> Iterator[Examined]:
    """Examine batches on an executor, at most `ahead` of them at once, and give them back in order.

    A batch that fails as a whole is tried again one artifact at a time; what fails alone is rejected and
    the failure named.
    """
    waiting: deque[tuple[list[Artifact], Future[bytes]]] = deque()

    def submit(batch: list[Artifact]) -> Future[bytes]:
        return executor.submit(examine_batch, _packed(batch, depth, blocked))

    try:
        for batch in batches:
            waiting.append((batch, submit(batch)))
            if len(waiting) >= ahead:
                yield _finish(*waiting.popleft(), submit)
        while waiting:
            yield _finish(*waiting.popleft(), submit)
    finally:
        for _, future in waiting:
            future.cancel()


def _finish(batch: list[Artifact], future: Future[bytes], submit: object) -> Examined:
    from modelshelf.scan.wire import unpack_examinations

    try:
        return list(zip(batch, unpack_examinations(future.result()), strict=True))
    except Exception as error:  # noqa: BLE001 - whatever an executor or a worker's death raises
        if len(batch) == 1:
            return [(batch[0], _failed(batch[0], error))]
    singles = [(one, submit([one])) for one in batch]  # type: ignore[operator]
    return [pair for one, again in singles for pair in _finish([one], again, submit)]


def _failed(artifact: Artifact, error: Exception) -> Examination:
    reason = describe(error)
    failure = PluginFailure(plugin="worker", version=None, hook="examine", reason=reason, path=artifact.path)
    message = f"{artifact.path}: could not be examined: {reason}"
    problem = Problem(code="examination-failed", path=artifact.path, message=message, plugin="worker")
    return Examination(failures=(failure,), rejected=problem)


def _packed(batch: list[Artifact], depth: Depth, blocked: frozenset[str]) -> bytes:
    from modelshelf.scan.wire import pack_artifacts

    return pack_artifacts(batch, depth, blocked, HOOK_SECONDS)


@lru_cache(maxsize=1)
def _worker(blocked: frozenset[str], hook_seconds: float) -> tuple[Examiner, HookTimer]:
    from modelshelf.plugin.call import PluginSet

    timer = HookTimer(hook_seconds)
    return Examiner.of(PluginSet.discover(blocked=blocked, timer=timer)), timer


def examine_batch(payload: bytes) -> bytes:
    """Examine packed artifacts with this process's own plugins; runs on any executor."""
    from modelshelf.scan.wire import pack_examinations, unpack_artifacts

    artifacts, depth, blocked, hook_seconds = unpack_artifacts(payload)
    examiner, timer = _worker(blocked, hook_seconds)
    with nullcontext() if depth is Depth.FULL else timer:
        return pack_examinations([examiner.examine(one, depth) for one in artifacts])


def fan_out(
    examiner: Examiner,
    batches: Iterator[list[Artifact]],
    depth: Depth,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
) -> Iterator[Examined]:
    """Examine batches wherever that is fastest: on the executor that was given, here, or in worker processes.

    Args:
        workers: Worker processes; None decides by cores and by how much there is to do, 0 and 1 mean here.
    """
    if executor is not None:
        yield from examined_by(
            executor, batches, depth, ahead=2 * (os.cpu_count() or 1) + 2, blocked=examiner.plugins.blocked
        )
        return
    count = (os.cpu_count() or 1) if workers is None else workers
    if count <= 1 or os.name == "nt":
        yield from examined_here(examiner, batches, depth)
        return
    first: list[list[Artifact]] = []
    for batch in batches:
        first.append(batch)
        if workers is not None or sum(map(len, first)) >= _WORTH_A_POOL:
            break
    else:
        yield from examined_here(examiner, iter(first), depth)
        return
    from modelshelf.scan.workers import WorkerPool

    pool = WorkerPool(count, None if depth is Depth.FULL else _CALLS_IN_A_LIMIT * HOOK_SECONDS)
    finished = False
    try:
        yield from examined_by(
            pool, _chain(first, batches), depth, ahead=2 * count, blocked=examiner.plugins.blocked
        )
        finished = True
    finally:
        pool.shutdown(cancel_futures=not finished)


def _chain(first: list[list[Artifact]], rest: Iterator[list[Artifact]]) -> Iterator[list[Artifact]]:
    yield from first
    yield from rest
