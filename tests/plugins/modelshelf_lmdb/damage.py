"""Looks at many damaged copies of a store, each in a process of its own, as the registry would.

Run as ``python -m tests.plugins.modelshelf_lmdb.damage SOUND_FOLDER KIND COUNT SEED``; prints a line of JSON
with the number of each outcome: ``same`` (nothing that counts was hit), ``named`` (a `DamagedStoreError`),
``wrong`` (another answer than the sound store's, without an error), or how the process ended.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from modelshelf.errors import DamagedStoreError, StoreError
from modelshelf.records.frame import decode_value, encode_value
from modelshelf_lmdb.store import LmdbStore

PAGE = 4096
SAME, NAMED, WRONG, REFUSED = 0, 1, 2, 3
OUTCOMES = {SAME: "same", NAMED: "named", WRONG: "wrong", REFUSED: "refused"}


def make_sound(folder: Path, models: int = 900) -> None:
    """A store as it looks after a while: several tables, large values, deletions, free pages."""
    chance = random.Random(5)  # noqa: S311 - data, no secrets
    store = LmdbStore.open(str(folder))
    for begin in range(0, models, 150):

        def work(txn, begin=begin):
            for number in range(begin, begin + 150):
                size = 9000 if number % 83 == 0 else 200 + number % 300
                for key in (b"m\0model-%06d" % number, b"l\0/srv/%06d" % number):
                    txn.put(key, encode_value(key, chance.randbytes(size if key[:1] == b"m" else 40)))

        store.update(work)
    store.update(lambda txn: [txn.delete(b"m\0model-%06d" % number) for number in range(0, models, 7)])
    store.close()


def damaged(data: bytes, kind: str, chance: random.Random) -> bytes:
    """The file's bytes with one damage of a kind."""
    broken = bytearray(data)
    page = chance.randrange(len(data) // PAGE) * PAGE
    if kind == "flip":
        broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "flip-in-a-key":
        keys = [one.start() for one in re.finditer(rb"m\0model-|l\0/srv/", data)]
        broken[chance.choice(keys) + chance.randrange(14)] ^= 1 << chance.randrange(8)
    elif kind == "flip-in-a-header":
        broken[page + chance.randrange(64)] ^= 1 << chance.randrange(8)
    elif kind == "flip-in-meta":
        broken[chance.choice((0, PAGE)) + chance.randrange(152)] ^= 1 << chance.randrange(8)
    elif kind == "zeroed-page":
        broken[page : page + PAGE] = bytes(PAGE)
    elif kind == "random-page":
        broken[page : page + PAGE] = chance.randbytes(PAGE)
    elif kind == "torn-page":
        other = chance.randrange(len(data) // PAGE) * PAGE
        broken[page + PAGE // 2 : page + PAGE] = data[other + PAGE // 2 : other + PAGE]
    elif kind == "swapped-page":
        other = chance.randrange(len(data) // PAGE) * PAGE
        broken[page : page + PAGE] = data[other : other + PAGE]
    elif kind == "truncated":
        del broken[chance.randrange(len(data)) :]
    else:
        raise ValueError(kind)
    return bytes(broken)


def answers(store: LmdbStore) -> dict[bytes, object]:
    """Everything in the store, opened up; each key asked for by itself too."""

    def read(snapshot):
        found = {}
        for prefix in (b"m\0", b"l\0"):
            for key, value in snapshot.scan(prefix):
                found[key] = decode_value(key, value)
        for key in list(found):
            value = snapshot.get(key)
            if value is None or decode_value(key, value) != found[key]:
                raise DamagedStoreError("a scan and a look-up disagree")
        return found

    return store.view(read)


def answers_by_key(store: LmdbStore, keys: Iterable[bytes]) -> dict[bytes, object]:
    """The values of keys, each asked for by itself; a miss looks at its neighbours, as the registry does."""

    def read(snapshot):
        found = {}
        for key in keys:
            value = snapshot.get(key)
            if value is not None:
                found[key] = decode_value(key, value)
            else:
                for near, content in snapshot.around(key, key + b"\0"):
                    decode_value(near, content)
        return found

    return store.view(read)


def outcome_of(
    folder: str, ask: Callable[[LmdbStore], dict[bytes, object]], expected: dict[bytes, object]
) -> int:
    """Open the store and ask it; the outcome."""
    try:
        return SAME if ask(LmdbStore.open(folder)) == expected else WRONG
    except DamagedStoreError:
        return NAMED
    except StoreError:
        return REFUSED


def batched(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Keys a few at a time, so that a damaged one does not stand for all."""
    remaining = list(keys)
    for first in range(0, len(remaining), 20):
        yield remaining[first : first + 20]


def look(folder: str, expected: dict[bytes, object]) -> int:
    """Read everything, then a few records by their keys, then write; the worst outcome of the reading."""
    outcome = outcome_of(folder, answers, expected)
    if outcome == NAMED:  # that the whole is damaged was noticed; each record alone must not be denied either
        for keys in batched(expected):
            wanted = {key: expected[key] for key in keys}
            if outcome_of(folder, lambda store, keys=keys: answers_by_key(store, keys), wanted) == WRONG:
                return WRONG
    try:
        store = LmdbStore.open(folder)
        for size in (10, 3000):
            for first in range(0, 900, 60):
                store.update(
                    lambda txn, size=size, first=first: [
                        txn.put(b"m\0model-%06d" % number, b"x" * size)
                        if number % 3
                        else txn.delete(b"l\0/srv/%06d" % number)
                        for number in range(first, first + 60)
                    ]
                )
        list(store.check())
        store.close()
    except StoreError:
        pass
    return outcome


def main(sound: str, kind: str, count: int, seed: int) -> None:
    store = LmdbStore.open(sound, readonly=True)
    expected = answers(store)
    store.close()
    data = Path(sound, "data.mdb").read_bytes()
    chance = random.Random(seed)  # noqa: S311 - damage, no secrets
    outcomes: Counter[str] = Counter()
    for _ in range(count):
        broken = damaged(data, kind, chance)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "data.mdb").write_bytes(broken)
            pid = os.fork()
            if pid == 0:
                signal.alarm(30)  # a hang is an end too
                os._exit(look(folder, expected))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        outcomes[OUTCOMES.get(status, f"ended by {status}")] += 1
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    if sys.argv[2] == "make":
        make_sound(Path(sys.argv[1]))
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
