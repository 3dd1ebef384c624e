"""A process that commits batches to a store until it is killed, and tells each one after it is durable.

Each batch is two records and a counter, so that a batch that was torn apart would show.
Run as ``python -m tests.plugins.modelshelf_lmdb.commits FOLDER NAME COUNT``; COUNT 0 never ends.
"""

from __future__ import annotations

import sys
from itertools import count

from modelshelf_lmdb.store import LmdbStore


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(folder: str, name: str, limit: int) -> None:
    store = LmdbStore.open(folder)
    tell("ready")
    for number in count():
        if limit and number >= limit:
            break

        def work(txn, number=number):
            total = int(txn.get(b"total") or b"0") + 1
            txn.put(b"total", b"%d" % total)
            for half in (b"left", b"right"):
                txn.put(b"%s/%06d/%s" % (name.encode(), number, half), half * (1 + number % 900))

        store.update(work)
        tell(str(number))
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
