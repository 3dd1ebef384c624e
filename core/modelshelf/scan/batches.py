"""Changed artifacts are examined in batches, here or in other processes; results come back in their order.

The pool of processes, and what encodes the messages to them, are imported where a scan has enough for them to
do.
"""

from __future__ import annotations

import os
import time
from collections import deque
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from modelshelf.model import Artifact, Depth, Problem
from modelshelf.model.failure import PluginFailure
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.limit import HookTimer
from modelshelf.plugin.report import describe
from modelshelf.plugin.spec import HOOK_SECONDS
from modelshelf.scan.examine import Examination, Examiner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

    from modelshelf.plugin.given import PluginSelection
    from modelshelf.scan.messages import WorkerSettings

BATCH = 32
"""The most artifacts in one call."""

_COMMIT = 512  # artifacts in one commit: each costs a flush of the disk, and looking over pages once more
_COMMIT_SECONDS = 0.5  # that examined ones wait for others at the most; so much work a killed scan may lose

_HEAVY_BATCH = 64 << 20  # bytes of weights, of each file no more than a large header's
_LARGE_HEADER = 8 << 20

_WORTH_A_POOL = 128  # changed artifacts; fewer are read before a second interpreter has started

_CALLS_IN_A_LIMIT = 4
"""Hooks that may run to their own time limit before the whole worker is taken for stuck and ended."""

Examined: TypeAlias = list[tuple[Artifact, Examination]]


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
    examined: Examined = []
    due = time.monotonic() + _COMMIT_SECONDS
    for part in parts:
        examined += part
        if len(examined) >= _COMMIT or time.monotonic() >= due:
            yield examined
            examined = []
            due = time.monotonic() + _COMMIT_SECONDS
    if examined:
        yield examined


def examine_batches(
    examiner: Examiner,
    batches: Iterator[list[Artifact]],
    depth: Depth,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
) -> Iterator[Examined]:
    """Examine batches wherever that is fastest: on the executor that was given, here, or in worker processes.

    Args:
        examiner: Examines here; another process makes one of the same plugins. Where a plugin is an object
            of this process alone, everything is examined here.
        batches: The artifacts.
        depth: How deep the probes look.
        executor: Where to examine, or None.
        workers: Worker processes; None decides by cores and by how much there is to do, 0 and 1 mean here.
    """
    plugins = examiner.plugins
    cores = os.cpu_count() or 1
    if plugins.selection is None:
        yield from _examine_here(examiner, batches, depth)
        return
    if executor is not None:
        settings = _settings_for(plugins.selection)
        yield from _reported(plugins, examine_on(executor, batches, depth, settings, ahead=2 * cores + 2))
        return
    count = cores if workers is None else workers
    if count <= 1 or os.name == "nt":
        yield from _examine_here(examiner, batches, depth)
        return
    wanted = _WORTH_A_POOL if workers is None else 1
    first = _first_batches(batches, wanted)
    if sum(map(len, first)) < wanted:
        yield from _examine_here(examiner, first, depth)
        return
    from modelshelf.scan.worker_pool import WorkerPool

    settings = _settings_for(plugins.selection)
    pool = WorkerPool(count, None if depth is Depth.FULL else _CALLS_IN_A_LIMIT * HOOK_SECONDS)
    finished = False
    try:
        parts = examine_on(pool, chain(first, batches), depth, settings, ahead=2 * count)
        yield from _reported(plugins, parts)
        finished = True
    finally:
        pool.shutdown(cancel_futures=not finished)


def _settings_for(selection: PluginSelection) -> WorkerSettings:
    from modelshelf.scan.messages import WorkerSettings

    return WorkerSettings(plugins=selection, hook_seconds=HOOK_SECONDS)


def _reported(plugins: PluginSet, parts: Iterable[Examined]) -> Iterator[Examined]:
    """What was examined elsewhere, after its plugins' failures were put into the reports here."""
    for part in parts:
        for _, examination in part:
            plugins.merge(examination.called_hooks, examination.failures)
        yield part


def _first_batches(batches: Iterator[list[Artifact]], wanted: int) -> list[list[Artifact]]:
    """As many batches as bring together so many artifacts; all of them where there are fewer."""
    first: list[list[Artifact]] = []
    for batch in batches:
        first.append(batch)
        if sum(map(len, first)) >= wanted:
            break
    return first


def _examine_here(examiner: Examiner, batches: Iterable[list[Artifact]], depth: Depth) -> Iterator[Examined]:
    for batch in batches:
        with examiner.plugins.limit():  # not over the yield: what happens there is no hook's time
            examined = [(artifact, examiner.examine(artifact, depth)) for artifact in batch]
        yield examined


def examine_on(
    executor: Executor,
    batches: Iterable[list[Artifact]],
    depth: Depth,
    settings: WorkerSettings,
    *,
    ahead: int,
) -> Iterator[Examined]:
    """Examine batches on an executor, at most `ahead` of them at once, and give them back in order.

    A batch that fails as a whole is tried again one artifact at a time; what fails alone is rejected and
    the failure named.
    """
    from modelshelf.scan.messages import encode_call

    waiting: deque[tuple[list[Artifact], Future[bytes]]] = deque()

    def submit(batch: list[Artifact]) -> Future[bytes]:
        return executor.submit(examine_encoded, encode_call(batch, depth, settings))

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


def _finish(
    batch: list[Artifact], future: Future[bytes], submit: Callable[[list[Artifact]], Future[bytes]]
) -> Examined:
    from modelshelf.scan.messages import decode_answer

    try:
        return list(zip(batch, decode_answer(future.result()), strict=True))
    except Exception as error:  # noqa: BLE001 - whatever an executor or a worker's death raises
        if len(batch) == 1:
            return [(batch[0], _failed(batch[0], error))]
    singles = [([one], submit([one])) for one in batch]
    return [pair for single, again in singles for pair in _finish(single, again, submit)]


def _failed(artifact: Artifact, error: Exception) -> Examination:
    reason = describe(error)
    failure = PluginFailure(plugin="worker", version=None, hook="examine", reason=reason, path=artifact.path)
    message = f"{artifact.path}: could not be examined: {reason}"
    problem = Problem(code="examination-failed", path=artifact.path, message=message, plugin="worker")
    return Examination(failures=(failure,), rejected=problem)


def examine_encoded(call: bytes) -> bytes:
    """Examine the artifacts of an encoded call with this process's own plugins; runs on any executor."""
    from modelshelf.scan.messages import decode_call, encode_answer

    artifacts, depth, settings = decode_call(call)
    examiner, timer = _worker(settings)
    with timer:
        return encode_answer([examiner.examine(one, depth) for one in artifacts])


@lru_cache(maxsize=1)
def _worker(settings: WorkerSettings) -> tuple[Examiner, HookTimer]:
    timer = HookTimer(settings.hook_seconds)
    return Examiner.of(PluginSet.of(settings.plugins, timer)), timer
