"""What looks records up whole: by id, alias, version, query or task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from modelshelf.errors import InvalidValueError, UnknownModelError
from modelshelf.model.status import HealthStatus, is_available, is_healthy
from modelshelf.model.version import ModelVersion
from modelshelf.records import codec, ids  # noqa: F401 - imported at the first change otherwise
from modelshelf.records import query as queries
from modelshelf.records.read import RecordReader
from modelshelf.registry.cache import collector_paused
from modelshelf.registry.listing import ModelListing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from modelshelf.model import ModelConfig, Query
    from modelshelf.records.summary import Summary
    from modelshelf.store import Snapshot


class ModelLookup(ModelListing):
    """Looks up the records in a store; what another process commits, the next call sees.

    What is looked up twice is decoded once, until the next commit.
    """

    def get(self, model_id: str) -> ModelConfig | None:
        """The model of that id or alias: its pinned version, else its newest that is not missing; or None.

        It may be missing or disabled: see `ModelConfig.available` and `ModelConfig.healthy`.
        """
        state = self._cached.newest
        try:
            if state.word[0] == state.beat:
                return state.models[model_id]
        except (KeyError, ValueError):  # not read yet; or the store let go of the memory that is watched
            return self._look_up(model_id)
        return self._look_up(model_id)

    def _look_up(self, model_id: str) -> ModelConfig | None:
        found = self._cached.current().models.get(model_id)
        if found is None:
            state, found = self._cached.read(lambda state: RecordReader(state).current(model_id))
            if found is not None:
                found = state.versions.setdefault((found.id, str(found.version)), found)
                state.models[model_id] = found
        return found

    def resolve(self, name: str, *, whole: bool = False) -> ModelConfig:
        """The one model that somebody means by a name.

        It may be an id, an alias or the display name in any case; a path; ``repo:QUANT``; any part of an id
        or alias that only one model has. `get` takes ids and aliases as they are.

        Args:
            name: The name.
            whole: Whether it has to be an id, an alias or the display name, as for whatever changes a model.

        Raises:
            AmbiguousNameError: Several models answer to it.
            UnknownModelError: None does; the message proposes the nearest.
        """
        found = self.get(name)
        if found is None:
            from modelshelf.registry.resolve import resolve_id  # few names are not as they are written

            models = self.summaries()
            found = self.get(self.store.view(lambda state: resolve_id(state, models, name, whole=whole)))
        if found is None:
            raise UnknownModelError(name)
        return found

    def get_by_version(self, model_id: str, version: ModelVersion | str) -> ModelConfig | None:
        """That very version of a model, or None.

        Raises:
            InvalidVersionError: The text is no version.
        """
        wanted = as_version(version)
        key = (model_id, str(wanted))
        found = self._cached.current().versions.get(key)
        if found is None:
            state, found = self._cached.read(_reading(model_id, wanted))
            if found is not None:
                state.versions[key] = found
        return found

    def get_versions(self, model_id: str) -> list[ModelVersion]:
        """Every version of a model, newest first; empty for an unknown id."""
        return self.store.view(lambda state: RecordReader(state).versions(model_id))

    def every_version(self) -> Iterator[ModelConfig]:
        """Every version of every model, one record in memory at a time."""
        for one in self.summaries(all_versions=True):
            model = self.store.view(_reading(one.id, one.version))
            if model is not None:
                yield model

    def default(self) -> ModelConfig | None:
        """The default model; None where none was set, or while it is missing, offline or disabled.

        `default_id` gives the id that was set all the same.
        """
        model_id = self.default_id()
        model = None if model_id is None else self.get(model_id)
        return model if model is not None and model.available else None

    def find(self, query: Query) -> list[ModelConfig]:
        """The models that meet a query, in its order."""
        found = self.find_summaries(query)
        with collector_paused():
            return self.store.view(lambda state: _decoded(RecordReader(state), found))

    def select_best(
        self,
        task: str = "simple",
        *,
        kind: str | None = None,
        capability: str | None = None,
        modality: str | None = None,
        query: Query | None = None,
    ) -> ModelConfig | None:
        """The model for a task: the largest one for ``complex``, the smallest one for ``simple``.

        Chosen are those whose size is known and that are healthy, enabled and not missing, among the models
        of that kind; where no kind is asked for, those that write text. Where there is none, the default
        model while it is not unhealthy and does what is asked for, or None.

        Args:
            task: ``simple`` or ``complex``.
            kind: What the model is for; where it is None, what the capability means (``embedding``,
                ``rerank``), else text generation.
            capability: What it has to be able to do.
            modality: What it has to take or give.
            query: More conditions that the model must meet.

        Raises:
            InvalidValueError: There is no such task.
        """
        if task not in queries.TASKS:
            raise InvalidValueError(f"unknown task {task!r}: use one of {', '.join(queries.TASKS)}")
        kind = kind or (query and query.kind) or _KIND_OF_CAPABILITY.get(capability or "")
        found = self.find_summaries(query) if query is not None else self.summaries()
        usable = (one for one in found if is_available(one) and is_healthy(one))
        able = list(queries.able(usable, kind, capability, modality))
        chosen = queries.best(task, able if kind else queries.for_text(able))
        if chosen is not None:
            return self.get_by_version(chosen.id, chosen.version)
        model = self.default()
        if model is None or model.health_status is HealthStatus.UNHEALTHY:
            return None
        default = list(queries.able([codec.summary_of(model)], kind, capability, modality))
        return model if (default if kind else queries.for_text(default)) else None

    def stale(self, hours: float = 24) -> list[ModelConfig]:
        """Models that were used, but not within the last `hours`, the longest unused first."""
        limit = time.time() - hours * 3600
        unused = [one for one in self.summaries() if one.last_used is not None and one.last_used < limit]
        unused.sort(key=lambda one: one.last_used or 0)
        return [model for one in unused if (model := self.get(one.id)) is not None]

    def __contains__(self, model_id: object) -> bool:
        return isinstance(model_id, str) and self.get(model_id) is not None

    def __iter__(self) -> Iterator[ModelConfig]:
        for one in self.summaries():
            model = self.get(one.id)
            if model is not None:
                yield model


_KIND_OF_CAPABILITY = {"embedding": "embedding", "rerank": "reranker"}


def _reading(model_id: str, version: ModelVersion | str) -> Callable[[Snapshot], ModelConfig | None]:
    return lambda state: RecordReader(state).model(model_id, version)


def _decoded(records: RecordReader, wanted: Iterable[Summary]) -> list[ModelConfig]:
    models = (records.model(one.id, one.version) for one in wanted)
    return [model for model in models if model is not None]


def as_version(version: ModelVersion | str) -> ModelVersion:
    """A version, from itself or its text."""
    return version if isinstance(version, ModelVersion) else ModelVersion.parse(version)
