"""What the registry remembers goes by the state that was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from modelshelf import ModelConfig, ModelRegistry
from modelshelf.lookup import ModelLookup
from modelshelf.store import Snapshot, Store

T = TypeVar("T")


class EarlyStore:
    """A store that tells of a commit before views see it, as a writer's last step can be slow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.arriving = False

    def revision(self) -> int:
        return self._store.revision() + self.arriving

    def view(self, work: Callable[[Snapshot], T]) -> T:
        return self._store.view(work)


@pytest.fixture
def registry(tmp_path: Path) -> ModelRegistry:
    with ModelRegistry(tmp_path / "models", tmp_path / "store") as registry:
        yield registry


def test_a_commit_that_is_told_of_before_it_is_seen_is_seen_once_it_is_there(registry: ModelRegistry) -> None:
    early = EarlyStore(registry.store)
    lookup = ModelLookup(early)
    early.arriving = True
    assert (lookup.list_models(), lookup.get("new")) == ([], None)
    registry.register(ModelConfig(id="new"))
    early.arriving = False
    assert lookup.list_models() == ["new"]
    assert lookup.get("new") == registry.get("new")
