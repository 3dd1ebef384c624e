"""What a listing answers: which models there are, by the few fields of each record that its summary has.

Nothing here loads the values of `modelshelf.model` or what reads a record whole: those are built with attrs,
which takes longer to load than a listing of a thousand models to make.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Self

from modelshelf.model.status import HealthStatus, current_verdict, is_available, is_healthy
from modelshelf.records import query as queries
from modelshelf.records.read import RecordReader
from modelshelf.records.summary import current_version
from modelshelf.records.tables import pin_part
from modelshelf.registry.cache import CachedStore, collector_paused

if TYPE_CHECKING:
    from modelshelf.model import Query
    from modelshelf.records.summary import OnDamage, Summary
    from modelshelf.store import Store


class ModelListing:
    """Lists the models in a store; what another process commits, the next call sees.

    Attributes:
        on_damage: Called with each record that a listing leaves out because it is damaged. Without it a
            listing raises a `DamagedStoreError`, as every look at a damaged record does.
    """

    on_damage: OnDamage | None = None

    def __init__(self, store: Store) -> None:
        self._cached = CachedStore(store)

    def close(self) -> None:
        """Close the store; twice is fine."""
        self._cached.close()

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
        return self._cached.store

    def default_id(self) -> str | None:
        """The id that was made the default, be its model available or not; its record is not decoded."""
        return self.store.view(lambda state: RecordReader(state).default())

    def list_models(self) -> list[str]:
        """Every model's id, sorted; missing and disabled ones too."""
        return [one.id for one in self.summaries()]

    def ids_beginning(self, text: str) -> list[str]:
        """The ids that begin with a text, sorted; nothing of other models is read or cached."""
        return self.store.view(lambda state: RecordReader(state, self.on_damage).ids(text))

    def get_healthy_models(self) -> list[str]:
        """Ids of the models that are healthy, enabled and not missing, sorted."""
        return [one.id for one in self.summaries() if is_available(one) and is_healthy(one)]

    def check_health(self) -> HealthStatus:
        """Healthy when every available model is, degraded when some are, unhealthy when none is.

        Available is what is enabled and not missing; other programs' files do not count. An empty registry
        is healthy, because nothing in it is wrong; one whose models are all missing or disabled is
        unhealthy, because it can serve none.
        """
        models = [one for one in self.summaries() if current_verdict(one) != "foreign"]
        available = [one for one in models if is_available(one)]
        healthy = sum(map(is_healthy, available))
        if healthy == len(available) and (available or not models):
            return HealthStatus.HEALTHY
        return HealthStatus.DEGRADED if healthy else HealthStatus.UNHEALTHY

    def summaries(self, *, all_versions: bool = False) -> list[Summary]:
        """The fields that a listing needs, of each model's current version, sorted by id."""
        if all_versions:
            return self.store.view(lambda state: list(RecordReader(state, self.on_damage).summaries()))
        state = self._cached.current()
        if state.summaries is not None:
            return state.summaries
        with collector_paused():
            state, found = self._cached.read(lambda state: _current(RecordReader(state, self.on_damage)))
        state.summaries = found
        return found

    def find_summaries(self, query: Query | None = None) -> list[Summary]:
        """The summaries of the models that meet a query, in its order; without a query, all by id."""
        if query is None:
            return queries.by_id(self.summaries())
        conditions = queries.conditions(query)
        candidates = self._candidates(query)
        return queries.arranged(query, (one for one in candidates if all(meets(one) for meets in conditions)))

    def _candidates(self, query: Query) -> list[Summary]:
        """Every summary that can meet a query, and maybe others.

        Decoding and keeping all of them takes most of the time of a query, and is for nothing where it stays
        the only one: a state's first query picks out what it needs, the second one has all of them cached.
        """
        needle = queries.needle(query)
        state = self._cached.current()
        if query.all_versions or not needle or state.summaries is not None or state.queried:
            return self.summaries(all_versions=query.all_versions)
        with collector_paused():
            state, found = self._cached.read(
                lambda state: _current(RecordReader(state, self.on_damage), needle)
            )
        state.queried = True
        return found

    def __len__(self) -> int:
        return len(self.summaries())


def _current(records: RecordReader, needle: bytes = b"") -> list[Summary]:
    """Each model's current version, sorted by id; for `needle` see `records.summary`."""
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
