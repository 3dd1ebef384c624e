"""The reading half of the registry: look-ups in memory, guarded by the store's revision."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, TypeVar

from modelshelf import selection
from modelshelf.errors import InvalidValueError, RegistryClosedError
from modelshelf.model import HealthStatus, ModelConfig, ModelVersion, Query
from modelshelf.records import RecordReader, current_version, pin_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modelshelf.sealed import Summary
    from modelshelf.store import Store

T = TypeVar("T")


class ModelLookup:
    """Answers questions about the models in a store; what another process commits, the next call sees."""

    def __init__(self, store: Store) -> None:
        self._store: Store | None = store
        self._revision: int | None = None
        self._models: dict[str, ModelConfig | None] = {}
        self._summaries: list[Summary] | None = None

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
        self._forget_if_changed()
        try:
            return self._models[model_id]
        except KeyError:
            found = self._read(lambda records: records.current(model_id))
            self._models[model_id] = found
            return found

    def get_by_version(self, model_id: str, version: ModelVersion | str) -> ModelConfig | None:
        """That very version of a model, or None.

        Raises:
            InvalidVersionError: The text is no version.
        """
        wanted = as_version(version)
        return self.store.view(lambda state: RecordReader(state).model(model_id, wanted))

    def get_versions(self, model_id: str) -> list[ModelVersion]:
        """Every version of a model, newest first; empty for an unknown id."""
        return self.store.view(lambda state: RecordReader(state).versions(model_id))

    def every_version(self) -> Iterator[ModelConfig]:
        """Every version of every model, one record in memory at a time."""
        for one in self.summaries(all_versions=True):
            model = self.get_by_version(one.id, one.version)
            if model is not None:
                yield model

    def default(self) -> ModelConfig | None:
        """The default model, or None where there is none."""
        model_id = self.store.view(lambda state: RecordReader(state).default())
        return None if model_id is None else self.get(model_id)

    def list_models(self) -> list[str]:
        """Every model's id, sorted."""
        return [one.id for one in self.summaries()]

    def get_healthy_models(self) -> list[str]:
        """Ids of the models whose status is healthy, sorted."""
        return [one.id for one in self.summaries() if one.health_status == HealthStatus.HEALTHY.value]

    def summaries(self, *, all_versions: bool = False) -> list[Summary]:
        """The fields that a listing needs, of each model's current version, sorted by id."""
        if all_versions:
            return self.store.view(lambda state: list(RecordReader(state).summaries()))
        self._forget_if_changed()
        if self._summaries is None:
            self._summaries = self._read(_current)
        return self._summaries

    def find(self, query: Query) -> list[ModelConfig]:
        """The models that meet a query, in its order."""
        found = self.find_summaries(query)
        return [model for one in found if (model := self.get_by_version(one.id, one.version)) is not None]

    def find_summaries(self, query: Query) -> list[Summary]:
        """What `find` finds, as summaries: no record is decoded whole."""
        tests = selection.conditions(query)
        held = self.summaries(all_versions=query.all_versions)
        return selection.arranged(query, (one for one in held if all(test(one) for test in tests)))

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
        healthy = HealthStatus.HEALTHY.value
        held = self.find_summaries(query) if query is not None else self.summaries()
        usable = (one for one in held if one.health_status == healthy and one.enabled and not one.missing)
        chosen = selection.best(task, usable)
        return self.default() if chosen is None else self.get_by_version(chosen.id, chosen.version)

    def check_health(self) -> HealthStatus:
        """Healthy when every model is, degraded when some are, unhealthy when none is."""
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
        from modelshelf.plain import openai_listing

        return json.dumps(openai_listing(iter(self), strict=strict), allow_nan=False)

    def __len__(self) -> int:
        return len(self.summaries())

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self.get(model_id) is not None

    def __iter__(self) -> Iterator[ModelConfig]:
        for one in self.summaries():
            model = self.get(one.id)
            if model is not None:
                yield model

    def _forget_if_changed(self) -> None:
        self._forget_unless(self.store.revision())

    def _forget_unless(self, revision: int) -> None:
        if revision != self._revision:
            self._models.clear()
            self._summaries = None
            self._revision = revision

    def _read(self, look: Callable[[RecordReader], T]) -> T:
        """Read what will be remembered.

        The store may tell of a revision a moment before views see it: what is remembered goes by the
        revision that was read, or an old state would pass for the newest one.
        """
        revision, found = self.store.view(lambda state: (state.revision, look(RecordReader(state))))
        self._forget_unless(revision)
        return found


def _current(records: RecordReader) -> list[Summary]:
    pins = records.pins()
    by_id: dict[str, list[Summary]] = {}
    for one in records.summaries():
        by_id.setdefault(one.id, []).append(one)
    chosen = (
        versions[0] if len(versions) == 1 else current_version(versions, pins.get(pin_part(model_id)))
        for model_id, versions in by_id.items()
    )
    return sorted(chosen, key=lambda one: one.id)


def as_version(version: ModelVersion | str) -> ModelVersion:
    """A version, from itself or its text."""
    return version if isinstance(version, ModelVersion) else ModelVersion.parse(version)
