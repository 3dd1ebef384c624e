"""What was read of a store, in memory until the next commit of any process.

A state of the store is never changed in memory: another revision gets another `CachedState`, so that threads
which read at the same time never mix two. No lock is taken, and none can be held across a fork.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from modelshelf.errors import RegistryClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from modelshelf.model import ModelConfig
    from modelshelf.records.summary import Summary
    from modelshelf.store import Snapshot, Store

T = TypeVar("T")

_UNWATCHED: tuple[Sequence[int], int] = ((0,), -1)  # never equal: the store is asked each time


class CachedState:
    """What was read of one state of the store.

    Attributes:
        revision: The state's revision; None before anything was read.
        word: Its first item is `beat` as long as no commit followed; see `Store.watch`.
        beat: That number.
        models: Id or alias to the record that it stands for.
        versions: Id and version to their record.
        queried: Whether a query picked out its summaries, without all of them being kept.
        summaries: The summaries of every model's current version, sorted by id, or None.
        listings: The texts of `to_json`, strict or not.
    """

    __slots__ = ("beat", "listings", "models", "queried", "revision", "summaries", "versions", "word")

    def __init__(self, revision: int | None, watch: tuple[Sequence[int], int] = _UNWATCHED) -> None:
        self.revision = revision
        self.word, self.beat = watch
        self.models: dict[str, ModelConfig] = {}
        self.versions: dict[tuple[str, str], ModelConfig] = {}
        self.queried = False
        self.summaries: list[Summary] | None = None
        self.listings: dict[bool, str] = {}


class CachedStore:
    """An open store, and the cache of its newest state.

    Only what is there is cached: ids that nobody registered cost no memory, however many are asked for.

    Attributes:
        newest: The cache of the newest state that was read.
    """

    def __init__(self, store: Store) -> None:
        self._store: Store | None = store
        self._watch: Callable[[int], tuple[Sequence[int], int] | None] | None = store.watch
        self.newest = CachedState(None)

    def close(self) -> None:
        """Close the store; twice is fine."""
        if self._store is not None:
            self._store.close()
            self._store, self._watch, self.newest = None, None, CachedState(None)

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            RegistryClosedError: It was closed.
        """
        if self._store is None:
            raise RegistryClosedError("the registry is closed; open a new ModelRegistry")
        return self._store

    def current(self) -> CachedState:
        """The cache of the state that the store is in now."""
        return self._at(self.store.revision())

    def read(self, look: Callable[[Snapshot], T]) -> tuple[CachedState, T]:
        """Read what is to be cached, and give the cache that it belongs into.

        The store may report a revision a moment before views see it: the cache goes by the revision that was
        read, or an old state would pass for the newest one.
        """
        revision, found = self.store.view(lambda state: (state.revision, look(state)))
        return self._at(revision), found

    def _at(self, revision: int) -> CachedState:
        state = self.newest
        if revision != state.revision:
            watch = None if self._watch is None else self._watch(revision)
            state = self.newest = CachedState(revision, watch or _UNWATCHED)
        return state


_pauses: list[None] = []  # one for each thread that has the collector paused


@contextmanager
def collector_paused() -> Iterator[None]:
    """Leave out the search for garbage in what is decoded here.

    All of it is kept, and looking through 100,000 summaries over and over takes longer than decoding them. A
    thread that comes in meanwhile finds the collector paused, or ends the pause early; both are fine.
    """
    paused = gc.isenabled()
    if paused:
        _pauses.append(None)
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
            if _pauses:  # a child that was forked in here has ended them all
                _pauses.pop()


def _resume_collector() -> None:
    """End the pauses of threads that a forked child does not have."""
    if _pauses:
        _pauses.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_resume_collector)
