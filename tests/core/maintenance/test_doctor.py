"""What the doctor finds in a store: tables that disagree, and what a later release wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from modelshelf import HealthStatus, Location, ModelConfig, ModelRegistry, Severity, StoreError
from modelshelf.maintenance.doctor import diagnose_store, is_repairable
from modelshelf.maintenance.repair import repair, survey
from modelshelf.plugin.call import PluginSet
from modelshelf.records.frame import encode_value
from modelshelf.records.tables import UNHEALTHY, path_key
from modelshelf.records.write import Records

PATH = "/models/broken/m.gguf"
BROKEN = ModelConfig(
    id="broken",
    path=PATH,
    health_status=HealthStatus.UNHEALTHY,
    locations=(Location(path=PATH, folder="/models/broken", fingerprint=b"f"),),
)
OF_LATER = b"z\0event"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(tmp_path, tmp_path / "store") as made:
        made.register(BROKEN)
        yield made


def codes(registry: ModelRegistry) -> list[str]:
    found = diagnose_store(registry.store)
    return [one.code for one in found if one.severity is Severity.ERROR]


def test_a_sound_store_has_no_errors(registry: ModelRegistry):
    assert codes(registry) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda records: records._changing.delete(path_key(UNHEALTHY, PATH)), "index-lacks-health"),
        (
            lambda records: records._put(
                path_key(UNHEALTHY, PATH), ["broken", "1.0.0", "degraded", PATH.encode()]
            ),
            "dangling-health",
        ),
        (
            lambda records: records._put(path_key(UNHEALTHY, "/gone"), ["x", "1.0.0", "degraded", b"/gone"]),
            "dangling-health",
        ),
    ],
)
def test_a_table_of_unhealthy_models_that_is_at_odds_with_the_records_is_named(
    registry: ModelRegistry, change: Callable[[Records], object], code: str
):
    registry.store.update(lambda state: change(Records(state)))
    assert codes(registry) == [code]
    assert is_repairable(diagnose_store(registry.store)[0])


def test_a_model_that_got_well_or_went_is_no_trouble(registry: ModelRegistry):
    registry.update_health_status("broken", HealthStatus.HEALTHY)
    assert codes(registry) == []
    registry.update_health_status("broken", HealthStatus.DEGRADED)
    assert codes(registry) == []
    gone = attrs.evolve(BROKEN, locations=(attrs.evolve(BROKEN.locations[0], missing=True),), missing_since=1)
    registry.store.update(lambda state: Records(state).put(gone))
    assert codes(registry) == []
    registry.remove("broken")
    assert codes(registry) == []


def test_a_table_of_a_later_release_is_no_damage_and_keeps_a_repair_off(registry: ModelRegistry):
    registry.store.update(lambda state: state.put(OF_LATER, encode_value(OF_LATER, ["new"])))
    [finding] = [one for one in diagnose_store(registry.store) if one.severity is Severity.ERROR]
    assert finding.code == "record-unreadable"
    assert "upgrade modelshelf" in finding.message
    assert not is_repairable(finding)
    location = registry.store.location
    registry.close()
    plugins = PluginSet.discover()
    for attempt in (survey, repair):
        with pytest.raises(StoreError, match="upgrade modelshelf"):
            attempt(location, plugins)
    with ModelRegistry(metadata_path=location) as again:
        assert again.store.view(lambda state: state.get(OF_LATER)) is not None
