"""What another process does with a store, for the suite of stores: ``python -m`` this, with its arguments."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from modelshelf.testing.examination import plugin_set

if TYPE_CHECKING:
    from modelshelf.store import Snapshot, Store, Transaction

COUNTER = b"counter"


def open_store(plugin: object, scheme: str, location: str, *, readonly: bool = False) -> Store:
    """Open the store that a plugin offers under a scheme."""
    kinds = plugin_set(plugin).collect("modelshelf_stores")
    store: Store = next(one for one in kinds if one.scheme == scheme).open(location, readonly)
    return store


def counted(state: Snapshot) -> int:
    """The counter's value."""
    return int(state.get(COUNTER) or b"0")


def add_one(state: Transaction) -> None:
    """Raise the counter by one."""
    state.put(COUNTER, str(counted(state) + 1).encode())


def count(store: Store, times: int) -> None:
    """Raise the counter, one update each."""
    for _ in range(times):
        store.update(add_one)


def die(store: Store, _times: int) -> None:
    """Be killed in the middle of an update."""

    def work(state: Transaction) -> None:
        add_one(state)
        state.put(b"half", b"written")
        os.kill(os.getpid(), signal.SIGKILL)

    store.update(work)


def fork(store: Store, _times: int) -> None:
    """Let a forked child read and write, and go on afterwards.

    Raises:
        SystemExit: The child failed, or one of the two does not see the other's commit.
    """
    count(store, 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if store.view(counted) == 1:
                count(store, 1)
                code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status or store.view(counted) != 2:  # noqa: PLR2004 - one by each of the two
        sys.exit("the forked child could not use the store")
    count(store, 1)


TASKS = {"count": count, "die": die, "fork": fork}


def main(module: str, scheme: str, location: str, task: str, times: str) -> None:
    """Open the store that a module offers, say so, and do one task with it when asked to."""
    store = open_store(importlib.import_module(module), scheme, location)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    TASKS[task](store, int(times))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
