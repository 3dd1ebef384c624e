"""The reading half of the registry: look-ups in memory, guarded by the store's revision.

A listing loads neither the values of `modelshelf.model` nor what reads a record whole: those are built with
attrs, which takes longer to load than a listing of a thousand models to make.
"""

from __future__ import annotations

import gc
import time
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Self, TypeVar

from modelshelf.errors import InvalidValueError, RegistryClosedError
from modelshelf.records import query as selection
from modelshelf.records.read import RecordReader
from modelshelf.records.summary import current_version
from modelshelf.records.tables import pin_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from modelshelf.model import HealthStatus, ModelConfig, ModelVersion, Query
    from modelshelf.records.summary import OnDamage, Summary
    from modelshelf.store import Snapshot, Store

T = TypeVar("T")

_HEALTHY = "healthy"  # HealthStatus.HEALTHY, as summaries have it
_LONGEST_KEPT = 1 << 23  # characters of a listing that is kept for the next who asks
_UNWATCHED: tuple[Sequence[int], int] = ((0,), -1)  # never equal: the store is asked each time


class _Remembered:
    """What is remembered of one state of the store.

    Another state gets another one, so that threads which read at the same time never mix two.

    Attributes:
        revision: The state's revision; None before anything was read.
        word: Its first item is `beat` as long as no commit followed; see `Store.watch`.
        beat: That number.
        models: Id or alias to what `get` found.
        queried: Whether a query picked out its summaries, without them all being remembered.
        summaries: What `summaries` gives, or None.
        listings: What `to_json` gave, strict or not.
    """

    __slots__ = ("beat", "listings", "models", "queried", "revision", "summaries", "word")

    def __init__(self, revision: int | None, watch: tuple[Sequence[int], int] = _UNWATCHED) -> None:
        self.revision = revision
        self.word, self.beat = watch
        self.models: dict[str, ModelConfig | None] = {}
        self.queried = False
        self.summaries: list[Summary] | None = None
        self.listings: dict[bool, str] = {}


class ModelLookup:
    """Answers questions about the models in a store; what another process commits, the next call sees.

    Attributes:
        on_damage: Told of each record that a listing leaves out because it is damaged. Without it a listing
            raises a `DamagedStoreError`, as every look at a damaged record does.
    """

    on_damage: OnDamage | None = None

    def __init__(self, store: Store) -> None:
        self._store: Store | None = store
        self._watch: Callable[[int], tuple[Sequence[int], int] | None] | None = getattr(store, "watch", None)
        self._remembered = _Remembered(None)

    def close(self) -> None:
        """Let go of the store; twice is fine."""
        if self._store is not None:
            self._store.close()
            self._store, self._watch, self._remembered = None, None, _Remembered(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            RegistryClosedError: The registry is closed.
        """
        if self._store is None:
            raise RegistryClosedError("the registry is closed; open a new ModelRegistry")
        return self._store

    def get(self, model_id: str) -> ModelConfig | None:
        """The model of that id or alias: its pinned version, else its newest that is not missing; or None."""
        remembered = self._remembered
        try:
            if remembered.word[0] == remembered.beat:
                return remembered.models[model_id]
        except (KeyError, ValueError):  # not read yet; or the store let go of the memory that is watched
            return self._look_up(model_id)
        return self._look_up(model_id)

    def _look_up(self, model_id: str) -> ModelConfig | None:
        remembered = self._of_now()
        if model_id not in remembered.models:
            remembered, found = self._read(lambda state: _records(state).current(model_id))
            remembered.models[model_id] = found
        return remembered.models[model_id]

    def get_by_version(self, model_id: str, version: ModelVersion | str) -> ModelConfig | None:
        """That very version of a model, or None.

        Raises:
            InvalidVersionError: The text is no version.
        """
        wanted = as_version(version)
        return self.store.view(lambda state: _records(state).model(model_id, wanted))

    def get_versions(self, model_id: str) -> list[ModelVersion]:
        """Every version of a model, newest first; empty for an unknown id."""
        return self.store.view(lambda state: _records(state).versions(model_id))

    def every_version(self) -> Iterator[ModelConfig]:
        """Every version of every model, one record in memory at a time."""
        for one in self.summaries(all_versions=True):
            model = self.get_by_version(one.id, one.version)
            if model is not None:
                yield model

    def default(self) -> ModelConfig | None:
        """The default model, or None where there is none."""
        model_id = self.default_id()
        return None if model_id is None else self.get(model_id)

    def default_id(self) -> str | None:
        """The default model's id; its record is not decoded."""
        return self.store.view(lambda state: RecordReader(state).default())

    def list_models(self) -> list[str]:
        """Every model's id, sorted."""
        return [one.id for one in self.summaries()]

    def ids_beginning(self, text: str) -> list[str]:
        """The ids that begin with a text, sorted; nothing of other models is read or remembered."""
        return self.store.view(lambda state: RecordReader(state, self.on_damage).ids(text))

    def get_healthy_models(self) -> list[str]:
        """Ids of the models whose status is healthy, sorted."""
        return [one.id for one in self.summaries() if one.health_status == _HEALTHY]

    def summaries(self, *, all_versions: bool = False) -> list[Summary]:
        """The fields that a listing needs, of each model's current version, sorted by id."""
        if all_versions:
            return self.store.view(lambda state: list(RecordReader(state, self.on_damage).summaries()))
        remembered = self._of_now()
        if remembered.summaries is not None:
            return remembered.summaries
        with _collector_paused():
            remembered, found = self._read(lambda state: _current(RecordReader(state, self.on_damage)))
        remembered.summaries = found
        return found

    def find(self, query: Query) -> list[ModelConfig]:
        """The models that meet a query, in its order."""
        found = self.find_summaries(query)
        with _collector_paused():
            return self.store.view(lambda state: _decoded(_records(state), found))

    def find_summaries(self, query: Query | None = None) -> list[Summary]:
        """What `find` finds, as summaries: no record is decoded whole. Without a query, all by id."""
        if query is None:
            return selection.by_id(self.summaries())
        tests = selection.conditions(query)
        held = self._candidates(query)
        return selection.arranged(query, (one for one in held if all(test(one) for test in tests)))

    def _candidates(self, query: Query) -> list[Summary]:
        """Every summary that can meet a query, and maybe others.

        Decoding and keeping all of them takes most of the time of a query, and is for nothing where it stays
        the only one: a state's first query picks out what it needs, the second one has all remembered.
        """
        needle = selection.needle(query)
        remembered = self._of_now()
        if query.all_versions or not needle or remembered.summaries is not None or remembered.queried:
            return self.summaries(all_versions=query.all_versions)
        with _collector_paused():
            remembered, found = self._read(
                lambda state: _current(RecordReader(state, self.on_damage), needle)
            )
        remembered.queried = True
        return found

    def select_best(self, task: str = "simple", *, query: Query | None = None) -> ModelConfig | None:
        """The model for a task: largest healthy, enabled one for ``complex``, the smallest for ``simple``.

        Where none of known size is healthy and enabled, the default model, or None.

        Args:
            task: ``simple`` or ``complex``.
            query: More conditions that the model must meet.

        Raises:
            InvalidValueError: There is no such task.
        """
        if task not in selection.TASKS:
            raise InvalidValueError(f"unknown task {task!r}: use one of {', '.join(selection.TASKS)}")
        held = self.find_summaries(query) if query is not None else self.summaries()
        usable = (one for one in held if one.health_status == _HEALTHY and one.enabled and not one.missing)
        chosen = selection.best(task, usable)
        return self.default() if chosen is None else self.get_by_version(chosen.id, chosen.version)

    def check_health(self) -> HealthStatus:
        """Healthy when every model is, degraded when some are, unhealthy when none is."""
        from modelshelf.model.status import HealthStatus

        total, healthy = len(self.summaries()), len(self.get_healthy_models())
        if healthy == total:
            return HealthStatus.HEALTHY
        return HealthStatus.DEGRADED if healthy else HealthStatus.UNHEALTHY

    def stale(self, hours: float = 24) -> list[ModelConfig]:
        """Models that were used, but not within the last `hours`, the longest unused first."""
        limit = time.time() - hours * 3600
        unused = [one for one in self.summaries() if one.last_used is not None and one.last_used < limit]
        unused.sort(key=lambda one: one.last_used or 0)
        return [model for one in unused if (model := self.get(one.id)) is not None]

    def to_json(self, *, strict: bool = False) -> str:
        """The models as the list that OpenAI's ``/v1/models`` gives.

        Args:
            strict: Only the four fields that OpenAI defines; otherwise the registry's own stand beside them.
        """
        remembered = self._of_now()
        text = remembered.listings.get(strict)
        if text is None:
            import json

            from modelshelf.records.json import openai_listing

            text = json.dumps(openai_listing(iter(self), strict=strict), allow_nan=False)
            # A commit on the way may have put models of two states into it.
            if len(text) <= _LONGEST_KEPT and self._of_now() is remembered:
                remembered.listings[strict] = text
        return text

    def __len__(self) -> int:
        return len(self.summaries())

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self.get(model_id) is not None

    def __iter__(self) -> Iterator[ModelConfig]:
        for one in self.summaries():
            model = self.get(one.id)
            if model is not None:
                yield model

    def _of_now(self) -> _Remembered:
        return self._of(self.store.revision())

    def _of(self, revision: int) -> _Remembered:
        remembered = self._remembered
        if revision != remembered.revision:
            watch = None if self._watch is None else self._watch(revision)
            remembered = self._remembered = _Remembered(revision, watch or _UNWATCHED)
        return remembered

    def _read(self, look: Callable[[Snapshot], T]) -> tuple[_Remembered, T]:
        """Read what will be remembered.

        The store may tell of a revision a moment before views see it: what is remembered goes by the
        revision that was read, or an old state would pass for the newest one.
        """
        revision, found = self.store.view(lambda state: (state.revision, look(state)))
        return self._of(revision), found


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Leave out the search for garbage in what is decoded here.

    All of it is kept, and looking through 100,000 summaries over and over takes longer than decoding them. A
    thread that comes in meanwhile finds the collector paused, or ends the pause early; both are fine.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _records(state: Snapshot) -> RecordReader:
    return RecordReader(state)


def _decoded(records: RecordReader, wanted: Iterable[Summary]) -> list[ModelConfig]:
    models = (records.model(one.id, one.version) for one in wanted)
    return [model for model in models if model is not None]


def _current(records: RecordReader, needle: bytes = b"") -> list[Summary]:
    pins = records.pins()
    chosen: dict[str, Summary] = {}
    several: dict[str, list[Summary]] = {}
    for one in records.summaries(needle):
        first = chosen.setdefault(one.id, one)
        if first is not one:
            several.setdefault(one.id, [first]).append(one)
    for model_id, versions in several.items():
        chosen[model_id] = current_version(versions, pins.get(pin_part(model_id)))
    return sorted(chosen.values(), key=attrgetter("id"))


def as_version(version: ModelVersion | str) -> ModelVersion:
    """A version, from itself or its text."""
    from modelshelf.model.version import ModelVersion

    return version if isinstance(version, ModelVersion) else ModelVersion.parse(version)
