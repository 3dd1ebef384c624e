"""Kills a process that commits, again and again, and holds the store to what it acknowledged.

What the store holds follows from the number of commits alone: after N of them it has to be exactly what the
first N make, with N at least the last one acknowledged, and at most the one that was under way then.

Run as ``python -m tests.plugins.modelshelf_lmdb.kills FOLDER [--kills 1000] [--commits 100000] [--seed 1]``;
prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from modelshelf.model import Severity
from modelshelf_lmdb.store import LmdbStore

SLOTS = 400  # keys that take turns, so that the store stays small however many commits there are
COUNT = b"count"
WORD = 8


def changes(number: int) -> Iterator[tuple[bytes, bytes | None]]:
    """What the commit of that number sets and deletes: small and large values, a key that comes and goes."""
    yield b"slot/%04d" % (number % SLOTS), b"%d:" % number + bytes([number % 251]) * (20 + number * 37 % 900)
    yield b"late/%04d" % (number % 97), b"%d" % number if number % 3 else None
    if number % 50 == 0:
        yield b"large/%d" % (number % 7), bytes([number % 251]) * (5_000 + number % 30_000)


def expected(count: int) -> dict[bytes, bytes]:
    """What the store holds after the first `count` commits."""
    records: dict[bytes, bytes] = {}
    # Older commits than these are overwritten by later ones in every key.
    for number in range(max(1, count - SLOTS * 2), count + 1):
        for key, value in changes(number):
            if value is None:
                records.pop(key, None)
            else:
                records[key] = value
    if count:
        records[COUNT] = b"%d" % count
    return records


def commit_for_ever(folder: str, acknowledged: int) -> None:
    """Commit one after another, and write each one's number to a descriptor once it is durable."""
    store = LmdbStore.open(folder)

    def work(txn) -> int:
        number = int(txn.get(COUNT) or b"0") + 1
        for key, value in changes(number):
            if value is None:
                txn.delete(key)
            else:
                txn.put(key, value)
        txn.put(COUNT, b"%d" % number)
        return number

    while True:
        os.write(acknowledged, store.update(work).to_bytes(WORD, "little"))


def life(folder: str, commits: int, delay: float) -> int:
    """Let a process commit, kill it some time after so many acknowledgements; the last one that it gave."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            commit_for_ever(folder, writing)
        finally:
            os._exit(1)
    os.close(writing)
    last, rest = 0, b""
    with os.fdopen(reading, "rb", buffering=0) as stream:
        for _ in range(commits):
            last = int.from_bytes(stream.read(WORD), "little")
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        while part := stream.read(1 << 16):
            rest += part
    if status != -signal.SIGKILL:
        raise AssertionError(f"the committing process ended by itself: {status}")
    return int.from_bytes(rest[-WORD:], "little") if rest else last


def survey(folder: str, acknowledged: int) -> tuple[int, list[str]]:
    """How many commits the store holds, and what is wrong with it."""
    store = LmdbStore.open(folder)
    try:
        stored = store.view(lambda state: dict(state.scan()))
        wrong = [str(one) for one in store.check() if one.severity is Severity.ERROR]
    finally:
        store.close()
    count = int(stored.get(COUNT, b"0"))
    if not acknowledged <= count <= acknowledged + 1:
        wrong.append(f"{acknowledged} commits were acknowledged, and {count} are there")
    if stored != expected(count):
        wrong.append(f"the store does not hold what {count} commits make")
    return count, wrong


def run(folder: Path, *, kills: int, commits: int, seed: int) -> dict[str, object]:
    """Kill that many processes over at least that many commits; what came of it."""
    chance = random.Random(seed)  # noqa: S311 - moments, no secrets
    started = time.monotonic()
    total, killed, wrong = 0, 0, []
    while killed < kills or total < commits:
        wanted = chance.randrange(0, 2 * max(commits // kills, 1) + 1)
        last = life(str(folder), wanted, chance.uniform(0, 0.004))
        total, problems = survey(str(folder), max(last, total))
        wrong += [f"after kill {killed}: {one}" for one in problems]
        killed += 1
    seconds = round(time.monotonic() - started, 1)
    return {"kills": killed, "commits": total, "seed": seed, "seconds": seconds, "wrong": wrong}


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a committing process again and again.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = run(options.folder, kills=options.kills, commits=options.commits, seed=options.seed)
    sys.stdout.write(json.dumps(result) + "\n")
    return int(bool(result["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
